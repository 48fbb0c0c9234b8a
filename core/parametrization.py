"""What a network's raw output F means: one of several linear views of the pair (x_0, eps).

Given x_t = alpha x_0 + sigma eps and F = p x_0 + q eps, the pair follows by two linear equations:

    x_0 = A x_t + B F,      eps = C x_t + D F,      det = alpha q - sigma p.

Each view below gives (p, q) and (A, B, C, D) in forms that divide by alpha or sigma only where nothing else exists: `Eps` and
`Score` say nothing of x_0 at alpha = 0, and are refused there when the process is built; `X0` says nothing of eps at sigma = 0,
where eps is taken as 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Point(NamedTuple):
    """Where on a schedule: tensors that broadcast with the field, and the data's standard deviation."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor
    sigma_data: float = 1.0

    @property
    def scale(self) -> Tensor:
        """sqrt(alpha^2 sigma_data^2 + sigma^2): the standard deviation of x_t."""
        return torch.sqrt((self.alpha * self.sigma_data) ** 2 + self.sigma**2)

    @property
    def snr(self) -> Tensor:
        """alpha^2 / sigma^2."""
        return (self.alpha / self.sigma) ** 2

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Point:
        """The same point in another precision."""
        return self._map(lambda x: x.to(device, dtype))

    def rows(self, start: int, stop: int) -> Point:
        """Samples start..stop-1; a time that all share has one row for all."""
        return self._map(lambda x: x[start:stop]) if self.alpha.ndim else self

    def _map(self, f: Callable[[Tensor], Tensor]) -> Point:
        """The point with f of each of its tensors."""
        return Point(f(self.alpha), f(self.sigma), f(self.d_alpha), f(self.d_sigma), self.sigma_data)


class Solution(NamedTuple):
    """x_0 = a x_t + b F, eps = c x_t + d F: tensors that broadcast with the field, or numbers where one time is for all."""

    a: Tensor | float
    b: Tensor | float
    c: Tensor | float
    d: Tensor | float


class Parametrization(ABC):
    """One linear view of (x_0, eps)."""

    needs_signal = False  # undefined at alpha = 0
    needs_rates = False  # undefined where d sigma / dt is infinite

    @abstractmethod
    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(p, q) of F = p x_0 + q eps."""

    @abstractmethod
    def solve(self, at: Point) -> Solution:
        """(A, B, C, D)."""

    def target(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """F of a known pair."""
        p, q = self.mix(at)
        return p * x0 + q * eps


@dataclass(frozen=True)
class Eps(Parametrization):
    """F = eps. Source: Ho et al. 2020, arXiv:2006.11239, equation 14."""

    needs_signal = True

    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(0, 1)."""
        return torch.zeros_like(at.alpha), torch.ones_like(at.alpha)

    def solve(self, at: Point) -> Solution:
        """x_0 = (x_t - sigma F) / alpha."""
        one = torch.ones_like(at.alpha)
        return Solution(1 / at.alpha, -at.sigma / at.alpha, 0 * one, one)


@dataclass(frozen=True)
class X0(Parametrization):
    """F = x_0. Source: Salimans and Ho 2022, arXiv:2202.00512, section 4."""

    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(1, 0)."""
        return torch.ones_like(at.alpha), torch.zeros_like(at.alpha)

    def solve(self, at: Point) -> Solution:
        """eps = (x_t - alpha F) / sigma, 0 where sigma = 0."""
        one = torch.ones_like(at.alpha)
        inverse = _inverse(at.sigma)
        return Solution(0 * one, one, inverse, -at.alpha * inverse)


@dataclass(frozen=True)
class V(Parametrization):
    """F = alpha eps - sigma x_0. Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D; any (alpha, sigma) here."""

    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(-sigma, alpha)."""
        return -at.sigma, at.alpha

    def solve(self, at: Point) -> Solution:
        """x_0 = (alpha x_t - sigma F) / n, eps = (sigma x_t + alpha F) / n, n = alpha^2 + sigma^2."""
        n = at.alpha**2 + at.sigma**2
        return Solution(at.alpha / n, -at.sigma / n, at.sigma / n, at.alpha / n)


@dataclass(frozen=True)
class Flow(Parametrization):
    """F = dx_t/dt = alpha' x_0 + sigma' eps; eps - x_0 on the rectified schedule.

    Source: Lipman et al. 2022, arXiv:2210.02747, equation 13 (with the clock reversed).
    """

    needs_rates = True

    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(alpha', sigma')."""
        return at.d_alpha, at.d_sigma

    def solve(self, at: Point) -> Solution:
        """det = alpha sigma' - sigma alpha', above 0 on every schedule whose SNR falls."""
        det = at.alpha * at.d_sigma - at.sigma * at.d_alpha
        return Solution(at.d_sigma / det, -at.sigma / det, -at.d_alpha / det, at.alpha / det)


@dataclass(frozen=True)
class Score(Parametrization):
    """F = score = -eps / sigma. Source: Song et al. 2020, arXiv:2011.13456, equation 7."""

    needs_signal = True

    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(0, -1 / sigma), 0 where sigma = 0."""
        return torch.zeros_like(at.alpha), -_inverse(at.sigma)

    def solve(self, at: Point) -> Solution:
        """x_0 = (x_t + sigma^2 F) / alpha."""
        return Solution(1 / at.alpha, at.sigma**2 / at.alpha, torch.zeros_like(at.alpha), -at.sigma)


@dataclass(frozen=True)
class EDM(Parametrization):
    """x_0 = c_skip x_t + c_out F with unit-variance input and target.

    c_skip = alpha s^2 / n, c_out = sigma s / sqrt(n), n = alpha^2 s^2 + sigma^2, s = sigma_data.
    Source: Karras et al. 2022, arXiv:2206.00364, table 1, for any alpha.
    """

    def mix(self, at: Point) -> tuple[Tensor, Tensor]:
        """(sigma / s, -alpha s) / sqrt(n)."""
        return at.sigma / (at.sigma_data * at.scale), -at.alpha * at.sigma_data / at.scale

    def solve(self, at: Point) -> Solution:
        """c_skip, c_out and the same solved for eps."""
        s, root = at.sigma_data, at.scale
        n = root**2
        return Solution(at.alpha * s**2 / n, at.sigma * s / root, at.sigma / n, -at.alpha * s / root)


def _inverse(x: Tensor) -> Tensor:
    """1 / x, 0 where x = 0."""
    return torch.where(x == 0, torch.zeros_like(x), 1 / torch.where(x == 0, torch.ones_like(x), x))
