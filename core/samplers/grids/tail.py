"""The end of another grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...schedules import Schedule
from .grid import Grid, UniformGrid

_MOST = 100_000  # steps of the whole grid


@dataclass(frozen=True)
class TailGrid(Grid):
    """N steps from `start` to 0, spaced as another grid spaces them there: the last N of its M steps, begun at `start`.

    M is the most for which the time N steps before the end is not below `start`. So equal steps stay equal.

    Args:
        start: the first time, in (0, 1].
        grid: the other one.

    Raises:
        ValueError: a start out of range, or one below which the grid has too few times.
    """

    start: float = 0.5
    grid: Grid = field(default_factory=UniformGrid)

    def __post_init__(self) -> None:
        if not 0 < self.start <= 1:
            raise ValueError(f"TailGrid: start must be in (0, 1], found {self.start}")

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """start and the last N times of the grid."""

        def reaches(whole: int) -> bool:
            try:
                return self.grid.checked(whole, schedule)[-steps - 1] >= self.start - 1e-12
            except ValueError:  # a grid over T steps has no more
                return False

        low, high = steps, 2 * steps
        while high <= _MOST and reaches(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if reaches(middle) else (low, middle)
        times = self.grid.checked(low, schedule)[-steps:]
        if times[0] >= self.start:
            name = type(self.grid).__name__
            raise ValueError(
                f"TailGrid: {name} has fewer than {steps} times below {self.start}: take fewer steps, or a later start"
            )
        return np.array([self.start, *times])
