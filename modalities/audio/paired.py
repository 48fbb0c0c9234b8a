"""Distances of a wave from the true one, sample by sample in time: pure functions of a pair of tensors (C, T).

They are computed in float64 over all channels. Every one of them but SI-SDR is 0 for equal waves and grows with the difference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .libraries import torchaudio

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # points, hop and window of the transforms, samples
LIMIT = 100.0  # dB: SI-SDR is cut to +-100
_POINTS, _HOP = 1024, 256
_FLOOR = 1e-5  # magnitude under which a bin counts as silent; a sine of full scale has 1
_MEL_BANDS, _CEPSTRA = 40, 13


def mr_stft(wave: Tensor, true: Tensor) -> float:
    """Multi-resolution STFT distance: the mean over three resolutions of

        | |S| - |S'| |_F / | |S| |_F  +  mean | ln |S| - ln |S'| |,   S true, S' ours

    Magnitudes are at least 1e-5 of a full-scale sine's: below, both are silent.

    Source: Yamamoto et al. 2020, arXiv:1910.11480, equations (3) to (6), with its resolutions for any rate.
    """
    _check(wave, true)
    total = 0.0
    for points, hop, window in RESOLUTIONS:
        ours, theirs = (_magnitudes(x, points, hop, window).clamp(min=_FLOOR) for x in (wave, true))
        convergence = (theirs - ours).norm() / theirs.norm()
        total += float(convergence + (theirs.log() - ours.log()).abs().mean())
    return total / len(RESOLUTIONS)


def log_spectral_distance(wave: Tensor, true: Tensor) -> float:
    """Mean over frames of sqrt(mean over frequencies of (20 log10 |S| / |S'|)^2), dB.

    Windows of 1,024 samples, hop 256; magnitudes are at least 1e-5 of a full-scale sine's. Papers on bandwidth extension print a
    tenth of it, from log10 of powers.

    Source: Gray and Markel 1976, "Distance measures for speech processing".
    """
    _check(wave, true)
    ours, theirs = (_magnitudes(x, _POINTS, _HOP, _POINTS).clamp(min=_FLOOR) for x in (wave, true))
    return float((20 * (ours / theirs).log10()).square().mean(-2).sqrt().mean())


def mel_cepstral_distortion(wave: Tensor, true: Tensor, rate: int) -> float:
    """Mean over frames of (10 / ln 10) sqrt(2 sum_{d=1}^{13} (c_d - c'_d)^2), dB; the level, c_0, does not count.

    c are the cosine coefficients of ln |S| = c_0 + sum_d c_d cos(d w) over 40 mel bands, so that an envelope that differs by
    a ripple A cos(d w) dB, d up to 13, is A / sqrt(2) away. Cepstra of a vocoder's all-pole envelope give other numbers.

    Source: Kubichek 1993, "Mel-cepstral distance measure for objective speech quality assessment".
    """
    _check(wave, true)
    functional = torchaudio().functional
    banks = functional.melscale_fbanks(_POINTS // 2 + 1, 0.0, rate / 2, _MEL_BANDS, rate, "slaney", "slaney").double()
    banks = banks / banks.sum(0).clamp(min=1e-12)  # means over a band
    logs = [(banks.T @ _magnitudes(x, _POINTS, _HOP, _POINTS)).clamp(min=_FLOOR).log() for x in (wave, true)]
    cosines = functional.create_dct(_CEPSTRA + 1, _MEL_BANDS, "ortho").double()[:, 1:]  # (M, 13)
    cepstra = (logs[0] - logs[1]).transpose(-1, -2) @ cosines * math.sqrt(2 / _MEL_BANDS)
    return float((10 / math.log(10) * (2 * cepstra.square().sum(-1)).sqrt()).mean())


def si_sdr(wave: Tensor, true: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio, dB, mean of the channels; higher is better, cut to +-100.

        10 log10(|a s|^2 / |a s - s'|^2),   a = <s', s> / |s|^2

    It asks for the true phases: an honest vocoder has none and stays near -30 dB. A silent wave has -100.

    Raises:
        ValueError: a true channel that is silent throughout, against which nothing can be said.

    Source: Le Roux et al. 2019, arXiv:1811.02508, equation (3). No mean is removed.
    """
    _check(wave, true)
    ours, theirs = wave.double(), true.double()
    energy = theirs.square().sum(-1, keepdim=True)
    if bool((energy == 0).any()):
        raise ValueError("the true wave is silent: SI-SDR is undefined")
    target = (ours * theirs).sum(-1, keepdim=True) / energy * theirs
    ratio = target.square().sum(-1) / (target - ours).square().sum(-1)
    decibels = (10 * ratio.log10()).nan_to_num(nan=-LIMIT)  # 0 / 0: ours is silent
    return float(decibels.clamp(-LIMIT, LIMIT).mean())


def _magnitudes(x: Tensor, points: int, hop: int, window: int) -> Tensor:
    """(C, K, F) of waves (C, T), in units where a sine of full scale has a peak of 1; silence lies before and after."""
    shape = torch.hann_window(window, dtype=torch.float64)
    spectrum = torch.stft(
        x.double(), points, hop, window, shape * (2 / shape.sum()), pad_mode="constant", return_complex=True
    )
    return spectrum.abs()


def _check(wave: Tensor, true: Tensor) -> None:
    if wave.shape != true.shape or wave.ndim != 2 or not wave.shape[1]:
        raise ValueError(
            f"a pair is two waves (C, T) of one shape, T at least 1; got {tuple(wave.shape)}, {tuple(true.shape)}"
        )
