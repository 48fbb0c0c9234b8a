"""Clips for people: waveforms above their mel spectrograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from .clip import Clip
from .libraries import torchaudio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 16  # clips
_WIDTH = 400  # columns of a waveform: extremes of each are drawn
_BANDS, _FRAME, _RANGE = 64, 0.032, 80.0  # of a spectrogram: mel bands, seconds of its window, decibels shown
_HERTZ = (500, 1000, 2000, 4000, 8000, 16000)  # marked beside it


def draw(clips: Sequence[Clip]) -> Figure:
    """The waveform and the mel spectrogram of each of the first 16 clips; decibels are measured from the loudest of them all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = clips[:_MOST]
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(2.6 * columns, 2.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(1, 2) * rows)
    spectrograms = [mel_decibels(clip) for clip in shown]
    top = max(float(decibels.max()) for decibels in spectrograms)
    for i in range(rows * columns):
        above, below = axes[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
        if i < len(shown):
            _waveform(above, shown[i])
            _spectrogram(below, shown[i], spectrograms[i], top)
        else:
            above.set_axis_off()
            below.set_axis_off()
    return figure


def extremes(samples: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value over channels and each of up to `columns` stretches of (T, C) samples."""
    edges = np.unique(np.linspace(0, len(samples), min(columns, len(samples)), endpoint=False).astype(int))
    return np.minimum.reduceat(samples.min(1), edges), np.maximum.reduceat(samples.max(1), edges)


def mel_decibels(clip: Clip) -> np.ndarray:
    """(bands, frames): power in mel bands of the mean of all channels without its offset, decibels, not below -100."""
    size = 1 << max(5, round(math.log2(_FRAME * clip.rate)))
    bands = min(_BANDS, size // 8)
    mel = torchaudio().transforms.MelSpectrogram(clip.rate, size, hop_length=size // 4, n_mels=bands, normalized=True)
    mono = clip.samples.mean(1)
    mono = np.pad(mono - mono.mean(), (0, max(0, size - len(mono))))
    return 10 * mel(torch.from_numpy(mono)).clamp(min=1e-10).log10().numpy()


def _waveform(axis: Axes, clip: Clip) -> None:
    low, high = extremes(clip.samples, _WIDTH)
    seconds = np.linspace(0, clip.duration, len(low), endpoint=False)
    axis.fill_between(seconds, low, high, color="C0", linewidth=0.3)
    axis.set(xlim=(0, clip.duration), ylim=(-1, 1), xticks=[], yticks=[-1, 0, 1])
    axis.set_title(clip.name, fontsize=6, loc="left", pad=2)
    axis.tick_params(labelsize=5)


def _spectrogram(axis: Axes, clip: Clip, decibels: np.ndarray, top: float) -> None:
    extent = (0, clip.duration, 0, _mel(clip.rate / 2))
    axis.imshow(decibels, origin="lower", aspect="auto", extent=extent, vmin=top - _RANGE, vmax=top, cmap="magma")
    marks = [f for f in _HERTZ if f <= clip.rate / 2]
    axis.set_yticks([_mel(f) for f in marks], [f"{f / 1000:g}" for f in marks])
    axis.set_ylabel("kHz", fontsize=5, labelpad=1)
    axis.tick_params(labelsize=5)


def _mel(hertz: float) -> float:
    """O'Shaughnessy's scale, which torchaudio's bands are spaced on."""
    return 2595 * math.log10(1 + hertz / 700)
