"""Schedules that are rescaled so that nothing of the data is left at t = 1."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .schedule import Schedule, VariancePreserving
from .tables import ScaledLinearBeta


@dataclass(frozen=True)
class ZeroTerminalSNR(VariancePreserving):
    """alpha = alpha_1 (alpha_base - alpha_T) / (alpha_1 - alpha_T): 0 at t = 1, that of the base at t = first and before.

    alpha_1 and alpha_T are those of the base at `first` and at 1. With first = 1 / T this is the published rescaling of a table
    of T steps, number for number; with first = 0 it is smooth.

    Args:
        base: preserves the variance and ends above alpha = 0.
        first: in [0, 1), up to where the base stays as it is.

    Source: Lin et al. 2023, arXiv:2305.08891, algorithm 1.
    """

    base: Schedule = field(default_factory=ScaledLinearBeta)
    first: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.first < 1:
            raise ValueError(f"ZeroTerminalSNR: first must be in [0, 1), found {self.first}")
        t = torch.linspace(0, 1, 11, dtype=torch.float64)
        name = type(self.base).__name__
        if not torch.allclose(self.base.alpha(t) ** 2 + self.base.sigma(t) ** 2, torch.ones_like(t)):
            raise ValueError(
                f"ZeroTerminalSNR: {name} has not alpha^2 + sigma^2 = 1, as it must have; take VP or a table of betas"
            )
        if self.base.ends_at_noise:
            raise ValueError(f"ZeroTerminalSNR: {name} ends at alpha = 0 already; take it as it is")

    def _ends(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """alpha_1, 1 - alpha_1 and alpha_T."""
        first, last = (torch.full((), at, dtype=t.dtype, device=t.device) for at in (self.first, 1.0))
        alpha = self.base.alpha(first)
        return alpha, self.base.sigma(first) ** 2 / (1 + alpha), self.base.alpha(last)

    def _gain(self, t: Tensor) -> Tensor:
        """alpha_1 / (alpha_1 - alpha_T)."""
        first, _, last = self._ends(t)
        return first / (first - last)

    def _missing(self, t: Tensor) -> Tensor:
        """1 - alpha, from that of the base, which is sigma^2 / (1 + alpha)."""
        first, missing, last = self._ends(t)
        of_base = self.base.sigma(t) ** 2 / (1 + self.base.alpha(t))
        rescaled = (first * of_base - last * missing) / (first - last)
        return torch.where(t <= self.first, of_base, rescaled)

    def alpha(self, t: Tensor) -> Tensor:
        """The rescaled alpha, exactly 0 at t = 1."""
        base = self.base.alpha(t)
        rescaled = torch.where(t < 1, (base - self._ends(t)[2]) * self._gain(t), torch.zeros_like(t))
        return torch.where(t <= self.first, base, rescaled)

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt((1 - alpha) (1 + alpha))."""
        return torch.sqrt(self._missing(t) * (1 + self.alpha(t)))

    def d_alpha(self, t: Tensor) -> Tensor:
        """That of the base times alpha_1 / (alpha_1 - alpha_T), or as it is up to `first`."""
        slope = self.base.d_alpha(t)
        return torch.where(t < self.first, slope, slope * self._gain(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log(alpha / sigma)."""
        return 2 * torch.log(self.alpha(t)) - torch.log(self._missing(t)) - torch.log1p(self.alpha(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """From the alpha of the base: alpha_T + alpha (alpha_1 - alpha_T) / alpha_1."""
        first, missing, last = self._ends(log_snr)
        alpha = torch.sqrt(torch.sigmoid(log_snr))
        left = torch.sigmoid(-log_snr) / (1 + alpha)  # 1 - alpha
        of_base = (left * (first - last) + last * missing) / first  # 1 - alpha of the base
        at_base = torch.log1p(-of_base) * 2 - torch.log(of_base) - torch.log(2 - of_base)
        return self.base.t_of(torch.where(alpha >= first, log_snr, at_base))
