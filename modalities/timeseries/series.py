"""What an item's data and a decoded sample are: a stretch of a series in physical units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Series:
    """T steps of K channels.

    Args:
        values: (T, K) float64 in the units of the file; NaN where nothing was observed.
        columns: names of the K channels.
        index: (T,) datetime64[ns], UTC or without a zone; None: steps 0, 1, 2, ...
        freq: length of a step as pandas writes it (`h`, `15min`, `MS`); None where steps are not regular or have no dates.
        zone: time zone in which the index is written; None: it has none.
        name: of the item that it is a part of, or that it was made for.
        known: (T, K) bool, the values of a sample that were given to it; None: none of them.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    index: np.ndarray | None = None
    freq: str | None = None
    zone: str | None = None
    name: str = ""
    known: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """T."""
        return len(self.values)

    @property
    def observed(self) -> np.ndarray:
        """(T, K) bool, False where nothing was observed."""
        return np.isfinite(self.values)
