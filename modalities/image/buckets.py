"""Shapes of training pictures: one, or several of about the same number of pixels for pictures of several aspect ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Shape = tuple[int, int]  # height and width, pixels
_WIDEST = 2.0  # longer side by shorter side of the most oblong shape


def shapes_of(size: int, patch: int, count: int) -> tuple[Shape, ...]:
    """`count` shapes of about size^2 pixels, from 1 : 2 to 2 : 1, even in the logarithm of the aspect ratio.

    `patch` divides their sides.

    Raises:
        ValueError: sides that small have not so many shapes.
    """
    if count < 1:
        raise ValueError(f"modality.buckets={count}: at least 1 shape, or null for squares")
    shapes = []
    for log in np.linspace(-1, 1, count) * math.log(_WIDEST) if count > 1 else np.zeros(1):
        short = max(1, round(size * math.exp(-abs(log) / 2) / patch)) * patch
        long = max(1, round(size**2 / short / patch)) * patch
        shapes.append((short, long) if log >= 0 else (long, short))
    found = tuple(sorted(set(shapes)))
    if len(found) < count:
        raise ValueError(
            f"modality.buckets={count}: around {size} x {size} pixels in patches of {patch} there are only {len(found)} such "
            f"shapes ({', '.join(f'{h} x {w}' for h, w in found)}): ask for fewer, a larger size or a smaller patch"
        )
    return found


def nearest(shapes: Sequence[Shape], height: int, width: int) -> Shape:
    """The shape whose aspect ratio is nearest in its logarithm; of two that are as near, the first."""
    return min(shapes, key=lambda shape: abs(math.log(shape[1] / shape[0]) - math.log(width / height)))


def draw(histogram: Sequence[tuple[int, int, int]], n: int, rng: np.random.Generator) -> list[Shape]:
    """n shapes at the shares of a histogram of (height, width, count); the first k do not depend on n."""
    edges = np.cumsum([count for _, _, count in histogram]) / sum(count for _, _, count in histogram)
    places = np.searchsorted(edges[:-1], rng.random(n), side="right")
    return [histogram[place][:2] for place in places]
