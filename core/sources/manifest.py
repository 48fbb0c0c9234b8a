"""Tables that say something of files: CSV, TSV and JSON lines with a column of file names."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from .store import File, Folder, Store

Value = str | int | float
KINDS = (".csv", ".tsv", ".jsonl")
FILE_COLUMNS = ("file", "file_name", "filename", "path")

_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_NUMBER = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Manifest:
    """A table read whole: its columns and its rows, without the empty cells.

    Columns of whole numbers or of numbers become int or float, all others stay text; `007` is text.
    """

    file: File
    columns: tuple[str, ...]
    rows: tuple[dict[str, Value], ...]

    @property
    def file_column(self) -> str:
        """The column of file names.

        Raises:
            ValueError: the table has none.
        """
        column = _file_column(self.columns)
        if column is None:
            raise ValueError(
                f"{self.file.location} has no column of file names: it has {', '.join(self.columns) or 'no columns'}; "
                f"name one of them {' or '.join(FILE_COLUMNS)}{_nearest(self.columns)}"
            )
        return column

    def members(self, store: Store, names: set[str]) -> list[str]:
        """The name in `store` of the file of each row: relative to the manifest where it lies inside, or to the store.

        Raises:
            FileNotFoundError: rows name files that the store does not hold.
            ValueError: a row names no file, a file outside the store, or one that another row names too.
        """
        column = self.file_column
        found: list[str] = []
        missing: list[str] = []
        for number, row in enumerate(self.rows, 1):
            if column not in row:
                raise ValueError(f"{self.file.location}: row {number} names no file in column {column!r}")
            name = self._member(str(row[column]), store, names)
            (found if name in names else missing).append(name)
        if missing:
            raise FileNotFoundError(
                f"{self.file.location} names {_count(missing, 'file')} that {store.path} does not hold: "
                + _first(missing)
            )
        twice = [name for name, times in Counter(found).items() if times > 1]
        if twice:
            raise ValueError(
                f"{self.file.location} names {_count(twice, 'file')} on more than one row: {_first(twice)}; "
                "one row per file is needed (or leave the table out with data.labels=none)"
            )
        return found

    def matches(self, store: Store, names: set[str]) -> bool:
        """Whether any row names a file of the store."""
        column = self.file_column
        cells = (str(row[column]) for row in self.rows if column in row)
        return any(self._relative(cell, store) in names or self._beside(cell) in names for cell in cells)

    def _member(self, cell: str, store: Store, names: set[str]) -> str:
        beside = self._beside(cell)
        if beside in names:
            return beside
        name = self._relative(cell, store)
        if name.startswith("/") or ".." in PurePosixPath(name).parts or re.match("[A-Za-z]:", name):
            raise ValueError(
                f"{self.file.location} names {cell!r}, which lies outside {store.path}: "
                "give the folder that holds all files as data.root and the table as data.labels"
            )
        return name

    def _beside(self, cell: str) -> str:
        """The name where it is relative to the folder of a manifest inside the store."""
        return str(PurePosixPath(self.file.name).parent / cell.replace("\\", "/"))

    @staticmethod
    def _relative(cell: str, store: Store) -> str:
        path = PurePosixPath(cell.replace("\\", "/"))
        if isinstance(store, Folder) and path.is_absolute() and path.is_relative_to(store.path.absolute()):
            path = path.relative_to(store.path.absolute())
        return str(path)


def is_manifest(file: File) -> bool:
    """Whether the file is a table with a column of file names; looks at its head only."""
    if not file.name.lower().endswith(KINDS):
        return False
    try:
        with file.open() as handle:
            head = b"".join(islice(handle, 1)).decode("utf-8-sig")
            columns = list(dict(json.loads(head))) if file.name.lower().endswith(".jsonl") else _header(head)
    except (UnicodeDecodeError, ValueError, TypeError, csv.Error):
        return False
    return _file_column(columns) is not None


def read_manifest(file: File) -> Manifest:
    """Read a table.

    Raises:
        ValueError: it is not UTF-8 text, has a row of another length than the header, or a line that is not an object.
    """
    try:
        text = file.read().decode("utf-8-sig")
        rows = _read_json(text) if file.name.lower().endswith(".jsonl") else _read_csv(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.location} is not text in UTF-8 ({error.reason} at byte {error.start})") from error
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{file.location}: {error}") from error
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        raise ValueError(f"{file.location} has no rows")
    kinds = {name: _kind([row[name] for row in rows if name in row]) for name in columns}
    if (column := _file_column(columns)) is not None:
        kinds[column] = str  # 0001 and 1.50 are names
    filled = ({name: kinds[name](cell) for name, cell in row.items() if cell not in (None, "")} for row in rows)
    return Manifest(file, columns, tuple(filled))


def file_at(path: Path) -> File:
    """One file on disk as a `File`."""
    return File(path.name, Folder(path.parent))


def need_column(name: str, columns: Sequence[str], where: object) -> None:
    """Raise LookupError, naming what there is and the nearest, where a column is missing."""
    if name not in columns:
        near = difflib.get_close_matches(name, columns, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise LookupError(f"{where} has no column {name!r}: it has {', '.join(columns) or 'none'}{hint}")


def _read_csv(text: str) -> list[dict[str, Any]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header, rows = [name.strip() for name in next(lines, [])], []
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise ValueError(f"column {twice[0]!r} stands there more than once")
    for cells in lines:
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise ValueError(f"line {lines.line_num} has {len(cells)} cells, the header {len(header)}")
        rows.append(dict(zip(header, (cell.strip() for cell in cells), strict=True)))
    return rows


def _read_json(text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON ({error})") from error
        if not isinstance(row, Mapping):
            raise ValueError(f"line {number} is a {type(row).__name__}; one object per line is needed")
        # Lists and objects within a row are no values of a column; everything else is.
        rows.append({name: value for name, value in row.items() if not isinstance(value, list | dict)})
    return rows


def _delimiter(text: str) -> str:
    head = text.split("\n", 1)[0]
    return max(",;\t", key=head.count)


def _header(head: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([head], delimiter=_delimiter(head)), [])]


def _file_column(columns: Iterable[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(list(columns))}
    return next((lower[name] for name in FILE_COLUMNS if name in lower), None)


def _nearest(columns: Sequence[str]) -> str:
    near = [c for c in columns if difflib.get_close_matches(c.lower(), FILE_COLUMNS, 1, 0.5)]
    return f" (perhaps {near[0]!r})" if near else ""


def _kind(cells: Sequence[Any]) -> type[str] | type[int] | type[float]:
    """The narrowest of int, float and str that holds every cell of a column unchanged."""
    cells = [str(int(cell)) if isinstance(cell, bool) else str(cell) for cell in cells if cell not in (None, "")]
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        return int
    return float if all(_NUMBER.fullmatch(cell) for cell in cells) else str


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items):,} {noun}{'' if len(items) == 1 else 's'}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
