"""Films that need no download: handwritten digits that bounce in a box; see `world`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from ornstein.core import rng
from ornstein.core.sources import File, Row, Source
from ornstein.core.sources.store import Store

from . import world

FRAMES, FPS = 64, 8.0  # frames of a film, and a second


class Bounce(Source):
    """1,797 films of 64 frames of 32 x 32 grey pixels at 8 frames a second: each digit on a path of its own.

    Each row has the class `label`, a digit as a word, and `speed`, pixels a frame.

    Source of the digits: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), test part, of scikit-learn.
    """

    def rows(self) -> list[Row]:
        """A file for each digit, `digit-17.npz`."""
        store, labels = _Camera(), _digits()[1]
        return [
            Row(File(name, store), {"label": str(label), "speed": _law(name).speed})
            for name, label in zip(store.names(), labels, strict=True)
        ]

    def about(self) -> str:
        """One line for a person."""
        return f"{len(_digits()[1]):,} generated films of {FRAMES} frames: handwritten digits that bounce, 10 classes"


@dataclass(frozen=True)
class _Camera(Store):
    """Films a digit when its file is opened; the name alone says which."""

    path: Path = Path("bounce")

    def names(self) -> list[str]:
        """Every film, by the number of its digit."""
        return [f"digit-{number}.npz" for number in range(len(_digits()[1]))]

    def open(self, name: str) -> BinaryIO:
        """The film as the arrays `frames` and `fps`."""
        return io.BytesIO(_film(name))


def _law(name: str) -> world.Law:
    return world.drawn(rng.generator(0, "bounce", name))


@lru_cache(maxsize=4)  # the clips of a film are read one after another
def _film(name: str) -> bytes:
    number = int(name.removeprefix("digit-").removesuffix(".npz"))
    content = io.BytesIO()
    np.savez(content, frames=world.filmed(_digits()[0][number], _law(name), FRAMES), fps=FPS)
    return content.getvalue()


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 8, 8) levels 0 to 255, and labels."""
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    return levels.reshape(-1, 8, 8) * 255 / 16, labels
