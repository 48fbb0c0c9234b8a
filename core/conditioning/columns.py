"""Conditions that come from columns of the data: words become classes, numbers are scaled, texts are read as bytes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..state import Condition, Conditions
from .spec import ConditionSpec
from .values import encode_bytes

if TYPE_CHECKING:
    from ..modality import Item


@dataclass(frozen=True)
class Columns:
    """The conditions that training items have, by column.

    Args:
        classes: column -> names of its classes, numbers by value before words by letter.
        numbers: column -> mean and standard deviation.
        texts: column -> bytes of its longest text.
    """

    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: dict[str, tuple[float, float]] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(
        items: Sequence[Item],
        classes: Collection[str] = (),
        texts: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Columns:
        """Learn classes, scales and lengths from what training items have as conditions.

        Args:
            classes: columns that are classes even where they hold numbers.
            texts: columns that are texts; the other ones are classes where they hold words, else numbers.
            only: columns that count; None: all of them.

        Raises:
            ValueError: a column that holds a word in one item and a number in another.
        """
        found: dict[str, list[Any]] = {}
        for item in items:
            for name, value in item.cond.items():
                if value is not None and (only is None or name in only):
                    found.setdefault(name, []).append(value)
        out = Columns()
        for name, values in sorted(found.items()):
            words = {value for value in values if isinstance(value, str)}
            if name in texts:
                out.texts[name] = max(len(str(value).encode()) for value in values)
            elif name in classes or words:
                _check_alike(name, values, words if name not in classes else set())
                out.classes[name] = tuple(sorted({str(value) for value in values}, key=_natural))
            else:
                spread = float(np.std(values))
                out.numbers[name] = (float(np.mean(values)), spread if spread > 0 else 1.0)
        return out

    @staticmethod
    def load(plain: Mapping[str, Any]) -> Columns:
        """From what `vars` gave, by way of JSON."""
        return Columns(
            {name: tuple(names) for name, names in plain["classes"].items()},
            {name: (float(mean), float(std)) for name, (mean, std) in plain["numbers"].items()},
            {name: int(size) for name, size in plain["texts"].items()},
        )

    def specs(self, units: Mapping[str, str] | None = None) -> tuple[ConditionSpec, ...]:
        """The declarations; `units` of numbers by name. Texts are attended to."""
        units = units or {}
        return (
            *(ConditionSpec(name, "class", len(names), names=names) for name, names in self.classes.items()),
            *(
                ConditionSpec(name, "scalar", unit=units.get(name, ""), offset=mean, scale=std)
                for name, (mean, std) in self.numbers.items()
            ),
            *(ConditionSpec(name, "text", size, "cross") for name, size in self.texts.items() if size),
        )

    def encode(self, items: Sequence[Item]) -> Conditions:
        """The values of a batch; what an item does not have is not present.

        Raises:
            ValueError: a class that the training data does not have.
        """
        out: Conditions = {}
        for name in self.classes:
            places = [self.number(item, name) for item in items]
            value = torch.tensor([place or 0 for place in places])
            out[name] = Condition(value, torch.tensor([place is not None for place in places]))
        for name in self.numbers:
            values = [item.cond.get(name) for item in items]
            given = torch.tensor([0.0 if value is None else float(value) for value in values])
            out[name] = Condition(given, torch.tensor([value is not None for value in values]))
        for name, size in self.texts.items():
            if size:
                texts = [item.cond.get(name) for item in items]
                value, mask = encode_bytes(["" if text is None else str(text) for text in texts], size)
                out[name] = Condition(value, torch.tensor([text is not None for text in texts]), mask)
        return out

    def number(self, item: Item, name: str) -> int | None:
        """The number of an item's class in a column; None where it has none, or there is no such column.

        Raises:
            ValueError: a class that the training data does not have.
        """
        names = self.classes.get(name)
        if names is None or item.cond.get(name) is None:
            return None
        word = str(item.cond[name])
        if word not in names:
            near = difflib.get_close_matches(word, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ValueError(
                f"{item.key or 'an item'} has {name} {word!r}, which is none of the {len(names)} classes of the training "
                f"data ({some}){hint}"
            )
        return names.index(word)


def _check_alike(name: str, values: Sequence[Any], words: set[str]) -> None:
    """Raise a ValueError where only some of the values are words."""
    other = next((value for value in values if words and not isinstance(value, str)), None)
    if other is not None:
        raise ValueError(f"condition {name!r} is a word in some rows ({min(words)!r}) and a number in others ({other})")


def _natural(word: str) -> tuple[bool, float, str]:
    """Numbers by value, then words by letter."""
    number = re.fullmatch(r"-?\d+(\.\d+)?", word) is not None
    return not number, float(word) if number else 0.0, word
