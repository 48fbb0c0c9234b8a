"""The density of t in training, by the inverse of its distribution function."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ..schedules import Schedule


class TimeDensity(ABC):
    """Where training looks: t = quantile(u) for u uniform in (0, 1).

    A density may look more often at some parts of itself, `focus`, where it says what a sample then counts, so that the expected
    loss stays that of the density; and it may learn from the losses where to look, `observe`, which the training calls after each
    batch with the samples of all processes.
    """

    observes: ClassVar[bool] = False

    @abstractmethod
    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """t for u in (0, 1); `schedule` is that of the first Gaussian field, None where there is none."""

    def focus(self, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """The place v in (0, 1) to look at for a draw u, and the importance weight of a sample there; None: 1."""
        return u, None

    def observe(self, place: Tensor, loss: Tensor) -> None:  # noqa: B027 - most densities learn nothing
        """Take in the losses (B,) of samples at places (B,), as `focus` gave them."""


@dataclass(frozen=True)
class Uniform(TimeDensity):
    """t uniform in (low, high)."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"Uniform times need 0 <= low < high <= 1, found low={self.low}, high={self.high}")

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """Low + (high - low) u."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class LogNormal(TimeDensity):
    """log(sigma / alpha) normal.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        _check_normal(self)

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """The t at which log_snr = -2 (mean + std z)."""
        if schedule is None:
            raise ValueError(
                "log-normal times need a Gaussian field: no schedule tells sigma; take Uniform or LogitNormal"
            )
        return schedule.t_of(-2 * (self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True)
class LogitNormal(TimeDensity):
    """log(t / (1 - t)) normal.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 19.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _check_normal(self)

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """sigmoid(mean + std z)."""
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))


@dataclass(frozen=True)
class Mode(TimeDensity):
    """A bump in the middle whose tails stay above 0.

        t = u - s (sin^2(pi u / 2) - u);   the density is 1 / (1 + s) at both ends, 1 / (1 + s - pi s / 2) at t = 1/2.

    Args:
        scale: s in (-1, 2 / (pi - 2)): above 0 the middle is likelier, below 0 the ends; 0 is uniform.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 20 (with their u as 1 - u).
    """

    scale: float = 1.29

    def __post_init__(self) -> None:
        limit = 2 / (math.pi - 2)
        if not -1 < self.scale < limit:
            raise ValueError(f"Mode: scale lies in (-1, {limit:.4f}), where t rises with u; found {self.scale}")

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """U - s (sin^2(pi u / 2) - u)."""
        return u - self.scale * (torch.sin(u * (math.pi / 2)) ** 2 - u)


@dataclass(frozen=True)
class CosMap(TimeDensity):
    """On the rectified schedule the log-SNR of the cosine schedule at uniform times; t itself has this density on any schedule.

        t = sin(pi u / 2) / (sin(pi u / 2) + cos(pi u / 2)),   density 2 / (pi (1 - 2 t + 2 t^2)).

    Source: Esser et al. 2024, arXiv:2403.03206, equation 21.
    """

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """Sin / (sin + cos): no tangent that overflows at u = 1."""
        sin, cos = torch.sin(u * (math.pi / 2)), torch.cos(u * (math.pi / 2))
        return sin / (sin + cos)


class LossAware(nn.Module, TimeDensity):
    """Times of a density, more often where losses are large, each sample divided by how much more often.

        p_k = (1 - uniform) r_k / sum_j r_j + uniform / bins,   r_k = sqrt(mean of the last losses^2 in bin k),
        weight = 1 / (bins p_k),   so that the expected loss is that of `times`, with less variance.

    The bins are equally likely under `times`; until each has `history` losses, all are drawn alike. In evaluation mode `times`
    itself is drawn. The history is training state: buffers, saved in the training checkpoint, the same in every process.

    Args:
        times: the density of the loss; None means `Uniform()`.
        bins: equal parts of it.
        history: losses remembered in each.
        uniform: share of samples spread evenly, in (0, 1], which bounds the weights by 1 / uniform.

    Source: Nichol and Dhariwal 2021, arXiv:2102.09672, section 3.3 (there one bin for each of 4,000 steps).
    """

    observes = True
    squares: Tensor
    counts: Tensor

    def __init__(
        self, times: TimeDensity | None = None, bins: int = 100, history: int = 10, uniform: float = 0.001
    ) -> None:
        super().__init__()
        whole = bins == int(bins) and history == int(history)
        if not whole or bins < 2 or history < 1 or not 0 < uniform <= 1:
            raise ValueError(
                f"LossAware needs at least 2 bins, history of at least 1, both whole, and uniform in (0, 1], found "
                f"bins={bins}, history={history}, uniform={uniform}"
            )
        self.times = Uniform() if times is None else times
        if self.times.observes:
            raise ValueError(
                f"LossAware chooses among the times of a fixed density; {type(times).__name__} learns its own"
            )
        self.bins, self.history, self.uniform = bins, history, uniform
        self.register_buffer("squares", torch.zeros(bins, history, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(bins, dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """To other devices, never to another precision: a network trained in bfloat16 keeps this history as it is."""
        super()._apply(fn, recurse)
        self.squares = self.squares.double()
        return self

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """That of `times`."""
        return self.times.quantile(u, schedule)

    def shares(self) -> Tensor:
        """p, (bins,): the share of samples that each bin gets, with the sum 1."""
        size = self.squares.mean(1).sqrt()
        alike = torch.full_like(size, 1 / self.bins)
        ready = (self.counts >= self.history).all() & (size.sum() > 0)
        return torch.where(ready, (1 - self.uniform) * size / size.sum() + self.uniform / self.bins, alike)

    def focus(self, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """The place in the bin that u falls into when each bin is as wide as its share."""
        if not self.training:
            return u, None
        p = self.shares().to(u.device)
        ends = p.cumsum(0)
        k = torch.searchsorted(ends, u.double().contiguous(), right=True).clamp(max=self.bins - 1)
        inside = ((u - (ends[k] - p[k])) / p[k]).clamp(0, 1 - 1e-9)
        return ((k + inside) / self.bins).to(u.dtype), (1 / (self.bins * p[k])).to(u.dtype)

    @torch.no_grad()
    def observe(self, place: Tensor, loss: Tensor) -> None:
        """Keep the last losses of each bin, in the order of the samples; one that is no number is left out."""
        bins = (place * self.bins).long().clamp(0, self.bins - 1)
        here = (torch.arange(self.bins, device=bins.device) == bins[:, None]) & loss.isfinite()[:, None]  # (B, bins)
        before = (here.cumsum(0) - 1).gather(1, bins[:, None])[
            :, 0
        ]  # samples of the bin that came earlier in the batch
        number = here.sum(0)
        kept = here.any(1) & (before >= number[bins] - self.history)
        slot = bins * self.history + (self.counts[bins] + before) % self.history
        # what is not kept is written to a place past the end: no device has to be asked how many there are
        flat = torch.cat([self.squares.flatten(), self.squares.new_zeros(1)])
        flat[torch.where(kept, slot, flat.numel() - 1)] = loss.double() ** 2
        self.squares.copy_(flat[:-1].view_as(self.squares))
        self.counts.add_(number)


def _check_normal(density: LogNormal | LogitNormal) -> None:
    if not (math.isfinite(density.mean) and 0 < density.std < math.inf):
        raise ValueError(
            f"{type(density).__name__}: std must be above 0 and both finite, found mean={density.mean}, std={density.std}"
        )
