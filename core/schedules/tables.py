"""Discrete tables: the step i of the papers (from 0) is t = (i + 1) / T, and between steps log alpha is linear in t."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from .schedule import VariancePreserving, in_order, softplus


class Table(VariancePreserving):
    """log alpha is linear in t between t = i / T, where alpha^2 is the table's number i.

    Where the last number is 0 the last piece is linear in alpha instead.
    """

    @abstractmethod
    def log_alpha2(self) -> Tensor:
        """log alpha^2 at t = 1 / T .. 1, float64 on the host."""

    def _piece(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log alpha, alpha and d alpha / dt at t."""
        table = _log_alphas(self, t.device, t.dtype)
        steps = table.numel() - 1
        i = (t * steps).floor().long().clamp(0, steps - 1)
        start, w, step = table[i], t * steps - i, table[i + 1] - table[i]
        to_zero = torch.isinf(step)
        step = torch.where(to_zero, torch.zeros_like(step), step)
        log_alpha = start + torch.where(to_zero, torch.log1p(-torch.where(to_zero, w, 0.0)), step * w)
        alpha = torch.where(to_zero, torch.exp(start) * (1 - w), torch.exp(log_alpha))
        return log_alpha, alpha, steps * torch.where(to_zero, -torch.exp(start), step * alpha)

    def alpha(self, t: Tensor) -> Tensor:
        """The root of the interpolated number."""
        return self._piece(t)[1]

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2)."""
        return torch.sqrt(-torch.expm1(2 * self._piece(t)[0]))

    def d_alpha(self, t: Tensor) -> Tensor:
        """The slope of the piece that begins at or before t."""
        return self._piece(t)[2]

    def log_snr(self, t: Tensor) -> Tensor:
        """-log(1 / alpha^2 - 1)."""
        return -torch.log(torch.expm1(-2 * self._piece(t)[0]))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """By bisection in the table and the inverse of its piece."""
        log_alpha = -0.5 * softplus(-log_snr)
        table = _log_alphas(self, log_snr.device, log_snr.dtype)
        steps = table.numel() - 1
        i = (torch.searchsorted(-table, -log_alpha.contiguous()) - 1).clamp(0, steps - 1)
        rise, step = log_alpha - table[i], table[i + 1] - table[i]
        w = torch.where(torch.isinf(step), -torch.expm1(rise), rise / step)
        return ((i + w) / steps).clamp(0, 1)


@lru_cache(maxsize=32)
def _log_alphas(schedule: Table, device: torch.device, dtype: torch.dtype) -> Tensor:
    """log alpha at t = i / T, (T + 1,), -0 first so that sigma is +0; kept on the device, where each call of a network asks."""
    log_alphas = 0.5 * schedule.log_alpha2()
    return torch.cat([-log_alphas.new_zeros(1), log_alphas]).to(device, dtype)


class _Betas(Table):
    """alpha^2 = prod_{j <= i} (1 - beta_j)."""

    @abstractmethod
    def _betas(self) -> Tensor:
        """beta_1 .. beta_T, float64 on the host."""

    def log_alpha2(self) -> Tensor:
        """The sums of log(1 - beta)."""
        return torch.log1p(-self._betas()).cumsum(0)


class _BetaRange(_Betas):
    """Betas that rise from one number to another."""

    beta_start: float
    beta_end: float
    timesteps: int

    def __post_init__(self) -> None:
        name = type(self).__name__
        in_order(name, beta_start=self.beta_start, beta_end=self.beta_end)
        if self.beta_end >= 1:
            raise ValueError(f"{name}: beta_end must be below 1, found {self.beta_end}")
        _check_timesteps(name, self.timesteps)

    def _line(self, start: float, end: float) -> Tensor:
        return torch.linspace(start, end, self.timesteps, dtype=torch.float64)


@dataclass(frozen=True)
class LinearBeta(_BetaRange):
    """beta from beta_start to beta_end in equal steps.

    Source: Ho et al. 2020, arXiv:2006.11239, section 4.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    timesteps: int = 1000

    def _betas(self) -> Tensor:
        return self._line(self.beta_start, self.beta_end)


@dataclass(frozen=True)
class ScaledLinearBeta(_BetaRange):
    """The root of beta from that of beta_start to that of beta_end in equal steps.

    Source: Rombach et al. 2022, arXiv:2112.10752 (the published code of latent diffusion).
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    timesteps: int = 1000

    def _betas(self) -> Tensor:
        return self._line(math.sqrt(self.beta_start), math.sqrt(self.beta_end)) ** 2


@dataclass(frozen=True)
class SigmoidBeta(_BetaRange):
    """beta = beta_start + (beta_end - beta_start) S(v), v from -6 to 6 in equal steps, S the logistic function.

    Not the schedule whose alpha^2 is a sigmoid (`Sigmoid`), which no table of this form equals.
    Source: Xu et al. 2022, arXiv:2203.02923 (the published code of GeoDiff).
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    timesteps: int = 1000

    def _betas(self) -> Tensor:
        return self.beta_start + (self.beta_end - self.beta_start) * torch.sigmoid(self._line(-6, 6))


@dataclass(frozen=True)
class CosineBeta(_Betas):
    """The squared cosine with its betas capped: alpha(1) > 0, so that eps exists; `Cosine` is the same without a cap.

    Source: Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17 and the text below it.
    """

    s: float = 0.008
    cap: float = 0.999
    timesteps: int = 1000

    def __post_init__(self) -> None:
        if not (self.s > 0 and 0 < self.cap < 1):
            raise ValueError(f"CosineBeta: s must be above 0 and cap in (0, 1), found s={self.s}, cap={self.cap}")
        _check_timesteps("CosineBeta", self.timesteps)

    def _betas(self) -> Tensor:
        i = torch.arange(self.timesteps + 1, dtype=torch.float64) / self.timesteps
        level = torch.cos((i + self.s) / (1 + self.s) * (math.pi / 2)) ** 2
        return (1 - level[1:] / level[:-1]).clamp(max=self.cap)


# alpha^2 of DDPM's linear betas at every hundredth of the 1,000 steps: an example that is a schedule.
_EXAMPLE = (0.8951, 0.6559, 0.3933, 0.1931, 0.0778, 0.0258, 0.0070, 0.0016, 0.0003, 0.00004)


@dataclass(frozen=True)
class Tabulated(Table):
    """Any table of alpha^2, as other libraries keep it: `Tabulated(scheduler.alphas_cumprod.tolist())`.

    Args:
        alphas_cumprod: falling numbers in (0, 1), the last of which may be 0; number i (from 0) is alpha^2 at t = (i + 1) / T.
    """

    alphas_cumprod: tuple[float, ...] = _EXAMPLE

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas_cumprod", tuple(float(x) for x in self.alphas_cumprod))  # a list has no hash
        if not self.alphas_cumprod:
            raise ValueError("Tabulated: the table is empty; at least one alpha^2 is needed")
        levels = (1.0, *self.alphas_cumprod)
        wrong = next((i for i, (a, b) in enumerate(pairwise(levels)) if not a > b >= 0), None)
        if wrong is not None:
            raise ValueError(
                f"Tabulated: alphas_cumprod must fall from below 1 and stay above 0 (only the last may be 0), "
                f"found {levels[wrong + 1]:.6g} after {levels[wrong]:.6g} at number {wrong}"
            )

    def log_alpha2(self) -> Tensor:
        """The logarithm of the table."""
        return torch.tensor(self.alphas_cumprod, dtype=torch.float64).log()


def _check_timesteps(name: str, timesteps: int) -> None:
    if not timesteps >= 1 or timesteps != int(timesteps):
        raise ValueError(f"{name}: timesteps must be at least 1 and whole, found {timesteps}")
