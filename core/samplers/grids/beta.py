"""Steps at the quantiles of a beta distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ...schedules import Schedule
from .grid import Grid
from .noise import SIGMA_MAX, SIGMA_MIN, check_noise, noise_range, ramp, times_of


@dataclass(frozen=True)
class BetaGrid(Grid):
    """Levels at equal steps of probability of a beta distribution: for alpha = beta < 1 dense at both ends.

        in t:        t = F^-1(1 - i / N), i = 0 .. N         as published
        in log_snr:  log(sigma / alpha) from sigma_max to sigma_min at the share F^-1(1 - i / (N - 1)), then 0
        in sigma:    sigma / alpha likewise              as diffusers' use_beta_sigmas does

    Args:
        alpha, beta: shape of the distribution, above 0; alpha counts at clean data, beta at noise.
        variable: what is spaced.
        sigma_min, sigma_max: range of sigma / alpha, 0.002 and 80 where left out; not for t, which goes from 1 to 0.

    Source: Lee et al. 2024, arXiv:2407.12173, section 3.3.
    """

    alpha: float = 0.6
    beta: float = 0.6
    variable: Literal["t", "log_snr", "sigma"] = "t"
    sigma_min: float | None = None
    sigma_max: float | None = None

    def __post_init__(self) -> None:
        if self.variable not in ("t", "log_snr", "sigma"):
            raise ValueError(f"BetaGrid: variable must be t, log_snr or sigma, found {self.variable!r}")
        if self.variable == "t" and not self.sigma_min is self.sigma_max is None:
            raise ValueError(
                "BetaGrid: sigma_min and sigma_max are for the variables log_snr and sigma; t goes from 1 to 0"
            )
        check_noise(self, *self._range, alpha=self.alpha, beta=self.beta)

    @property
    def _range(self) -> tuple[float, float]:
        low, high = self.sigma_min, self.sigma_max
        return SIGMA_MIN if low is None else low, SIGMA_MAX if high is None else high

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """Quantiles, as times."""
        if self.variable == "t":
            return beta_quantile(np.linspace(1, 0, steps + 1), self.alpha, self.beta)
        low, high = noise_range(schedule, *self._range)
        share = beta_quantile(1 - ramp(steps), self.alpha, self.beta)
        if self.variable == "sigma":
            return times_of(np.log(low + share * (high - low)), schedule)
        return times_of(math.log(low) + share * math.log(high / low), schedule)


def beta_quantile(q: np.ndarray, a: float, b: float) -> np.ndarray:
    """x with F(x) = q for the beta distribution of shape (a, b), by Newton's method within a bisection; exact at both ends."""
    ends = (q <= 0, q >= 1)
    q = np.select(ends, (0.5, 0.5), q)
    low, high, x = np.zeros_like(q), np.ones_like(q), np.full_like(q, 0.5)
    for _ in range(200):
        error = _beta_cdf(x, a, b) - q
        low, high = np.where(error < 0, x, low), np.where(error < 0, high, x)
        with np.errstate(divide="ignore"):
            log_density = (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - _log_beta(a, b)
        newton = x - error * np.exp(-np.clip(log_density, -600, 600))
        new = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        x, change = new, np.abs(new - x)
        if (change <= 1e-14 * x).all():
            break
    return np.select(ends, (0.0, 1.0), x)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _beta_cdf(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """F(x), by the series below 1 / 2 and by F(x; a, b) = 1 - F(1 - x; b, a) above."""
    mirrored = x > 0.5
    value = np.where(mirrored, _series(np.minimum(1 - x, 0.5), b, a), _series(np.minimum(x, 0.5), a, b))
    return np.where(mirrored, 1 - value, value)


def _series(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """x^a (1 - x)^b / (a B(a, b)) sum_n x^n (a + b)_n / (a + 1)_n for x <= 1 / 2: positive terms, so nothing cancels.

    Source: DLMF 8.17.8.
    """
    terms = _terms(a, b)
    with np.errstate(divide="ignore"):
        head = np.exp(a * np.log(x) + b * np.log1p(-x) - math.log(a) - _log_beta(a, b))
    return head * ((2 * x)[:, None] ** np.arange(len(terms)) @ terms)


@lru_cache(maxsize=32)
def _terms(a: float, b: float) -> np.ndarray:
    """The terms of the series at x = 1 / 2, the largest there is."""
    terms, total = [1.0], 1.0
    while terms[-1] > 1e-17 * total:
        n = len(terms) - 1
        terms.append(terms[-1] * 0.5 * (a + b + n) / (a + 1 + n))
        total += terms[-1]
    return np.array(terms)
