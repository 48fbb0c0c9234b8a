"""Categorical noising. A field of K classes holds the integers 0..K-1, and K where it is masked."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import rng
from ..posterior import Categorical, View
from ..schedules import Rectified, Schedule
from ..state import Field
from .process import CategoricalProcess

NEVER = -1e9  # the logit of an impossible class; finite, so that guidance can mix it


@dataclass(frozen=True)
class Masked(CategoricalProcess):
    """Absorbing noise: each entry keeps its class with probability alpha_t and is masked otherwise.

    `schedule` gives alpha only: Rectified is the log-linear schedule 1 - t, Trigonometric the cosine one. The loss is the cross
    entropy of masked entries; `elbo` weights it by -alpha' / (1 - alpha), which makes it a bound on the likelihood.
    Source: Austin et al. 2021, arXiv:2107.03006, section 3.1; Sahoo et al. 2024, arXiv:2406.07524, equations 7 and 10.

    Raises:
        ValueError: a schedule that leaves anything unmasked at t = 1.
    """

    schedule: Schedule = field(default_factory=Rectified)
    elbo: bool = False

    def __post_init__(self) -> None:
        if not self.schedule.ends_at_noise:
            name = type(self.schedule).__name__
            raise ValueError(
                f"Masked noise needs alpha = 0 at t = 1, which {name} does not reach; take Rectified or Trigonometric"
            )

    def check(self, f: Field) -> None:
        """Any categorical field will do."""
        if f.kind != self.kind:
            raise ValueError(f"Masked noise serves categorical fields; {f.name!r} is {f.kind}")

    def noise(self, f: Field, keys: Tensor, mask: Tensor, known: Tensor | None, like: Tensor) -> Tensor:
        """Two uniforms for each entry, (..., 2): one says whether it moves, one where to."""
        return rng.uniform(keys, f, mask.shape[1], 2)

    def corrupt(self, f: Field, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Mask the entries whose first uniform is at least alpha_t."""
        return torch.where(noise[..., 0] >= self.schedule.alpha(t), f.channels, x0)

    def prior(self, f: Field, t: Tensor, noise: Tensor) -> Tensor:
        """All masked."""
        return torch.full(noise.shape[:-1], f.channels, dtype=torch.int64, device=noise.device)

    def inputs(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """The classes as they are."""
        return x_t

    def view(self, f: Field, output: Tensor, x_t: Tensor, t: Tensor) -> Categorical:
        """Class probabilities; an entry that is not masked is what it is (carry-over)."""
        seen = NEVER * (1 - F.one_hot(x_t.clamp(max=f.channels - 1), f.channels).to(output.dtype))
        return Categorical(torch.where((x_t == f.channels)[..., None], output, seen))

    def loss(self, f: Field, view: View, x0: Tensor, noise: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Cross entropy in nats at masked entries, 0 elsewhere."""
        assert isinstance(view, Categorical)
        masked = x_t == f.channels
        ce = -view.log_probs.gather(-1, x0[..., None])[..., 0]
        weight = -self.schedule.d_alpha(t) / (1 - self.schedule.alpha(t)) if self.elbo else torch.ones_like(t)
        return torch.where(masked, weight.to(ce.dtype) * ce, torch.zeros_like(ce))

    def move(self, f: Field, x: Tensor, t: Tensor, s: Tensor, view: View, noise: Tensor) -> Tensor:
        """One step of the reverse process where s < t, of the forward process where s > t.

        Down: a masked entry is revealed with probability (alpha_s - alpha_t) / (1 - alpha_t), to a class drawn from the
        posterior. Up: an entry is masked with probability 1 - alpha_s / alpha_t.
        """
        assert isinstance(view, Categorical)
        alpha_t, alpha_s = self.schedule.alpha(t), self.schedule.alpha(s)
        cdf = view.probs.cumsum(-1)
        # u in [0, 1) of what the sum really is: a class of probability 0 is drawn at neither end
        drawn = (cdf <= noise[..., 1:] * cdf[..., -1:]).sum(-1).clamp(max=f.channels - 1)
        reveal = (x == f.channels) & (noise[..., 0] < (alpha_s - alpha_t) / (1 - alpha_t).clamp(min=1e-300))
        mask = (s > t) & (noise[..., 0] >= alpha_s / alpha_t)
        return torch.where(mask, f.channels, torch.where(reveal, drawn, x))
