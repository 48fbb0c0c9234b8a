"""What a model of sound can be told: classes, numbers, where in a recording it is, and spectra for each token."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item
from ornstein.core.state import Condition, Conditions

MEL, NOISY = "mel", "noisy"
Guide = Literal["none", "mel", "noisy"]
TIMING = ("seconds", "start")  # of the recording, and of the clip in it


@dataclass
class Told:
    """The conditions, as the training items have them.

    Args:
        classes: condition -> its names, of columns of words.
        numbers: condition -> mean and standard deviation, of columns of numbers.
        guide: name and size of what is told for each token; None: nothing.
    """

    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: dict[str, tuple[float, float]] = field(default_factory=dict)
    guide: tuple[str, int] | None = None

    @staticmethod
    def of(items: Sequence[Item], guide: tuple[str, int] | None) -> Told:
        """Learn names and scales from training items.

        Raises:
            ValueError: a condition that is a word in one item and a number in another.
        """
        found: dict[str, list[Any]] = {}
        for item in items:
            for name, value in item.cond.items():
                found.setdefault(name, []).append(value)
        classes, numbers = {}, {}
        for name, values in sorted(found.items()):
            words = {value for value in values if isinstance(value, str)}
            if not words:
                spread = float(np.std(values))
                numbers[name] = (float(np.mean(values)), spread if spread > 0 else 1.0)
            elif len(words) < len(set(values)):
                other = next(value for value in values if not isinstance(value, str))
                raise ValueError(
                    f"condition {name!r} is a word in some rows ({min(words)!r}) and a number in others ({other})"
                )
            else:
                classes[name] = tuple(sorted(words, key=_natural))
        return Told(classes, numbers, guide)

    @staticmethod
    def load(plain: Mapping[str, Any]) -> Told:
        """From what `vars` gave, by way of JSON."""
        guide = plain["guide"]
        return Told(
            {name: tuple(names) for name, names in plain["classes"].items()},
            {name: (float(mean), float(std)) for name, (mean, std) in plain["numbers"].items()},
            None if guide is None else (str(guide[0]), int(guide[1])),
        )

    def specs(self) -> tuple[ConditionSpec, ...]:
        """The declarations."""
        specs = [ConditionSpec(name, "class", len(names), names=names) for name, names in self.classes.items()]
        for name, (mean, std) in self.numbers.items():
            specs.append(ConditionSpec(name, "scalar", unit="s" if name in TIMING else "", offset=mean, scale=std))
        if self.guide is not None:
            specs.append(ConditionSpec(self.guide[0], "dense", self.guide[1], "concat"))
        return tuple(specs)

    def encode(self, items: Sequence[Item], tokens: int) -> Conditions:
        """The values of items of at most so many tokens; what an item does not have is not present.

        Raises:
            ValueError: a class that the training data does not have, or a guide of another size.
        """
        out: Conditions = {}
        for name, names in self.classes.items():
            numbers = [_number(item, name, names) for item in items]
            value = torch.tensor([0 if number is None else number for number in numbers])
            out[name] = Condition(value, torch.tensor([number is not None for number in numbers]))
        for name in self.numbers:
            there = [item.cond.get(name) is not None for item in items]
            given = [float(item.cond[name]) if t else 0.0 for item, t in zip(items, there, strict=True)]
            out[name] = Condition(torch.tensor(given), torch.tensor(there))
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


def _number(item: Item, name: str, names: tuple[str, ...]) -> int | None:
    if item.cond.get(name) is None:
        return None
    word = str(item.cond[name])
    if word not in names:
        near = difflib.get_close_matches(word, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise ValueError(
            f"{item.key or 'an item'} has {name} {word!r}, which is none of the {len(names)} of the training data ({some}){hint}"
        )
    return names.index(word)


def _natural(word: str) -> tuple[bool, float, str]:
    """Numbers by value, then words by letter."""
    try:
        return False, float(word), word
    except ValueError:
        return True, 0.0, word
