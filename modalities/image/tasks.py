"""Tasks of images: what is given. `known` is (H, W) bool, True where a pixel is given, or a part: means, grey."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from .enlarging import LOW
from .guides import smaller
from .parts import Grey, Means
from .reading import OWN

SHARES = (0.25, 0.75)  # of a side that a box takes, or of the pixels that lie behind a line


@dataclass(frozen=True)
class Inpaint(Task):
    """Fill a hole: a box, or everything behind a straight line, each half of the time.

    A box takes 1/4 to 3/4 of each side, anywhere; a line of any angle leaves 1/4 to 3/4 of the pixels unknown.
    """

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The item, and the pixels outside the hole."""
        shape = item.data.shape[:2]
        return item, _line(shape, rng) if rng.random() < 0.5 else ~_box(shape, rng)


@dataclass(frozen=True)
class Outpaint(Task):
    """Extend an image: a box of 1/4 to 3/4 of each side, anywhere, is given."""

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The item, and the pixels of the box."""
        return item, _box(item.data.shape[:2], rng)


def _box(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool, True in a random box."""
    inside = np.zeros(shape, bool)
    sides = [int(np.clip(round(rng.uniform(*SHARES) * n), 1, max(1, n - 1))) for n in shape]
    top, left = (int(rng.integers(n - side + 1)) for n, side in zip(shape, sides, strict=True))
    inside[top : top + sides[0], left : left + sides[1]] = True
    return inside


def _line(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool, True on one side of a random line."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij")
    distance = np.cos(angle) * x + np.sin(angle) * y
    return distance >= np.quantile(distance, rng.uniform(*SHARES))


@dataclass(frozen=True)
class Upscale(Task):
    """The means over squares of side x side pixels are given: an image of fewer pixels. They are kept exactly.

    An open picture whose own size is that of the image over `side` is the smaller one.
    """

    side: int

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, Means]:
        """The image, or the smaller one with each pixel as a square, and its means."""
        low = smaller(item, self.side)
        posed = replace(item, cond={**item.cond, LOW: low})
        if OWN in item.meta and item.meta[OWN].shape[:2] == low.shape[:2]:
            posed = replace(posed, data=low.repeat(self.side, axis=0).repeat(self.side, axis=1))
        return posed, Means(self.side)


@dataclass(frozen=True)
class Colourise(Task):
    """The means over the three colours are given, pixel by pixel: a grey image. They are kept exactly."""

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, Grey]:
        """The image, and its grey."""
        return item, Grey()
