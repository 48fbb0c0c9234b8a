"""Time grids: the times t_0 > t_1 > ... > t_N = 0 that a sampler with N steps visits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch

from ..schedules import Rectified, Schedule


class Grid(ABC):
    """N + 1 falling times in [0, 1], the last of which is 0."""

    @abstractmethod
    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """The times, (steps + 1,) float64, for the schedule of the first Gaussian field."""

    def checked(self, steps: int, schedule: Schedule | None) -> np.ndarray:
        """The times, refused where they do not fall from at most 1 to 0."""
        times = self.times(steps, schedule or Rectified())
        if times.shape != (steps + 1,) or times[0] > 1 or times[-1] != 0 or not (np.diff(times) < 0).all():
            name = type(self).__name__
            raise ValueError(
                f"the grid {name} with {steps} steps does not fall from at most 1 to 0: {np.round(times, 4)}"
            )
        return times


@dataclass(frozen=True)
class UniformGrid(Grid):
    """Equal steps in t from `start` to 0."""

    start: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.start <= 1:
            raise ValueError(f"UniformGrid: start must be in (0, 1], found {self.start}")

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """start (1 - i / N)."""
        return np.linspace(self.start, 0.0, steps + 1)


@dataclass(frozen=True)
class KarrasGrid(Grid):
    """sigma / alpha from sigma_max to sigma_min with equal steps in its power 1 / rho, then 0.

    sigma_max is cut to what the schedule reaches.
    Source: Karras et al. 2022, arXiv:2206.00364, equation 5.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not (0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise ValueError(
                f"KarrasGrid: needs 0 < sigma_min < sigma_max and rho > 0, "
                f"found {self.sigma_min}, {self.sigma_max}, {self.rho}"
            )

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """t of sigma_i."""
        low, high = _noise_range(schedule, self.sigma_min, self.sigma_max)
        ramp = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
        roots = high ** (1 / self.rho) + ramp * (low ** (1 / self.rho) - high ** (1 / self.rho))
        return _times_of(np.log(roots**self.rho), schedule)


@dataclass(frozen=True)
class LogSNRGrid(Grid):
    """sigma / alpha from sigma_max to sigma_min with equal steps in its logarithm, then 0.

    Source: Lu et al. 2022, arXiv:2206.00927, section 3.3 (uniform lambda).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"LogSNRGrid: needs 0 < sigma_min < sigma_max, found {self.sigma_min}, {self.sigma_max}")

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """t of lambda_i."""
        low, high = _noise_range(schedule, self.sigma_min, self.sigma_max)
        ramp = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
        return _times_of(np.log(high) + ramp * (np.log(low) - np.log(high)), schedule)


def _noise_range(schedule: Schedule, sigma_min: float, sigma_max: float) -> tuple[float, float]:
    """The range of sigma / alpha that the schedule covers."""
    one = torch.ones((), dtype=torch.float64)
    top = float("inf") if schedule.ends_at_noise else float(schedule.sigma(one) / schedule.alpha(one))
    if sigma_min >= top:
        raise ValueError(
            f"sigma_min={sigma_min} is not below {top:.4g}, the largest sigma / alpha of {type(schedule).__name__}"
        )
    return sigma_min, min(sigma_max, top)


def _times_of(log_noise: np.ndarray, schedule: Schedule) -> np.ndarray:
    """t of log(sigma / alpha), with the final 0."""
    t = schedule.t_of(torch.from_numpy(-2 * np.asarray(log_noise)))
    return np.append(t.numpy(), 0.0)
