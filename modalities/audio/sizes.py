"""How long new clips are, and how loud: as those of the training data that were asked for the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sizes:
    """Of each training clip its samples, its gain, and its classes.

    Args:
        steps: (n,) integers.
        gains: (n,), what a clip was multiplied with on its way to model space.
        names: of the classes.
        classes: (n, K) their numbers, -1 where a clip has none.
    """

    steps: np.ndarray
    gains: np.ndarray
    names: tuple[str, ...] = ()
    classes: np.ndarray | None = None

    def draw(self, u: float, asked: Mapping[str, int]) -> tuple[int, float]:
        """Samples and gain of a clip by a uniform number in [0, 1): of the asked classes, or of all where none has them."""
        like = np.ones(len(self.steps), bool)
        for k, name in enumerate(self.names):
            if name in asked and self.classes is not None:
                like &= self.classes[:, k] == asked[name]
        rows = np.flatnonzero(like) if like.any() else np.arange(len(self.steps))
        row = rows[int(u * len(rows))]
        return int(self.steps[row]), float(self.gains[row])

    @property
    def longest(self) -> int:
        """Samples of the longest training clip; 0 where there is none."""
        return int(self.steps.max(initial=0))


def sizes(steps: Sequence[int], gains: Sequence[float], classes: Mapping[str, Sequence[int]]) -> Sizes:
    """From columns, one value for each clip."""
    table = np.array(list(classes.values()), np.int64).T.reshape(len(steps), len(classes))
    return Sizes(np.array(steps, np.int64), np.array(gains, np.float64), tuple(classes), table)
