"""The marginals of the stochastic differential equations of Song et al. 2020, started at data, and EDM's straight time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedule import Schedule, VarianceExploding, VariancePreserving, in_order, softplus


class _LinearBeta(Schedule):
    """B(t) = beta_min t + (beta_max - beta_min) t^2 / 2, of a beta that is linear in t; alpha = exp(-B / 2)."""

    beta_min: float
    beta_max: float

    def __post_init__(self) -> None:
        in_order(type(self).__name__, beta_min=self.beta_min, beta_max=self.beta_max)

    def _integral(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * t)

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def _t_of_integral(self, b: Tensor) -> Tensor:
        """The positive root of B(t) = b, at most 1."""
        b = b.clamp(max=0.5 * (self.beta_min + self.beta_max))  # B(1)
        root = torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b)
        return (2 * b / (self.beta_min + root)).clamp(max=1)

    def alpha(self, t: Tensor) -> Tensor:
        """exp(-B / 2)."""
        return torch.exp(-0.5 * self._integral(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """-(beta / 2) alpha."""
        return -0.5 * self._beta(t) * self.alpha(t)

    def f(self, t: Tensor) -> Tensor:
        """-beta / 2."""
        return -0.5 * self._beta(t)


@dataclass(frozen=True)
class VP(_LinearBeta, VariancePreserving):
    """alpha = exp(-B / 2), sigma^2 = 1 - exp(-B), B = beta_min t + (beta_max - beta_min) t^2 / 2.

    Source: Song et al. 2020, arXiv:2011.13456, equation 33.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - exp(-B))."""
        return torch.sqrt(-torch.expm1(-self._integral(t)))

    def log_snr(self, t: Tensor) -> Tensor:
        """-log(exp(B) - 1)."""
        return -torch.log(torch.expm1(self._integral(t)))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """B = log(1 + exp(-log_snr))."""
        return self._t_of_integral(softplus(-log_snr))


@dataclass(frozen=True)
class SubVP(_LinearBeta):
    """alpha = exp(-B / 2), sigma = 1 - exp(-B), B = beta_min t + (beta_max - beta_min) t^2 / 2.

    The variance alpha^2 + sigma^2 stays below that of VP, whence the name.
    Source: Song et al. 2020, arXiv:2011.13456, equation 29 (sub-VP SDE).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def sigma(self, t: Tensor) -> Tensor:
        """1 - exp(-B)."""
        return -torch.expm1(-self._integral(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        """beta exp(-B)."""
        return self._beta(t) * torch.exp(-self._integral(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """-B - 2 log(1 - exp(-B))."""
        return -self._integral(t) - 2 * torch.log(self.sigma(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """B = 2 asinh(sigma / (2 alpha))."""
        return self._t_of_integral(2 * torch.asinh(torch.exp(-log_snr / 2) / 2))


@dataclass(frozen=True)
class VE(VarianceExploding):
    """alpha = 1, sigma^2 = sigma_min^2 ((sigma_max / sigma_min)^(2 t) - 1).

    The exact marginal of the variance-exploding SDE started at data, so sigma(0) = 0 and not sigma_min.
    Source: Song et al. 2020, arXiv:2011.13456, equation 31.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        in_order("VE", sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    @property
    def _rate(self) -> float:
        return 2 * math.log(self.sigma_max / self.sigma_min)

    def sigma(self, t: Tensor) -> Tensor:
        """sigma_min sqrt((sigma_max / sigma_min)^(2 t) - 1)."""
        return self.sigma_min * torch.sqrt(torch.expm1(self._rate * t))

    def d_sigma2(self, t: Tensor) -> Tensor:
        """2 log(sigma_max / sigma_min) sigma_min^2 (sigma_max / sigma_min)^(2 t)."""
        return self.sigma_min**2 * self._rate * torch.exp(self._rate * t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """d(sigma^2)/dt / (2 sigma)."""
        return self.d_sigma2(t) / (2 * self.sigma(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log sigma."""
        return -2 * math.log(self.sigma_min) - torch.log(torch.expm1(self._rate * t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """log(1 + sigma^2 / sigma_min^2) / (2 log(sigma_max / sigma_min))."""
        return (softplus(-log_snr - 2 * math.log(self.sigma_min)) / self._rate).clamp(max=1)


@dataclass(frozen=True)
class EDM(VarianceExploding):
    """alpha = 1, sigma = sigma_max t; pair it with the Karras time grid.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1 (their sigma(t) = t, with t up to sigma_max).
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        in_order("EDM", sigma_max=self.sigma_max)

    def sigma(self, t: Tensor) -> Tensor:
        """sigma_max t."""
        return self.sigma_max * t

    def d_sigma(self, t: Tensor) -> Tensor:
        """sigma_max."""
        return torch.full_like(t, self.sigma_max)

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log(sigma_max t)."""
        return -2 * torch.log(self.sigma_max * t)

    def t_of(self, log_snr: Tensor) -> Tensor:
        """exp(-log_snr / 2) / sigma_max."""
        return (torch.exp(-log_snr / 2) / self.sigma_max).clamp(max=1)
