"""What an image file is: its endings, its pixels in any mode and size, and the digits that need no download."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, Source

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's names of 16-bit grey


def read_pixels(file: File, size: int | None = None, channels: int | None = None) -> np.ndarray:
    """The pixels of a file, uint8 (H, W, C).

    The turn that EXIF notes is applied; of an animation the first frame is taken; transparency is laid on white; 16-bit
    grey is scaled by 255 / 65535; every other mode becomes RGB.

    Args:
        file: the file.
        size: the shorter side is brought to it (Lanczos, antialiased) and the centre square taken; None: as it is.
        channels: 1 (luma) or 3; None: 1 where the picture is grey throughout, else 3.

    Raises:
        BadItem: empty, cut short, not an image, too large to be one, or with pixels of unknown range.
    """
    content = file.read()
    if not content:
        raise BadItem(file.location, "is empty (0 bytes)")
    pixels = _open(file.location, content, size)
    if channels is None:
        channels = 1 if (pixels[..., :1] == pixels).all() else 3
    return to_channels(pixels, channels)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (H, W, 1 or 3) as (H, W, channels); colour becomes grey by ITU-R 601 luma, as Pillow's mode L."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    luma = pixels.astype(np.uint32) @ np.asarray([19595, 38470, 7471], np.uint32)  # / 65536 = 0.299, 0.587, 0.114
    return ((luma + 0x8000) >> 16).astype(np.uint8)[..., None]


class Digits(Source):
    """The 1,797 handwritten digits of scikit-learn, 8 x 8, levels 0..16 scaled to 0..255, as PNG files in memory.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), test part.
    """

    def rows(self) -> list[Row]:
        """`digits#0` to `digits#1796`, each with its label 0..9."""
        return list(_digits())

    def about(self) -> str:
        """One line for a person."""
        return "1,797 handwritten digits of scikit-learn, 8 x 8, 10 classes"


@lru_cache(maxsize=1)
def _digits() -> tuple[Row, ...]:
    from PIL import Image
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    files = {}
    for i, pixels in enumerate(np.rint(levels.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files[f"digits#{i}"] = buffer.getvalue()
    store = Memory("scikit-learn", files)
    return tuple(Row(File(name, store), {"label": int(label)}) for name, label in zip(files, labels, strict=True))


def _open(location: str, content: bytes, size: int | None) -> np.ndarray:
    """Decode to uint8 (H, W, 3)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # damaged metadata beside whole pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as picture:
                if size is not None and picture.format in ("JPEG", "MPO"):
                    picture.draft(None, (4 * size, 4 * size))  # decodes large photographs at 1/2, 1/4 or 1/8
                turned = ImageOps.exif_transpose(picture)
                return np.array(_square(_rgb(turned, location), size))
    except BadItem:
        raise
    except UnidentifiedImageError as error:
        raise BadItem(location, f"is not an image: it begins with {content[:12]!r}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        raise BadItem(location, f"says that it has more than {limit} pixels, which no file here should") from error
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise BadItem(location, f"is damaged or cut short ({error})") from error


def _rgb(picture: Picture, location: str) -> Picture:
    """Any mode as RGB."""
    from PIL import Image

    if picture.mode in _DEEP:
        return _deep(picture, location)
    if picture.mode == "F":
        raise BadItem(location, "has floating-point pixels of unknown range: save it with 8 or 16 bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _deep(picture: Picture, location: str) -> Picture:
    """16-bit grey as 8-bit RGB; Pillow's own conversion would clip at 255."""
    from PIL import Image

    levels = np.asarray(picture).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise BadItem(location, f"has grey levels {levels.min()} to {levels.max()}, more than 16 bits: save it with 16")
    return Image.fromarray(np.rint(levels * (255 / 65535)).astype(np.uint8)).convert("RGB")


def _square(picture: Picture, size: int | None) -> Picture:
    """The centre square at `size`; where it has that side already, pixels are untouched."""
    from PIL import Image

    if size is None:
        return picture
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return picture.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
