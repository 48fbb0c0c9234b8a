"""From a file to its series: columns by their roles, times sorted and made regular, every repair counted."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from . import formats
from .cells import DATE_NAMES, BadCell, dates, epoch_unit, holds_words, looks_like_dates, numbers, row_number, words
from .regular import is_frequency, regular
from .series import Series

if TYPE_CHECKING:
    import pandas as pd

SERIES_NAMES = ("item_id", "series_id", "unique_id", "series", "sample")
SPLIT = "split"
_DATE_PARTS = ("year", "month", "day", "hour", "minute", "second")
_KEPT = 256  # tables that stay parsed


@dataclass(frozen=True)
class Roles:
    """What the columns of a file are for; see the options of `TimeSeries` of the same names.

    Raises:
        ValueError: no channels, one that has another role too, or a `freq` that pandas does not know.
    """

    columns: tuple[str, ...] | None = None
    time: tuple[str, ...] | None = None
    series: str | None = None
    classes: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    freq: str | None = None
    first: int | None = None

    def check(self) -> None:
        """Raise what is wrong; not when it is made, which is once for each item."""
        if self.columns == ():
            raise ValueError("modality.columns=[] leaves no channel")
        told = {"classes": self.classes, "covariates": self.covariates, "static": self.static}
        for i, column in enumerate(self.columns or ()):
            roles = ["columns"] * (column in (self.columns or ())[:i]) + [role for role in told if column in told[role]]
            if roles:
                raise ValueError(f"column {column!r} stands in modality.columns and again in modality.{roles[0]}")
        if self.freq is not None and not is_frequency(self.freq):
            raise ValueError(f"modality.freq={self.freq} is no length of a step: h, 15min, D, W, MS and the like are")

    @property
    def whole(self) -> Roles:
        """The same for a file that is given to a trained model: it is used to its end."""
        return self if self.first is None else replace(self, first=None)


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
    return _tables(file, roles, file.stamp)


@lru_cache(maxsize=_KEPT)
def _tables(file: File, roles: Roles, stamp: tuple[int, int] | None) -> dict[str, Table]:
    roles.check()
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
    columns = _values_columns(frame, roles, used, notes)
    read = _reader(frame)
    values = np.column_stack([read(c) for c in columns]) if columns else np.zeros((len(frame), 0))
    covariates = np.column_stack([read(c) for c in roles.covariates]) if roles.covariates else np.zeros((len(frame), 0))
    read.check(notes)
    texts = {c: words(frame[c]) for c in (*roles.classes, *((SPLIT,) if SPLIT in frame.columns else ()))}
    static = {c: _constant(c, read(c)) for c in roles.static}
    order, freq = np.arange(len(frame)), roles.freq
    if index is not None:
        order, index, freq = regular(index, values, np.asarray(frame.index) + 1, roles.freq, notes)
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
        if not is_frequency(str(freq)):
            raise BadCell(f"`freq` {freq!r} is no length of a step: h, 15min, D, W, MS and the like are")
        try:
            start = pd.Timestamp(frame.attrs["start"])
        except (ValueError, TypeError) as error:
            raise BadCell(f"`start` {frame.attrs['start']!r} is no date") from error
        first = start if start.tz is None else start.tz_convert("UTC").tz_localize(None)
        index = pd.date_range(first, periods=len(frame), freq=freq).to_numpy("datetime64[ns]")
        return index, None if start.tz is None else str(start.tz), ()
    used = roles.time
    if used is None:
        own = set(roles.columns or ()) | set(roles.classes) | set(roles.covariates) | set(roles.static)
        likely = sorted(frame.columns, key=lambda c: str(c).lower() not in DATE_NAMES)
        used = next(((c,) for c in likely if c not in own and looks_like_dates(frame[c])), ())
        parts = {str(c).lower(): c for c in frame.columns if c not in own}
        if not used and {"year", "month", "day"} <= parts.keys():
            used = tuple(parts[part] for part in _DATE_PARTS if part in parts)
    _need(used, frame)
    if not used:
        return None, None, ()
    if len(used) == 1:
        if not looks_like_dates(frame[used[0]]) and epoch_unit(frame[used[0]]) is None:
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


def _values_columns(frame: pd.DataFrame, roles: Roles, used: Sequence[str], notes: list[str]) -> list[str]:
    """The channels: those that were asked for, or every column of numbers that has no other role."""
    _need((*roles.classes, *roles.covariates, *roles.static), frame)
    if roles.columns is not None:
        _need(roles.columns, frame)
        return list(roles.columns)
    other = {*used, *roles.classes, *roles.covariates, *roles.static, SPLIT}
    left = [c for c in frame.columns if c not in other and not str(c).startswith("feat_")]
    counted = [c for c in left if str(c).startswith("Unnamed:") and _counts_rows(frame[c])]
    if counted and len(counted) < len(left):
        notes.append("a column without a name that counts the rows was left out")
        left = [c for c in left if c not in counted]
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

    def check(self, notes: list[str]) -> None:
        if "," in self.signs:
            notes.append(f"column {self.signs[',']!r} is read with decimal commas")
        if len(self.signs) > 1:
            raise BadCell(
                f"column {self.signs[',']!r} is written with decimal commas and column {self.signs['.']!r} with decimal "
                "points: write all numbers alike"
            )


def _counts_rows(column: pd.Series) -> bool:
    return any(np.array_equal(column, column.index + first) for first in (0, 1))


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
