"""Series longer than a model was trained on, made window by window: each is given what the ones before it made."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from ornstein.core.modality import Item

from .series import Series
from .tasks import COVARIATES


def roll(item: Item, known: np.ndarray, window: int, ahead: int) -> Generator[tuple[Item, np.ndarray], Series, Series]:
    """Windows to be made, in order; the sample of each is sent back. Returns the whole series.

    The next window begins `window - ahead` steps before the first step that is not complete, so that a forecast stands on as
    much context as in training; it ends no later than the series. Windows without anything to be made are passed over.

    Args:
        item: posed, of more than `window` steps.
        known: (T, K) bool.
        window: steps of a window.
        ahead: steps of it that are made at most behind a complete past, below `window`.
    """
    series: Series = item.data
    values, done = series.values.copy(), known & np.isfinite(series.values)
    while not done.all():
        first = int(np.argmin(done.all(1)))
        start = int(np.clip(first - (window - ahead), 0, series.steps - window))
        part = slice(start, start + window)
        sample = yield cut(replace(item, data=replace(series, values=values)), part), done[part].copy()
        new = ~done[part]
        if start + window < series.steps:  # what lies further ahead is made again with its own past
            new &= (np.arange(window) < first - start + ahead)[:, None]
        values[part][new] = sample.values[new]
        done[part] |= new
    return replace(series, values=values)


def cut(item: Item, part: slice) -> Item:
    """A stretch of an item."""
    series: Series = item.data
    index = None if series.index is None else series.index[part]
    meta = item.meta | {COVARIATES: item.meta[COVARIATES][part]} if COVARIATES in item.meta else item.meta
    return replace(item, data=replace(series, values=series.values[part], index=index), meta=meta)
