"""Tables of points that come in blocks: kept at random up to a bound, whatever their number, and named column by column."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from .cloud import Cloud

ROWS = 1 << 17  # of a block
_COLUMNS = {
    "points": (("x", "y", "z"),),
    "normals": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
    "colours": (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")),
}
_PARTS = ("part", "label", "parts", "labels", "segment")


@dataclass(frozen=True)
class Table:
    """The points of a file.

    Args:
        names: of the columns, lower case.
        blocks: (n, columns) float64 each, read when asked for.
        full: the value of full intensity of a colour; None: 1, 255 or 65,535, the least that no colour exceeds.
        absent: whether three coordinates that are all NaN say that there is no point, as in an organised scan.
    """

    names: tuple[str, ...]
    blocks: Iterable[np.ndarray]
    full: float | None = None
    absent: bool = False


def cloud(table: Table, most: int, rng: np.random.Generator, ordered: int = 0) -> tuple[Cloud, int, tuple[str, ...]]:
    """At most `most` points, how many there were, and notes on what was left out; memory is that of a block.

    They are in random order, so that the first n are a fair choice; a file of at most `ordered` points keeps its own.

    Each point has an independent uniform key, and those of the smallest keys are kept: every set is as likely as another.

    Raises:
        ValueError: no points, coordinates that are missing or no finite numbers, colours or normals that are none.
    """
    places, left = _places(table.names)
    kept, keys, total, absent = np.zeros((0, len(table.names))), np.zeros(0), 0, 0
    for block in table.blocks:
        xyz = block[:, places["points"]]
        if table.absent:
            there = ~np.isnan(xyz).all(1)
            absent += int((~there).sum())
            block, xyz = block[there], xyz[there]
        wrong = np.flatnonzero(~np.isfinite(xyz).all(1))
        if len(wrong):
            number = total + absent + int(wrong[0]) + 1
            raise ValueError(
                f"has coordinates that are no finite numbers: point {number:,} is {xyz[wrong[0]].tolist()}"
            )
        total += len(block)
        kept, keys = np.concatenate([kept, block]), np.concatenate([keys, rng.random(len(block))])
        if len(keys) > most:
            lowest = np.argpartition(keys, most)[:most]
            kept, keys = kept[lowest], keys[lowest]
    if not total:
        raise ValueError("holds no points")
    kept = kept if total <= ordered else kept[np.argsort(keys)]
    columns = {name: kept[:, index] for name, index in places.items()}
    notes = [f"columns {', '.join(left)} are not used"] if left else []
    notes += [f"{absent:,} places of the scan without a point are left out"] if absent else []
    return _typed(columns, table.full), total, tuple(notes)


def unit(normals: np.ndarray) -> np.ndarray:
    """Normals (N, 3) at length 1; those of no length stay 0, which says that there is none.

    Raises:
        ValueError: numbers that are not finite.
    """
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    if not np.isfinite(length).all():
        raise ValueError("has normals that are no finite numbers")
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def bytes_of(colours: np.ndarray, full: float | None) -> np.ndarray:
    """Colours as uint8; see `Table.full`.

    Raises:
        ValueError: beyond 0..65535, or no finite numbers.
    """
    most = float(colours.max(initial=0.0))
    if not np.isfinite(colours).all() or colours.min(initial=0.0) < 0 or most > 65535:
        raise ValueError(f"has colours from {colours.min():g} to {most:g}: 0..1, 0..255 or 0..65535 is needed")
    full = full or next(value for value in (1.0, 255.0, 65535.0) if most <= value)
    return np.rint(np.minimum(colours / full, 1.0) * 255).astype(np.uint8)


def rows(array: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of an array that is there, as float64."""
    for start in range(0, len(array), ROWS):
        yield array[start : start + ROWS].astype(np.float64)


def lines(handle: BinaryIO, count: int, width: int, last: bool = True) -> Iterator[np.ndarray]:
    """Blocks of `count` lines of `width` numbers each; `last`: nothing may follow them.

    Raises:
        ValueError: fewer lines or more, or another width.
    """
    text = (line.decode("latin-1") for line in handle)
    for start in range(0, count, ROWS):
        wanted = min(ROWS, count - start)
        found = list(itertools.islice(text, wanted))
        if len(found) < wanted:
            raise ValueError(f"says that it has {count:,} points and ends after {start + len(found):,}")
        yield numbers(found, width, "point", range(start + 1, start + wanted + 1))
    more = sum(1 for line in text if line.strip()) if last else 0
    if more:
        raise ValueError(f"says that it has {count:,} points, and {more:,} lines follow behind them")


def numbers(found: Sequence[str], width: int, kind: str, at: Sequence[int]) -> np.ndarray:
    """Lines of `width` numbers, (n, width); messages name line i as `kind` `at[i]`.

    Raises:
        ValueError: a line that is something else.
    """
    try:
        block = np.loadtxt(found, ndmin=2, comments=None)
        if block.shape == (len(found), width):
            return block
    except ValueError:
        pass
    wrong = next((i for i, line in enumerate(found) if not _holds(line, width)), 0)
    raise ValueError(f"has {found[wrong].strip()[:40]!r} at {kind} {at[wrong]:,}, where {width} numbers are needed")


def records(handle: BinaryIO, count: int, record: np.dtype) -> Iterator[np.ndarray]:
    """Structured blocks of `count` binary records.

    Raises:
        ValueError: fewer of them.
    """
    for start in range(0, count, ROWS):
        wanted = min(ROWS, count - start)
        content = handle.read(wanted * record.itemsize)
        if len(content) < wanted * record.itemsize:
            found = start + len(content) // record.itemsize
            raise ValueError(f"says that it has {count:,} points and ends after {found:,}")
        yield np.frombuffer(content, record)


def _holds(line: str, width: int) -> bool:
    try:
        return len([float(cell) for cell in line.split()]) == width
    except ValueError:
        return False


def _places(names: tuple[str, ...]) -> tuple[dict[str, list[int]], list[str]]:
    """Which columns hold what, and those that hold nothing that is used."""
    at = {name: i for i, name in enumerate(names)}
    places = {}
    for what, spellings in _COLUMNS.items():
        found = next((spelling for spelling in spellings if all(name in at for name in spelling)), None)
        if found is not None:
            places[what] = [at[name] for name in found]
    part = next((name for name in _PARTS if name in at), None)
    if part is not None:
        places["parts"] = [at[part]]
    if "points" not in places:
        raise ValueError(f"has columns {', '.join(names)}: x, y and z are needed")
    used = {i for index in places.values() for i in index}
    return places, [name for i, name in enumerate(names) if i not in used]


def _typed(columns: dict[str, np.ndarray], full: float | None) -> Cloud:
    normals, colours, parts = columns.get("normals"), columns.get("colours"), columns.get("parts")
    if parts is not None and not np.array_equal(parts, np.rint(parts)):
        raise ValueError("has numbers of parts that are not whole")
    return Cloud(
        columns["points"],
        None if normals is None else unit(normals),
        None if colours is None else bytes_of(colours, full),
        None if parts is None else parts[:, 0].astype(np.int64),
    )
