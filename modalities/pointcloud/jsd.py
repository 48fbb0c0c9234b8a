"""Where points lie, of all shapes together: the Jensen-Shannon divergence of two sets' occupancy of a ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

CELLS = 28


@dataclass(frozen=True)
class Ball:
    """A grid of 28 x 28 x 28 places in a ball; each point, also one outside, counts for the place nearest to it.

    Places stand 1/27 of the diameter apart, from one end of it to the other; those outside the ball are left out.

    Args:
        centre: (3,).
        radius: above 0.

    Source: Achlioptas et al. 2018, arXiv:1707.02392, section 3; the grid as in its code, which PVD runs, with a ball of radius
        1/2 about the origin.
    """

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 0.5

    @staticmethod
    def about(clouds: Sequence[np.ndarray]) -> Ball:
        """The smallest ball about the middle of the clouds' common box that holds all of their points.

        Raises:
            ValueError: all points are one.
        """
        points = np.concatenate(clouds)
        middle = (points.min(0) + points.max(0)) / 2
        radius = float(np.linalg.norm(points - middle, axis=1).max())
        if not radius > 0:
            raise ValueError("all points of all shapes are one: there is no ball to divide")
        return Ball((float(middle[0]), float(middle[1]), float(middle[2])), radius)

    @cached_property
    def _places(self) -> Any:
        from scipy.spatial import KDTree

        axis = np.linspace(-1, 1, CELLS)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        return KDTree(grid[(grid**2).sum(1) <= 1])

    def counts(self, points: np.ndarray) -> np.ndarray:
        """(places,) how many of the points (N, 3) fall to each place."""
        _, index = self._places.query((points - np.asarray(self.centre)) / self.radius)
        return np.bincount(index, minlength=self._places.n)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two vectors of counts, base 2: 0 where they are in proportion, 1 where they share nothing.

        H((P + Q) / 2) - (H(P) + H(Q)) / 2,   P = p / sum p,  Q = q / sum q

    Raises:
        ValueError: nothing was counted.
    """
    from scipy.spatial.distance import jensenshannon

    if not (p.sum() > 0 and q.sum() > 0):
        raise ValueError("a set without points has no occupancy")
    return float(jensenshannon(p, q, base=2) ** 2)
