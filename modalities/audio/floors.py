"""Simple honest baselines: what a model must beat.

Where nothing is given: noise with the spectrum, moment by moment, of training clips of the classes asked for. Where stretches
are given: linear prediction from both sides. Of a mel spectrum: Griffin and Lim's iteration, which `mel` has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ornstein.core.modality import Item, Rng
from torch import Tensor

from .clip import Clip

_WINDOW = 0.032  # seconds
_CONTEXT = 0.1  # seconds on each side of a gap that linear prediction learns from
_ORDER = 250  # Hz of rate for each coefficient: 32 at 8 kHz


def coloured_noise(
    items: Sequence[Item], cond: Sequence[Mapping[str, Any]], labels: Sequence[str], rng: Rng
) -> list[Clip]:
    """A clip for each cond: Gaussian noise whose mean power in time and frequency is that of training clips like it.

        X(f, t) = W(f, t) sqrt(mean |S(f, t)|^2 / E |W|^2),   W the transform of white noise, S of the training clips

    Like it are the training clips that share the most of the classes asked for. Clips are aligned at their beginnings, and the
    length is that of one of them, drawn.

    Args:
        items: training clips, of one rate and number of channels; classes as in `cond`.
        labels: names of the conditions that are classes.

    Raises:
        ValueError: no items.
    """
    if not items:
        raise ValueError("a floor needs training clips")
    first, powers, out = items[0].data, {}, []
    for values in cond:
        asked = tuple(values.get(label) for label in labels)
        if asked not in powers:
            like = _like(items, asked, labels)
            powers[asked] = like, _mean_power(like, first.rate)
        like, power = powers[asked]
        steps = len(like[int(rng.integers(len(like)))].samples)
        white = rng.standard_normal((first.channels, steps), dtype=np.float32)
        out.append(Clip(_shaped(torch.from_numpy(white), power, first.rate).numpy().T.copy(), first.rate))
    return out


def linear_prediction(clip: Clip, known: np.ndarray, rng: Rng) -> Clip:
    """The clip with each stretch that is not known continued from what is known before and after it, crossed over in power.

    An all-pole model of the 0.1 s beside the stretch, driven by noise of the strength of its own errors, runs into it. Where
    nothing is known on a side, the other side fills all; where nothing is known at all, there is silence.

    Args:
        known: (T,) bool.

    Source: Makhoul 1975, "Linear prediction: a tutorial review", the autocorrelation method.
    """
    samples = np.where(known[:, None], clip.samples, 0).astype(np.float64)
    most, order = max(2, round(_CONTEXT * clip.rate)), max(2, clip.rate // _ORDER)
    gaps = _gaps(known)
    ends, starts = [0, *(stop for _, stop in gaps)], [*(start for start, _ in gaps[1:]), len(known)]
    for (start, stop), earlier, later in zip(gaps, ends, starts, strict=False):
        before = clip.samples[max(earlier, start - most) : start].astype(np.float64)
        after = clip.samples[stop : min(later, stop + most)].astype(np.float64)
        ahead = _continued(before, stop - start, order, rng)
        back = _continued(after[::-1], stop - start, order, rng)[::-1]
        if len(before) and len(after):
            weight = ((np.arange(stop - start) + 0.5) / (stop - start))[:, None]
            samples[start:stop] = np.sqrt(1 - weight) * ahead + np.sqrt(weight) * back
        else:
            samples[start:stop] = ahead + back  # one of them is silence
    return Clip(samples.astype(np.float32), clip.rate, clip.start, clip.seconds, clip.name)


def _like(items: Sequence[Item], asked: Sequence[Any], labels: Sequence[str]) -> list[Clip]:
    """The clips of the items that share the most of the classes asked for."""
    shared = [
        sum(value is not None and item.cond.get(label) == value for label, value in zip(labels, asked, strict=True))
        for item in items
    ]
    most = max(shared)
    return [item.data for item, count in zip(items, shared, strict=True) if count == most]


def _mean_power(clips: Iterable[Clip], rate: int) -> Tensor:
    """(C, K, F): mean over the clips that reach a frame."""
    total, count = torch.zeros(()), torch.zeros(())
    for clip in clips:
        power = _transform(torch.from_numpy(clip.samples.T.copy()), rate).abs().square().double()
        here = torch.ones(power.shape[2], dtype=torch.float64)
        total, count = _added(total, power), _added(count, here)
    return (total / count).float()


def _added(total: Tensor, more: Tensor) -> Tensor:
    """The sum of two that may differ in length along the last axis; `total` may be a scalar 0."""
    if total.ndim == 0:
        return more
    size = max(total.shape[-1], more.shape[-1])
    pad = torch.nn.functional.pad
    return pad(total, (0, size - total.shape[-1])) + pad(more, (0, size - more.shape[-1]))


def _shaped(white: Tensor, power: Tensor, rate: int) -> Tensor:
    """White noise (C, T) with a mean power (C, K, F) of at least its frames."""
    spectrum = _transform(white, rate)
    size, window = _window(rate)
    gain = (power[..., : spectrum.shape[2]] / window.square().sum()).sqrt()
    return torch.istft(spectrum * gain, size, size // 4, window=window, length=white.shape[1])


def _transform(waves: Tensor, rate: int) -> Tensor:
    size, window = _window(rate)
    return torch.stft(waves, size, size // 4, window=window, pad_mode="constant", return_complex=True)


def _window(rate: int) -> tuple[int, Tensor]:
    size = max(8, 4 * round(_WINDOW * rate / 4))
    return size, torch.hann_window(size)


def _gaps(known: np.ndarray) -> list[tuple[int, int]]:
    """First and behind the last sample of each stretch that is not known."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _continued(context: np.ndarray, steps: int, order: int, rng: Rng) -> np.ndarray:
    """(steps, C) that follow a context (n, C); silence where it says nothing."""
    from scipy.linalg import solve_toeplitz
    from scipy.signal import lfilter, lfiltic

    n, channels = context.shape
    p = min(order, n // 3)
    out = np.zeros((steps, channels))
    for c in range(channels):
        x = context[:, c]
        shown = x * np.hanning(n + 2)[1:-1] if p else x
        r = np.array([shown[: n - k] @ shown[k:] for k in range(p + 1)])
        if p == 0 or r[0] < 1e-12:
            continue
        r[0] *= 1 + 1e-9  # so that a pure tone has a solution
        a = np.concatenate([[1.0], -solve_toeplitz(r[:p], r[1:])])
        error = np.sqrt(max(r @ a, 0) / (np.hanning(n + 2) ** 2).sum())
        past = x[::-1][:p]
        out[:, c], _ = lfilter([1.0], a, error * rng.standard_normal(steps), zi=lfiltic([1.0], a, past))
    return out
