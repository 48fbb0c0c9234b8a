"""Straight lines from data to noise, alpha + sigma = 1, run at different speeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedule import Interpolant, softplus


@dataclass(frozen=True)
class Rectified(Interpolant):
    """alpha = 1 - t, sigma = t.

    Source: Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747 (with the clock reversed).
    """

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """t."""
        return t

    def d_sigma(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def t_of(self, log_snr: Tensor) -> Tensor:
        """1 / (1 + exp(log_snr / 2))."""
        return torch.sigmoid(-log_snr / 2)


@dataclass(frozen=True)
class Polynomial(Interpolant):
    """alpha = (1 - t)^n, sigma = 1 - (1 - t)^n: the polynomial convex path, slow at the noisy end for n > 1.

    Args:
        n: at least 1, where it is `Rectified`.

    Source: Lipman et al. 2024, arXiv:2412.06264 (the polynomial convex scheduler t^n, with the clock reversed).
    """

    n: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.n < math.inf:
            raise ValueError(f"Polynomial: n must be at least 1, where alpha falls at a finite speed, found n={self.n}")

    def alpha(self, t: Tensor) -> Tensor:
        """(1 - t)^n."""
        return (1 - t) ** self.n

    def sigma(self, t: Tensor) -> Tensor:
        """1 - (1 - t)^n, without cancellation."""
        return -torch.expm1(self.n * torch.log1p(-t))

    def d_sigma(self, t: Tensor) -> Tensor:
        """n (1 - t)^(n - 1)."""
        return self.n * (1 - t) ** (self.n - 1)

    def f(self, t: Tensor) -> Tensor:
        """-n / (1 - t)."""
        return -self.n / (1 - t)

    def t_of(self, log_snr: Tensor) -> Tensor:
        """1 - alpha^(1 / n), alpha = 1 / (1 + exp(-log_snr / 2))."""
        return -torch.expm1(-softplus(-log_snr / 2) / self.n)


@dataclass(frozen=True)
class Decay(Interpolant):
    """sigma = (1 - gamma^t) / (1 - gamma), alpha = 1 - sigma: an exponential decay towards noise.

    The smaller gamma, the more of the time is spent near noise; gamma -> 1 is `Rectified`.

    Args:
        gamma: in (0, 1).

    Source: the library azula (Rozet), DecaySchedule, which leaves a small sigma at t = 0 and a small alpha at t = 1.
    """

    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.gamma < 1:
            raise ValueError(f"Decay: gamma must be in (0, 1), found gamma={self.gamma}; Rectified is its limit at 1")

    @property
    def _rate(self) -> float:
        return -math.log(self.gamma)

    def alpha(self, t: Tensor) -> Tensor:
        """(gamma^t - gamma) / (1 - gamma), exactly 1 and 0 at the ends."""
        return torch.expm1((1 - t) * self._rate) / torch.expm1(torch.full_like(t, self._rate))

    def sigma(self, t: Tensor) -> Tensor:
        """(1 - gamma^t) / (1 - gamma)."""
        return torch.expm1(-t * self._rate) / torch.expm1(torch.full_like(t, -self._rate))

    def d_sigma(self, t: Tensor) -> Tensor:
        """-log(gamma) gamma^t / (1 - gamma)."""
        return self.gamma**t * (self._rate / (1 - self.gamma))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """log(1 - (1 - gamma) sigma) / log(gamma), sigma = 1 / (1 + exp(log_snr / 2))."""
        sigma = torch.sigmoid(-log_snr / 2)
        return (torch.log1p((self.gamma - 1) * sigma) / -self._rate).clamp(0, 1)
