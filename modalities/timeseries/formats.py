"""What a file of numbers may look like: CSV, TSV, parquet, xlsx, npy, npz and JSON lines to frames of pandas."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, as_text

if TYPE_CHECKING:
    import pandas as pd

EXTENSIONS = (".csv", ".tsv", ".parquet", ".xlsx", ".npy", ".npz", ".jsonl")
MISSING = ("?", "-", "--", ".", "missing", "Missing")  # beside pandas' own: NA, NaN, null, None, an empty cell, ...
ITEM = "item_id"

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Plain:
    """A table of numbers alone, (T, K), with the names of its columns."""

    values: np.ndarray
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def frame(self) -> pd.DataFrame:
        """The same for pandas."""
        import pandas as pd

        return pd.DataFrame(self.values, columns=list(self.columns))


Frames = Mapping[str, "pd.DataFrame | Plain"]  # by the name of the series, "" where the file holds one table


def frames(file: File) -> Frames:
    """The tables of a file, by the name of their series; cells as the file has them, missing ones as NaN.

    Raises:
        BadItem: empty, damaged, not of its format, or holding no table.
    """
    content = file.read()
    if not content:
        raise BadItem(file.location, "is empty (0 bytes)")
    reader = _READERS[PurePosixPath(file.name.lower()).suffix]
    try:
        found = reader(content)
    except BadItem:
        raise
    except Exception as error:  # the readers of pandas, pyarrow, openpyxl and NumPy share no base class
        raise BadItem(
            file.location, f"cannot be read ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from error
    if not any(len(frame) and len(frame.columns) > 0 for frame in found.values()):
        raise BadItem(file.location, "holds no rows")
    return found


def _text(content: bytes) -> Frames:
    """Delimited text: the delimiter is the one of `, ; tab |` that the first line has most; `#` before a header is cut."""
    import pandas as pd

    text = as_text(content)
    lines = text.lstrip("\n").split("\n", 1)
    head = lines[0].lstrip("#")
    delimiter = max(",;\t|", key=head.count)
    cells = [cell.strip() for cell in next(csv.reader([head], delimiter=delimiter), [])]
    headless = bool(cells) and all(not cell or _NUMBER.fullmatch(cell.replace(",", ".")) for cell in cells)
    frame = pd.read_csv(
        io.StringIO(head + "\n" + (lines[1] if len(lines) > 1 else "")),
        sep=delimiter,
        header=None if headless else 0,
        na_values=list(MISSING),
        skipinitialspace=True,
        low_memory=False,
        index_col=False,
        **_exact(),
    )
    names = [f"c{i}" for i in range(frame.shape[1])] if headless else [str(name).strip() for name in frame.columns]
    twice = sorted({name for name in cells if name and cells.count(name) > 1})
    if twice and not headless:
        raise ValueError(f"column {twice[0]!r} stands there more than once")
    frame.columns = pd.Index(names)
    # A delimiter at the end of each line makes a column without name and values.
    return {"": frame.drop(columns=[n for n in names if n.startswith("Unnamed:") and frame[n].isna().all()])}


def _exact() -> dict[str, Any]:
    """So that a number that was written in full is read as it was; pandas 3 reads no other way."""
    import pandas as pd

    return {"float_precision": "round_trip"} if pd.__version__.startswith("2.") else {}


def _parquet(content: bytes) -> Frames:
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(content))
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return {"": frame}


def _xlsx(content: bytes) -> Frames:
    """The sheets that hold rows; each is a series where there are several."""
    import pandas as pd

    sheets = pd.read_excel(io.BytesIO(content), sheet_name=None, na_values=list(MISSING), engine="openpyxl")
    filled = {str(name): sheet for name, sheet in sheets.items() if len(sheet)}
    for sheet in filled.values():
        sheet.columns = pd.Index([str(name).strip() for name in sheet.columns])
    return {"": next(iter(filled.values()))} if len(filled) == 1 else filled


def _npy(content: bytes) -> Frames:
    return _arrays({"": np.load(io.BytesIO(content), allow_pickle=False)})


def _npz(content: bytes) -> Frames:
    """Arrays by name, each a series; or `values` with the names of its channels in `columns`, as `write` makes them."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if "values" in arrays:
        columns = tuple(str(name) for name in arrays["columns"]) if "columns" in arrays else None
        return _arrays({"": arrays["values"]}, columns)
    return _arrays(arrays)


def _arrays(arrays: Mapping[str, np.ndarray], columns: tuple[str, ...] | None = None) -> Frames:
    """(T,) and (T, K) arrays are a series, (n, T, K) arrays are n; rows of NaN at the end of one of many are padding."""
    found: dict[str, Plain] = {}
    for name, array in arrays.items():
        if array.ndim not in (1, 2, 3) or array.dtype.kind not in "fiub":
            raise ValueError(
                f"array {name!r} is {array.dtype} {array.shape}; numbers (T,), (T, K) or (n, T, K) are needed"
            )
        array = array[:, None] if array.ndim == 1 else array
        names = columns or tuple(f"c{i}" for i in range(array.shape[-1]))
        if len(names) != array.shape[-1]:
            raise ValueError(f"array {name!r} has {array.shape[-1]} channels and {len(names)} names")
        values = array.astype(np.float64)
        if values.ndim == 2:
            found[name] = Plain(values, names)
        else:
            found |= {f"{name}{i}": Plain(_trimmed(one), names) for i, one in enumerate(values)}
    return found


def _trimmed(values: np.ndarray) -> np.ndarray:
    if not np.isnan(values[-1:]).all():
        return values
    real = np.flatnonzero(~np.isnan(values).all(1))
    return values[: real[-1] + 1] if len(real) else values


def _jsonl(content: bytes) -> Frames:
    """The layout of gluonts: an object per line with `start`, `target` (T,) or (K, T), `feat_*` and `item_id`."""
    found: dict[str, pd.DataFrame] = {}
    for number, line in enumerate(as_text(content).splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            name = str(entry.get(ITEM, number - 1))
            frame = _entry(entry)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number}: {error}") from error
        if name in found:
            raise ValueError(f"line {number}: {ITEM} {name!r} stands there more than once")
        found[name] = frame
    return found


def _entry(entry: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    if "target" not in entry:
        raise ValueError(f"there is no `target`; it has {', '.join(map(str, entry)) or 'nothing'}")
    target = np.atleast_2d(np.asarray(entry["target"], dtype=np.float64))
    dynamic = np.asarray(entry.get("feat_dynamic_real") or np.zeros((0, target.shape[1])), np.float64)
    steps = max(target.shape[1], dynamic.shape[1])
    names = ["target"] if len(target) == 1 else [f"target{i}" for i in range(len(target))]
    columns: dict[str, Any] = {name: _longer(row, steps) for name, row in zip(names, target, strict=True)}
    columns |= {f"feat_dynamic_real{i}": _longer(row, steps) for i, row in enumerate(dynamic)}
    columns |= {f"feat_static_real{i}": value for i, value in enumerate(entry.get("feat_static_real") or ())}
    columns |= {f"feat_static_cat{i}": str(value) for i, value in enumerate(entry.get("feat_static_cat") or ())}
    frame = pd.DataFrame(columns, index=range(steps))
    frame.attrs["start"] = entry.get("start")
    frame.attrs["freq"] = entry.get("freq")
    return frame


def _longer(row: np.ndarray, steps: int) -> np.ndarray:
    """A future that only covariates reach is unobserved."""
    return np.concatenate([row, np.full(steps - len(row), np.nan)])


_READERS: dict[str, Callable[[bytes], Frames]] = {
    ".csv": _text,
    ".tsv": _text,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
    ".npy": _npy,
    ".npz": _npz,
    ".jsonl": _jsonl,
}
