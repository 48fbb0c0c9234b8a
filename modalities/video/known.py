"""Which pixels of a clip a user's own file calls given."""

from __future__ import annotations

import io

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File


def read_mask(file: File, item: Item) -> np.ndarray:
    """(T, H, W) bool, True where a pixel is given, of a picture for all frames: white stays, black is to be made.

    Or of a NumPy array in an NPY file: (H, W) for all frames, or (T, H, W); zero is to be made.

    Raises:
        BadItem: not such a file, another size than the clip has, or nothing to be made.
    """
    shape = item.data.shape[:3]
    given = _array(file) if file.name.lower().endswith(".npy") else _picture(file)
    if given.shape not in (shape, shape[1:]):
        raise BadItem(file.location, f"has shape {given.shape}, and the clip (T, H, W) = {shape} at the model's size")
    if given.all():
        raise BadItem(file.location, "calls every pixel given: nothing is to be made; black, or zero, is to be made")
    return np.broadcast_to(given, shape).copy()


def _array(file: File) -> np.ndarray:
    try:
        array = np.load(io.BytesIO(file.read()), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise BadItem(file.location, f"is no NumPy array ({error})") from error
    return array != 0


def _picture(file: File) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(file.read())) as picture:
            return np.asarray(picture.convert("L")) >= 128
    except (OSError, Image.DecompressionBombError) as error:
        raise BadItem(file.location, f"is no picture and no NPY file ({error})") from error
