"""Which files hold shapes, and how one of them becomes a cloud: sampled where it is a surface, thinned where it is a scan."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.rng import generator
from ornstein.core.sources import File

from . import arrays, blocks, las, meshes, pcd, ply, sampling, text
from .cloud import Cloud

_POINTS: dict[str, Callable[[BinaryIO], blocks.Table]] = {
    **dict.fromkeys(text.EXTENSIONS, text.points),
    ".pcd": pcd.points,
    ".las": las.points,
    ".laz": las.points,
}
EXTENSIONS = tuple(dict.fromkeys((*meshes.EXTENSIONS, *_POINTS, *arrays.EXTENSIONS)))
_SCAN = 100_000  # points from which it is noted how many of them are kept
_HEAD = 1 << 20  # bytes that name the content


@dataclass(frozen=True)
class Shape:
    """One shape of a file.

    Args:
        cloud: its points, in random order unless all that there are were asked for, in the file's own axes and unit.
        points: how many the file has; 0 of a surface.
        unit: of length, where the format says it.
        notes: what was left out.
    """

    cloud: Cloud
    points: int = 0
    unit: str | None = None
    notes: tuple[str, ...] = ()


def load(file: File, most: int, which: int = 0, ordered: int = 0) -> Shape:
    """A shape of a file: `most` points of a surface, or at most `most` of its points.

    The points are drawn by a seed of the file's own content, so that they are the same wherever and whenever it is read.

    Args:
        file: one with an ending of `EXTENSIONS`.
        most: number of points, 1 or more.
        which: the number of the shape, from 0, in a file of arrays that holds many.
        ordered: a file of no more points keeps their order; those of any other are in random order.

    Raises:
        BadItem: the file cannot be used.
    """
    ending = PurePosixPath(file.name).suffix.lower()
    if ending not in EXTENSIONS:
        raise BadItem(file.location, f"ends in {ending or 'nothing'}: {', '.join(EXTENSIONS)} can be read")
    try:
        with file.open() as handle:
            rng = generator(0, zlib.crc32(handle.read(_HEAD)), which)
        if ending in arrays.EXTENSIONS:
            return _of_arrays(file, most, which, rng, ordered)
        reader = ply.points if ending == ".ply" else _POINTS.get(ending)
        if reader is not None:
            with file.open() as handle:
                table = reader(handle)
                if table is not None:
                    return _of_points(table, most, rng, ordered)
        scene = meshes.load(file)
        return Shape(sampling.by_area(scene.meshes, most, rng), 0, scene.unit, scene.notes)
    except BadItem:
        raise
    except ValueError as error:
        raise BadItem(file.location, str(error)) from error
    except Exception as error:  # what a damaged archive, or laspy, raises
        raise BadItem(file.location, f"cannot be read ({error})") from error


def _of_points(table: blocks.Table, most: int, rng: np.random.Generator, ordered: int) -> Shape:
    cloud, total, notes = blocks.cloud(table, most, rng, ordered)
    return Shape(cloud, total, None, (*notes, *_thinned(cloud, total)))


def _of_arrays(file: File, most: int, which: int, rng: np.random.Generator, ordered: int) -> Shape:
    stack = arrays.stack(file)
    if not 0 <= which < stack.count:
        raise BadItem(file.location, f"holds {stack.count:,} clouds, none with number {which}")
    whole = stack.cloud(which)
    cloud = whole if whole.size <= ordered else whole.take(rng.permutation(whole.size)[:most])
    return Shape(replace(cloud, name=whole.name), whole.size, None, (*stack.notes, *_thinned(cloud, whole.size)))


def _thinned(cloud: Cloud, total: int) -> tuple[str, ...]:
    if total <= max(_SCAN, cloud.size):
        return ()
    return (f"is a scan of {total:,} points: {cloud.size:,} are kept, drawn at random (modality.dense)",)
