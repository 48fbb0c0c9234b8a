"""What a model of series can be told: classes, static numbers, the calendar, and covariates that are known ahead."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item
from ornstein.core.state import Condition, Conditions

from . import calendar
from .encoder import Tokens, stack
from .tasks import COVARIATES

CALENDAR = "calendar"


@dataclass
class Told:
    """The conditions, as the training items have them.

    Args:
        classes: condition -> its names.
        static: names of numbers.
        features: of the calendar; empty: the model is not told the time.
        mean: (D,) of the covariates; empty: there are none.
        std: (D,) of the covariates.
    """

    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    static: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @staticmethod
    def of(items: Sequence[Item], static: Sequence[str], periods: bool | Sequence[str]) -> Told:
        """Learn names, periods and scales from training items.

        Args:
            periods: of the calendar by name, all that a step moves through, or none.

        Raises:
            ValueError: a calendar is asked for, and items have no dates; a period that the calendar does not have.
        """
        found: dict[str, set[str]] = {}
        for item in items:
            for name, value in item.cond.items():
                if name not in static:
                    found.setdefault(name, set()).add(str(value))
        features: tuple[str, ...] = ()
        if periods:
            index = items[0].data.index
            if index is None:
                raise ValueError(
                    f"modality.calendar=true, and {items[0].key} has no dates: name their column with "
                    "modality.time, or leave it out"
                )
            features = calendar.features_for(index) if periods is True else calendar.checked(periods)
        mean: tuple[float, ...] = ()
        std: tuple[float, ...] = ()
        if COVARIATES in items[0].meta:
            some = np.concatenate([item.meta[COVARIATES] for item in items[:: max(1, len(items) // 2000)]])
            spread = np.nanstd(some, axis=0)
            mean, std = tuple(np.nanmean(some, axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist())
        classes = {name: tuple(sorted(values, key=_natural)) for name, values in sorted(found.items())}
        return Told(classes, tuple(static), features, mean, std)

    @staticmethod
    def load(plain: dict[str, Any]) -> Told:
        """From what `vars` gave, by way of JSON."""
        classes = {name: tuple(names) for name, names in plain.pop("classes").items()}
        return Told(classes, **{name: tuple(values) for name, values in plain.items()})

    def specs(self, patch: int) -> tuple[ConditionSpec, ...]:
        """The declarations."""
        specs = [ConditionSpec(name, "class", len(names), names=names) for name, names in self.classes.items()]
        specs += [ConditionSpec(name, "scalar") for name in self.static]
        if self.features:
            specs.append(ConditionSpec(CALENDAR, "dense", 2 * len(self.features) * patch, "concat"))
        if self.mean:
            specs.append(ConditionSpec(COVARIATES, "dense", len(self.mean) * patch, "concat"))
        return tuple(specs)

    def encode(self, items: Sequence[Item], how: Tokens) -> Conditions:
        """The values of items; what an item does not have is not present.

        Raises:
            ValueError: a class that the training data does not have.
        """
        out: Conditions = {}
        channels, steps = len(items[0].data.columns), Tokens(how.patch)
        for name, names in self.classes.items():
            numbers = [_number(item, name, names) for item in items]
            value = torch.tensor([0 if number is None else number for number in numbers])
            out[name] = Condition(value, torch.tensor([number is not None for number in numbers]))
        for name in self.static:
            there = [name in item.cond for item in items]
            given = [float(item.cond[name]) if t else 0.0 for item, t in zip(items, there, strict=True)]
            out[name] = Condition(torch.tensor(given), torch.tensor(there))
        if self.features:
            there = [item.data.index is not None for item in items]
            index = [_local(item) for item in items]
            rows = calendar.features(stack(index, np.datetime64(0, "ns")), self.features)
            out[CALENDAR] = Condition(how.spread(steps.cut(torch.from_numpy(rows)), channels), torch.tensor(there))
        if self.mean:
            there = [COVARIATES in item.meta for item in items]
            empty = np.zeros((1, len(self.mean)))
            values = stack([item.meta.get(COVARIATES, empty.repeat(item.data.steps, 0)) for item in items], 0.0)
            scaled = np.nan_to_num((values - np.array(self.mean)) / np.array(self.std)).astype(np.float32)
            out[COVARIATES] = Condition(how.spread(steps.cut(torch.from_numpy(scaled)), channels), torch.tensor(there))
        return out


def _local(item: Item) -> np.ndarray:
    """Times as clocks show them; zeros where an item has none, which are not present then."""
    if item.data.index is None:
        return np.zeros(item.data.steps, "datetime64[ns]")
    return calendar.local(item.data.index, item.data.zone)


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
