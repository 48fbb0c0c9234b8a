"""Points of PCD files (version 0.7 of the Point Cloud Library): ascii, binary and binary_compressed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from .blocks import Table, lines, records, rows

Field = tuple[str, str, int, int]  # name, kind of number, its bytes, how many of it

_KINDS = {"F": "f", "I": "i", "U": "u"}
_LONGEST = 100  # lines of a header


def points(handle: BinaryIO) -> Table:
    """The points of a PCD file; `rgb` and `rgba` are unpacked into colours, a place whose coordinates are NaN is no point.

    Raises:
        ValueError: a header that is none, or another number of points than it says.

    Source: documentation of the Point Cloud Library, "The PCD (Point Cloud Data) file format".
    """
    header = _header(handle)
    try:
        sizes, counts = (list(map(int, header[key])) for key in ("SIZE", "COUNT"))
        kinds = [_KINDS[kind] for kind in header["TYPE"]]
        declared = int(header.get("POINTS", [str(int(header["WIDTH"][0]) * int(header["HEIGHT"][0]))])[0])
        fields = list(zip(header["FIELDS"], kinds, sizes, counts, strict=True))
        record = np.dtype([(f"{i}", f"<{kind}{size}", (n,)) for i, (_, kind, size, n) in enumerate(fields)])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"has a header that is not one of a PCD file ({error})") from error
    names: list[str] = []
    for name, _, _, n in fields:
        packed = name.lower() in ("rgb", "rgba")
        names += ["red", "green", "blue"] if packed else [name.lower()] if n == 1 else [f"{name}{k}" for k in range(n)]
    kind = header["DATA"][0]
    if kind == "ascii":
        blocks: Iterable[np.ndarray] = _ascii(handle, declared, fields, record)
    elif kind == "binary":
        blocks = (_unpacked(block, fields) for block in records(handle, declared, record))
    elif kind == "binary_compressed":
        blocks = _compressed(handle, declared, fields, record)
    else:
        raise ValueError(f"has DATA {kind}: ascii, binary and binary_compressed are known")
    return Table(tuple(names), blocks, 255.0, absent=True)


def _header(handle: BinaryIO) -> dict[str, list[str]]:
    header: dict[str, list[str]] = {}
    for _ in range(_LONGEST):
        words = handle.readline(10_000).decode("latin-1").split()
        if words and not words[0].startswith("#"):
            header[words[0]] = words[1:]
        if words[:1] == ["DATA"]:
            if "FIELDS" in header:
                header.setdefault("COUNT", ["1"] * len(header["FIELDS"]))
            return header
    raise ValueError("has no line DATA: it is no PCD file, or cut short")


def _ascii(handle: BinaryIO, count: int, fields: list[Field], record: np.dtype) -> Iterator[np.ndarray]:
    for block in lines(handle, count, sum(n for *_, n in fields)):
        table, at = np.zeros(len(block), record), 0
        for i, (_, _, _, n) in enumerate(fields):
            table[f"{i}"] = block[:, at : at + n]
            at += n
        yield _unpacked(table, fields)


def _compressed(handle: BinaryIO, count: int, fields: list[Field], record: np.dtype) -> Iterator[np.ndarray]:
    """All values of the first field, then all of the second, ..., compressed together."""
    head = handle.read(8)
    if len(head) < 8:
        raise ValueError("is cut short before its points")
    packed, whole = struct.unpack("<II", head)
    if whole != count * record.itemsize:
        raise ValueError(f"says that it has {count:,} points, and {whole // record.itemsize:,} where they begin")
    content = handle.read(packed)
    if len(content) < packed:
        raise ValueError(f"says that its points take {packed:,} bytes and ends after {len(content):,}")
    plain, at = lzf(content, whole), 0
    table = np.zeros(count, record)
    for i, (_, kind, size, n) in enumerate(fields):
        table[f"{i}"] = np.frombuffer(plain, f"<{kind}{size}", count * n, at).reshape(count, n)
        at += count * n * size
    yield from rows(_unpacked(table, fields))


def lzf(content: bytes, size: int) -> bytes:
    """What LZF packed into `content`, `size` bytes.

    A byte below 32 says that one more than it plain bytes follow; else its high 3 bits are a length (7: a byte with more of it
    follows) and its low 5 with the next byte a distance back.

    Raises:
        ValueError: damaged, or of another size.

    Source: Lehmann, liblzf 3.6, lzf_d.c describes the format.
    """
    out, at = bytearray(), 0
    try:
        while at < len(content):
            control = content[at]
            at += 1
            if control < 32:
                out += content[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += content[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - content[at] - 1
            at += 1
            length += 2
            if start < 0 or len(out) > size:
                raise ValueError("has compressed points that are damaged")
            while length > 0:  # what is copied may reach into itself
                piece = out[start : start + length]
                out += piece
                start, length = start + len(piece), length - len(piece)
    except IndexError as error:
        raise ValueError("has compressed points that are cut short") from error
    if len(out) != size:
        raise ValueError(f"has {len(out):,} bytes of points and says {size:,}")
    return bytes(out)


def _unpacked(table: np.ndarray, fields: list[Field]) -> np.ndarray:
    """Fields as columns of float64; a packed colour is 0x00RRGGBB, in an integer or in the bits of a float."""
    columns = []
    for i, (name, _, size, _) in enumerate(fields):
        values = table[f"{i}"]
        if name.lower() in ("rgb", "rgba"):
            if size != 4:
                raise ValueError(f"has a field {name} of {size} bytes: a packed colour has 4")
            bits = np.ascontiguousarray(values[:, 0]).view("<u4")
            values = np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1)
        columns.append(values.astype(np.float64))
    return np.concatenate(columns, axis=1)
