"""One shape as a set of points, with what is known at each of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Cloud:
    """N points of one shape in physical units, y up unless the reader was told otherwise.

    The order of the points carries no meaning; row i of every column belongs to point i.

    Attributes:
        points: Coordinates, (N, 3) float64.
        normals: Outward unit normals, (N, 3) float64.
        colours: sRGB in 0..255, (N, 3) uint8.
        parts: The number of the part that each point belongs to, (N,) int64.
        name: What the shape is called in messages and file names.

    Raises:
        ValueError: Points that are not (N, 3), or a column of another length or width.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    colours: np.ndarray | None = None
    parts: np.ndarray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 3:
            raise ValueError(f"points must be (N, 3) and are {self.points.shape}")
        for column, wanted in (("normals", (self.size, 3)), ("colours", (self.size, 3)), ("parts", (self.size,))):
            values = getattr(self, column)
            if values is not None and values.shape != wanted:
                raise ValueError(f"{self.size} points but {column} of shape {values.shape}: {wanted} is needed")

    @property
    def size(self) -> int:
        """The number of points, N."""
        return len(self.points)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The arrays that the cloud has, by name; `points` always first."""
        arrays = {column.name: getattr(self, column.name) for column in fields(self) if column.name != "name"}
        return {column: values for column, values in arrays.items() if values is not None}

    def take(self, index: Any) -> Cloud:
        """The rows that `index` (integers, a mask or a slice) chooses, of every column."""
        return replace(self, **{column: values[index] for column, values in self.columns.items()})
