"""Films as arrays: NumPy's .npz with `frames` and, if it is known, `fps`; read frame by frame."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.lib import format as npy
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .fitting import Fit
from .probing import Header

_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile)


def array_header(file: File) -> Header:
    """Its length, and its rate where `fps` is there.

    Raises:
        BadItem: not an .npz, damaged, or without `frames` uint8 (T, H, W) or (T, H, W, 1 or 3).
    """
    with _opened(file) as found:
        n = found.shape[0]
        rate = found.fps
    return Header(np.arange(n) / (rate or 1.0), n / (rate or 1.0), rate)


def array_frames(file: File, wanted: Sequence[int] | np.ndarray, fit: Fit) -> np.ndarray:
    """The frames of these numbers, in rising order, uint8 (len(wanted), H, W, C).

    Raises:
        BadItem: as `array_header`.
    """
    out = np.empty((len(wanted), fit.height, fit.width, fit.channels), np.uint8)
    with _opened(file) as found:
        size, at, content = int(np.prod(found.shape[1:])), 0, b""
        for k, number in enumerate(map(int, wanted)):
            while at <= number:
                content, at = found.member.read(size), at + 1
            if len(content) < size:
                raise BadItem(file.location, f"ends at frame {number}: it may be cut short")
            out[k] = fit.pixels(np.frombuffer(content, np.uint8).reshape(found.shape[1:]))
    return out


@dataclass(frozen=True)
class _Found:
    """`frames.npy` inside, standing at its first value; shape (T, H, W, C)."""

    member: IO[bytes]
    shape: tuple[int, ...]
    fps: float | None


@contextmanager
def _opened(file: File) -> Iterator[_Found]:
    try:
        with file.open() as raw, zipfile.ZipFile(raw) as archive:
            names = archive.namelist()
            if "frames.npy" not in names:
                there = ", ".join(name.removesuffix(".npy") for name in names) or "nothing"
                raise BadItem(file.location, f"holds {there}, and no array `frames`")
            fps = None
            if "fps.npy" in names:
                with archive.open("fps.npy") as member:
                    fps = float(npy.read_array(member))
                if not 0 < fps < float("inf"):
                    raise BadItem(file.location, f"has fps {fps}: a positive number is wanted")
            with archive.open("frames.npy") as member:
                yield _Found(member, _shape(file, member), fps)
    except BadItem:
        raise
    except _DAMAGED as error:
        raise BadItem(file.location, f"is no .npz, damaged or cut short ({error})") from error


def _shape(file: File, member: IO[bytes]) -> tuple[int, ...]:
    read = npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
    shape, by_column, dtype = read(member)
    shape = (*shape, 1) if len(shape) == 3 else shape
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] not in (1, 3) or by_column:
        raise BadItem(
            file.location,
            f"has `frames` of {dtype} {shape}: C-ordered uint8 (T, H, W) or (T, H, W, 1 or 3) is wanted, one film a file",
        )
    return shape
