"""Where a shape is and how large: the frame that is taken off before the network and put back after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Normalise = Literal["dataset", "box", "ball"]
KINDS: tuple[Normalise, ...] = ("dataset", "box", "ball")


@dataclass(frozen=True)
class Frame:
    """Model space is (points - centre) / scale.

    Args:
        centre: (3,).
        scale: above 0.
    """

    centre: np.ndarray
    scale: float

    def into(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) in model space."""
        return (points - self.centre) / self.scale

    def back(self, x: np.ndarray) -> np.ndarray:
        """Model space (N, 3) to points."""
        return x * self.scale + self.centre


@dataclass(frozen=True)
class Frames:
    """How frames are found.

    `dataset`: one for all, the mean of the training points on each axis and one standard deviation about it (Yang et al. 2019,
    arXiv:1906.12320, and Zhou et al. 2021, arXiv:2104.03670, take it about one mean of the three axes, which is the same where
    the shapes are centred). `box`: of each shape the centre of its box and half of the longest side. `ball`: of each shape the
    mean of its points and the distance of the farthest. The last two are times `spread`, so that model space has unit variance.

    Args:
        kind: one of the three.
        one: of `dataset`; of the others (0, 0, 0) and the spread.
        bank: (m, 4) centre and scale of each training shape; empty for `dataset`.
        labels: (m,) numbers of their classes, -1 where there is none.
    """

    kind: Normalise = "dataset"
    one: Frame = field(default_factory=lambda: Frame(np.zeros(3), 1.0))
    bank: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def of(kind: Normalise, clouds: Sequence[np.ndarray], labels: Sequence[int]) -> Frames:
        """Learn from the points of training shapes, (N_i, 3) each.

        Raises:
            ValueError: all points are one.
        """
        if kind == "dataset":
            return Frames(kind, _spread(clouds))
        bank = np.array([[*centre, size] for centre, size in (_own(kind, points) for points in clouds)])
        extended = bank[:, 3] > 0
        framed = [(p - row[:3]) / row[3] for p, row, ok in zip(clouds, bank, extended, strict=True) if ok]
        spread = _spread(framed).scale if framed else 0.0
        if not spread > 0:
            raise ValueError("no training shape has an extent: each is a single point")
        bank[~extended, 3] = np.median(bank[extended, 3])
        bank[:, 3] *= spread
        return Frames(kind, Frame(np.zeros(3), spread), bank, np.asarray(labels, np.int64))

    def of_shape(self, points: np.ndarray) -> Frame:
        """The frame of a shape by the points (N, 3) that are known of it; the median scale where they have no extent."""
        if self.kind == "dataset":
            return self.one
        centre, size = _own(self.kind, points)
        scale = size * self.one.scale
        return Frame(centre, scale if scale > 0 else float(np.median(self.bank[:, 3])))

    def drawn(self, u: float, label: int | None = None) -> Frame:
        """The frame of a shape to be made: a training shape's own, of its class where one is asked for and known.

        Args:
            u: uniform in [0, 1).
        """
        if self.kind == "dataset":
            return self.one
        rows = self.bank if label is None or label not in self.labels else self.bank[self.labels == label]
        row = rows[int(u * len(rows))]
        return Frame(row[:3], float(row[3]))


def _own(kind: Normalise, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and size of a shape by itself."""
    if kind == "box":
        low, high = points.min(0), points.max(0)
        return (low + high) / 2, float((high - low).max()) / 2
    centre = points.mean(0)
    return centre, float(np.linalg.norm(points - centre, axis=1).max())


def _spread(clouds: Sequence[np.ndarray]) -> Frame:
    """Mean of each axis and one standard deviation of all points, shape by shape, so that no second copy is made.

    Raises:
        ValueError: all points are one.
    """
    count = sum(len(points) for points in clouds)
    mean = np.sum([points.sum(0) for points in clouds], axis=0) / count
    variance = sum(float(((points - mean) ** 2).sum()) for points in clouds) / (3 * count)
    if not variance > 0:
        raise ValueError("the training shapes have no extent: all of their points are one")
    return Frame(mean, float(np.sqrt(variance)))
