"""Straight lines between known values."""

from __future__ import annotations

import numpy as np


def interpolated(values: np.ndarray, known: np.ndarray | None = None, level: np.ndarray | None = None) -> np.ndarray:
    """Each channel of each window, straight between known observed values and level beyond them; (n, T, K).

    Args:
        values: (n, T, K), NaN where nothing was observed.
        known: which entries may be used; None: all that are observed.
        level: (K,) of a channel without any; None: the mean of its known values in all windows, 0 where there are none at all.
    """
    known = np.isfinite(values) if known is None else known & np.isfinite(values)
    steps = values.shape[1]
    t = np.arange(steps)[None, :, None]
    before = np.maximum.accumulate(np.where(known, t, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, t, steps)[:, ::-1], axis=1)[:, ::-1]
    filled = np.where(known, values, 0.0)
    first = np.where(before < 0, after, before).clip(0, steps - 1)
    second = np.where(after >= steps, before, after).clip(0, steps - 1)
    low, high = np.take_along_axis(filled, first, 1), np.take_along_axis(filled, second, 1)
    share = (t - first) / np.maximum(second - first, 1)
    line = low + np.clip(share, 0, 1) * (high - low)
    if level is None:
        level = filled.sum((0, 1)) / np.maximum(known.sum((0, 1)), 1)
    return np.where(known, filled, np.where(known.any(1, keepdims=True), line, level))
