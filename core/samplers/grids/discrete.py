"""Grids over the steps that a network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...schedules import Schedule
from .grid import Grid


@dataclass(frozen=True)
class DiscreteGrid(Grid):
    """N of the T steps of a network trained on steps alone, then 0; step i = 0 .. T - 1 is t = (i + 1) / T.

        trailing: round(T - k T / N) - 1       from the last step down
        linspace: round((T - 1) (1 - k / (N - 1)))     both ends; of one step, the last
        leading:  (N - 1 - k) floor(T / N) + offset       from the first step up, so that it starts below the last

    with k = 0 .. N - 1. The default is the one that starts at the most noise for every N and is closest to equal steps in t.

    Args:
        spacing: which.
        timesteps: T.
        offset: for `leading`, added to every step (1 for Stable Diffusion).

    Source: Lin et al. 2023, arXiv:2305.08891, table 2.
    """

    spacing: Literal["trailing", "leading", "linspace"] = "trailing"
    timesteps: int = 1000
    offset: int = 0

    def __post_init__(self) -> None:
        if self.spacing not in ("trailing", "leading", "linspace"):
            raise ValueError(f"DiscreteGrid: spacing must be trailing, leading or linspace, found {self.spacing!r}")
        if self.timesteps < 1 or self.timesteps != int(self.timesteps):
            raise ValueError(f"DiscreteGrid: timesteps must be a whole number of at least 1, found {self.timesteps}")
        if self.offset < 0 or self.offset != int(self.offset):
            raise ValueError(f"DiscreteGrid: offset must be a whole number of at least 0, found {self.offset}")
        if self.offset and self.spacing != "leading":
            raise ValueError(f"DiscreteGrid: offset={self.offset} is for leading spacing, found {self.spacing}")

    def indices(self, steps: int) -> np.ndarray:
        """The steps visited, (steps,) falling integers in 0 .. T - 1.

        Raises:
            ValueError: more steps than T, or leading ones that leave 0 .. T - 1 or start where there is hardly any noise.
        """
        T, k = self.timesteps, np.arange(steps)
        if steps > T:
            raise ValueError(f"DiscreteGrid: {steps} steps of a network trained on {T}; take at most {T}")
        if self.spacing == "trailing":
            return np.round(T - k * (T / steps)).astype(int) - 1
        if self.spacing == "linspace":
            return np.round(np.linspace(0, T - 1, steps)).astype(int)[::-1] if steps > 1 else np.array([T - 1])
        first = (steps - 1) * (T // steps) + self.offset
        if first > T - 1:
            raise ValueError(
                f"DiscreteGrid: leading spacing with {steps} steps and offset={self.offset} starts at step {first}, "
                f"the last is {T - 1}; take fewer steps or no offset"
            )
        if steps == 1 < T:
            raise ValueError(
                f"DiscreteGrid: leading spacing with 1 step starts at step {first} of {T}, where there is hardly any noise; "
                "take trailing"
            )
        return first - k * (T // steps)

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """(i + 1) / T, then 0."""
        return np.append((self.indices(steps) + 1) / self.timesteps, 0.0)
