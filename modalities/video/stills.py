"""Folders of numbered pictures as films: `run1/0001.png`, `run1/0002.png`, ... are one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Row, Store

from .fitting import Fit
from .probing import Header

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

STILLS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class Numbered(Store):
    """The pictures of one film, in the order of their numbers; its one file is the film.

    Args:
        inner: the store that holds them.
        members: their names there.
    """

    inner: Store
    members: tuple[str, ...]

    @property
    def path(self) -> Path:  # type: ignore[override]
        """Of the store that holds them."""
        return self.inner.path

    def names(self) -> list[str]:
        """The pictures."""
        return list(self.members)

    def open(self, name: str) -> BinaryIO:
        """Open one picture for reading."""
        return self.inner.open(name)

    def location(self, name: str) -> str:
        """The folder of the film, or one of its pictures."""
        return self.inner.location(name)

    def position(self, name: str) -> int:
        """Of the first picture."""
        return self.inner.position(self.members[0])


def gathered(rows: Sequence[Row]) -> list[Row]:
    """Rows of pictures that are numbered alike in one folder become one row, with what is said of the first of them.

    A folder that holds the pictures of one film alone is the film, not its class: a label of that name is left out.
    """
    films: dict[tuple[Store, str, str], list[tuple[int, Row]]] = {}
    out: list[Row | tuple[Store, str, str]] = []
    for row in rows:
        name = PurePosixPath(row.file.name)
        if name.suffix.lower() not in STILLS:
            out.append(row)
            continue
        match = _NUMBERED.fullmatch(name.stem)
        prefix, number = (match[1], int(match[2])) if match else (name.stem, 0)
        key = (row.file.store, str(name.parent), prefix)
        if key not in films:
            films[key] = []
            out.append(key)
        films[key].append((number, row))
    return [each if isinstance(each, Row) else _film(*each, films[each]) for each in out]


def _film(store: Store, folder: str, prefix: str, found: list[tuple[int, Row]]) -> Row:
    found = sorted(found, key=lambda each: (each[0], each[1].file.name))
    members = tuple(row.file.name for _, row in found)
    name = members[0] if len(members) == 1 else str(PurePosixPath(folder) / prefix.rstrip("-_. "))
    values = dict(found[0][1].values)
    if values.get("label") == PurePosixPath(folder).name and not prefix.strip("-_. "):
        del values["label"]
    return Row(File(name, Numbered(store, members)), values)


def still_header(file: File) -> Header:
    """As many frames as pictures, and no clock.

    Raises:
        BadItem: a number is there twice, or some are left out.
    """
    names = _store(file).members
    numbers = [int(match[2]) for name in names if (match := _NUMBERED.fullmatch(PurePosixPath(name).stem))]
    steps = np.diff(numbers)
    wrong = np.flatnonzero((steps <= 0) | (steps != steps.min(initial=numbers[-1] if numbers else 0)))
    if len(wrong):
        at = int(wrong[0])
        raise BadItem(
            file.location, f"its pictures are not numbered evenly: {numbers[at]} is followed by {numbers[at + 1]}"
        )
    return Header(np.arange(len(names), dtype=np.float64), float(len(names)), None)


def still_frames(file: File, wanted: Sequence[int] | np.ndarray, fit: Fit) -> np.ndarray:
    """The pictures of these numbers, uint8 (len(wanted), H, W, C).

    Raises:
        BadItem: a picture that cannot be read, or is not as large as the first of these.
    """
    out = np.empty((len(wanted), fit.height, fit.width, fit.channels), np.uint8)
    size: tuple[int, ...] = ()
    for k, number in enumerate(wanted):
        name = _store(file).members[number]
        pixels = _pixels(File(name, _store(file)))
        size = size or pixels.shape[:2]
        if pixels.shape[:2] != size:
            there = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise BadItem(file.location, f"changes its size: {name} is {there}, others are {size[1]} x {size[0]}")
        out[k] = fit.pixels(pixels)
    return out


def on_white(picture: Picture) -> np.ndarray:
    """A picture of any mode of 8 bits as uint8 (H, W, 1 or 3); transparency is laid on white."""
    from PIL import Image

    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    pixels = np.array(picture if picture.mode == "L" else picture.convert("RGB"))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _pixels(file: File) -> np.ndarray:
    from PIL import Image, ImageOps

    content = file.open()
    try:
        with warnings.catch_warnings(), Image.open(content) as picture:
            warnings.filterwarnings("ignore", module="PIL")  # damaged metadata beside whole pixels
            if picture.mode[0] in "IF":
                raise BadItem(file.location, f"has pixels of mode {picture.mode}: save it with 8 bits")
            return on_white(ImageOps.exif_transpose(picture))
    except BadItem:
        raise
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise BadItem(file.location, f"is no picture, damaged or cut short ({error})") from error


def _store(file: File) -> Numbered:
    assert isinstance(file.store, Numbered)
    return file.store
