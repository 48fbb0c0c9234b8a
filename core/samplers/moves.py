"""How categorical fields are un-noised at each row of a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..posterior import Categorical, View
from ..processes import CategoricalProcess, Masked
from ..processes.categorical import TINY, draw
from ..state import Field

# Scores closer than this count as equal, and the entry's own uniform decides: rounding, which differs between batches, must not.
TIE = 1e-4


class Move(ABC):
    """A step of a categorical field from t to s, given the posterior of x_0 at t."""

    serves: ClassVar[tuple[type[CategoricalProcess], ...]] = (CategoricalProcess,)

    def check(self, name: str, process: CategoricalProcess) -> None:
        """Raise a ValueError where this move cannot serve the process of a field."""
        if not isinstance(process, self.serves):
            served = " and ".join(cls.__name__ for cls in self.serves)
            raise ValueError(
                f"move={self}: the process of field {name!r} is {type(process).__name__}; this move serves {served}"
            )

    @abstractmethod
    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """The field at s.

        Args:
            f: the field.
            process: its process.
            x: its classes at t.
            t, s: times, broadcastable to the field; upwards (s > t) is forward noising.
            view: the posterior of x_0.
            noise: the process's own uniforms for this step.
            open: which entries are real and unknown, shaped as the field: the others will be put back and must not count.
        """


@dataclass(frozen=True)
class Ancestral(Move):
    """Each entry by itself, from q(x_s | x_t, x_0) with x_0 drawn from the posterior, or from its sharpened form

        p_T(x_0 = c) = p(x_0 = c)^(1 / T) / sum_k p(x_0 = k)^(1 / T)

    Each entry is then nearer to its most probable class, and samples are less diverse than the data; what self-conditioning
    carries is p.

    Args:
        temperature: T; 1 draws from the posterior, 0 takes the most probable class, drawing among equal ones.

    Source: that of the process; the temperature: Ackley et al. 1985, doi:10.1207/s15516709cog0901_7.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"Ancestral: temperature must be a number of at least 0, found {self.temperature}")

    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """The process's own move."""
        return process.move(f, x, t, s, _sharpened(view, self.temperature), noise)


@dataclass(frozen=True)
class TauLeaping(Move):
    """The reverse process in continuous time with its rates held as they are at t.

    Over a step of length h an entry leaves its class with probability 1 - exp(-h rate), once, to a class drawn by the rates: a
    leap with at most one jump an entry, of order 1. Rates diverge towards t = 0, so that a leap would leave noise behind there:
    the last step, to s = 0, is the ancestral one; and so is forward noising, which is exact.
    Source: Campbell et al. 2022, arXiv:2205.14987, section 4.3, for classes without an order.
    """

    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """A leap down to s > 0, else the process's own move."""
        rate, to = process.rates(f, x, t, view)
        leaves = noise[..., 0] < -torch.expm1((s - t) * rate)
        leapt = torch.where(leaves, draw(to, noise[..., 1]), x)
        return torch.where((s < t) & (s > 0), leapt, process.move(f, x, t, s, view, noise))


@dataclass(frozen=True)
class Remasking(Move):
    """As `Ancestral`, and what was revealed is masked again at a rate, so that an early mistake does not stand.

    Down from t to s, an entry that is not masked becomes so with probability beta, and one that is masked is revealed with

        (alpha_s - (1 - beta) alpha_t) / (1 - alpha_t),   beta = min(1 - exp(-rate (alpha_s - alpha_t)), (1 - alpha_s) / alpha_t),

    which keeps the share alpha of entries that are not masked, whatever the rate. Near s = 0 nothing is masked again.

    Args:
        rate: how many times an entry is masked again on average while alpha goes from 0 to 1, but for the bound on beta; 0 is
            `Ancestral`.
        temperature: of the posterior, as that of `Ancestral`.

    Source: Wang et al. 2025, arXiv:2503.00307, equation 6; the rate: Campbell et al. 2024, arXiv:2402.04997, section 3.2, where
    it is called eta.
    """

    rate: float = 10.0
    temperature: float = 1.0

    serves = (Masked,)

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("temperature", self.temperature)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"Remasking: {name} must be a number of at least 0, found {value}")

    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """Entries revealed and masked again; forward noising is the process's."""
        assert isinstance(process, Masked)  # as `check` has found
        view = _sharpened(view, self.temperature)
        alpha_t, alpha_s = process.schedule.alpha(t), process.schedule.alpha(s)
        most = (1 - alpha_s) / alpha_t.clamp(min=TINY)
        beta = torch.minimum(-torch.expm1(-self.rate * (alpha_s - alpha_t)), most)
        reveal = (alpha_s - (1 - beta) * alpha_t) / (1 - alpha_t).clamp(min=TINY)
        u, masked = noise[..., 0], x == f.channels
        shown = torch.where(u < reveal, draw(view.probs, noise[..., 1]), f.channels)
        down = torch.where(masked, shown, torch.where(u < beta, f.channels, x))
        return torch.where(s < t, down, process.move(f, x, t, s, view, noise))


class Ordered(Move):
    """Masked entries are revealed in an order that the posterior gives, each to a class drawn from it.

    A subclass says which of the candidates. What is still masked at s = 0 is revealed there; forward noising is the process's.
    """

    serves = (Masked,)

    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """The chosen entries revealed."""
        assert isinstance(process, Masked)  # as `check` has found
        assert isinstance(view, Categorical)
        masked, drawn = x == f.channels, draw(view.probs, noise[..., 1])
        moving = open & (s < t)
        moving = moving.triu(1) if f.axes == "pair" else moving  # each pair once
        left = (moving * (1 - process.schedule.alpha(s))).flatten(1).sum(1)
        key = self.key(view, drawn, s, noise[..., 0]) + TIE * noise[..., 0]
        place, candidates = _places(key, moving & masked), moving & masked
        chosen = candidates & self.chosen(view, place, candidates, left)
        chosen = chosen | chosen.transpose(1, 2) if f.axes == "pair" else chosen
        revealed = torch.where(masked & (chosen | (s == 0)), drawn, x)
        return torch.where(s > t, process.move(f, x, t, s, view, noise), revealed)

    @abstractmethod
    def key(self, view: Categorical, drawn: Tensor, s: Tensor, u: Tensor) -> Tensor:
        """What the candidates are ordered by, the first to be revealed lowest; u is a uniform for each entry."""

    @abstractmethod
    def chosen(self, view: Categorical, place: Tensor, candidates: Tensor, left: Tensor) -> Tensor:
        """Which candidates are revealed.

        Args:
            view: the posterior of x_0.
            place: of each candidate in the order of its sample, from 0.
            candidates: masked entries that may be revealed, pairs once.
            left: (B,) how many of the open entries the schedule leaves masked at s, on average.
        """


@dataclass(frozen=True)
class Confidence(Ordered):
    """The most confident entries first, so many that the expected number stays masked at s.

    Confidence is log p of the class that was drawn, with Gumbel noise of the scale temperature * s, which fades towards s = 0.

    Args:
        temperature: of the noise; 0 takes the order as it is.

    Source: Chang et al. 2022, arXiv:2202.04200, section 3.2; the temperature is that of the published code.
    """

    temperature: float = 4.5

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"Confidence: temperature must be at least 0, found {self.temperature}")

    def key(self, view: Categorical, drawn: Tensor, s: Tensor, u: Tensor) -> Tensor:
        """-(log p + temperature s Gumbel)."""
        gumbel = -torch.log(-torch.log(u.clamp(min=2.0**-25)))
        return -view.log_probs.gather(-1, drawn[..., None])[..., 0] - self.temperature * s * gumbel

    def chosen(self, view: Categorical, place: Tensor, candidates: Tensor, left: Tensor) -> Tensor:
        """All but the last of them."""
        stay = torch.floor(left + 1e-6)  # 6 * 0.5 is 3, whatever the order of its sum
        reveal = candidates.flatten(1).sum(1) - stay
        return place < reveal.view(-1, *(1,) * (place.ndim - 1))


@dataclass(frozen=True)
class EntropyBound(Ordered):
    """Entries of the lowest entropy first, as many as are nearly independent of each other: at least one a step.

    Revealed are the most for which the sum of the entropies less the largest, which bounds what drawing them apart gets wrong,
    stays within gamma. How many steps that takes is the data's affair: what is left is revealed at s = 0.

    Args:
        gamma: in nats.

    Source: Ben-Hamu et al. 2025, arXiv:2505.24857, section 3.
    """

    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ValueError(f"EntropyBound: gamma must be at least 0 nats, found {self.gamma}")

    def key(self, view: Categorical, drawn: Tensor, s: Tensor, u: Tensor) -> Tensor:
        """The entropy of each entry in nats."""
        return _entropy(view)

    def chosen(self, view: Categorical, place: Tensor, candidates: Tensor, left: Tensor) -> Tensor:
        """Those before which the entropies sum to at most gamma."""
        order = place.flatten(1)
        entropy = torch.where(candidates, _entropy(view), 0.0).flatten(1)
        ordered = torch.zeros_like(entropy).scatter(1, order, entropy)
        before = (ordered.cumsum(1) - ordered).gather(1, order)
        return (before <= self.gamma).view(place.shape)


def _sharpened(view: View, temperature: float) -> Categorical:
    """The view at a temperature."""
    assert isinstance(view, Categorical)
    if temperature == 1:
        return view
    below = view.logits - view.logits.amax(-1, keepdim=True)
    return Categorical(torch.where(below < 0, below / temperature, below))  # at 0: minus infinity below the largest


def _entropy(view: Categorical) -> Tensor:
    return -(view.probs * view.log_probs).sum(-1)


def _places(key: Tensor, candidates: Tensor) -> Tensor:
    """The place of each candidate in the rising order of its sample; the others come last."""
    flat = torch.where(candidates, key, float("inf")).flatten(1)
    return flat.argsort(dim=1, stable=True).argsort(1).view(key.shape)
