"""One window of a file, or a whole file, as an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File

from .series import Series
from .tables import Roles, tables
from .tasks import COVARIATES, OPEN

NAME = "series"  # of an item that is a whole series


def read(file: File, row: Mapping[str, Any], roles: Roles, labels: bool) -> Item:
    """The steps `start` to `stop` of the row's `series`; without `stop` the whole series to its end, which is then the present.

    Raises:
        BadItem: the file cannot be used, or holds another number of series than one where the row names none.
    """
    found = tables(file, roles if "stop" in row else roles.whole)
    name = str(row.get("series", ""))
    if "series" not in row and len(found) == 1:
        name = next(iter(found))
    if name not in found:
        wanted = f"no series {name!r}" if name else f"{len(found)} series"
        raise BadItem(
            file.location, f"holds {wanted} ({', '.join(list(found)[:5])}, ...): name one in the row, as `rows` does"
        )
    table, meta = found[name], dict[str, Any]()
    series, cond = table.series, dict[str, Any](table.static)
    start, stop = row.get("start", 0), row.get("stop", series.steps)
    key = f"{file.name}#{name}" if name else file.name
    if "stop" not in row:
        meta |= {OPEN: True, NAME: name}
    elif stop - start < series.steps:
        key += f"[{start}:{stop}]"
    for column, words in table.classes.items():
        seen = Counter(word for word in words[start:stop] if word is not None)
        if seen:
            cond[column] = seen.most_common(1)[0][0]
    if labels and "label" in row:
        cond["label"] = str(row["label"])
    if table.covariates.shape[-1]:
        meta[COVARIATES] = table.covariates[start:stop]
    index = None if series.index is None else series.index[start:stop]
    data = Series(series.values[start:stop], series.columns, index, series.freq, series.zone, key)
    return Item(data, cond, key, meta)


def named(item: Item) -> str:
    """The series of the file that an item is, for messages; nothing where the file holds one."""
    return f"series {item.meta[NAME]!r} " if item.meta.get(NAME) else ""


def read_mask(file: File, item: Item, series: str | None) -> np.ndarray:
    """(T, K) bool, which values of an item a table calls known: above 1/2. Of a file of many series that of the item's name.

    Args:
        series: the column that names series; see `TimeSeries`.

    Raises:
        BadItem: a file that cannot be used, that has no table for the item, or one of another shape.
    """
    name = item.meta.get(NAME, "")
    found = tables(file, Roles(series=series if name else None))
    if len(found) > 1 and name not in found:
        raise BadItem(file.location, f"holds no mask for {item.key}: it has those of {', '.join(list(found)[:5])}, ...")
    mask = (found[name] if name in found else next(iter(found.values()))).series.values
    if mask.shape != item.data.values.shape:
        raise BadItem(
            file.location,
            f"is a mask {mask.shape} for a series {item.data.values.shape}, {item.key}: they must be equal",
        )
    return mask > 0.5
