"""Tasks of series: which entries are given. `known` is (T, K) bool, True where a value is given.

An item that was read whole from a file, with no window cut, is *open*: what is to be made is not in it. Forecasts then go on
behind its end, gaps are what it does not observe, and coarse series get new steps between their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from . import calendar
from .series import Series

OPEN = "open"
COVARIATES = "covariates"


@dataclass(frozen=True)
class Forecast(Task):
    """The end is to be made from what stands before it.

    Args:
        horizon: steps to make; None: drawn between 1 and half of the item in training, a quarter of `window` behind an open
            item.
        window: steps of the training windows; 0 where they have no one length.
    """

    horizon: int | None = None
    window: int = 0

    def __post_init__(self) -> None:
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon {self.horizon}: at least 1 step is to be forecast")

    def sized(self, size: int) -> Forecast:
        """With another horizon, also beyond the trained one: it is then made window by window.

        Raises:
            ValueError: a size that is not one number of steps.
        """
        if not isinstance(size, int):
            raise ValueError(f"size {size}: a forecast takes one number, the steps to make")
        return replace(self, horizon=size)

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The item, extended where it is open, and all that lies before the horizon.

        Raises:
            ValueError: an item too short for the horizon.
        """
        steps = item.data.steps
        if item.meta.get(OPEN):
            return self._behind(item)
        horizon = int(rng.integers(1, max(2, steps // 2 + 1))) if self.horizon is None else self.horizon
        if horizon >= steps:
            raise ValueError(
                f"{item.key}: a horizon of {horizon} steps needs more than the {steps} steps that are there"
            )
        return item, observed(item) & (np.arange(steps) < steps - horizon)[:, None]

    def _behind(self, item: Item) -> tuple[Item, np.ndarray]:
        """Rows at the end that hold covariates and no values are the future; else it is put behind the end."""
        seen = observed(item)
        last = int(np.flatnonzero(seen.any(1))[-1]) + 1 if seen.any() else 0
        horizon = self.horizon or max(1, (self.window or item.data.steps) // 4)
        covariates = item.meta.get(COVARIATES)
        if covariates is not None:
            if item.data.steps - last < horizon:
                raise ValueError(
                    f"{item.key}: a forecast of {horizon} steps needs the covariates of as many future steps: add rows with "
                    f"empty values behind the last one ({item.data.steps - last} are there)"
                )
            item = _cut(item, last + horizon)
        else:
            item = _extended(item, horizon)
        return item, observed(item)


@dataclass(frozen=True)
class Impute(Task):
    """Values are to be filled in.

    Args:
        kind: what is taken away of an item: `points`, single values; `blocks`, stretches of steps, in all channels; `channels`,
            whole ones; `any`, one of the three. Of an open item nothing is: its gaps are filled.
        share: of the observed values; None: drawn from 0.1 to 0.9.
    """

    kind: Literal["any", "points", "blocks", "channels"] = "any"
    share: float | None = None

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The item, and what is left of it.

        Raises:
            ValueError: an open item without gaps.
        """
        seen = observed(item)
        if item.meta.get(OPEN):
            if seen.all():
                raise ValueError(
                    f"{item.key}: nothing is missing: leave the cells empty that are to be filled, or use --mask"
                )
            return item, seen
        steps, channels = seen.shape
        share = rng.uniform(0.1, 0.9) if self.share is None else self.share
        kind = ("points", "blocks", "channels")[int(rng.integers(3))] if self.kind == "any" else self.kind
        if kind == "channels" and channels > 1:
            hidden = np.zeros((1, channels), bool)
            hidden[0, rng.permutation(channels)[: int(np.clip(round(share * channels), 1, channels - 1))]] = True
        elif kind == "points":
            hidden = _points(seen, share, rng)
        else:
            length = int(np.clip(round(share * steps), 1, max(1, steps - 1)))
            start = int(rng.integers(steps - length + 1))
            hidden = ((np.arange(steps) >= start) & (np.arange(steps) < start + length))[:, None]
        return item, seen & ~hidden


@dataclass(frozen=True)
class SuperResolution(Task):
    """Every k-th step is given.

    Args:
        every: k. An open item gets k - 1 new steps between each two of its own.
    """

    every: int = 4

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The item, refined where it is open, and its coarse steps."""
        if item.meta.get(OPEN):
            item = _refined(item, self.every)
        return item, observed(item) & (np.arange(item.data.steps) % self.every == 0)[:, None]


def observed(item: Item) -> np.ndarray:
    """(T, K) bool."""
    return np.isfinite(item.data.values)


def _points(seen: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the observed entries, at least one of them."""
    places = np.flatnonzero(seen)
    count = int(np.clip(round(share * len(places)), min(1, len(places)), max(1, len(places) - 1)))
    hidden = np.zeros(seen.size, bool)
    hidden[rng.permutation(places)[:count]] = True
    return hidden.reshape(seen.shape)


def _extended(item: Item, steps: int) -> Item:
    series: Series = item.data
    values = np.concatenate([series.values, np.full((steps, series.values.shape[1]), np.nan)])
    index = series.index
    if index is not None:
        index = np.concatenate([index, calendar.later(index, series.freq, steps)])
    return replace(item, data=replace(series, values=values, index=index))


def _cut(item: Item, stop: int) -> Item:
    series: Series = item.data
    index = None if series.index is None else series.index[:stop]
    meta = item.meta | {COVARIATES: item.meta[COVARIATES][:stop]}
    return replace(item, data=replace(series, values=series.values[:stop], index=index), meta=meta)


def _refined(item: Item, every: int) -> Item:
    series: Series = item.data
    if COVARIATES in item.meta:
        raise ValueError(f"{item.key}: there are no covariates for the steps between its own")
    values = np.full(((series.steps - 1) * every + 1, series.values.shape[1]), np.nan)
    values[::every] = series.values
    index = None if series.index is None else calendar.finer(series.index, every)
    return replace(item, data=replace(series, values=values, index=index, freq=None))
