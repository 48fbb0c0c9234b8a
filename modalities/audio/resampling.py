"""From any rate and any channels to those of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from .libraries import torchaudio

Mix = Literal["mean", "left", "right"]
ZEROS, ROLLOFF = (
    6,
    0.99,
)  # zero crossings of the filter on each side, and its edge as a share of the lower Nyquist frequency
_MOST_WEIGHTS = 2**22  # of torchaudio's table of filters, one for each phase


def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """(T, C) at `source` Hz to (ceil(T target / source), C) at `target` Hz; the same array where both are equal.

    By a sinc of six zero crossings on each side under a window of Hann, its edge at 0.99 of the lower Nyquist frequency. Outside
    the array is silence.
    """
    return samples if source == target else _resampler(source, target)(samples)


def length(frames: int, source: int, target: int) -> int:
    """Samples at `target` Hz of so many at `source` Hz."""
    return -(-frames * target // source)


def span(start: int, stop: int, source: int, target: int) -> tuple[int, int, int]:
    """What to read for the resampled `start` to `stop`: first and last at `source` Hz, and where they begin in the result.

    With the filter's reach on both sides, and begun at a whole period of both rates, so that a part of a recording is what
    that part of the whole one would be.
    """
    if source == target:
        return start, stop, 0
    common = math.gcd(source, target)
    o, n = source // common, target // common
    reach = _reach(o, n) + o
    period = max(0, start * o // n - reach) // o
    return period * o, -(-stop * o // n) + reach, start - period * n


def mixed(samples: np.ndarray, channels: int, mix: Mix) -> np.ndarray:
    """(T, C) with 1 or 2 channels: one of many by `mix`, two of one by doubling; two of more are for nobody to say."""
    found = samples.shape[1]
    if found == channels:
        return samples
    if channels == 2:
        return np.repeat(samples, 2, axis=1)
    if mix == "mean":
        return samples.mean(1, keepdims=True)
    return samples[:, :1] if mix == "left" else samples[:, 1:2]


def _reach(o: int, n: int) -> int:
    return math.ceil(ZEROS * o / (ROLLOFF * min(o, n)))


@lru_cache(maxsize=16)
def _resampler(source: int, target: int) -> Callable[[np.ndarray], np.ndarray]:
    """The filter worked out once. Rates with hardly a common divisor would need a table of gigabytes: they go through SciPy."""
    common = math.gcd(source, target)
    o, n = source // common, target // common
    if n * (2 * _reach(o, n) + o) > _MOST_WEIGHTS:
        return lambda samples: _polyphase(samples, n, o)
    filters = torchaudio().transforms.Resample(source, target, lowpass_filter_width=ZEROS, rolloff=ROLLOFF)

    def run(samples: np.ndarray) -> np.ndarray:
        return filters(torch.from_numpy(np.ascontiguousarray(samples.T))).numpy().T

    return run


def _polyphase(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """The same filter, of which SciPy works out only the weights that meet a sample."""
    from scipy.signal import resample_poly

    edge = ROLLOFF * min(up, down) / down  # of the filter, in units of half the source rate
    half = math.ceil(ZEROS * up / edge)
    t = np.clip(np.arange(-half, half + 1) / up * edge, -ZEROS, ZEROS)
    weights = np.sinc(t) * np.cos(np.pi * t / (2 * ZEROS)) ** 2 * edge / up
    return resample_poly(samples, up, down, window=weights).astype(np.float32)
