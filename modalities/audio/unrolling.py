"""Clips longer than those of training, made by overlapping windows: each is given the end of the one before."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from ornstein.core.modality import Item

from .clip import Clip
from .frames import Frames
from .known import Band, Given, pasted
from .told import MEL, NOISY, TIMING


def unroll(
    item: Item, known: Given | None, window: int, frames: Frames, fade: int
) -> Generator[tuple[Item, Given | None], Clip, Clip]:
    """Windows to be made, in order; the sample of each is sent back. Returns the whole clip, blended over `fade` samples.

    Windows overlap by a quarter, and stand at whole tokens. Those in which nothing is to be made are passed over. Where a band is
    known or a noisy clip is told, each window is made by itself, and they are blended over their whole overlap.

    Args:
        item: posed, of more than `window` samples.
        known: (T,) bool, or a band, or None.
        window: samples, a multiple of the hop.
        frames: how samples are cut.
        fade: samples.
    """
    clip: Clip = item.data
    overlap = min(max(frames.hop, window // 4 // frames.hop * frames.hop), window - frames.hop)
    blended = isinstance(known, Band) or NOISY in item.cond
    done = known.copy() if isinstance(known, np.ndarray) else np.zeros(len(clip.samples), bool)
    out = np.where(done[:, None], clip.samples, np.float32(0))
    while not done.all():
        start = _next(done, window, overlap, frames.hop)
        part = slice(start, min(start + window, len(out)))
        before = done[part].copy()
        given = known if blended else before if before.any() else None
        samples = clip.samples[part] if blended or given is None else out[part]
        sample = yield cut(item, part, samples.copy(), frames.hop), given
        made = sample.samples
        if before.any():
            made = pasted(made, out[part], before, frames, max(overlap - 1, 0) if blended else fade)
        out[part], done[part] = made, True
    return replace(clip, samples=out)


def _next(done: np.ndarray, window: int, overlap: int, hop: int) -> int:
    """Where the next window begins: `overlap` before the first sample to be made, or sooner, so that it ends with the clip."""
    first = int(np.argmin(done))
    last = -(-max(0, len(done) - window) // hop) * hop
    return min(max(0, first - overlap) // hop * hop, last)


def cut(item: Item, part: slice, samples: np.ndarray, hop: int) -> Item:
    """A stretch of an item, with its own samples, and what is told of it."""
    clip: Clip = item.data
    start = clip.start + part.start / clip.rate
    cond = {
        name: value[part.start // hop : -(-part.stop // hop)] if name in (MEL, NOISY) else value
        for name, value in item.cond.items()
    }
    if TIMING[1] in cond:
        cond[TIMING[1]] = start
    return replace(item, data=replace(clip, samples=samples, start=start), cond=cond)
