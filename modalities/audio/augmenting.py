"""Variants of training clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ornstein.core.modality import Item, Rng


def augmented(item: Item, rng: Rng, shift: float, gain: float) -> Item:
    """The clip moved by up to `shift` seconds each way, silence where nothing is, and up to `gain` dB louder or softer."""
    if not (shift or gain):
        return item
    clip = item.data
    by, louder = rng.uniform(-1, 1, 2) * (shift * clip.rate, gain)
    samples = _moved(clip.samples, int(np.clip(round(by), -len(clip.samples), len(clip.samples))))
    return replace(item, data=replace(clip, samples=samples * np.float32(10 ** (louder / 20))))


def _moved(samples: np.ndarray, by: int) -> np.ndarray:
    """(T, C), later by so many samples, or sooner."""
    out = np.zeros_like(samples)
    if by >= 0:
        out[by:] = samples[: len(samples) - by]
    else:
        out[:by] = samples[-by:]
    return out
