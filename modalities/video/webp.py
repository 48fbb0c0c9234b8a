"""Animated WebP, by Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .fitting import Fit
from .probing import Header, timed
from .stills import on_white


def webp_header(file: File) -> Header:
    """Its frames and their times, for which it is decoded once: nothing else says how long each is shown.

    Raises:
        BadItem: empty, not a WebP, cut short, damaged.
    """
    return _header(file, file.stamp)


def webp_frames(file: File, wanted: Sequence[int] | np.ndarray, fit: Fit) -> np.ndarray:
    """The frames of these numbers, in rising order, uint8 (len(wanted), H, W, C).

    Raises:
        BadItem: a frame that cannot be decoded.
    """
    out = np.empty((len(wanted), fit.height, fit.width, fit.channels), np.uint8)
    with _picture(file) as picture:
        for k, number in enumerate(wanted):
            picture.seek(int(number))
            out[k] = fit.pixels(on_white(picture))
    return out


@lru_cache(maxsize=2**12)
def _header(file: File, stamp: object) -> Header:
    with _picture(file) as picture:
        shown = []
        for k in range(getattr(picture, "n_frames", 1)):
            picture.seek(k)
            picture.load()
            shown.append(picture.info.get("duration", 0) / 1000)
    return timed(file, np.concatenate([[0.0], np.cumsum(shown[:-1])]), shown[-1])


@contextmanager
def _picture(file: File) -> Iterator[Any]:
    from PIL import Image

    with file.open() as raw:
        head = raw.read(12)
        size = raw.seek(0, 2)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            raise BadItem(file.location, f"is no WebP: it begins with {head!r}" if head else "is empty (0 bytes)")
        if (promised := struct.unpack("<I", head[4:8])[0] + 8) > size:
            raise BadItem(file.location, f"promises {promised:,} bytes and has {size:,}: it may be cut short")
        raw.seek(0)
        try:
            with Image.open(raw) as picture:
                yield picture
        except BadItem:
            raise
        except Exception as error:  # a damaged file can raise anything in a decoder
            raise BadItem(file.location, f"is damaged ({error})") from error
