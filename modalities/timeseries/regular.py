"""Rows in order of time: sorted, duplicates joined, gaps put in; every repair is noted."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from . import calendar
from .cells import BadCell


@lru_cache
def is_frequency(word: str) -> bool:
    """Whether pandas takes a word as the length of a step."""
    from pandas.tseries.frequencies import to_offset

    try:
        return to_offset(word).n > 0
    except (ValueError, TypeError):
        return False


def regular(
    index: np.ndarray, values: np.ndarray, numbers: np.ndarray, asked: str | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Sort, join duplicates and fill gaps: for each step of the new index the row that stands there, -1 for none.

    Args:
        index: (T,) times of the rows.
        values: (T, K); joined rows are changed in place.
        numbers: (T,) of the rows in the file, for messages.
        asked: the length of a step where the user gave it; None: as the times say.
        notes: takes what was mended.

    Returns:
        the row of each step, the times of the steps, and their length, None where it is not regular.

    Raises:
        BadCell: two rows of one time that contradict each other.
    """
    order = np.argsort(index, kind="stable")
    late = int((np.diff(index.astype(np.int64)) < 0).sum())
    if late:
        notes.append(f"{late:,} rows that stood before an earlier one were sorted by time")
    times, first, inverse = np.unique(index[order], return_index=True, return_inverse=True)
    if len(times) < len(index):
        _join(index, order, first, inverse, values, numbers, notes)
    rows = order[first]
    freq = asked or calendar.frequency(times)
    if freq is None:
        if len(times) > 1:
            notes.append("steps have no regular length: each row is a step")
        return rows, times, None
    whole = calendar.grid(times[0], times[-1], freq)
    place = np.searchsorted(whole, times)
    if not np.array_equal(whole[np.minimum(place, len(whole) - 1)], times):
        off = times[whole[np.minimum(place, len(whole) - 1)] != times]
        raise BadCell(f"{off[0].astype('datetime64[s]')} lies on no step of modality.freq={asked}")
    filled = np.full(len(whole), -1)
    filled[place] = rows
    if len(whole) > len(times):
        notes.append(f"{len(whole) - len(times):,} missing steps of {freq} were put in as unobserved")
    return filled, whole, freq


def _join(
    index: np.ndarray,
    order: np.ndarray,
    first: np.ndarray,
    inverse: np.ndarray,
    values: np.ndarray,
    numbers: np.ndarray,
    notes: list[str],
) -> None:
    """One row stands for several of one time; `values` of that row becomes what is observed in any of them."""
    base = order[first][inverse]
    a, b = values[base], values[order]
    differ = np.isfinite(a) & np.isfinite(b) & (a != b)
    if differ.any():
        k = int(np.argmax(differ.any(1)))
        raise BadCell(
            f"{index[base[k]].astype('datetime64[s]')} stands in row {numbers[base[k]]} and, with other values, in row "
            f"{numbers[order[k]]}: keep one of them, or name the column that tells series apart with modality.series"
        )
    values[order[first]] = np.fmax.reduceat(values[order], first, axis=0)
    notes.append(f"{len(order) - len(first):,} rows that repeat the time of another with the same values were joined")
