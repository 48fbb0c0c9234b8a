"""The contract of a time grid, and the two plainest."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ...schedules import Rectified, Schedule


class Grid(ABC):
    """N + 1 falling times in [0, 1], the last of which is 0."""

    @abstractmethod
    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """The times, (steps + 1,) float64, for the schedule of the first Gaussian field.

        Raises:
            ValueError: steps or a schedule that this grid cannot serve.
        """

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
class ShiftedGrid(Grid):
    """Equal steps in u, t = s u / (1 + (s - 1) u): more of them at the noisy end for a shift s above 1, at the clean one below.

    On the rectified schedule these are the equal steps of `Shifted`, for a network that was trained without a shift.

    Args:
        shift: s.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 23.
    """

    shift: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.shift < math.inf:
            raise ValueError(f"ShiftedGrid: shift must be above 0 and finite, found {self.shift}")

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """The values t at u = 1 - i / N."""
        u = np.linspace(1.0, 0.0, steps + 1)
        return self.shift * u / (1 + (self.shift - 1) * u)
