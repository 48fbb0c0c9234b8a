"""One window of a file, or a whole file, as an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File

from .series import Series
from .tables import Roles, tables
from .tasks import COVARIATES, OPEN


def read(file: File, row: Mapping[str, Any], roles: Roles, labels: bool) -> Item:
    """The steps `start` to `stop` of the row's `series`; without `stop` the whole series, whose end is then the present.

    Raises:
        BadItem: the file cannot be used, or holds another number of series than one where the row names none.
    """
    found = tables(file, roles)
    name = str(row.get("series", ""))
    if "series" not in row and len(found) == 1:
        name = next(iter(found))
    if name not in found:
        wanted = f"no series {name!r}" if name else f"{len(found)} series"
        raise BadItem(file.location, f"holds {wanted} ({', '.join(list(found)[:5])}, ...): give a file with one")
    table, meta = found[name], dict[str, Any]()
    series, cond = table.series, dict[str, Any](table.static)
    start, stop = row.get("start", 0), row.get("stop", series.steps)
    key = f"{file.name}#{name}" if name else file.name
    if "stop" not in row:
        meta[OPEN] = True
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
