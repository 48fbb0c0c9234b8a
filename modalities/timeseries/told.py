"""What a model of series can be told: classes, static numbers, the calendar, and covariates that are known ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item
from ornstein.core.state import Condition, Conditions

from . import calendar
from .encoder import Tokens, stack
from .tasks import COVARIATES

CALENDAR = "calendar"


@dataclass(frozen=True)
class Told:
    """The conditions, as the training items have them.

    Args:
        columns: words and numbers.
        features: of the calendar; empty: the model is not told the time.
        mean: (D,) of the covariates; empty: there are none.
        std: (D,) of the covariates.
    """

    columns: Columns = field(default_factory=Columns)
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
        words = {name for item in items for name in item.cond} - set(static)
        return Told(Columns.of(items, words), features, mean, std)

    @staticmethod
    def load(plain: dict[str, Any]) -> Told:
        """From what `plain` gave, by way of JSON."""
        rest = {name: tuple(values) for name, values in plain.items() if name != "columns"}
        return Told(Columns.load(plain["columns"]), **rest)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return vars(self) | {"columns": vars(self.columns)}

    def specs(self, patch: int) -> tuple[ConditionSpec, ...]:
        """The declarations."""
        specs = list(self.columns.specs())
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
        out = self.columns.encode(items)
        channels, steps = len(items[0].data.columns), Tokens(how.patch)
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
