"""Noise schedules: x_t = alpha_t x_0 + sigma_t eps with t in [0, 1], 0 is data (alpha = 1, sigma = 0), 1 is noise.

Everything is a function of t in the dtype of t; samplers ask in float64 on the host, once. `log_snr` is
log(alpha^2 / sigma^2), +inf at t = 0 and falling. Signal-to-noise alone distinguishes two schedules up to a factor of x, so a
network trained under one can be asked under another (Kingma et al. 2021, arXiv:2107.00630, section 5.1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F


class Schedule(ABC):
    """alpha and sigma as functions of t, with their derivatives and the inverse of the log-SNR."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Signal scale, 1 at t = 0, not rising."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Noise scale, 0 at t = 0, rising."""

    @abstractmethod
    def d_alpha(self, t: Tensor) -> Tensor:
        """d alpha / dt."""

    @abstractmethod
    def d_sigma(self, t: Tensor) -> Tensor:
        """d sigma / dt; infinite at t = 0 where sigma grows like the root of t."""

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2), in [-inf, inf], without cancellation at either end."""

    @abstractmethod
    def t_of(self, log_snr: Tensor) -> Tensor:
        """The inverse of `log_snr`, clamped to [0, 1]."""

    @property
    def ends_at_noise(self) -> bool:
        """Whether alpha(1) = 0, "zero terminal SNR": then eps and score say nothing of x_0 at t = 1."""
        return bool(self.alpha(torch.ones((), dtype=torch.float64)) < 1e-12)

    @property
    def finite_rates(self) -> bool:
        """Whether d sigma / dt is finite at t = 0, as the flow parametrisation needs."""
        return bool(torch.isfinite(self.d_sigma(torch.zeros((), dtype=torch.float64))))


@dataclass(frozen=True)
class Rectified(Schedule):
    """alpha = 1 - t, sigma = t.

    Source: Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747 (with the clock reversed).
    """

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """t."""
        return t

    def d_alpha(self, t: Tensor) -> Tensor:
        """-1."""
        return -torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log((1 - t) / t)."""
        return 2 * (torch.log1p(-t) - torch.log(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """1 / (1 + exp(log_snr / 2))."""
        return torch.sigmoid(-log_snr / 2)


@dataclass(frozen=True)
class Trigonometric(Schedule):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): variance preserving at constant angular speed.

    Source: Salimans and Ho 2022, arXiv:2202.00512, section 4 (their alpha-cosine schedule).
    """

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2)."""
        return torch.cos(t * (math.pi / 2))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2)."""
        return torch.sin(t * (math.pi / 2))

    def d_alpha(self, t: Tensor) -> Tensor:
        """-(pi / 2) sigma."""
        return -(math.pi / 2) * self.sigma(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """(pi / 2) alpha."""
        return (math.pi / 2) * self.alpha(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log tan(pi t / 2)."""
        return -2 * torch.log(torch.tan(t * (math.pi / 2)))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """(2 / pi) atan(exp(-log_snr / 2))."""
        return torch.atan(torch.exp(-log_snr / 2)) * (2 / math.pi)


@dataclass(frozen=True)
class VP(Schedule):
    """alpha = exp(-B / 2), sigma^2 = 1 - exp(-B), B = beta_min t + (beta_max - beta_min) t^2 / 2.

    Source: Song et al. 2020, arXiv:2011.13456, equation 33.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        _in_order("VP", beta_min=self.beta_min, beta_max=self.beta_max)

    def _integral(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * t)

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def alpha(self, t: Tensor) -> Tensor:
        """exp(-B / 2)."""
        return torch.exp(-0.5 * self._integral(t))

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - exp(-B))."""
        return torch.sqrt(-torch.expm1(-self._integral(t)))

    def d_alpha(self, t: Tensor) -> Tensor:
        """-(beta / 2) alpha."""
        return -0.5 * self._beta(t) * self.alpha(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """(beta / 2) alpha^2 / sigma."""
        return 0.5 * self._beta(t) * self.alpha(t) ** 2 / self.sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """-log(exp(B) - 1)."""
        return -torch.log(torch.expm1(self._integral(t)))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """The positive root of B(t) = log(1 + exp(-log_snr))."""
        b = F.softplus(-log_snr).clamp(max=0.5 * (self.beta_min + self.beta_max))  # B(1)
        root = torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b)
        return (2 * b / (self.beta_min + root)).clamp(max=1)


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = cos(u) / cos(u_0), u = (pi / 2) (t end + s) / (1 + s), u_0 = u(0).

    `end` < 1 stops before alpha reaches 0, which the eps parametrisation needs; the 1,000-step table of the paper caps its
    last betas at 0.999 for the same reason.
    Source: Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17.
    """

    s: float = 0.008
    end: float = 1.0

    def __post_init__(self) -> None:
        if not (self.s > 0 and 0 < self.end <= 1):
            raise ValueError(f"Cosine: s must be above 0 and end in (0, 1], found s={self.s}, end={self.end}")

    @property
    def _u0(self) -> float:
        return math.pi / 2 * self.s / (1 + self.s)

    @property
    def _speed(self) -> float:
        return math.pi / 2 * self.end / (1 + self.s)

    def _cos(self, t: Tensor) -> Tensor:
        """cos(u) as sin(pi / 2 - u): exactly 0 at t = end = 1, never below."""
        return torch.sin(math.pi / 2 / (1 + self.s) * (1 - self.end * t))

    def alpha(self, t: Tensor) -> Tensor:
        """cos(u) / cos(u_0)."""
        return self._cos(t) / self._cos(torch.zeros_like(t))

    def _sin_product(self, t: Tensor) -> Tensor:
        """cos(u_0)^2 - cos(u)^2 as a product, exact for small t."""
        return torch.sin(self._speed * t) * torch.sin(self._speed * t + 2 * self._u0)

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2)."""
        return torch.sqrt(self._sin_product(t)) / math.cos(self._u0)

    def d_alpha(self, t: Tensor) -> Tensor:
        """-u' sin(u) / cos(u_0)."""
        return -self._speed * torch.sin(self._u0 + self._speed * t) / math.cos(self._u0)

    def d_sigma(self, t: Tensor) -> Tensor:
        """-alpha alpha' / sigma."""
        return -self.alpha(t) * self.d_alpha(t) / self.sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log cos(u) - log(cos(u_0)^2 - cos(u)^2)."""
        return 2 * torch.log(self._cos(t)) - torch.log(self._sin_product(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """From cos(u)^2 = cos(u_0)^2 alpha^2, by the arc tangent, which is well conditioned at both ends."""
        cos2 = math.cos(self._u0) ** 2 * torch.sigmoid(log_snr)
        sin2 = math.sin(self._u0) ** 2 + math.cos(self._u0) ** 2 * torch.sigmoid(-log_snr)
        return ((torch.atan2(sin2.sqrt(), cos2.sqrt()) - self._u0) / self._speed).clamp(0, 1)


@dataclass(frozen=True)
class VE(Schedule):
    """alpha = 1, sigma^2 = sigma_min^2 ((sigma_max / sigma_min)^(2 t) - 1).

    The exact marginal of the variance-exploding SDE started at data, so sigma(0) = 0 and not sigma_min.
    Source: Song et al. 2020, arXiv:2011.13456, equation 31.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _in_order("VE", sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    @property
    def _rate(self) -> float:
        return 2 * math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """sigma_min sqrt((sigma_max / sigma_min)^(2 t) - 1)."""
        return self.sigma_min * torch.sqrt(torch.expm1(self._rate * t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """d(sigma^2)/dt / (2 sigma)."""
        return 0.5 * self.sigma_min**2 * self._rate * torch.exp(self._rate * t) / self.sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log sigma."""
        return -2 * math.log(self.sigma_min) - torch.log(torch.expm1(self._rate * t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """log(1 + sigma^2 / sigma_min^2) / (2 log(sigma_max / sigma_min))."""
        return (F.softplus(-log_snr - 2 * math.log(self.sigma_min)) / self._rate).clamp(max=1)


@dataclass(frozen=True)
class EDM(Schedule):
    """alpha = 1, sigma = sigma_max t; pair it with the Karras time grid.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1 (their sigma(t) = t, with t up to sigma_max).
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _in_order("EDM", sigma_max=self.sigma_max)

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """sigma_max t."""
        return self.sigma_max * t

    def d_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """sigma_max."""
        return torch.full_like(t, self.sigma_max)

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log(sigma_max t)."""
        return -2 * torch.log(self.sigma_max * t)

    def t_of(self, log_snr: Tensor) -> Tensor:
        """exp(-log_snr / 2) / sigma_max."""
        return (torch.exp(-log_snr / 2) / self.sigma_max).clamp(max=1)


class _Betas(Schedule):
    """A table of betas: log alpha is linear in t between t = i / T, where alpha^2 = prod_{j <= i} (1 - beta_j).

    The discrete step i of the papers (from 0) is t = (i + 1) / T.
    """

    @abstractmethod
    def _betas(self) -> Tensor:
        """beta_1 .. beta_T, float64 on the host."""

    def _log_alphas(self, t: Tensor) -> Tensor:
        return _log_alpha_table(self, t.device, t.dtype)

    def _piece(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """log alpha and its slope at t."""
        table = self._log_alphas(t)
        steps = table.numel() - 1
        i = (t * steps).floor().long().clamp(0, steps - 1)
        step = table[i + 1] - table[i]
        return table[i] + step * (t * steps - i), step * steps

    def alpha(self, t: Tensor) -> Tensor:
        """The root of the interpolated product of 1 - beta."""
        return torch.exp(self._piece(t)[0])

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2)."""
        return torch.sqrt(-torch.expm1(2 * self._piece(t)[0]))

    def d_alpha(self, t: Tensor) -> Tensor:
        """Alpha times the slope of log alpha."""
        log_alpha, slope = self._piece(t)
        return slope * torch.exp(log_alpha)

    def d_sigma(self, t: Tensor) -> Tensor:
        """-alpha alpha' / sigma."""
        return -self.alpha(t) * self.d_alpha(t) / self.sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """-log(1 / alpha^2 - 1)."""
        return -torch.log(torch.expm1(-2 * self._piece(t)[0]))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """By bisection in the table and the inverse of its linear piece."""
        log_alpha = -0.5 * F.softplus(-log_snr)
        table = self._log_alphas(log_alpha)
        steps = table.numel() - 1
        i = (torch.searchsorted(-table, -log_alpha.contiguous()) - 1).clamp(0, steps - 1)
        return ((i + (log_alpha - table[i]) / (table[i + 1] - table[i])) / steps).clamp(0, 1)


@dataclass(frozen=True)
class LinearBeta(_Betas):
    """beta from beta_start to beta_end in equal steps.

    Source: Ho et al. 2020, arXiv:2006.11239, section 4.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    timesteps: int = 1000

    def __post_init__(self) -> None:
        _check_betas(self)

    def _betas(self) -> Tensor:
        return _line(self.beta_start, self.beta_end, self.timesteps, 1)


@dataclass(frozen=True)
class ScaledLinearBeta(_Betas):
    """The root of beta from that of beta_start to that of beta_end in equal steps.

    Source: Rombach et al. 2022, arXiv:2112.10752 (the published code of latent diffusion).
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    timesteps: int = 1000

    def __post_init__(self) -> None:
        _check_betas(self)

    def _betas(self) -> Tensor:
        return _line(self.beta_start, self.beta_end, self.timesteps, 2)


def _line(start: float, end: float, count: int, power: int) -> Tensor:
    return torch.linspace(start ** (1 / power), end ** (1 / power), count, dtype=torch.float64) ** power


@lru_cache(maxsize=32)
def _log_alpha_table(schedule: _Betas, device: torch.device, dtype: torch.dtype) -> Tensor:
    """log alpha at t = i / T, (T + 1,), 0 first; kept on the device, where each call of a network asks for it."""
    log_alphas = 0.5 * torch.log1p(-schedule._betas()).cumsum(0)
    return torch.cat([log_alphas.new_zeros(1), log_alphas]).to(device, dtype)


def _check_betas(schedule: LinearBeta | ScaledLinearBeta) -> None:
    name = type(schedule).__name__
    _in_order(name, beta_start=schedule.beta_start, beta_end=schedule.beta_end)
    if schedule.beta_end >= 1 or schedule.timesteps < 1:
        raise ValueError(
            f"{name}: beta_end must be below 1 and timesteps at least 1, found {schedule.beta_end}, {schedule.timesteps}"
        )


def _in_order(name: str, **values: float) -> None:
    numbers = [0.0, *values.values()]
    if not all(a < b for a, b in pairwise(numbers)):
        found = ", ".join(f"{k}={v}" for k, v in values.items())
        raise ValueError(f"{name}: needs 0 < {' < '.join(values)}, found {found}")
