"""How much of an image is fine and how much coarse: power over frequencies in the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

_ROUNDING = 1 / 12  # power of rounding to whole levels, a frequency


def spectrum_metric() -> MetricSpec:
    """Distance of mean radial spectra, in as many rings as the smallest training image has frequencies."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        rings = reference.whole("rings", lambda: min(min(image.shape[:2]) for image in reference.samples) // 2)

        def mean(judged: Judged) -> Tensor:
            return judged.rows(f"radial spectra, {rings}", lambda images: spectra(images, rings)).nanmean(0) + _ROUNDING

        return float((10 * (mean(candidate) / mean(reference)).log10()).abs().mean())

    about = "Mean over radial frequencies of |level of the samples - level of the training images|, dB; blur and noise raise it."
    return MetricSpec("radial spectrum, dB", "lower", about, compute)


def spectra(images: Sequence[np.ndarray], rings: int) -> Tensor:
    """(n, rings) mean power, levels squared, at frequencies of 0 to 1/2 of a pixel in `rings` rings of equal width.

    Each channel less its mean over the image, under a Hann window; the mean of the channels' powers. White noise of variance
    s^2 has s^2 in every ring. The mean itself and the corners beyond 1/2 are left out. NaN in a ring without a frequency.

    Source: azimuthal averages as in Durall et al. 2020, arXiv:2003.01826.
    """
    rows = np.full((len(images), rings), np.nan)
    for i, image in enumerate(images):
        levels, sides = image.astype(np.float64), image.shape[:2]
        window = np.outer(*(np.hanning(side + 2)[1:-1] for side in sides))
        waves = np.fft.fft2((levels - levels.mean((0, 1))) * window[..., None], axes=(0, 1))
        power = np.square(np.abs(waves)).mean(-1) / np.square(window).sum()
        radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, sides), indexing="ij"))
        ring = np.ceil(radius * 2 * rings - 1e-9).astype(int) - 1  # 0 is the ring (0, 1 / (2 rings)]
        inside = (ring >= 0) & (ring < rings)
        count = np.bincount(ring[inside], minlength=rings)
        total = np.bincount(ring[inside], power[inside], minlength=rings)
        rows[i] = np.divide(total, count, out=np.full(rings, np.nan), where=count > 0)
    return torch.from_numpy(rows)
