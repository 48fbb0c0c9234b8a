"""Points as lines of numbers: XYZ, TXT, ASC and PTS files, with or without a header, read in blocks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from .blocks import ROWS, Table, numbers

EXTENSIONS = (".xyz", ".txt", ".asc", ".pts")
_SEPARATORS = str.maketrans(",;\t", "   ")
_ALIASES = {"scalar_label": "label", "label": "label", "class": "label", "classification": "label"}


def points(handle: BinaryIO) -> Table:
    """The lines of a file, three numbers or more in each, between blanks, tabs, commas or semicolons.

    Names of columns stand in a first line of words (`//X Y Z R G B`), a lone whole number before the points is their count,
    lines that begin with # or // are comments. Without names three columns behind the coordinates are colours where all are
    whole numbers of 0..255, normals where their length is 1, and one column behind normals is the number of a part.

    Raises:
        ValueError: no lines of numbers, lines of several widths, or another number of them than it says.
    """
    lines = _said(line.decode("latin-1") for line in handle)
    names: list[str] = []
    count, ahead = None, next(lines, (0, ""))
    while ahead[1]:
        cells = ahead[1].split()
        if not _numbers(cells) and not names:
            names = [_ALIASES.get(cell.lower(), cell.lower()) for cell in cells]
        elif len(cells) == 1 and cells[0].isdigit() and count is None:
            count = int(cells[0])
        else:
            break
        ahead = next(lines, (0, ""))
    width = len(ahead[1].split())
    if width < 3 or not _numbers(ahead[1].split()):
        raise ValueError(
            f"has {ahead[1][:40]!r} at line {ahead[0]} where a point is needed: x y z" if width else "is empty"
        )
    blocks = _blocks(itertools.chain([ahead], lines), width, count)
    first = next(blocks)
    if names and len(names) != width:
        raise ValueError(f"names {len(names)} columns ({' '.join(names)}) and has {width}")
    return Table(tuple(names) or _guessed(first), itertools.chain([first], blocks))


def _said(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Number and words of the lines that are not blank; of comments only those before the first point that name columns."""
    begun = False
    for number, line in enumerate(lines, 1):
        text = line.strip().lstrip("\ufeff\xef\xbb\xbf").translate(_SEPARATORS).strip()
        comment = text.startswith(("#", "//"))
        if comment and not begun and re.match(r"(#|//)\s*x\s+y\s+z\b", text, re.IGNORECASE):
            yield number, text.lstrip("#/ ")
        elif text and not comment:
            begun = True
            yield number, text


def _blocks(lines: Iterator[tuple[int, str]], width: int, count: int | None) -> Iterator[np.ndarray]:
    total = 0
    while taken := list(itertools.islice(lines, ROWS)):
        at, found = zip(*taken, strict=True)
        yield numbers(found, width, "line", at)
        total += len(taken)
    if count is not None and count != total:
        raise ValueError(f"says that it has {count:,} points and holds {total:,}")


def _numbers(cells: list[str]) -> bool:
    try:
        [float(cell) for cell in cells]
    except ValueError:
        return False
    return True


def _guessed(block: np.ndarray) -> tuple[str, ...]:
    """Names of columns that have none, from what the first block holds."""
    names, at, width = ["x", "y", "z"], 3, block.shape[1]
    while at < width:
        triple = block[:, at : at + 3]
        if (
            triple.shape[1] == 3
            and np.array_equal(triple, np.rint(triple))
            and 0 <= triple.min() <= triple.max() <= 255
        ):
            names += ["red", "green", "blue"]
        elif triple.shape[1] == 3 and np.allclose(np.linalg.norm(triple, axis=1), 1.0, atol=0.01):
            names += ["nx", "ny", "nz"]
        elif at == width - 1 and names[-1] == "nz" and np.array_equal(triple, np.rint(triple)):
            names.append("part")
        else:
            names.append(f"{at + 1}")
        at = len(names)
    return tuple(names)
