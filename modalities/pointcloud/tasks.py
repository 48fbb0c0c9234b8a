"""Tasks of point clouds: which points are given.

What is given stands first. An item of a user's own, which `rows` marks as given, is *open*: all of its points are given, as
far as there is room, and those to be made are not in it.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from .cloud import Cloud

OPEN = "open"  # in an item's meta: a user's own, all of which is given
DRAWN = "drawn"  # in an item's meta: its points are those of a training step, no more and no fewer


@dataclass(frozen=True)
class Part(Task):
    """Some points of a shape are given.

    Args:
        points: of an item, those that are made among them.
        room: largest share of them that an open item may give.
    """

    points: int
    room: float = 0.5

    def sized(self, size: int) -> Part:
        """The task that makes shapes of so many points in all.

        Raises:
            ValueError: a size that is not a number of points.
        """
        if not isinstance(size, int) or size < 2:
            raise ValueError(f"size {size}: give a number of points, the given ones among them")
        return replace(self, points=size)

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray | None]:
        """The item with its given points first, and which they are, (N,) bool; None where there is nothing to make or to give."""
        if item.meta.get(OPEN):
            return self.opened(item)
        cloud = item.data if item.meta.get(DRAWN) else item.data.take(slice(self.points))
        given = self.given(cloud, rng)
        if not given.any() or given.all():
            return replace(item, data=cloud), None
        return replace(item, data=_first(cloud, given)), np.sort(given)[::-1].copy()

    @abstractmethod
    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """(N,) bool: the given points of a whole shape."""

    def opened(self, item: Item) -> tuple[Item, np.ndarray]:
        """The item with room for the points that are to be made; warns where points have to be left out for it."""
        cloud, most = item.data, max(1, int(self.points * self.room))
        if cloud.size > most:
            warnings.warn(
                f"{item.key}: {most:,} of {cloud.size:,} points are given, since {self.points:,} are made in all; a larger "
                "size gives more",
                stacklevel=2,
            )
            cloud = cloud.take(slice(most))
        return replace(item, data=extended(cloud, self.points)), np.arange(self.points) < cloud.size


@dataclass(frozen=True)
class View(Part):
    """What is seen from a place around the shape: hidden points are removed.

    The place is uniform in azimuth, -20 to 60 degrees high, at `distance` times the radius of the shape.

    Args:
        distance: from the middle of the shape, in radii.
        exponent: the flipping sphere has 10**exponent times the largest distance of a point: larger, more is seen.

    Source: Katz, Tal and Basri 2007, "Direct visibility of point sets", ACM Trans. Graph. 26, 24.
    """

    distance: float = 3.0
    exponent: float = 1.5

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """The points that are seen."""
        turn, high = rng.uniform(0, 2 * np.pi), rng.uniform(np.radians(-20), np.radians(60))
        look = np.array([np.cos(high) * np.sin(turn), np.sin(high), np.cos(high) * np.cos(turn)])
        middle = (cloud.points.min(0) + cloud.points.max(0)) / 2
        radius = np.linalg.norm(cloud.points - middle, axis=1).max()
        return seen_from(cloud.points, middle + self.distance * radius * look, self.exponent)


@dataclass(frozen=True)
class Half(Part):
    """What lies on one side of a plane.

    Args:
        shares: range of the share of the points that are given.
    """

    shares: tuple[float, float] = (0.3, 0.7)

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """The points of one side; the direction of the plane is uniform."""
        along = cloud.points @ rng.normal(size=3)
        return along <= np.quantile(along, rng.uniform(*self.shares))


@dataclass(frozen=True)
class Drop(Part):
    """Points at random.

    Args:
        shares: range of the share of the points that are given.
    """

    shares: tuple[float, float] = (0.1, 0.5)

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """A share of the points, at least one."""
        return _some(cloud.size, rng.uniform(*self.shares), rng)


@dataclass(frozen=True)
class Completion(Part):
    """A view, a half, or points at random: any of them, with equal chance."""

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """The given points of the kind that is drawn."""
        kinds: tuple[Part, ...] = (View(self.points), Half(self.points), Drop(self.points))
        return kinds[int(rng.integers(len(kinds)))].given(cloud, rng)


@dataclass(frozen=True)
class Upsample(Part):
    """Points between points: every so many of them are given.

    Args:
        factor: how many times as many points there are to be.
    """

    factor: int = 4

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """One of `factor` points, at random."""
        return _some(cloud.size, 1 / self.factor, rng)

    def opened(self, item: Item) -> tuple[Item, np.ndarray]:
        """As many given points as the factor leaves room for."""
        return replace(self, room=1 / self.factor)._opened(item)

    def _opened(self, item: Item) -> tuple[Item, np.ndarray]:
        return super().opened(item)


@dataclass(frozen=True)
class Regenerate(Part):
    """A part is made anew: one of those that the file tells apart, or what lies in a box.

    Args:
        by: `part`, `box`, or either where there are parts.
        shares: range of the share of the points that a box holds.
    """

    by: str = "either"
    shares: tuple[float, float] = (0.1, 0.6)

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """All points but those of the part, or of the box; none where a part is asked for and there are none."""
        by_part = self.by == "part" or (self.by == "either" and cloud.parts is not None and rng.random() < 0.5)
        if not by_part:
            return ~_boxed(cloud.points, rng.uniform(*self.shares), rng)
        if cloud.parts is None:
            return np.zeros(cloud.size, bool)
        return cloud.parts != rng.choice(np.unique(cloud.parts))

    def opened(self, item: Item) -> tuple[Item, np.ndarray]:
        """Nobody knows which part is meant.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{item.key}: which part is to be made anew? Say it by a file in --mask: six numbers, the lower and the upper "
            "corner of a box, or one, the number of a part"
        )


@dataclass(frozen=True)
class Denoise(Part):
    """Stray points are made anew, all others are given. (Noise of all points is taken off by `strength`, without a task.)

    In training, points at random are the ones to be made. Of an open item the strays are found: points whose mean distance to
    their `neighbours` nearest is more than `deviations` standard deviations above the mean of all.

    Args:
        shares: range of the share of the points that are given in training.

    Source: statistical outlier removal: Rusu et al. 2008, "Towards 3D point cloud based object maps", section 3.1.
    """

    shares: tuple[float, float] = (0.7, 0.98)
    neighbours: int = 8
    deviations: float = 2.0

    def given(self, cloud: Cloud, rng: np.random.Generator) -> np.ndarray:
        """A share of the points."""
        return _some(cloud.size, rng.uniform(*self.shares), rng)

    def opened(self, item: Item) -> tuple[Item, np.ndarray]:
        """The item with its strays to be made.

        Raises:
            ValueError: there are none.
        """
        stray = strays(item.data.points, self.neighbours, self.deviations)
        if not stray.any():
            raise ValueError(f"{item.key}: none of its {item.data.size:,} points is a stray: there is nothing to make")
        cloud = item.data.take(~stray)
        return replace(item, data=extended(cloud, len(stray))), np.arange(len(stray)) < cloud.size


def seen_from(points: np.ndarray, eye: Sequence[float] | np.ndarray, exponent: float) -> np.ndarray:
    """(N,) bool: the points (N, 3) that are seen from a place, by hidden-point removal; see `View`.

    Points are flipped at a sphere about the eye; seen are those on the convex hull of their images and the eye.
    """
    from scipy.spatial import ConvexHull, QhullError

    p = points - np.asarray(eye)
    length = np.linalg.norm(p, axis=1, keepdims=True).clip(1e-12)
    flipped = p + 2 * (length.max() * 10**exponent - length) * p / length
    out = np.zeros(len(points), bool)
    try:
        hull = ConvexHull(np.concatenate([flipped, np.zeros((1, 3))])).vertices
    except QhullError:  # fewer than four points, or all in one plane with the eye: nothing hides anything
        return ~out
    out[hull[hull < len(points)]] = True
    return out


def strays(points: np.ndarray, neighbours: int, deviations: float) -> np.ndarray:
    """(N,) bool: the points (N, 3) that lie apart; see `Denoise`."""
    from scipy.spatial import KDTree

    count = min(neighbours, len(points) - 1)
    if count < 1:
        return np.zeros(len(points), bool)
    mean = KDTree(points).query(points, count + 1)[0][:, 1:].mean(1)
    return mean > mean.mean() + deviations * mean.std()


def extended(cloud: Cloud, size: int) -> Cloud:
    """The cloud with points to be made behind its own: NaN, and 0 in other columns."""
    more = size - cloud.size
    columns: dict[str, Any] = {
        name: np.concatenate([x, np.zeros((more, *x.shape[1:]), x.dtype)]) for name, x in cloud.columns.items()
    }
    columns["points"][cloud.size :] = np.nan
    return replace(cloud, **columns)


def _first(cloud: Cloud, given: np.ndarray) -> Cloud:
    """The given points first, each part in its order."""
    return cloud.take(np.argsort(~given, kind="stable"))


def _some(size: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """So many points at random, at least one."""
    out = np.zeros(size, bool)
    out[rng.permutation(size)[: max(1, round(share * size))]] = True
    return out


def _boxed(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The points in a box about one of them that holds a share of all; its sides are as those of the shape, times factors."""
    middle = points[int(rng.integers(len(points)))]
    sides = np.ptp(points, axis=0).clip(1e-9) * np.exp(rng.uniform(-0.7, 0.7, 3))
    reach = np.abs((points - middle) / sides).max(1)
    return reach <= np.quantile(reach, share)
