"""Simple honest baselines: what a model must beat.

Where nothing is given: a training clip with noise. Where pixels are: motion gone on with behind the given frames, and else a
straight line between what is given before and after, or beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ornstein.core.modality import Item, Rng

from .clip import Clip

NOISE = 20.0  # levels, standard deviation on copies
_SAME = 1e-9
_STEPS = 20  # of the refinement of a motion, at most


def video_floor(
    items: Sequence[Item],
    cond: Sequence[Mapping[str, Any]],
    rng: Rng,
    given: Sequence[Item] | None = None,
    known: Sequence[np.ndarray | None] | None = None,
) -> list[Clip]:
    """A clip for each cond: a noisy copy; where only the first frames are given, `linear_motion`; else `interpolated`.

    Args:
        items: training clips.
        given, known: the posed item behind each sample, and (T, H, W) bool of what is known of it.
    """
    if given is None or known is None:
        return [noisy_copy(items, values, rng) for values in cond]
    out = []
    for item, bits, values in zip(given, known, cond, strict=True):
        if bits is None or not bits.any():
            out.append(replace(noisy_copy(items, values, rng), fps=item.data.fps))
            continue
        make = linear_motion if _beginning(bits) else interpolated
        out.append(replace(item.data, frames=make(item.data.frames, bits)))
    return out


def noisy_copy(items: Sequence[Item], asked: Mapping[str, Any], rng: Rng) -> Clip:
    """A training clip, drawn from those that share the most of what was asked for, with Gaussian noise of 20 levels.

    Raises:
        ValueError: no items.
    """
    if not items:
        raise ValueError("a floor needs training clips")
    shared = [
        sum(value is not None and item.cond.get(name) == value for name, value in asked.items()) for item in items
    ]
    best = np.flatnonzero(np.array(shared) == max(shared))
    clip: Clip = items[int(best[int(rng.integers(len(best)))])].data
    levels = clip.frames + NOISE * rng.standard_normal(clip.frames.shape, dtype=np.float32)
    return replace(clip, frames=_levels(levels))


def copy_last(frames: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each pixel as it was when it was last known; one that was not known before, as when it first is.

    Args:
        frames: (T, H, W, C) uint8; known: (T, H, W) bool.

    Returns:
        (T, H, W, C); pixels that are known at no time are those of `interpolated`.
    """
    last = np.maximum.accumulate(np.where(known, np.arange(len(known))[:, None, None], -1))
    source = np.where(last < 0, known.argmax(0), last)  # the frame that each pixel is taken from
    held = np.take_along_axis(frames, source[..., None], 0)
    ever = np.asarray(known.any(0))
    return held if ever.all() else np.where(ever[..., None], held, interpolated(frames, known))


def linear_motion(frames: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The last of the given whole frames, moved on with the motion between it and the one before; edges are continued.

    The motion is one translation of the whole frame. Where a single frame is given, it is held.

    Args:
        frames: (T, H, W, C) uint8; known: (T, H, W) bool, whole frames at the beginning.
    """
    from scipy.ndimage import shift

    count = int(known.all((1, 2)).sum())
    out = frames.copy()
    last = frames[count - 1].astype(np.float64)
    motion = translation(frames[count - 2], frames[count - 1]) if count > 1 else np.zeros(2)
    for t in range(count, len(frames)):
        out[t] = _levels(shift(last, (*(motion * (t - count + 1)), 0), order=3, mode="nearest"))
    return out


def translation(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(dy, dx) pixels by which `before` (H, W, C) has to be moved to be most like `after`; 0 where nothing tells.

    The peak of the cross-correlation of the frames less their means, then least squares on the differences that are left.

    Source: Lucas and Kanade 1981, "An iterative image registration technique with an application to stereo vision".
    """
    from scipy.ndimage import shift
    from scipy.signal import fftconvolve

    a, b = (x.astype(np.float64).mean(-1) for x in (before, after))
    if a.std() < _SAME or b.std() < _SAME or np.array_equal(a, b):
        return np.zeros(2)
    a, b = a - np.median(a), b - np.median(b)  # so that a plain background weighs nothing
    score = fftconvolve(b, a[::-1, ::-1])
    peak = np.unravel_index(int(score.argmax()), score.shape)
    move = np.array([peak[0] - (a.shape[0] - 1), peak[1] - (a.shape[1] - 1)], np.float64)
    best, least = move, np.inf
    for _ in range(_STEPS):
        moved = shift(a, move, order=3, mode="nearest")
        error = float(np.square(b - moved).mean())
        if not error < least:
            break
        best, least = move, error
        slopes = np.stack([gradient.ravel() for gradient in np.gradient(moved)], 1)
        step = np.linalg.lstsq(slopes, (moved - b).ravel(), rcond=None)[0]
        move = move + np.clip(step, -1, 1)
    return best


def interpolated(frames: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each unknown pixel on a straight line between the times before and after at which it is known.

    Before the first and after the last of these it is held. A pixel that is known at no time lies on a line between known pixels
    of its frame, the mean of those along its row and its column; a frame in which nothing is known is grey.

    Args:
        frames: (T, H, W, C) uint8; known: (T, H, W) bool.
    """
    filled, there = _along_first(frames.astype(np.float64), known)
    if not there.all():
        by_column, column = _along_first(filled.swapaxes(0, 1), there.swapaxes(0, 1))
        by_row, row = _along_first(filled.swapaxes(0, 2), there.swapaxes(0, 2))
        parts = [(by_column.swapaxes(0, 1), column.swapaxes(0, 1)), (by_row.swapaxes(0, 2), row.swapaxes(0, 2))]
        weight = np.sum([here for _, here in parts], axis=0)[..., None]
        total = np.sum([values * here[..., None] for values, here in parts], axis=0)
        beside = np.where(weight > 0, total / np.maximum(weight, 1), 127.5)
        filled = np.where(there[..., None], filled, beside)
    return np.where(known[..., None], frames, _levels(filled))


def _along_first(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines along the first axis between known entries of (N, A, B, C), held at the ends, and which of (N, A, B) have a line."""
    n = len(known)
    at = np.arange(n)[:, None, None]
    before = np.maximum.accumulate(np.where(known, at, -1))
    after = np.minimum.accumulate(np.where(known, at, n)[::-1])[::-1]
    left, right = np.where(before < 0, after, before), np.where(after == n, before, after)
    there = known.any(0) & np.ones_like(known)
    left, right = left.clip(0, n - 1), right.clip(0, n - 1)
    share = (at - left) / np.maximum(right - left, 1)
    low, high = (np.take_along_axis(values, i[..., None], 0) for i in (left, right))
    return low + share[..., None] * (high - low), there


def _beginning(known: np.ndarray) -> bool:
    """Whether whole frames at the beginning are known, and nothing else."""
    whole = np.asarray(known.all((1, 2)))
    return bool(whole[0] and (known.any((1, 2)) == whole).all() and (np.diff(whole.astype(np.int8)) <= 0).all())


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
