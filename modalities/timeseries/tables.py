"""From a file to its series: columns by their roles, times sorted and made regular, every repair counted."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Folder, Memory

from . import calendar, formats
from .cells import DATE_NAMES, BadCell, dates, holds_words, looks_like_dates, numbers, row_number, words
from .series import Series

if TYPE_CHECKING:
    import pandas as pd

SERIES_NAMES = ("item_id", "series_id", "unique_id", "series", "sample")
SPLIT = "split"
_KEPT = 256  # tables that stay parsed


@dataclass(frozen=True)
class Roles:
    """What the columns of a file are for; see the options of `TimeSeries` of the same names."""

    columns: tuple[str, ...] | None = None
    time: tuple[str, ...] | None = None
    series: str | None = None
    classes: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    freq: str | None = None
    first: int | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """One series of a file, whole.

    Args:
        series: its values.
        classes: column -> (T,) text, None where missing.
        covariates: (T, D) float64, known for the future too; D may be 0.
        static: column -> the one number of the series.
        parts: (T,) the word of the official split, None where the file has none.
        repairs: what was mended, with counts.
    """

    series: Series
    classes: Mapping[str, np.ndarray] = field(default_factory=dict)
    covariates: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    static: Mapping[str, float] = field(default_factory=dict)
    parts: np.ndarray | None = None
    repairs: tuple[str, ...] = ()


def tables(file: File, roles: Roles) -> Mapping[str, Table]:
    """The series of a file by name, in its order; parsed once while the file does not change.

    Raises:
        BadItem: the file cannot be used; the message names column and row.
    """
    return _tables(file, roles, _stamp(file))


def _stamp(file: File) -> tuple[int, int]:
    """What changes with the content: time and size of the file, or of its archive; nothing for files in memory."""
    store = file.store
    if isinstance(store, Memory):
        return 0, 0
    stat = os.stat(
        f"{store.path}/{file.name}" if isinstance(store, Folder) else store.path
    )  # pathlib would take half of `read`
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=_KEPT)
def _tables(file: File, roles: Roles, stamp: tuple[int, int]) -> dict[str, Table]:
    frames = formats.frames(file)
    try:
        whole = frames.get("")
        if whole is not None and not isinstance(whole, formats.Plain):
            frames = _by_series(whole, roles)
        found = {}
        for name, frame in frames.items():
            try:
                found[name] = (
                    _plain(frame, name, roles) if isinstance(frame, formats.Plain) else _table(frame, name, roles)
                )
            except (BadCell, LookupError) as error:
                where = f"series {name!r}: " if name else ""
                raise BadCell(f"{where}{error.args[0]}") from error
        return found
    except (BadCell, LookupError) as error:
        raise BadItem(file.location, str(error.args[0])) from error


def _by_series(frame: pd.DataFrame, roles: Roles) -> dict[str, pd.DataFrame]:
    """A long table cut by its column of series; row numbers stay those of the file."""
    column = roles.series
    if column is None:
        column = next((name for name in frame.columns if str(name).lower() in SERIES_NAMES), None)
        if column is not None and roles.columns is not None and column in roles.columns:
            column = None
    if column is None:
        return {"": frame}
    _need([column], frame)
    if frame[column].isna().any():
        raise BadCell(
            f"column {column!r} names no series in row {row_number(frame[column], int(np.argmax(frame[column].isna())))}"
        )
    groups = frame.groupby(words(frame[column]), sort=False)
    return {str(name): group.drop(columns=column) for name, group in groups}


def _plain(frame: formats.Plain, name: str, roles: Roles) -> Table:
    """A table of numbers alone, of which thousands are quick."""
    if roles.time or roles.classes or roles.covariates or roles.static or SPLIT in frame.columns:
        return _table(frame.frame(), name, roles)
    values, columns = frame.values, roles.columns or frame.columns
    if np.isinf(values).any() or columns != frame.columns:
        return _table(frame.frame(), name, roles)
    return Table(Series(values[: roles.first], columns, None, roles.freq, None, name))


def _table(frame: pd.DataFrame, name: str, roles: Roles) -> Table:
    notes: list[str] = []
    index, zone, used = _index(frame, roles, notes)
    columns = _values_columns(frame, roles, used)
    read = _reader(frame)
    values = np.column_stack([read(c) for c in columns]) if columns else np.zeros((len(frame), 0))
    covariates = np.column_stack([read(c) for c in roles.covariates]) if roles.covariates else np.zeros((len(frame), 0))
    read.check()
    texts = {c: words(frame[c]) for c in (*roles.classes, *((SPLIT,) if SPLIT in frame.columns else ()))}
    static = {c: _constant(c, read(c)) for c in roles.static}
    order, freq = np.arange(len(frame)), roles.freq
    if index is not None:
        order, index, freq = _regular(index, values, roles, notes)
    values, covariates = (_placed(x, order, np.nan) for x in (values, covariates))
    texts = {c: _placed(x, order, None) for c, x in texts.items()}
    stop = roles.first
    series = Series(values[:stop], tuple(columns), None if index is None else index[:stop], freq, zone, name)
    parts = texts.pop(SPLIT, None)
    return Table(
        series, {c: x[:stop] for c, x in texts.items()}, covariates[:stop], static,
        None if parts is None else parts[:stop], tuple(notes),
    )  # fmt: skip


def _index(
    frame: pd.DataFrame, roles: Roles, notes: list[str]
) -> tuple[np.ndarray | None, str | None, tuple[str, ...]]:
    """The dates of the rows, their zone, and the columns they came from."""
    import pandas as pd

    if frame.attrs.get("start") is not None:
        freq = roles.freq or frame.attrs.get("freq")
        if freq is None:
            notes.append("`start` without a frequency is left out: set modality.freq")
            return None, None, ()
        start = pd.Timestamp(frame.attrs["start"])
        first = start if start.tz is None else start.tz_convert("UTC").tz_localize(None)
        index = pd.date_range(first, periods=len(frame), freq=freq).to_numpy("datetime64[ns]")
        return index, None if start.tz is None else str(start.tz), ()
    used = roles.time
    if used is None:
        own = set(roles.columns or ()) | set(roles.classes) | set(roles.covariates) | set(roles.static)
        likely = sorted(frame.columns, key=lambda c: str(c).lower() not in DATE_NAMES)
        used = next(((c,) for c in likely if c not in own and looks_like_dates(frame[c])), ())
    _need(used, frame)
    if not used:
        return None, None, ()
    if len(used) == 1:
        if not looks_like_dates(frame[used[0]]):
            dates(frame[used[0]].astype("string"))  # raises with the first cell that is no date
        index, zone, found = dates(frame[used[0]])
        notes += found
        return index, zone, used
    try:
        joined = pd.to_datetime(frame[list(used)].rename(columns=str.lower))
    except (ValueError, TypeError) as error:
        raise BadCell(
            f"columns {', '.join(used)} make no dates ({error}): name them year, month, day, hour, ..."
        ) from error
    return joined.to_numpy("datetime64[ns]"), None, used


def _values_columns(frame: pd.DataFrame, roles: Roles, used: Sequence[str]) -> list[str]:
    """The channels: those that were asked for, or every column of numbers that has no other role."""
    _need((*roles.classes, *roles.covariates, *roles.static), frame)
    if roles.columns is not None:
        _need(roles.columns, frame)
        return list(roles.columns)
    other = {*used, *roles.classes, *roles.covariates, *roles.static, SPLIT}
    left = [c for c in frame.columns if c not in other and not str(c).startswith("feat_")]
    for c in left:
        if holds_words(frame[c]) and frame[c].notna().any():
            row = int(np.argmax(frame[c].notna()))
            raise BadCell(
                f"column {c!r} holds words ({frame[c].iloc[row]!r} in row {row_number(frame[c], row)}): make it a condition with "
                f"modality.classes=[{c}], or name the channels with modality.columns"
            )
    if not left:
        raise BadCell(f"there is no column of numbers: it has {', '.join(map(str, frame.columns))}")
    return left


class _reader:  # noqa: N801 - used as a function
    """Columns to numbers, with the decimal signs that were seen."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.signs = frame, dict[str, str]()

    def __call__(self, column: str) -> np.ndarray:
        values, sign = numbers(self.frame[column])
        if sign:
            self.signs.setdefault(sign, column)
        return values

    def check(self) -> None:
        if len(self.signs) > 1:
            raise BadCell(
                f"column {self.signs[',']!r} is written with decimal commas and column {self.signs['.']!r} with decimal "
                "points: write all numbers alike"
            )


def _regular(
    index: np.ndarray, values: np.ndarray, roles: Roles, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Sort, join duplicates and fill gaps: for each step of the new index the row that stands there, -1 for none.

    Raises:
        BadCell: two rows of one time that contradict each other.
    """
    order = np.argsort(index, kind="stable")
    late = int((np.diff(index.astype(np.int64)) < 0).sum())
    if late:
        notes.append(f"{late:,} rows that stood before an earlier one were sorted by time")
    times, first, inverse = np.unique(index[order], return_index=True, return_inverse=True)
    if len(times) < len(index):
        _join(index, order, first, inverse, values, notes)
    rows = order[first]
    freq = roles.freq or calendar.frequency(times)
    if freq is None:
        if len(times) > 1:
            notes.append("steps have no regular length: each row is a step")
        return rows, times, None
    whole = calendar.grid(times[0], times[-1], freq)
    place = np.searchsorted(whole, times)
    if not np.array_equal(whole[np.minimum(place, len(whole) - 1)], times):
        off = times[whole[np.minimum(place, len(whole) - 1)] != times]
        raise BadCell(f"{off[0].astype('datetime64[s]')} lies on no step of modality.freq={roles.freq}")
    filled = np.full(len(whole), -1)
    filled[place] = rows
    if len(whole) > len(times):
        notes.append(f"{len(whole) - len(times):,} missing steps of {freq} were put in as unobserved")
    return filled, whole, freq


def _join(
    index: np.ndarray, order: np.ndarray, first: np.ndarray, inverse: np.ndarray, values: np.ndarray, notes: list[str]
) -> None:
    """One row stands for several of one time; `values` of that row becomes what is observed in any of them."""
    base = order[first][inverse]
    a, b = values[base], values[order]
    differ = np.isfinite(a) & np.isfinite(b) & (a != b)
    if differ.any():
        k = int(np.argmax(differ.any(1)))
        raise BadCell(
            f"{index[base[k]].astype('datetime64[s]')} stands in row {base[k] + 1} and, with other values, in row "
            f"{order[k] + 1}: keep one of them, or name the column that tells series apart with modality.series"
        )
    values[order[first]] = np.fmax.reduceat(values[order], first, axis=0)
    notes.append(f"{len(order) - len(first):,} rows that repeat the time of another with the same values were joined")


def _placed(x: np.ndarray, rows: np.ndarray, empty: Any) -> np.ndarray:
    out = x[rows]
    out[rows < 0] = empty
    return out


def _constant(column: str, values: np.ndarray) -> float:
    seen = np.unique(values[np.isfinite(values)])
    if len(seen) != 1:
        raise BadCell(f"column {column!r} is said to be static and has {len(seen)} values in one series")
    return float(seen[0])


def _need(names: Sequence[str], frame: pd.DataFrame) -> None:
    have = [str(c) for c in frame.columns]
    for name in names:
        if name not in have:
            near = difflib.get_close_matches(name, have, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise LookupError(f"there is no column {name!r}: it has {', '.join(have)}{hint}")
