"""What a model of sound can be told: classes, numbers, where in a recording it is, and spectra for each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item
from ornstein.core.state import Condition, Conditions

MEL, NOISY = "mel", "noisy"
Guide = Literal["none", "mel", "noisy"]
TIMING = ("seconds", "start")  # of the recording, and of the clip in it
_SCALES = {MEL: (0.3, 0.2), NOISY: (0.0, 1.0)}  # mean and spread; of mel spectra those of speech


@dataclass(frozen=True)
class Told:
    """The conditions, as the training items have them.

    Args:
        columns: words and numbers.
        guide: name and size of what is told for each token; None: nothing.
    """

    columns: Columns = field(default_factory=Columns)
    guide: tuple[str, int] | None = None

    @staticmethod
    def load(plain: Mapping[str, Any]) -> Told:
        """From what `plain` gave, by way of JSON."""
        guide = plain["guide"]
        return Told(Columns.load(plain["columns"]), None if guide is None else (str(guide[0]), int(guide[1])))

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"columns": vars(self.columns), "guide": self.guide}

    def specs(self) -> tuple[ConditionSpec, ...]:
        """The declarations."""
        specs = self.columns.specs(dict.fromkeys(TIMING, "s"))
        if self.guide is None:
            return specs
        name, size = self.guide
        offset, scale = _SCALES[name]
        return (*specs, ConditionSpec(name, "dense", size, "concat", offset=offset, scale=scale))

    def encode(self, items: Sequence[Item], tokens: int) -> Conditions:
        """The values of items of at most so many tokens; what an item does not have is not present.

        Raises:
            ValueError: a class that the training data does not have, or a guide of another size.
        """
        out = self.columns.encode(items)
        if self.guide is not None:
            name, size = self.guide
            rows = [item.cond.get(name) for item in items]
            if any(row is not None for row in rows):  # else nothing is told, and no room is made for it
                value = torch.zeros(len(items), tokens, size)
                for i, row in enumerate(rows):
                    if row is not None:
                        value[i, : len(row)] = torch.from_numpy(_sized(np.asarray(row, np.float32), name, size))
                out[name] = Condition(value, torch.tensor([row is not None for row in rows]))
        return out


def _sized(row: np.ndarray, name: str, size: int) -> np.ndarray:
    if row.ndim != 2 or row.shape[1] != size:
        raise ValueError(f"condition {name!r} takes arrays (tokens, {size}), found {row.shape}")
    return row
