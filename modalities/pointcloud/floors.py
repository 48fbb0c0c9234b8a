"""Honest simple baselines: what a model has to be better than.

Of nothing: training shapes with jitter (which lie nearer to the training shapes than anything that was learnt should), and a
Gaussian cloud of the class's mean and covariance. Of a part: its mirror image, and points of the class's mean shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ornstein.core.modality import Item

from .cloud import Cloud

JITTER = 0.02  # of the copies, in standard deviations of a shape's points
_PROBED = 64  # training shapes that the plane of symmetry is found by

Make = Callable[[Sequence[Item], np.random.Generator], Cloud]  # training shapes of the class -> a shape
Fill = Callable[
    [Sequence[Item], np.ndarray, int, np.random.Generator], np.ndarray
]  # class, given (K, 3), count -> (count, 3)


def jittered(items: Sequence[Item], rng: np.random.Generator) -> Cloud:
    """A random training shape, its points moved by `JITTER` of their standard deviation."""
    cloud: Cloud = items[int(rng.integers(len(items)))].data
    scale = JITTER * float((cloud.points - cloud.points.mean(0)).std())
    return replace(cloud, points=cloud.points + rng.normal(scale=scale, size=cloud.points.shape), parts=None)


def gaussian(items: Sequence[Item], rng: np.random.Generator) -> Cloud:
    """Points of one Gaussian with the mean and the covariance of all points of the class; other columns are those of a shape."""
    points = np.concatenate([item.data.points for item in items])
    cloud: Cloud = items[int(rng.integers(len(items)))].data
    drawn = rng.multivariate_normal(points.mean(0), np.cov(points.T), size=cloud.size, method="eigh")
    return replace(cloud, points=drawn, parts=None)


def mirrored(items: Sequence[Item], given: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Mirror images of given points, at the plane that training shapes are most like their mirror images at."""
    axis, place = plane([item.data.points for item in items])
    image = given.copy()
    image[:, axis] = 2 * place - image[:, axis]
    rounds, rest = divmod(count, len(image))
    index = np.concatenate([*[np.arange(len(image))] * rounds, rng.permutation(len(image))[:rest]])
    return image[index]


def mean_shape(items: Sequence[Item], given: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of training shapes of the class, a random shape for each."""
    shapes = rng.integers(len(items), size=count)
    u = rng.random(count)
    return np.stack([items[k].data.points[int(v * items[k].data.size)] for k, v in zip(shapes, u, strict=True)])


NEW: dict[str, Make] = {"jittered copy": jittered, "Gaussian of the class": gaussian}
PARTLY: dict[str, Fill] = {"mirror image": mirrored, "mean shape": mean_shape}


def cloud_floor(
    items: Sequence[Item],
    cond: Sequence[Mapping[str, Any]],
    rng: np.random.Generator,
    given: Sequence[Item] | None = None,
    known: Sequence[np.ndarray | None] | None = None,
    name: str | None = None,
) -> list[Cloud]:
    """One shape for each cond, by the floor of a name; None: the first of `NEW`, or of `PARTLY` where something is given.

    Args:
        items: training items, with as many points as samples have.
        cond: `label` by its name, where the class is to be that; any training shape else.
        given, known: of each sample the posed item, and (N,) bool of its points.

    Raises:
        LookupError: a floor that does not exist.
    """
    makers: Mapping[str, Any] = NEW if given is None or known is None else PARTLY
    name = next(iter(makers)) if name is None else name
    if name not in makers:
        raise LookupError(f"floor {name!r} does not exist here; choose {', '.join(makers)}")
    by_class: dict[str, list[Item]] = {}
    for item in items:
        by_class.setdefault(str(item.cond.get("label")), []).append(item)
    pools = [by_class.get(str(values.get("label")), items) for values in cond]
    if given is None or known is None:
        return [makers[name](pool, rng) for pool in pools]
    out = []
    for pool, item, mask in zip(pools, given, known, strict=True):
        if mask is None or not mask.any():
            out.append(jittered(pool, rng))
            continue
        points = item.data.points.copy()
        points[~mask] = makers[name](pool, points[mask], int((~mask).sum()), rng)
        out.append(Cloud(points, name=item.data.name))  # nothing else is known of points that are made
    return out


def plane(clouds: Sequence[np.ndarray]) -> tuple[int, float]:
    """The axis, x or z, and the place on it of the plane at which shapes (N_i, 3) are most like their mirror images.

    The measure is the mean distance of mirrored points to the nearest point of the shape; the place is the mean of the points.
    """
    from scipy.spatial import KDTree

    probed = clouds[:: max(1, len(clouds) // _PROBED)]
    place = np.mean([points.mean(0) for points in clouds], axis=0)
    misses = {}
    for axis in (0, 2):
        turned = [
            points * np.where(np.arange(3) == axis, -1, 1) + 2 * place * (np.arange(3) == axis) for points in probed
        ]
        misses[axis] = np.mean(
            [KDTree(points).query(image)[0].mean() for points, image in zip(probed, turned, strict=True)]
        )
    axis = min(misses, key=lambda k: misses[k])
    return axis, float(place[axis])
