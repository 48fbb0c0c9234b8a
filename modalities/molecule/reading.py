"""One record of a file as an item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File

from .options import Options
from .parsing import Unfit
from .records import GIVEN, RECORD
from .shelves import place
from .tags import number


def read(file: File, row: Mapping[str, Any], options: Options) -> Item:
    """The record that the row names, or the only one of a file that is given to a task; see `Options.strict`.

    `Item.cond` holds the properties that the record or the row gives, and the row's label.

    Raises:
        BadItem: the record or the whole file cannot be used, or the row names none of several.
    """
    options = replace(options, strict=False) if GIVEN in row or RECORD not in row else options
    try:
        pack, start, stop = place(file, options)
    except OSError as error:
        raise BadItem(file.location, f"cannot be read ({error})") from error
    count, record = stop - start, row.get(RECORD, 1)
    if RECORD not in row and count > 1:
        raise BadItem(file.location, f"holds {count:,} molecules; a file with one is needed here")
    if not 1 <= record <= count:
        raise BadItem(file.location, f"has {count:,} records, none with number {record}")
    i = start + record - 1
    name, why = pack.names[i], pack.whys[i]
    if why:
        raise BadItem(_where(file, count, record, name), why)
    key = file.name if count == 1 else f"{file.name}#{record}"
    properties: dict[str, float] = {}
    for told, x in zip(options.properties, pack.values[i].tolist(), strict=True):
        try:
            x = number(str(row[told]), told) if told in row else x
        except Unfit as error:
            raise BadItem(_where(file, count, record, name), str(error)) from error
        if not math.isnan(x):
            properties[told] = x
    cond: dict[str, Any] = dict(properties)
    if "label" in row:
        cond["label"] = str(row["label"])
    return Item(pack.graph(i, properties, name or key, options.kept), cond, key)


def _where(file: File, count: int, record: int, name: str) -> str:
    return file.location if count == 1 else f"{file.location}, record {record}{f' ({name})' if name else ''}"
