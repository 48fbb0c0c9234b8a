"""Chamfer distances between sets of points: the squared one of the tables, and the density-aware one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BLOCK = 1 << 17  # squared distances held at once


def chamfer(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Chamfer distance, the CD of PointFlow, PVD and LION.

        mean_x min_y |x - y|^2 + mean_y min_x |x - y|^2

    The two means are added, not halved, and no root is taken.

    Args:
        x, y: (N, 3) and (M, 3).

    Raises:
        ValueError: no points, or points that are not finite.

    Source: Fan et al. 2017, arXiv:1612.00603, section 3.2; with means as in Yang et al. 2019, arXiv:1906.12320, equation (12).
    """
    return float(chamfer_to_many(x, [y])[0])


def chamfer_to_many(x: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """(m,) squared Chamfer distances of x (N, 3) to each of the others (M_j, 3).

    Squared distances are products of the rows (-2 x, |x|^2, 1) and (y, 1, |y|^2) about the mean of x, in float64: the difference
    to differences formed entry by entry is about 1e-15 |x|^2. At most some megabytes are held, whatever N and M are.
    """
    middle = _checked(x).mean(0)
    x = x - middle
    left = np.concatenate([-2 * x, (x * x).sum(1, keepdims=True), np.ones((len(x), 1))], axis=1)
    return np.array([_one(left, _checked(y) - middle) for y in others])


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,), not squared, and row (N,) of the nearest of the points y (M, 3) to each of x (N, 3)."""
    from scipy.spatial import KDTree

    distance, index = KDTree(_checked(y)).query(_checked(x))
    return distance, index


def density_aware_chamfer(x: np.ndarray, y: np.ndarray, alpha: float = 1000.0) -> float:
    """Density-aware Chamfer distance, 0 for equal sets, at most 1.

        1/2 [ mean_x (1 - exp(-alpha d(x)^2) / n(y_x)) + mean_y (1 - exp(-alpha d(y)^2) / n(x_y)) ]

    d is the distance to the nearest point of the other set, y_x that point, and n(y) how many points have y for their nearest.
    The paper writes exp(-alpha d); its code takes d^2 and alpha = 1000, as here. Distances are in units of the longest side of
    y's box, so that the unit of the files does not matter.

    Args:
        x, y: (N, 3), and (M, 3), the truth. For sets of unequal size the value is above 0 even where one is a part of the other.

    Source: Wu et al. 2021, arXiv:2111.12702, equations (3) to (5), with lambda = 1.
    """
    side = longest_side(y)
    parts = []
    for a, b in ((x, y), (y, x)):
        distance, index = nearest(a, b)
        shared = np.bincount(index, minlength=len(b))[index]
        parts.append(float((1 - np.exp(-alpha * (distance / side) ** 2) / shared).mean()))
    return (parts[0] + parts[1]) / 2


def longest_side(points: np.ndarray) -> float:
    """Of the box about the points (N, 3).

    Raises:
        ValueError: all points are one.
    """
    side = float(np.ptp(_checked(points), axis=0).max())
    if not side > 0:
        raise ValueError(f"all {len(points)} points are one: they have no extent that could be the unit of a distance")
    return side


def _one(left: np.ndarray, y: np.ndarray) -> float:
    right = np.stack([*y.T, np.ones(len(y)), (y * y).sum(1)])
    step = max(1, _BLOCK // len(y))
    to_y, to_x = 0.0, np.full(len(y), np.inf)
    for start in range(0, len(left), step):
        squared = left[start : start + step] @ right  # (rows, M)
        to_y += float(squared.min(1).clip(0).sum())
        np.minimum(to_x, squared.min(0), out=to_x)
    return to_y / len(left) + float(to_x.clip(0).mean())


def _checked(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"a set of points is (N, 3) with N at least 1; found {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{int((~np.isfinite(points).all(1)).sum())} of {len(points)} points are not finite")
    return points
