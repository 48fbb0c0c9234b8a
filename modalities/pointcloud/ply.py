"""Points of PLY files that have no faces, ascii or binary, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from .blocks import Table, lines, records

_TYPES = {"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"}
_TYPES |= {"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4"}
_TYPES |= {"double": "f8", "float64": "f8"}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST = 1000  # lines of a header


def points(handle: BinaryIO) -> Table | None:
    """The vertices of a PLY file; None where it has faces or strips of them, which are read as a mesh.

    Raises:
        ValueError: no PLY header, vertices that are not first or hold lists, or another number of them than it says.

    Source: Turk 1994, "The PLY polygon file format".
    """
    order, elements = _header(handle)
    if any(count and name in ("face", "tristrips") for name, count, _ in elements):
        return None
    if not elements or elements[0][0] != "vertex":
        raise ValueError("has no vertices at its beginning")
    _, count, properties = elements[0]
    if any(kind == "list" for kind, _ in properties):
        raise ValueError("has lists at its vertices, which no point needs")
    names = tuple(name for _, name in properties)
    last = not any(more for _, more, _ in elements[1:])
    colour = next((kind for kind, name in properties if name in ("red", "r", "diffuse_red")), "uchar")
    full = {"u1": 255.0, "u2": 65535.0}.get(colour)
    if order == "ascii":
        return Table(names, lines(handle, count, len(names), last), full)
    record = np.dtype([(f"{i}", _ORDERS[order] + kind) for i, (kind, _) in enumerate(properties)])
    return Table(names, _columns(handle, count, record, last), full)


def _header(handle: BinaryIO) -> tuple[str, list[tuple[str, int, list[tuple[str, str]]]]]:
    """The order of bytes, and each element: name, count, and kind and name of its properties."""
    if handle.readline(100).strip() != b"ply":
        raise ValueError("does not begin with ply: it is no PLY file")
    order, elements = "", list[tuple[str, int, list[tuple[str, str]]]]()
    for _ in range(_LONGEST):
        words = handle.readline(10_000).decode("latin-1").split()
        match words:
            case ["end_header", *_]:
                if order not in _ORDERS:
                    raise ValueError(f"has the format {order!r}: {', '.join(_ORDERS)} are known")
                return order, elements
            case ["format", order, *_]:
                pass
            case ["element", name, count] if count.isdigit():
                elements.append((name, int(count), []))
            case ["property", "list", _, _, name] if elements:
                elements[-1][2].append(("list", name))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1][2].append((_TYPES[kind], name.lower()))
            case [] | ["comment", *_] | ["obj_info", *_]:
                pass
            case _:
                raise ValueError(f"has {' '.join(words)[:60]!r} in its header")
    raise ValueError("has no line end_header: it is no PLY file, or cut short")


def _columns(handle: BinaryIO, count: int, record: np.dtype, last: bool) -> Iterator[np.ndarray]:
    for block in records(handle, count, record):
        yield np.stack([block[name].astype(np.float64) for name in record.names or ()], axis=1)
    if last and (more := len(handle.read(1 << 16))):
        raise ValueError(f"says that it has {count:,} points and goes on behind them ({more:,} bytes or more)")
