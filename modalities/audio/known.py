"""What of a clip is given: stretches of time, or what lies below a frequency; and how it comes back into a sample, exactly."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .frames import Frames
from .mdct import MDCT
from .tokens import stacked

_GUARD = 2  # coefficients below the border of a band that hold something of what lies above it


@dataclass(frozen=True)
class Band:
    """What lies below a share of the bandwidth is given, 0 to 1; 1 is half of the rate."""

    share: float


Given = np.ndarray | Band  # (T,) bool, True where a sample is given


def bits(known: Sequence[Given | None], steps: Sequence[int], frames: Frames, channels: int, fade: int) -> Tensor:
    """(B, N, C D) bool: the numbers that follow from what is given.

    Samples nearer than `fade` to one that is not given count as not given: there the sample is blended with what was given.
    """
    counts = [frames.count(t) for t in steps]
    out = torch.zeros(len(known), max(counts), frames.size, dtype=torch.bool)
    for row, given, t, n in zip(out, known, steps, counts, strict=True):
        if isinstance(given, Band):
            whole = n if t % frames.hop == 0 else max(n - 2, 0)  # a clip is cut at its end, and so is its last token
            row[:whole] = torch.arange(frames.size) < lines(given, frames)
        elif given is not None:
            held = np.ones(n * frames.hop, bool)
            held[:t] = kept(given, fade) == 1
            row[:n] = frames.given(torch.from_numpy(held)[None])[0]
    return out.repeat(1, 1, channels)


def lines(band: Band, frames: Frames) -> int:
    """How many coefficients of the MDCT lie within a band."""
    return max(0, int(band.share * frames.size) - _GUARD)


def kept(given: np.ndarray, fade: int) -> np.ndarray:
    """(T,) weights of what was given: 1 where it is exact, falling to 0 over `fade` samples before what is not given."""
    if given.all():
        return np.ones(len(given), np.float32)
    return np.minimum(distance_transform_edt(given) / (fade + 1), 1).astype(np.float32)


def pasted(sample: np.ndarray, clip: np.ndarray, given: Given, frames: Frames, fade: int) -> np.ndarray:
    """Samples (T, C) with what was given in them, bit by bit where `kept` is 1; of a band, as its coefficients."""
    if isinstance(given, Band):
        linear = MDCT(frames.hop, window=frames.window) if isinstance(frames, MDCT) else frames
        own = bits([given], [len(clip)], frames, clip.shape[1], fade)
        x, counts = stacked([sample, clip], linear)
        x = x.double()
        there, wanted = linear.cut(x, counts)
        moved = linear.join(torch.where(own, wanted - there, 0.0), counts[:1])[0]
        return (sample + moved.T[: len(sample)].numpy()).astype(np.float32)
    weight = kept(given, fade)[:, None]
    return np.where(weight == 1, clip, weight * clip + (1 - weight) * sample).astype(np.float32)


def heard(samples: np.ndarray, given: Given | None, frames: Frames) -> np.ndarray:
    """The samples (T', C) that statistics of a clip may be taken from: what is given, or all of a clip of which nothing is."""
    if isinstance(given, Band):
        return pasted(np.zeros_like(samples), samples, given, frames, 0)
    return samples if given is None else samples[given]


def stretches(file: File, item: Item) -> np.ndarray:
    """(T,) bool: all but the stretches that a CSV file names by the columns `start` and `end`, seconds from the clip's beginning.

    Raises:
        BadItem: other columns, what is no number, or a stretch that is empty or leaves the clip.
    """
    clip = item.data
    rows = list(csv.DictReader(file.read().decode("utf-8", "replace").splitlines()))
    known = np.ones(len(clip.samples), bool)
    if not rows or not {"start", "end"} <= set(rows[0]):
        found = ", ".join(map(str, rows[0])) if rows else "no rows"
        raise BadItem(file.location, f"says by columns `start` and `end` which seconds are to be made; found {found}")
    for number, row in enumerate(rows, 1):
        try:
            start, end = float(row["start"]), float(row["end"])
        except (TypeError, ValueError):
            raise BadItem(file.location, f"row {number}: {row['start']!r}, {row['end']!r} are no seconds") from None
        if not 0 <= start < end <= clip.duration + 1 / clip.rate:
            raise BadItem(
                file.location,
                f"row {number}: {start:g} to {end:g} s is no stretch of {item.key}, of {clip.duration:g} s",
            )
        known[round(start * clip.rate) : round(end * clip.rate)] = False
    return known
