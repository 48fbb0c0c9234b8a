"""Files of moving pictures to frames: films by FFmpeg, animated WebP, folders of numbered pictures, arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .arrays import array_frames, array_header
from .decoding import film_frames, film_header
from .fitting import Fit
from .probing import Header
from .stills import STILLS, Numbered, still_frames, still_header
from .webp import webp_frames, webp_header

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")
EXTENSIONS = (*FILMS, ".webp", ".npz", *STILLS)


def header(file: File) -> Header:
    """How many frames there are, and when each is shown; nothing is decoded for it, but for animated WebP.

    Raises:
        BadItem: what is wrong with the file; among it that it holds one frame, which is no film, unless it is a picture.
    """
    if isinstance(file.store, Numbered):
        return still_header(file)
    found = _readers(file)[0](file)
    if len(found.times) < 2:
        raise BadItem(file.location, "holds one frame" if len(found.times) else "holds no frames")
    return found


def frames(file: File, wanted: Sequence[int] | np.ndarray, fit: Fit) -> np.ndarray:
    """The frames of these numbers, in rising order, as the model's: uint8 (len(wanted), H, W, C).

    Raises:
        BadItem: what is wrong with the file there.
    """
    return _readers(file)[1](file, wanted, fit)


def _readers(file: File) -> tuple[Callable[[File], Header], Callable[..., np.ndarray]]:
    if isinstance(file.store, Numbered):
        return still_header, still_frames
    kinds = {".webp": (webp_header, webp_frames), ".npz": (array_header, array_frames)}
    ending = "." + file.name.lower().rpartition(".")[2]
    return kinds.get(ending, (film_header, film_frames))
