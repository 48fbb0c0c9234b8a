"""How fast pixels change: power over frequencies in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

from .clip import Clip

_ROUNDING = 1 / 12  # power of rounding to whole levels, a frequency


def spectrum_metric(frames: int) -> MetricSpec:
    """Distance of mean spectra in time.

    Args:
        frames: of a clip that are compared, the last ones.
    """

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        def mean(judged: Judged) -> Tensor:
            return judged.rows(f"spectra, {frames}", lambda clips: spectra(clips, frames)).mean(0) + _ROUNDING

        return float((10 * (mean(candidate) / mean(reference)).log10()).abs().mean())

    about = (
        "Mean over frequencies in time of |level of the samples - level of the training clips|, dB; flicker and frozen "
        "pictures both raise it."
    )
    return MetricSpec("temporal spectrum, dB", "lower", about, compute)


def spectra(clips: Sequence[Clip], frames: int) -> Tensor:
    """(n, frames // 2) mean power over pixels at the frequencies k / frames of a frame, k = 1, ..., frames // 2, levels squared.

    Each pixel's grey levels less their mean, under a Hann window; white noise of variance s^2 has s^2 at every frequency.
    """
    window = np.hanning(frames + 2)[1:-1, None]
    out = []
    for clip in clips:
        levels = clip.frames[-frames:].astype(np.float64).mean(-1).reshape(frames, -1)
        power = np.abs(np.fft.rfft((levels - levels.mean(0)) * window, axis=0)) ** 2
        out.append(power[1:].mean(1) / (window**2).sum())
    return torch.from_numpy(np.stack(out)).reshape(len(clips), -1)
