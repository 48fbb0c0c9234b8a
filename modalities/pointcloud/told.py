"""What a model of shapes can be told: the class, and a caption."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import encode_bytes
from ornstein.core.modality import Item
from ornstein.core.state import Condition, Conditions

LABEL, CAPTION = "label", "caption"


@dataclass(frozen=True)
class Told:
    """The conditions, as the training items have them.

    Args:
        names: of the classes; empty: the model is not told the class.
        bytes: of the longest caption; 0: the model is not told captions.
    """

    names: tuple[str, ...] = ()
    bytes: int = 0

    @staticmethod
    def of(items: Sequence[Item], labels: bool, captions: bool) -> Told:
        """Learn the classes and the length of captions."""
        names = {str(item.cond[LABEL]) for item in items if LABEL in item.cond} if labels else set()
        texts = [str(item.cond[CAPTION]) for item in items if CAPTION in item.cond] if captions else []
        return Told(tuple(sorted(names, key=_natural)), max((len(text.encode()) for text in texts), default=0))

    @property
    def specs(self) -> tuple[ConditionSpec, ...]:
        """The declarations."""
        label = ConditionSpec(LABEL, "class", len(self.names), names=self.names) if self.names else None
        caption = ConditionSpec(CAPTION, "text", self.bytes, "cross") if self.bytes else None
        return tuple(spec for spec in (label, caption) if spec is not None)

    def encode(self, items: Sequence[Item]) -> Conditions:
        """The values of items; what an item does not have is not present.

        Raises:
            ValueError: a class that the training data does not have.
        """
        out: Conditions = {}
        if self.names:
            numbers = [self.number(item) for item in items]
            value = torch.tensor([0 if number is None else number for number in numbers])
            out[LABEL] = Condition(value, torch.tensor([number is not None for number in numbers]))
        if self.bytes:
            texts = [item.cond.get(CAPTION) for item in items]
            value, mask = encode_bytes(["" if text is None else str(text) for text in texts], self.bytes)
            out[CAPTION] = Condition(value, torch.tensor([text is not None for text in texts]), mask)
        return out

    def number(self, item: Item) -> int | None:
        """The number of an item's class; None where it has none, or the model is not told.

        Raises:
            ValueError: a class that the training data does not have.
        """
        if not self.names or item.cond.get(LABEL) is None:
            return None
        label = str(item.cond[LABEL])
        if label not in self.names:
            near = difflib.get_close_matches(label, self.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            some = ", ".join(self.names[:10]) + (", ..." if len(self.names) > 10 else "")
            raise ValueError(
                f"{item.key or 'a shape'} has label {label!r}, which is none of the {len(self.names)} classes of the training "
                f"data ({some}){hint}"
            )
        return self.names.index(label)


def _natural(word: str) -> tuple[bool, float, str]:
    """Numbers by value, then words by letter."""
    try:
        return False, float(word), word
    except ValueError:
        return True, 0.0, word
