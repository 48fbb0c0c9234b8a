"""One file as an item: its pixels, in memory or on file, what its row says of it, and which pixels nobody knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File

from .channels import clear, to_channels
from .cifar import RECORD, is_batch, record
from .fitting import Fit
from .formats import Alpha, Header, read_header, read_picture

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Keep = Literal["memory", "file"]
Hidden = Literal["learn", "ignore"]
MISSING, ORIGINAL, ANIMATED = "missing", "original", "animated"  # what an item keeps in `meta`
OPEN, OWN = "open", "own"  # that it was given by a user, and then its pixels at their own size, where that is smaller
_LIGHT = 128  # grey levels of masks from which on a pixel is to be made, or left out


@dataclass(frozen=True)
class Reading:
    """What of a file becomes an item.

    Args:
        fit: the model's size.
        alpha: `white` or `keep`.
        channels: 1 or 3, or 4 where alpha is kept; None: 1 where the picture is grey throughout, else 3.
        hidden: whether the frame of a padded picture is learnt like the rest of it or carries no loss.
        labels: whether the row's label becomes a condition.
        columns: further columns that do.
        mask: the column of the name of a picture of the same size, whose light pixels carry no loss.
        keep: `memory`: pixels are decoded once and kept; `file`: whenever they are asked for.

    Raises:
        ValueError: a word that is none of these.
    """

    fit: Fit
    alpha: Alpha = "white"
    channels: int | None = None
    hidden: Hidden = "learn"
    labels: bool = True
    columns: Sequence[str] = ()
    mask: str | None = None
    keep: Keep = "memory"

    def __post_init__(self) -> None:
        for name, choices in (("alpha", Alpha), ("hidden", Hidden), ("keep", Keep)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"modality.{name}={getattr(self, name)!r}; choose from {', '.join(get_args(choices))}")

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """The item of a file and its row.

        Raises:
            BadItem: a file, or its mask, that cannot be used.
        """
        data: Any
        key = f"{file.name}#{row[RECORD]}" if RECORD in row else file.name
        if is_batch(file):
            data, header = self._record(file, row)
        elif self.keep == "file":
            header = read_header(file, self.fit)
            shape = self.fit.shape(header.height, header.width)
            data = OnFile(
                file, self, (*shape, self.channels or (4 if self.alpha == "keep" else 1 if header.grey else 3))
            )
        else:
            data, header = self._pixels(file, self.channels)
        size = (header.height, header.width)
        meta: dict[str, Any] = {ORIGINAL: size}
        if header.animated:
            meta[ANIMATED] = True
        missing = self._missing(file, row, size)
        if missing is not None:
            meta[MISSING] = missing
        if OPEN in row:
            meta[OPEN] = True
            if size[0] < data.shape[0] and size[1] < data.shape[1] and not is_batch(file):
                meta[OWN] = replace(self, fit=Fit((size,)), channels=data.shape[-1])._pixels(file, data.shape[-1])[0]
        return Item(data, self._told(row), key, meta)

    def read_mask(self, file: File, size: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Which pixels of a mask are light, bool (H, W), at the model's size.

        Args:
            file: a picture of the size of that which it is for, or of what that became.
            size: of the picture, height and width.
            shape: of what it became.

        Raises:
            BadItem: another size, or a file that cannot be used.
        """
        header, fit = read_header(file), Fit((shape,), self.fit.resize, self.fit.filter)
        found = (header.height, header.width)
        if found not in (size, shape):
            there, here = (" x ".join(map(str, each)) for each in (found, size))
            raise BadItem(file.location, f"is a mask of {there} pixels for an image of {here}: they must be equal")
        light = to_channels(read_picture(file, fit)[0], 1)[..., 0] >= _LIGHT
        border = fit.border(*found)
        return light if border is None else light & ~border  # the frame is the picture's, and no part of the mask

    def _pixels(self, file: File, channels: int | None) -> tuple[np.ndarray, Header]:
        pixels, header = read_picture(file, self.fit, self.alpha)
        if channels is None and self.alpha == "white":
            channels = 1 if (pixels[..., :1] == pixels).all() else 3
        return to_channels(pixels, channels or 4), header

    def _record(self, file: File, row: Mapping[str, Any]) -> tuple[np.ndarray, Header]:
        from PIL import Image

        if RECORD not in row:
            raise BadItem(file.location, f"is a batch file of many pictures, and its row names none in {RECORD!r}")
        pixels = record(file, int(row[RECORD]))
        height, width = pixels.shape[:2]
        made = np.array(self.fit.apply(Image.fromarray(pixels), height, width))
        return clear(to_channels(made, self.channels or (4 if self.alpha == "keep" else 3))), Header(
            height, width, 1, False, False
        )

    def _missing(self, file: File, row: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray | None:
        """Pixels that carry no loss: those of a frame, where they are not learnt, and the light ones of a mask."""
        missing = self.fit.border(*size) if self.hidden == "ignore" else None
        if self.mask is None or self.mask not in row:
            return missing
        name = PurePosixPath(str(row[self.mask]).replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise BadItem(file.location, f"its {self.mask} is {str(name)!r}, which lies outside {file.store.path}")
        light = self.read_mask(File(str(name), file.store), size, self.fit.shape(*size))
        return light if missing is None else light | missing

    def _told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: row[name] for name in self.columns if name in row}
        return told | ({"label": str(row["label"])} if self.labels and "label" in row else {})


@dataclass(frozen=True, eq=False)
class OnFile:
    """Pixels on file, decoded whenever they are called for; `numpy.asarray` gives them.

    Args:
        file: the picture.
        reading: how it is read.
        shape: (H, W, C).
    """

    file: File
    reading: Reading
    shape: tuple[int, int, int]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """uint8 (H, W, C).

        Raises:
            BadItem: the file is damaged behind its header, or cannot be used any more.
        """
        pixels, _ = self.reading._pixels(self.file, self.shape[-1])
        return pixels if dtype is None else pixels.astype(dtype)
