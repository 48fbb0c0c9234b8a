"""Clips longer than those of training, made by overlapping windows: each is given the end of the one before."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from ornstein.core.modality import Item

from .clip import Clip

START = "start"  # the condition that says where in its film a clip begins, s


def unroll(
    item: Item, known: np.ndarray | None, window: int, step: int
) -> Generator[tuple[Item, np.ndarray | None], Clip, Clip]:
    """Windows to be made, in order of time; the sample of each is sent back. Returns the whole clip.

    Windows overlap by half, so that the motion before goes on in the one behind. Those in which nothing is to be made are passed
    over.

    Args:
        item: posed, of more than `window` frames.
        known: (T, H, W) bool, or None.
        window: frames.
        step: of a window's first frame, so that tubelets stand where they did: frames of a tubelet.
    """
    clip: Clip = item.data
    done = np.zeros(clip.shape[:3], bool) if known is None else known.copy()
    out = np.where(done[..., None], clip.frames, np.uint8(0))
    while not done.all():
        start = _next(np.all(done, axis=(1, 2)), window, step)
        part = slice(start, start + window)
        given = done[part].copy()
        made: Clip = yield cut(item, part, out[part].copy()), given if given.any() else None
        out[part] = np.where(given[..., None], out[part], made.frames)
        done[part] = True
    return replace(clip, frames=out)


def cut(item: Item, part: slice, frames: np.ndarray) -> Item:
    """A stretch of an item, with frames of its own, and what is told of it."""
    clip: Clip = item.data
    start = clip.start + part.start / clip.fps
    cond = {**item.cond, START: start} if START in item.cond else item.cond
    return replace(item, data=replace(clip, frames=frames, start=start), cond=cond)


def _next(done: np.ndarray, window: int, step: int) -> int:
    """Where the next window begins: half of it before the first frame to be made, or sooner, so that it ends with the clip."""
    first = int(np.argmin(done))
    start = max(0, first - window // 2) // step * step
    return min(start, len(done) - window)
