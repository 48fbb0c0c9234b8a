"""A table beside a file of molecules, `gdb9.sdf.csv` beside `gdb9.sdf`, that says more of its records."""

from __future__ import annotations

import csv
import io

from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .formats import Record
from .options import Options

_ENDING = ".csv"


def companion(file: File) -> File | None:
    """The table of a file, which bears its name and `.csv`; None where there is none."""
    beside = File(file.name + _ENDING, file.store)
    try:
        with beside.open():
            return beside
    except (OSError, KeyError):
        return None


def companions(files: list[File]) -> set[File]:
    """Those of the files that are tables of others."""
    names = set(files)
    return {file for file in files if File(file.name.removesuffix(_ENDING), file.store) in names - {file}}


def joined(file: File, found: list[Record], options: Options) -> list[Record]:
    """The records with what the table beside the file gives: by the record's name in the first column, else in order.

    Raises:
        BadItem: a table that fits neither by names nor by its number of rows.
    """
    beside = companion(file) if options.properties else None
    if beside is None:
        return found
    lines = [cells for cells in csv.reader(io.StringIO(beside.read().decode("utf-8-sig"))) if any(cells)]
    header, rows = lines[0] if lines else [], lines[1:]
    places = [header.index(name) if name in header else None for name in options.properties]
    if all(place is None for place in places):
        return found
    bad = next((k for k, cells in enumerate(rows, 2) if len(cells) != len(header)), None)
    if bad is not None:
        raise BadItem(file.location, f"its table {beside.name} has a row {bad} of another length than the header")
    by_name = {cells[0].strip(): cells for cells in rows}
    if len(by_name) == len(rows) and all(record.name in by_name for record in found if record.kind != "bad"):
        of_record = [by_name.get(record.name) for record in found]
    elif len(rows) == len(found):
        of_record = list(rows)
    else:
        raise BadItem(
            file.location,
            f"its table {beside.name} has {len(rows):,} rows for {len(found):,} records, and its first column "
            f"{header[0]!r} does not name them",
        )
    return [
        record
        if cells is None
        else record._replace(values=tuple("" if i is None else cells[i].strip() for i in places))
        for record, cells in zip(found, of_record, strict=True)
    ]
