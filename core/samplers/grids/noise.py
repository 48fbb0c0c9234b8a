"""Grids in the noise level sigma / alpha: N levels from sigma_max to sigma_min, then 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ...schedules import Schedule
from .grid import Grid

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0  # of EDM, for data of standard deviation about 1


@dataclass(frozen=True)
class KarrasGrid(Grid):
    """sigma / alpha from sigma_max to sigma_min with equal steps in its power 1 / rho, then 0.

    sigma_max is cut to what the schedule reaches.
    Source: Karras et al. 2022, arXiv:2206.00364, equation 5.
    """

    sigma_min: float = SIGMA_MIN
    sigma_max: float = SIGMA_MAX
    rho: float = 7.0

    def __post_init__(self) -> None:
        check_noise(self, self.sigma_min, self.sigma_max, rho=self.rho)

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """t of (sigma_max^(1/rho) + u (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, u = i / (N - 1)."""
        low, high = (x ** (1 / self.rho) for x in noise_range(schedule, self.sigma_min, self.sigma_max))
        return times_of(self.rho * np.log(high + ramp(steps) * (low - high)), schedule)


@dataclass(frozen=True)
class LogSNRGrid(Grid):
    """sigma / alpha from sigma_max to sigma_min, then 0: its logarithm linear in (1 - u)^rho, u = i / (N - 1).

    rho = 1 has equal steps in log-SNR ("exponential"); above 1 they are longer at the noisy end ("polyexponential").
    sigma_max is cut to what the schedule reaches.
    Source: Lu et al. 2022, arXiv:2206.00927, section 3.3 (uniform lambda); with rho, k-diffusion's polyexponential levels.
    """

    sigma_min: float = SIGMA_MIN
    sigma_max: float = SIGMA_MAX
    rho: float = 1.0

    def __post_init__(self) -> None:
        check_noise(self, self.sigma_min, self.sigma_max, rho=self.rho)

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """t of exp((1 - u)^rho log(sigma_max / sigma_min)) sigma_min."""
        low, high = (math.log(x) for x in noise_range(schedule, self.sigma_min, self.sigma_max))
        return times_of(low + (1 - ramp(steps)) ** self.rho * (high - low), schedule)


def check_noise(grid: Grid, sigma_min: float, sigma_max: float, **positive: float) -> None:
    """Refuse a range of noise that is none, and numbers that are not above 0."""
    numbers = {"sigma_min": sigma_min, "sigma_max": sigma_max, **positive}
    if not (0 < sigma_min < sigma_max < math.inf and all(0 < x < math.inf for x in positive.values())):
        rules = ["0 < sigma_min < sigma_max", *(f"{name} > 0" for name in positive)]
        found = ", ".join(f"{name}={value}" for name, value in numbers.items())
        raise ValueError(f"{type(grid).__name__}: needs {' and '.join(rules)}, found {found}")


def ramp(steps: int) -> np.ndarray:
    """i / (N - 1) for i = 0 .. N - 1; one step starts at 0."""
    return np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)


def top_noise(schedule: Schedule) -> float:
    """The largest sigma / alpha of a schedule."""
    one = torch.ones((), dtype=torch.float64)
    return math.inf if schedule.ends_at_noise else float((schedule.sigma(one) / schedule.alpha(one)).detach())


def noise_range(schedule: Schedule, sigma_min: float, sigma_max: float) -> tuple[float, float]:
    """The range of sigma / alpha that the schedule covers."""
    top = top_noise(schedule)
    if sigma_min >= top:
        raise ValueError(
            f"sigma_min={sigma_min} is not below {top:.4g}, the largest sigma / alpha of {type(schedule).__name__}"
        )
    return sigma_min, min(sigma_max, top)


def times_of(log_noise: np.ndarray, schedule: Schedule) -> np.ndarray:
    """t of log(sigma / alpha), with the final 0."""
    t = schedule.t_of(torch.from_numpy(-2 * np.asarray(log_noise))).detach()
    return np.append(t.numpy(), 0.0)
