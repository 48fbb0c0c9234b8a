"""Files of pictures, in any mode and format that Pillow opens, to 8 bits: found by their content, not by their name."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .channels import clear
from .fitting import Fit

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
Alpha = Literal["white", "keep"]
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's names of 16-bit grey
_LARGEST = 2**28  # bytes of a file: a member of an archive can be packed a thousand times smaller
_TURN = 0x0112  # EXIF: orientation; from 5 on height and width change places


@dataclass(frozen=True)
class Header:
    """What is known of a picture without its pixels.

    Args:
        height, width: as it is shown, turned as EXIF notes.
        turn: orientation as EXIF notes it, 1 to 8; 1: upright.
        grey: whether its mode has no colours.
        animated: whether there are several frames; the first is read.
    """

    height: int
    width: int
    turn: int
    grey: bool
    animated: bool


def read_picture(file: File, fit: Fit | None = None, alpha: Alpha = "white") -> tuple[np.ndarray, Header]:
    """The pixels of a file at the model's size, uint8 (H, W, 3), or (H, W, 4) where alpha is kept; and its header.

    The turn that EXIF notes is applied; of an animation the first frame is taken; 16-bit grey is scaled by 255 / 65535; colour
    profiles are not applied.

    Args:
        file: the file.
        fit: the model's size; None: as it is.
        alpha: `white`: transparency is laid on white; `keep`: it is a channel, and the colour of what is not seen at all is 0.

    Raises:
        BadItem: empty, cut short, not a picture, too large to be one, with pixels of unknown range, or that the size refuses.
    """
    from PIL import ImageOps

    fit = fit or Fit()
    with _opened(file, io.BytesIO(_content(file))) as picture:
        header = _header(picture)
        _check(file, header, fit)
        if picture.format in ("JPEG", "MPO") and fit.shapes:
            side = 4 * max(fit.shape(header.height, header.width))
            picture.draft(None, (side, side))  # decodes large photographs at 1/2, 1/4 or 1/8
        upright = picture if header.turn == 1 else ImageOps.exif_transpose(picture)
        whole = _eight_bits(upright, alpha, file.location)
        made = fit.apply(whole, header.height, header.width)
        return clear(np.array(made)), header


def read_header(file: File, fit: Fit | None = None) -> Header:
    """The header of a file, quickly: of most formats no more is read than that.

    Raises:
        BadItem: what can be seen to be wrong with it.
    """
    try:
        handle = file.open()
    except Exception as error:  # a damaged archive can raise anything
        raise BadItem(file.location, f"cannot be read ({error})") from error
    with handle, _opened(file, handle) as picture:
        header = _header(picture)
        _check(file, header, fit or Fit())
        return header


@contextmanager
def _opened(file: File, content: BinaryIO) -> Iterator[Picture]:
    """The picture of a file, not yet decoded; whatever goes wrong with it is a `BadItem`."""
    from PIL import Image, UnidentifiedImageError

    location = file.location
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata beside whole pixels
            with Image.open(content) as picture:
                if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                    raise Image.DecompressionBombError  # where Pillow would warn
                yield picture
    except BadItem:
        raise
    except UnidentifiedImageError as error:
        content.seek(0)
        head = content.read(12)
        why = f"is not an image: it begins with {head!r}" if head else "is empty (0 bytes)"
        raise BadItem(location, why) from error
    except Image.DecompressionBombError as error:
        limit = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        raise BadItem(location, f"says that it has more than {limit} pixels, which no file here should") from error
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise BadItem(location, f"is damaged or cut short ({error})") from error


def _content(file: File) -> bytes:
    try:
        with file.open() as handle:
            content = handle.read(_LARGEST + 1)
    except Exception as error:  # a damaged archive can raise anything
        raise BadItem(file.location, f"cannot be read ({error})") from error
    if len(content) > _LARGEST:
        raise BadItem(file.location, f"holds more than {_LARGEST:,} bytes, which no picture here should")
    return content


def _header(picture: Picture) -> Header:
    turn = picture.getexif().get(_TURN, 1)
    width, height = picture.size[::-1] if turn in (5, 6, 7, 8) else picture.size
    grey = picture.mode in ("1", "L", *_DEEP) and not picture.has_transparency_data
    several = picture.format != "MPO" and getattr(picture, "is_animated", False)  # MPO: a photograph with its preview
    return Header(height, width, turn, grey, bool(several))


def _check(file: File, header: Header, fit: Fit) -> None:
    refusal = fit.refusal(header.height, header.width)
    if refusal is not None:
        raise BadItem(file.location, refusal)


def _eight_bits(picture: Picture, alpha: Alpha, location: str) -> Picture:
    """Any mode as RGB, or as RGBA where alpha is kept."""
    from PIL import Image

    mode = "RGB" if alpha == "white" else "RGBA"
    if picture.mode in _DEEP:
        return _shallow(picture, location).convert(mode)
    if picture.mode in ("F", "LAB"):
        what = "floating-point pixels of unknown range" if picture.mode == "F" else "pixels in CIE LAB"
        raise BadItem(location, f"has {what}: save it as RGB or grey with 8 or 16 bits")
    if picture.has_transparency_data and alpha == "white":
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture if picture.mode == mode else picture.convert(mode)


def _shallow(picture: Picture, location: str) -> Picture:
    """16-bit grey as 8-bit; Pillow's own conversion would clip at 255."""
    from PIL import Image

    levels = np.asarray(picture).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise BadItem(location, f"has grey levels {levels.min()} to {levels.max()}, more than 16 bits: save it with 16")
    return Image.fromarray(np.rint(levels * (255 / 65535)).astype(np.uint8))
