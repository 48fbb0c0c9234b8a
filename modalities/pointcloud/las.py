"""Points of airborne and terrestrial scans, LAS and LAZ, where laspy is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from .blocks import ROWS, Table


def points(handle: BinaryIO) -> Table:
    """The points of a LAS file at their scale and offset, with colours (16 bit) and the class as number of the part.

    Raises:
        ValueError: damaged, or laspy is not installed.
    """
    try:
        import laspy
    except ImportError as error:
        raise ValueError("is a LAS file, for which laspy is needed: pip install laspy") from error
    try:
        reader = laspy.open(handle)
        coloured = {"red", "green", "blue"} <= set(reader.header.point_format.dimension_names)
        names = ("x", "y", "z", "label", *(("red", "green", "blue") if coloured else ()))
    except (laspy.LaspyException, ValueError) as error:
        raise ValueError(f"is damaged, or no LAS file ({error})") from error
    return Table(names, _blocks(reader, names), 65535.0)


def _blocks(reader: object, names: tuple[str, ...]) -> Iterator[np.ndarray]:
    columns = ["classification" if name == "label" else name for name in names]
    for chunk in reader.chunk_iterator(ROWS):  # type: ignore[attr-defined]
        yield np.stack([np.asarray(chunk[name], dtype=np.float64) for name in columns], axis=1)
