"""Images for people: PNG files, and many images side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ornstein.core.checkpoint import write_aside

from .channels import to_channels

_TILE = 32  # smaller images are enlarged to about this side, so that a person can see them
_GAP = 2


def grid(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images side by side in reading order on white, uint8 (H, W) or (H, W, 3); small ones enlarged by whole factors.

    Args:
        images: uint8 (H, W, C), C 1, 3 or 4 for all of them; smaller ones stand in the upper left of their cell.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    zoom = max(1, math.ceil(_TILE / max(height, width)))
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    cell = (height * zoom + _GAP, width * zoom + _GAP)
    channels = 1 if images[0].shape[-1] == 1 else 3
    canvas = np.full((rows * cell[0] + _GAP, columns * cell[1] + _GAP, channels), 255, np.uint8)
    for i, image in enumerate(images):
        tile = to_channels(image, channels).repeat(zoom, axis=0).repeat(zoom, axis=1)
        top, left = i // columns * cell[0] + _GAP, i % columns * cell[1] + _GAP
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return _plain(canvas)


def save(images: Sequence[np.ndarray], folder: Path) -> list[Path]:
    """Write 0000.png, 0001.png, ... and, last, grid.png; each aside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(images) - 1)))
    paths = [_save(image, folder / f"{i:0{digits}d}.png") for i, image in enumerate(images)]
    return [*paths, _save(grid(images), folder / "grid.png")] if images else []


def _save(image: np.ndarray, path: Path) -> Path:
    from PIL import Image

    picture = Image.fromarray(_plain(image))
    write_aside(path, lambda aside: picture.save(aside, "PNG"))
    return path


def _plain(image: np.ndarray) -> np.ndarray:
    """Grey without its axis of one channel."""
    return image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
