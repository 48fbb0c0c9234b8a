"""Windows of series and the part each belongs to: by time, by series, by an official split, or as papers do it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import Row

from .tables import Roles, Table, tables

Protocol = Literal["auto", "time", "blocks", "series", "published"]
_BLOCK = 16  # windows in a block: long enough that few windows are lost at borders, short enough that parts are alike
PARTS = ("train", "validation", "test")
_WORDS = {"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "testing": "test"}


@dataclass(frozen=True)
class Cutting:
    """How series become windows.

    Args:
        window: steps of a window; None: each stretch is taken whole.
        stride: steps from one window to the next.
        protocol: `time`: each series is cut into three blocks, and no window crosses a border; `series`: whole series are
            placed by `sources.split`, as files are; `blocks`: so are stretches of 16 windows' length, so that what is held out
            comes from all times, and no window crosses a border; `published`: every window of the whole series trains, and evenly
            spaced ones of the same are held out; `auto`: by time where there is a window, else by series.
    """

    window: int | None = None
    stride: int = 1
    protocol: Protocol = "auto"

    def rows(self, rows: Sequence[Row], roles: Roles, shares: Sequence[float] | None) -> list[Row]:
        """A row for each window, with `series`, `start`, `stop`, and `split` or `part_of`; without shares one for each series.

        Raises:
            BadItem: a file that cannot be used.
            ValueError: not one window fits, or none holds a value.
        """
        protocol = self.protocol if self.protocol != "auto" else "series" if self.window is None else "time"
        roles = roles if shares is not None else roles.whole
        found = [(row, name, table) for row in rows for name, table in tables(row.file, roles).items()]
        _report(found)
        if shares is None:
            return [Row(row.file, {**row.values, "series": name}) for row, name, _ in found]
        out: list[Row] = []
        empty = 0
        for row, name, table in found:
            for part, start, stop in self._blocks(row, name, table, protocol, shares):
                for begin, end in self._cut(start, stop):
                    if np.isfinite(table.series.values[begin:end]).any():
                        out.append(Row(row.file, {**row.values, "series": name, "start": begin, "stop": end, **part}))
                    else:
                        empty += 1
        if empty and not out:
            raise ValueError(f"{found[0][0].file.location}, ...: nothing was observed in any of {empty:,} windows")
        if not out:
            row, name, table = max(found, key=lambda each: each[2].series.steps)
            where = row.file.location + (f", series {name!r}" if name else "")
            raise ValueError(
                f"no window of {self.window} steps fits: the longest series, {where}, has {table.series.steps} steps in all and "
                f"is cut into blocks by data.split={list(shares)}; choose a smaller modality.window or another split"
            )
        return self._published(out, shares) if protocol == "published" else out

    def _blocks(
        self, row: Row, name: str, table: Table, protocol: str, shares: Sequence[float]
    ) -> Iterator[tuple[dict[str, str], int, int]]:
        """`split`, or `part_of` where it is placed later, first step and end of each stretch in which windows lie."""
        steps = table.series.steps
        own = f"{row.file.name}#{name}" if name else row.file.name
        if row.values.get("split"):
            yield {"split": str(row.values["split"])}, 0, steps
        elif table.parts is not None:
            for part, start, stop in _stretches(row, table.parts):
                yield {"split": part}, start, stop
        elif protocol == "time":
            ends = [0, *(round(steps * share) for share in np.cumsum(shares))]
            for part, start, stop in zip(PARTS, ends[:-1], ends[1:], strict=True):
                yield {"split": part}, start, stop
        elif protocol == "blocks" and self.window is not None:
            length = _BLOCK * self.window
            for start in range(0, steps, length):
                yield {"part_of": f"{own}@{start}"}, start, min(start + length, steps)
        else:
            yield {"part_of": own}, 0, steps

    def _cut(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        if self.window is None:
            return iter([(start, stop)] if stop > start else [])
        return ((s, s + self.window) for s in range(start, stop - self.window + 1, self.stride))

    @staticmethod
    def _published(rows: list[Row], shares: Sequence[float]) -> list[Row]:
        """All rows as training rows, then evenly spaced ones again as validation and test rows."""
        out = [Row(row.file, {**row.values, "split": "train"}) for row in rows]
        for part, share, shift in (("validation", shares[1], 0.25), ("test", shares[2], 0.75)):
            count = round(share * len(rows))
            places = ((np.arange(count) + shift) * len(rows) / max(count, 1)).astype(int)
            out += [Row(rows[i].file, {**rows[i].values, "split": part}) for i in places]
        return out


def _stretches(row: Row, words: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """Runs of steps of one part; missing steps belong to the run before them."""
    last = "train"
    named = []
    for word in words:
        if word is not None:
            last = _WORDS.get(word.lower(), word.lower())
            if last not in PARTS:
                raise BadItem(row.file.location, f"column 'split' holds {word!r}; it takes {', '.join(PARTS)}")
        named.append(last)
    borders = [0, *(np.flatnonzero(np.array(named[1:]) != np.array(named[:-1])) + 1).tolist(), len(named)]
    return ((named[a], a, b) for a, b in pairwise(borders))


def _report(found: Sequence[tuple[Row, str, Table]]) -> None:
    """Say once what was mended, the first of many series by name."""
    mended = [(row, name, table) for row, name, table in found if table.repairs]
    for row, name, table in mended[:5]:
        where = row.file.location + (f", series {name!r}" if name else "")
        warnings.warn(f"{where}: {'; '.join(table.repairs)}", stacklevel=3)
    if len(mended) > 5:
        warnings.warn(f"{len(mended) - 5:,} more series were mended in like ways", stacklevel=3)
