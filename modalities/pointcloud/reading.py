"""Rows and items of files of shapes: upright, in one unit, with what the file or its row says of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File, Row

from . import arrays, formats, sampling

CLOUD = "cloud"  # the column of a row that says which cloud of its file it is, from 0
LABEL, CAPTION = "label", "caption"
_METRES = {
    "um": 1e-6,
    "micron": 1e-6,
    "mm": 1e-3,
    "millimeter": 1e-3,
    "cm": 1e-2,
    "centimeter": 1e-2,
    "m": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "inch": 0.0254,
    "ft": 0.3048,
    "foot": 0.3048,
}
UNITS = ("um", "mm", "cm", "m", "inch", "ft")
_UPRIGHT = np.array(
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
)  # z up to y up, to the right stays to the right


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Args:
        dense: points drawn from a surface, and the most that are kept of a file of points.
        ordered: a file of no more points keeps their order.
        up: the axis that points up in the files; the clouds have y up.
        unit: of the files that do not say theirs (3MF and glTF do): the clouds are then in metres. None: numbers as they stand.

    Raises:
        ValueError: no points, an axis that is none of y and z, an unknown unit.
    """

    dense: int = 2048
    up: Literal["y", "z"] = "y"
    unit: str | None = None
    ordered: int = 0

    def __post_init__(self) -> None:
        if self.dense < 1:
            raise ValueError(f"modality.dense={self.dense}: a number of points, 1 or more")
        if self.up not in ("y", "z"):
            raise ValueError(f"modality.up={self.up}: choose y or z")
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(f"modality.unit={self.unit}: choose {', '.join(UNITS)}, or null for numbers as they stand")


def rows(found: Sequence[Row]) -> list[Row]:
    """A row for each cloud: of a file of arrays that holds many, with its number and the name, label and caption of the file.

    Raises:
        BadItem: a file of arrays that cannot be used.
    """
    out = []
    for row in found:
        if PurePosixPath(row.file.name).suffix.lower() not in arrays.EXTENSIONS or CLOUD in row.values:
            out.append(row)
            continue
        stack = arrays.stack(row.file)
        for i in range(stack.count):
            told = {column: text for column in ("name", LABEL, CAPTION) if (text := stack.text(i, column)) is not None}
            place: dict[str, Any] = (
                {CLOUD: i, "part_of": f"{row.file.name}#{i}"} if stack.count > 1 else {}
            )  # each falls to a part by itself
            out.append(Row(row.file, {**place, **told, **row.values}))
    return out


def read(file: File, row: Mapping[str, Any], reading: Reading) -> Item:
    """The shape of a file, or the one of many that the row names; notes are warnings, and in `Item.meta["notes"]`.

    `Item.data` is a `Cloud`, `Item.meta["points"]` the number of points that the file has (0: a surface),
    `Item.cond` has the label and the caption where the row tells them.

    Raises:
        BadItem: the file cannot be used, or holds many and the row names none.
    """
    is_stack = PurePosixPath(file.name).suffix.lower() in arrays.EXTENSIONS
    if is_stack and CLOUD not in row and (count := arrays.stack(file).count) > 1:
        raise BadItem(file.location, f"holds {count:,} clouds: one must be named in the row, as `rows` does")
    shape = formats.load(file, reading.dense, int(row.get(CLOUD, 0)), reading.ordered)
    key = f"{file.name}#{row[CLOUD]}" if CLOUD in row else file.name
    for note in shape.notes:
        warnings.warn(f"{file.location}: {note}", stacklevel=2)
    scale = 1.0 if reading.unit is None else _METRES[shape.unit or reading.unit]
    cloud = sampling.turned(shape.cloud, _UPRIGHT if reading.up == "z" else np.eye(3), scale)
    cond = {column: str(row[column]) for column in (LABEL, CAPTION) if column in row}
    cloud = replace(cloud, name=str(row.get("name") or cloud.name or key))
    return Item(cloud, cond, key, {"points": shape.points, "notes": shape.notes})
