"""Categorical noising. A field of K classes holds the integers 0..K-1, and K where it is masked."""

from __future__ import annotations

from abc import abstractmethod
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
TINY = 1e-300  # a divisor where what is divided is 0 as well


@dataclass(frozen=True)
class Replacing(CategoricalProcess):
    """Each entry keeps its class with probability alpha_t, and is replaced by pure noise otherwise.

        q(x_t | x_0) = alpha_t [x_t = x_0] + (1 - alpha_t) q_1(x_t)

    The network's output stands for the logits of x_0 given all but the entry's own x_t, whose evidence log q(x_t | x_0) `view`
    adds: an output of 0 is right wherever the rest says nothing, and the step of the moves, q(x_s | x_t) =
    sum_c q(x_s | x_t, x_0 = c) p(x_0 = c | x_t), is the x_0-parametrisation of D3PM.

    Args:
        schedule: gives alpha only: Rectified is the log-linear schedule 1 - t, Trigonometric the cosine one.
        elbo: weigh the loss so that its mean over t in (0, 1) is a bound on the negative log-likelihood, in nats per entry.

    Source: Austin et al. 2021, arXiv:2107.03006, equations 3 and 4.

    Raises:
        ValueError: a schedule that leaves anything of the data at t = 1.
    """

    schedule: Schedule = field(default_factory=Rectified)
    elbo: bool = False

    def __post_init__(self) -> None:
        if not self.schedule.ends_at_noise:
            name = type(self.schedule).__name__
            raise ValueError(
                f"{type(self).__name__} noise needs alpha = 0 at t = 1, which {name} does not reach; "
                "take Rectified or Trigonometric"
            )

    def check(self, f: Field) -> None:
        """Any categorical field will do."""
        if f.kind != self.kind:
            raise ValueError(f"{type(self).__name__} noise serves categorical fields; {f.name!r} is {f.kind}")

    def noise(self, f: Field, keys: Tensor, mask: Tensor, known: Tensor | None, like: Tensor) -> Tensor:
        """Two uniforms for each entry, (..., 2): one says whether it moves, one where to."""
        return rng.uniform(keys, f, mask.shape[1], 2)

    @abstractmethod
    def pure(self, f: Field, u: Tensor) -> Tensor:
        """A draw of q_1 from one uniform for each entry."""

    @abstractmethod
    def evidence(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """log q(x_t | x_0) of each class x_0 up to a constant, (..., K), in the dtype of t."""

    def corrupt(self, f: Field, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Replace the entries whose first uniform is at least alpha_t."""
        return torch.where(noise[..., 0] >= self.schedule.alpha(t), self.pure(f, noise[..., 1]), x0)

    def prior(self, f: Field, t: Tensor, noise: Tensor) -> Tensor:
        """Pure noise."""
        return self.pure(f, noise[..., 1])

    def inputs(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """The classes as they are."""
        return x_t

    def view(self, f: Field, output: Tensor, x_t: Tensor, t: Tensor) -> Categorical:
        """p(x_0 | x_t): the output with the evidence of the entry itself."""
        return Categorical(output + self.evidence(f, x_t, t).to(output.dtype))

    def move(self, f: Field, x: Tensor, t: Tensor, s: Tensor, view: View, noise: Tensor) -> Tensor:
        """One step of the reverse process where s < t, of the forward process where s > t.

        Down: from q(x_s | x_t), x_0 taken from the posterior of the entry. Up: pure noise with probability 1 - alpha_s / alpha_t.
        """
        assert isinstance(view, Categorical)
        up = (s > t) & (noise[..., 0] >= self.schedule.alpha(s) / self.schedule.alpha(t))
        down = torch.where(s < t, self.back(f, x, t, s, view, noise), x)
        return torch.where(up, self.pure(f, noise[..., 1]), down)

    @abstractmethod
    def back(self, f: Field, x: Tensor, t: Tensor, s: Tensor, view: Categorical, noise: Tensor) -> Tensor:
        """A draw of q(x_s | x_t) for s < t; anything elsewhere."""


@dataclass(frozen=True)
class Masked(Replacing):
    """Absorbing noise: what is replaced is masked, and what is not masked is known.

    The loss is the cross entropy of masked entries; `elbo` weighs it by -alpha' / (1 - alpha).
    Source: Austin et al. 2021, arXiv:2107.03006, section 3.1; Sahoo et al. 2024, arXiv:2406.07524, equations 7 and 10.

    Raises:
        ValueError: a schedule that leaves anything unmasked at t = 1.
    """

    def pure(self, f: Field, u: Tensor) -> Tensor:
        """The mask."""
        return torch.full(u.shape, f.channels, dtype=torch.int64, device=u.device)

    def evidence(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """None where masked; an entry that is not is what it is (carry-over)."""
        other = 1 - F.one_hot(x_t, f.channels + 1)[..., : f.channels]
        return torch.where((x_t == f.channels)[..., None], 0.0, NEVER * other).to(t.dtype)

    def loss(self, f: Field, view: View, x0: Tensor, noise: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Cross entropy in nats at masked entries, 0 elsewhere."""
        assert isinstance(view, Categorical)
        masked, ce = x_t == f.channels, _cross_entropy(view, x0)
        weight = -self.schedule.d_alpha(t) / (1 - self.schedule.alpha(t)) if self.elbo else torch.ones_like(t)
        return torch.where(masked, weight.to(ce.dtype) * ce, torch.zeros_like(ce))

    def back(self, f: Field, x: Tensor, t: Tensor, s: Tensor, view: Categorical, noise: Tensor) -> Tensor:
        """A masked entry is revealed with probability (alpha_s - alpha_t) / (1 - alpha_t), to a class of the posterior."""
        alpha_t, alpha_s = self.schedule.alpha(t), self.schedule.alpha(s)
        reveal = noise[..., 0] < (alpha_s - alpha_t) / (1 - alpha_t).clamp(min=TINY)
        return torch.where((x == f.channels) & reveal, draw(view.probs, noise[..., 1]), x)

    def rates(self, f: Field, x: Tensor, t: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """A masked entry leaves at the rate -alpha' / (1 - alpha), to a class of the posterior."""
        assert isinstance(view, Categorical)
        leave = -self.schedule.d_alpha(t) / (1 - self.schedule.alpha(t)).clamp(min=TINY)
        return torch.where(x == f.channels, leave, 0.0), view.probs


@dataclass(frozen=True)
class Uniform(Replacing):
    """Uniform noise: what is replaced becomes any of the K classes, its own among them; the mask class K never occurs.

    Moves follow the exact q(x_s | x_t, x_0), averaged over p(x_0 | x_t). The loss is the cross entropy -log p(x_0 | x_t) of all
    entries. `elbo` makes it the rate at which the paths of the true and of the believed reverse process part: with
    g_y = sum_c p(x_0 = c | x_t) q(y | c) / q(x_t | c) and g*_y the same where x_0 is known,

        loss = -alpha' / (alpha K) sum_{y != x_t} (g_y - g*_y + g*_y log(g*_y / g_y)).

    Source: Austin et al. 2021, arXiv:2107.03006, equation 3 and appendix A.2.1; Campbell et al. 2022, arXiv:2205.14987,
    propositions 1 and 2.

    Raises:
        ValueError: a schedule that leaves anything of the data at t = 1.
    """

    def pure(self, f: Field, u: Tensor) -> Tensor:
        """Any class."""
        return (u * f.channels).long().clamp(max=f.channels - 1)

    def evidence(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """log(1 + alpha K / (1 - alpha)) more for the class that is seen."""
        alpha = self.schedule.alpha(t)
        more = torch.log1p(alpha * f.channels / (1 - alpha)).clamp(max=-NEVER)
        return more[..., None] * F.one_hot(x_t, f.channels)

    def loss(self, f: Field, view: View, x0: Tensor, noise: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Cross entropy in nats, or the bound."""
        assert isinstance(view, Categorical)
        if not self.elbo:
            return _cross_entropy(view, x0)
        alpha, other = self.schedule.alpha(t), 1 - F.one_hot(x_t, f.channels)
        log_probs = torch.log_softmax(view.logits.to(t.dtype), -1)  # the terms below cancel to the order of alpha^2
        g = self._ratios(f, log_probs.exp(), x_t, t, t)
        true = self._ratios(f, F.one_hot(x0, f.channels).to(t.dtype), x_t, t, t)
        each = g - true + torch.xlogy(true, true / g.clamp(min=TINY))
        return (-self.schedule.d_alpha(t) / (alpha * f.channels) * (other * each).sum(-1)).to(view.logits.dtype)

    def back(self, f: Field, x: Tensor, t: Tensor, s: Tensor, view: Categorical, noise: Tensor) -> Tensor:
        """sum_c p(c) q(x_t | x_s) q(x_s | c) / q(x_t | c)."""
        stay = (self.schedule.alpha(t) / self.schedule.alpha(s))[..., None]
        step = stay * F.one_hot(x, f.channels) + (1 - stay) / f.channels
        return draw(step * self._ratios(f, view.probs, x, t, s), noise[..., 1])

    def rates(self, f: Field, x: Tensor, t: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """An entry goes to y at the rate -alpha' / (alpha K) g_y; infinite at t = 1, where noise is turned over at once."""
        assert isinstance(view, Categorical)
        ratios = self._ratios(f, view.probs, x, t, t) * (1 - F.one_hot(x, f.channels))
        total = ratios.sum(-1)
        return -self.schedule.d_alpha(t) / (self.schedule.alpha(t) * f.channels) * total, ratios / total[..., None]

    def _ratios(self, f: Field, probs: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """sum_c p(c) q(x_s = y | c) / q(x_t | c) for each class y."""
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.alpha(s)[..., None]
        seen = alpha_t * F.one_hot(x_t, f.channels) + (1 - alpha_t) / f.channels
        share = probs / seen.clamp(min=TINY)
        return alpha_s * share + (1 - alpha_s) / f.channels * share.sum(-1, keepdim=True)


def draw(probs: Tensor, u: Tensor) -> Tensor:
    """A class for each entry of probs (..., K), by the inverse of its distribution function at u."""
    cdf = probs.cumsum(-1)
    # u in [0, 1) of what the sum really is: a class of probability 0 is drawn at neither end
    return (cdf <= u[..., None] * cdf[..., -1:]).sum(-1).clamp(max=probs.shape[-1] - 1)


def _cross_entropy(view: Categorical, x0: Tensor) -> Tensor:
    return -view.log_probs.gather(-1, x0[..., None])[..., 0]
