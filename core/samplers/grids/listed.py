"""Grids from lists: a user's own, and published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ...schedules import Schedule
from .grid import Grid
from .noise import times_of, top_noise


@dataclass(frozen=True)
class ListGrid(Grid):
    """A list of times, or of noise levels sigma / alpha, falling to a final 0, which is added where it is missing.

    A list of K values above 0 is itself for K steps. For N others it is interpolated: times at the places i K / N of the list,
    linearly; noise levels at i (K - 1) / (N - 1), in their logarithm, so that both ends stay, and then 0.

    Args:
        values: falling, above 0 but for the last; times in [0, 1].
        of: what they are.

    Raises:
        ValueError: values that do not fall, or leave their range; a second noise level above what the schedule reaches (the
            first is cut to it).
    """

    values: tuple[float, ...] = (1.0, 0.0)
    of: Literal["t", "sigma"] = "t"

    def __post_init__(self) -> None:
        values = tuple(float(v) for v in self.values)
        if self.of not in ("t", "sigma"):
            raise ValueError(f"ListGrid: of must be t or sigma, found {self.of!r}")
        falls = all(a > b for a, b in pairwise(values)) and all(math.isfinite(v) for v in values)
        if not values or not falls or values[-1] < 0 or values[0] == 0:
            raise ValueError(f"ListGrid: the values must fall and stay above 0 but for the last, found {values}")
        if self.of == "t" and values[0] > 1:
            raise ValueError(f"ListGrid: times are in [0, 1], found {values[0]}; for noise levels say of=sigma")
        object.__setattr__(self, "values", values)

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """The list, or what lies between its values."""
        levels = np.array([v for v in self.values if v > 0])
        if self.of == "t":
            places = np.arange(steps + 1) * (len(levels) / steps)
            return np.interp(places, np.arange(len(levels) + 1), np.append(levels, 0.0))
        top = top_noise(schedule)
        if (levels[1:] >= top).any():
            raise ValueError(
                f"ListGrid: sigma={levels[1]:.4g} is not below {top:.4g}, the largest sigma / alpha of {type(schedule).__name__}"
            )
        return times_of(_resampled(np.minimum(levels, top), steps), schedule)


# The ten steps go from each level to the next; the last level is the floor that a final 0 takes the place of.
_PUBLISHED: dict[str, tuple[float, ...]] = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


@dataclass(frozen=True)
class AlignYourStepsGrid(Grid):
    """Noise levels sigma / alpha that were optimised for ten steps of a network, then 0.

    For N other than 10 the eleven published levels are interpolated, in their logarithm, to N + 1, of which the last, the floor,
    gives way to 0. Levels above what the schedule reaches are cut to it.

    Args:
        network: Stable Diffusion 1.5, XL, or SVD.

    Source: Sabour et al. 2024, arXiv:2404.14507, and the lists of its project page.
    """

    network: Literal["sd15", "sdxl", "svd"] = "sd15"

    def __post_init__(self) -> None:
        if self.network not in _PUBLISHED:
            raise ValueError(f"AlignYourStepsGrid: network must be {', '.join(_PUBLISHED)}, found {self.network!r}")

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """t of the levels."""
        published = np.array(_PUBLISHED[self.network])
        top = top_noise(schedule)
        if published[-2] >= top:
            raise ValueError(
                f"AlignYourStepsGrid: {type(schedule).__name__} reaches sigma / alpha = {top:.4g} only; take log_snr or uniform"
            )
        levels = published[int((published >= top).sum()) :]
        levels = np.append(top, levels) if len(levels) < len(published) else levels
        return times_of(_resampled(levels, steps + 1)[:-1], schedule)


def _resampled(levels: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
    """Logarithms of `count` levels at equal places along the list, ends included; of one, the first."""
    places = np.linspace(0, len(levels) - 1, count)
    return np.interp(places, np.arange(len(levels)), np.log(levels))
