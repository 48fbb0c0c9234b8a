"""One loudness for all clips, by choice: the factor that brings a clip to it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from .libraries import torchaudio

Loudness = Literal["peak", "rms"] | float | None
RMS = 0.1  # -20 dB of full scale
_BLOCK = 0.4  # seconds of a gating block of BS.1770
_ROOM = 0.25  # torchaudio clips what its filters make at 1: louder clips are measured at this peak
_SILENT = 1e-6  # -120 dB of full scale: such a clip is left as it is
_LOWEST, _HIGHEST = -60.0, 0.0  # LUFS that can be asked for


def check(how: Loudness) -> None:
    """Raise ValueError where `modality.loudness` is none of peak, rms, null and a number of LUFS between -60 and 0."""
    number = isinstance(how, int | float) and not isinstance(how, bool)
    if how in (None, "peak", "rms") or (number and _LOWEST <= float(how) <= _HIGHEST):
        return
    raise ValueError(f"modality.loudness={how}: choose null, peak, rms, or LUFS from -60 to 0, as -23")


def gain(samples: np.ndarray, rate: int, how: Loudness) -> float:
    """The factor for (T, C) samples: `peak` brings the largest value to 1, `rms` the root mean square to -20 dB of full scale, a
    number the loudness to that many LUFS. 1 for silence.
    """
    if how is None or np.abs(samples).max(initial=0.0) < _SILENT:
        return 1.0
    if how == "peak":
        return float(1 / np.abs(samples).max())
    if how == "rms":
        return float(RMS / np.sqrt(np.square(samples, dtype=np.float64).mean()))
    measured = lufs(samples, rate)
    return 10 ** ((float(how) - measured) / 20) if np.isfinite(measured) else 1.0


def lufs(samples: np.ndarray, rate: int) -> float:
    """Loudness of (T, C) samples, C of 1 to 5; -inf where every block is below the absolute gate of -70 LUFS.

    Of a clip shorter than one block of 0.4 s that clip with silence up to there is measured, and the silence taken off again.
    Source: ITU-R BS.1770-4, by torchaudio.
    """
    missing = max(0, round(_BLOCK * rate) - len(samples))
    softer = min(1.0, _ROOM / max(_SILENT, float(np.abs(samples).max())))
    padded = np.pad(samples.T * np.float32(softer), ((0, 0), (0, missing)))
    measured = float(torchaudio().functional.loudness(torch.from_numpy(padded), rate))
    if np.isnan(measured):  # no block passes the gate
        return -np.inf
    return measured - 20 * np.log10(softer) + 10 * np.log10(1 + missing / len(samples))
