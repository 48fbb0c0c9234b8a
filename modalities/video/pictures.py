"""Clips for people: a contact sheet, and many clips that move side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .clip import Clip

_TILE = 32  # smaller frames are enlarged to about this side, so that a person can see them
_GAP = 2
_ROWS, _COLUMNS = 16, 16  # of a sheet, at most


def sheet(clips: Sequence[Clip]) -> np.ndarray:
    """A row for each clip, a column for each frame, on white: uint8 (H, W) or (H, W, 3).

    The first 16 clips are shown, and of longer ones 16 frames at even distances, the first and the last among them.
    """
    rows = []
    for clip in clips[:_ROWS]:
        frames = clip.frames
        chosen = np.linspace(0, len(frames) - 1, min(_COLUMNS, len(frames))).round().astype(int)
        rows.append(frames[chosen])
    return _plain(_laid([frame for row in rows for frame in _padded(row, max(map(len, rows)))], len(rows)))


def side_by_side(clips: Sequence[Clip]) -> Clip:
    """One clip in which all play at once, in reading order; those that end sooner stand still.

    The rate is the first's, at most the 50 frames a second of a GIF.
    """
    frames = [clip.frames for clip in clips]
    length = max(map(len, frames))
    rows = math.ceil(len(clips) / math.ceil(math.sqrt(len(clips))))
    still = [[each[min(k, len(each) - 1)] for each in frames] for k in range(length)]
    return Clip(np.stack([_laid(each, rows) for each in still]), min(clips[0].fps, 50.0))


def _padded(row: np.ndarray, length: int) -> list[np.ndarray]:
    """White behind the end of a shorter clip."""
    return [*row, *[np.full_like(row[0], 255)] * (length - len(row))]


def _laid(frames: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Frames of (H, W, C) in rows of equal numbers, enlarged by a whole factor, with gaps."""
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    zoom = max(1, math.ceil(_TILE / max(height, width)))
    columns = math.ceil(len(frames) / rows)
    cell = (height * zoom + _GAP, width * zoom + _GAP)
    canvas = np.full((rows * cell[0] + _GAP, columns * cell[1] + _GAP, frames[0].shape[-1]), 255, np.uint8)
    for i, frame in enumerate(frames):
        tile = frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
        top, left = i // columns * cell[0] + _GAP, i % columns * cell[1] + _GAP
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


def _plain(image: np.ndarray) -> np.ndarray:
    """Grey without its axis of one channel."""
    return image[..., 0] if image.shape[-1] == 1 else image
