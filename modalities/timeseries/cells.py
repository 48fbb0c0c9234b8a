"""Cells of one column to numbers, words or dates; what cannot be one is named with its column and row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_COMMA = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][-+]?\d+)?")
_OFFSET = r"(?:[-+]\d{2}:?\d{2}|Z)$"
_EPOCH = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
_EPOCH_ENDS = (631_152_000, 4_102_444_800)  # 1990 and 2100, in seconds since 1970
DATE_NAMES = ("date", "datetime", "time", "timestamp", "ds", "index")


class BadCell(ValueError):  # noqa: N818 - it names the cell, not the error
    """A cell, or a column, that cannot be what it should be; the message names column and row."""


def row_number(column: pd.Series, place: int) -> int:
    """The row of the file, from 1 behind the header, in which the cell at a place of a column stands."""
    return int(column.index[place]) + 1


def numbers(column: pd.Series) -> tuple[np.ndarray, str]:
    """Values float64, NaN where missing, and the decimal sign that was found: `,`, `.` or nothing.

    Raises:
        BadCell: a word among numbers, an infinite value, decimal commas beside decimal points.
    """
    import pandas as pd

    sign = "." if column.dtype.kind == "f" else ""
    if column.dtype.kind in "fiub":
        values = column.to_numpy(np.float64)
    else:
        cells = column.astype("string").str.strip()
        commas = cells.str.fullmatch(_COMMA).fillna(False).to_numpy(bool)
        points = cells.str.contains(r"\d?\.\d", regex=True).fillna(False).to_numpy(bool) & ~commas
        if commas.any() and points.any():
            a, b = int(np.argmax(commas)), int(np.argmax(points))
            raise BadCell(
                f"column {column.name!r} mixes decimal commas ({cells.iloc[a]!r} in row {row_number(column, a)}) and "
                f"decimal points ({cells.iloc[b]!r} in row {row_number(column, b)}): write all numbers alike"
            )
        if commas.any():
            cells = cells.where(~commas, cells.str.replace(".", "", regex=False).str.replace(",", ".", regex=False))
        sign = "," if commas.any() else "." if points.any() else ""
        values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.isnan(values) & cells.notna().to_numpy(bool)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BadCell(
                f"column {column.name!r} holds {cells.iloc[row]!r} in row {row_number(column, row)}, which is no number "
                f"({wrong.sum():,} of {len(cells):,} cells are none)"
            )
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise BadCell(
            f"column {column.name!r} is infinite in row {row_number(column, row)} ({infinite.sum():,} of {len(values):,} cells): "
            "leave the cell empty where nothing was observed"
        )
    return values, sign


def words(column: pd.Series) -> np.ndarray:
    """(T,) objects: text, or None where missing; whole numbers without their `.0`."""
    if column.dtype.kind == "f":
        return np.array([None if np.isnan(v) else f"{v:g}" for v in column.to_numpy(np.float64)], dtype=object)
    return np.array(
        [None if missing else str(v).strip() for v, missing in zip(column, column.isna(), strict=True)], dtype=object
    )


def holds_words(column: pd.Series) -> bool:
    """Whether no cell of a column is a number."""
    if column.dtype.kind in "fiubM" or hasattr(column.dtype, "tz"):
        return False
    cells = column.dropna().astype("string").str.strip()
    return not cells.str.contains(r"^[-+]?[\d.,]*\d", regex=True).any()


def looks_like_dates(column: pd.Series) -> bool:
    """Whether a column is of dates by its type, or its first cells read as such."""
    import pandas as pd

    if column.dtype.kind == "M" or hasattr(column.dtype, "tz"):
        return True
    if column.dtype.kind in "iufb":
        if str(column.name).lower() not in DATE_NAMES:
            return False
        head = column.head(20)
        if column.dtype.kind in "iu" and head.between(19000101, 21001231).all():  # 20160701
            return bool(pd.to_datetime(head.astype("string"), format="%Y%m%d", errors="coerce").notna().all())
        return epoch_unit(column) is not None
    head = column.dropna().astype("string").str.strip().head(20)
    if not len(head):
        return False
    shaped = head.str.contains(r"^\d{1,4}[-/.]\d{1,2}(?:[-/.]\d{1,4}|$)|^\d{8}T\d+", regex=True)
    if shaped.mean() < 0.5 and str(column.name).lower() not in DATE_NAMES:
        return False
    if head.str.fullmatch(r"[-+]?\d*[.,]?\d+").all():
        return False
    return bool(pd.to_datetime(head, errors="coerce", format="mixed", utc=True).notna().mean() >= 0.5)


def epoch_unit(column: pd.Series) -> str | None:
    """`s`, `ms`, `us` or `ns` where all numbers of a column count such from 1970 to times between 1990 and 2100, else None."""
    if column.dtype.kind not in "iuf":
        return None
    seen = column.dropna().to_numpy(np.float64)
    low, high = _EPOCH_ENDS
    fitting = (unit for unit, n in _EPOCH.items() if len(seen) and low * n <= seen.min() and seen.max() <= high * n)
    return next(fitting, None)


def dates(column: pd.Series) -> tuple[np.ndarray, str | None, list[str]]:
    """Dates as datetime64[ns], their time zone (None: they have none), and what was repaired.

    Where days and months can be told apart by no date of the column, the order that makes the steps regular is taken.

    Raises:
        BadCell: a cell that is missing, no date, beyond the years that nanoseconds can count, or without the offset from UTC
            that others have.
    """
    import pandas as pd

    missing = column.isna().to_numpy(bool)
    if missing.any():
        raise BadCell(f"column {column.name!r} has no date in row {row_number(column, int(np.argmax(missing)))}")
    notes: list[str] = []
    unit = epoch_unit(column)
    if unit is not None:
        parsed = pd.to_datetime(column, unit=unit, utc=True)
        notes = [f"column {column.name!r} is read as {unit} since 1970, UTC"]
    elif column.dtype.kind in "iu":
        parsed = pd.to_datetime(column.astype("string"), format="%Y%m%d", errors="coerce")
    elif column.dtype.kind == "M" or hasattr(column.dtype, "tz"):
        parsed = column
    else:
        parsed, notes = _parsed(column.astype("string").str.strip())
    if parsed is None or parsed.isna().any():
        row = _first_wrong(column)
        raise BadCell(
            f"column {column.name!r} holds {str(column.iloc[row])!r} in row {row_number(column, row)}, which is no date"
        )
    zone = None
    if getattr(parsed.dtype, "tz", None) is not None:
        zone = str(parsed.dtype.tz)
        parsed = parsed.dt.tz_convert("UTC").dt.tz_localize(None)
    ends = np.array([pd.Timestamp.min, pd.Timestamp.max], "datetime64[s]")
    seconds = parsed.to_numpy("datetime64[s]")
    beyond = (seconds <= ends[0]) | (seconds >= ends[1])
    if beyond.any():
        row = int(np.argmax(beyond))
        raise BadCell(
            f"column {column.name!r} holds {str(column.iloc[row])!r} in row {row_number(column, row)}, which is not within the "
            f"years {ends[0].astype(object).year + 1} to {ends[1].astype(object).year - 1}"
        )
    return parsed.to_numpy("datetime64[ns]"), zone, notes


def _parsed(cells: pd.Series) -> tuple[pd.Series | None, list[str]]:
    import pandas as pd

    month = _try(cells, dayfirst=False)
    day = (
        month if cells.str.match(r"\d{4}").any() else _try(cells, dayfirst=True)
    )  # with the year in front, months follow
    if month is None or day is None or month.equals(day):
        found = day if month is None else month
        if found is None:  # offsets that change, as with summer time
            bare = ~cells.str.contains(_OFFSET).to_numpy(bool)
            if bare.any() and not bare.all():
                row = int(np.argmax(bare))
                raise BadCell(
                    f"column {cells.name!r} holds {cells.iloc[row]!r} in row {row_number(cells, row)} without an offset from "
                    "UTC, which other rows have: write all times alike"
                )
            found = pd.to_datetime(cells, utc=True, errors="coerce", format="ISO8601")
            return found, ["offsets from UTC change: times are UTC"]
        return found, []
    kinds = [len(np.unique(np.diff(np.sort(x.to_numpy("datetime64[ns]"))))) for x in (month, day)]
    order = "days before months" if kinds[1] < kinds[0] else "months before days"
    return (day if kinds[1] < kinds[0] else month), [f"dates such as {cells.iloc[0]!r} are read with {order}"]


def _try(cells: pd.Series, dayfirst: bool) -> pd.Series | None:
    import warnings

    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pd.to_datetime(cells, dayfirst=dayfirst)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.dtype.kind == "M" or hasattr(found.dtype, "tz") else None


def _first_wrong(column: pd.Series) -> int:
    import pandas as pd

    each = pd.to_datetime(column.astype("string"), errors="coerce", format="mixed", utc=True)
    return int(np.argmax(each.isna().to_numpy(bool)))
