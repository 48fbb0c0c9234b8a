"""Clips of which something was given or told, against the true ones: the lines of a report on tasks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

from . import paired
from .clip import Clip
from .known import Band, Given, kept
from .pitch import Tracker, track_difference

_BELOW = 0.9  # of a given band is compared: its edge is not sharp in time


def given_metrics(rate: int, fade: int) -> tuple[MetricSpec, ...]:
    """Distances from the true clips where samples were made, and exactness of what was given.

    What is compared is the stretch from the first to the last sample that was not given, of all samples of each given item; the
    mean over them is the number.

    Args:
        rate: Hz.
        fade: samples over which given stretches are blended with what was made.
    """
    tracker = Tracker(rate, high=min(1000.0, rate / 4))

    def tracks(wave: Tensor, true: Tensor) -> tuple[float, float]:
        return track_difference(tracker(wave.mean(0)), tracker(true.mean(0)))

    def distortion(wave: Tensor, true: Tensor) -> float:
        return paired.mel_cepstral_distortion(wave, true, rate)

    def ratio(wave: Tensor, true: Tensor) -> float:
        return paired.si_sdr(wave, true) if bool(true.any(1).all()) else np.nan  # undefined against silence

    def spec(name: str, about: str, measure: Callable[[Tensor, Tensor], float], better: str = "lower") -> MetricSpec:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            def measured(_: object) -> Tensor:
                return torch.tensor([measure(*pair) for pair in pairs(candidate)], dtype=torch.float64)

            return float(candidate.rows(f"{name}, pair by pair", measured).nanmean())

        return MetricSpec(name, "higher" if better == "higher" else "lower", about, compute, "task", needs_given=True)

    def moved(candidate: Judged, reference: Judged, context: Context) -> float:
        return float(candidate.rows(f"changes, {fade}", lambda _: _changes(candidate, fade)).max())

    return (
        spec("MR-STFT", "Spectral convergence plus log-magnitude distance, mean of three resolutions.", paired.mr_stft),
        spec("log-spectral distance, dB", "Root mean square over frequencies, mean over time.",
             paired.log_spectral_distance),
        spec("MCD, dB", "Mel-cepstral distortion, 13 coefficients, without the level.", distortion),
        spec("F0 error, cents", "Root mean square where both are voiced; clips that never are do not count.",
             lambda wave, true: tracks(wave, true)[0]),
        spec("voicing error", "Share of frames that are voiced in only one of the two.",
             lambda wave, true: tracks(wave, true)[1]),
        spec("SI-SDR, dB", "Scale-invariant signal-to-distortion ratio: it asks for the true phases.", ratio, "higher"),
        MetricSpec("change of given samples", "lower", "Largest difference of a given sample, but for the cross-fade; must be 0.",
                   moved, "task", needs_given=True),
    )  # fmt: skip


def pairs(judged: Judged) -> list[tuple[Tensor, Tensor]]:
    """(ours, true) waves (C, T) of each sample, over the stretch that was not given."""
    found = []
    for sample, item, known in zip(judged.samples, judged.given or (), judged.known or (), strict=True):
        true: Clip = item.data
        if sample.samples.shape != true.samples.shape:
            raise ValueError(f"{item.key}: the given clip is {true.samples.shape}, the sample {sample.samples.shape}")
        part = _stretch(known, len(true.samples))
        found.append((torch.from_numpy(sample.samples[part].T.copy()), torch.from_numpy(true.samples[part].T.copy())))
    return found


def _stretch(known: Given | None, steps: int) -> slice:
    """From the first to the last sample that was not given; all where every one or none was."""
    if isinstance(known, np.ndarray) and not known.all():
        unknown = np.flatnonzero(~known)
        return slice(int(unknown[0]), int(unknown[-1]) + 1)
    return slice(0, steps)


def _changes(judged: Judged, fade: int) -> Tensor:
    """(n,) largest difference of a given sample, or of what lies well below the edge of a given band."""
    found = []
    for sample, item, known in zip(judged.samples, judged.given or (), judged.known or (), strict=True):
        apart = sample.samples.astype(np.float64) - item.data.samples
        if isinstance(known, Band):
            spectrum = np.fft.rfft(apart, axis=0)
            spectrum[int(_BELOW * known.share * len(spectrum)) :] = 0
            apart = np.fft.irfft(spectrum, len(apart), axis=0)
        else:
            apart = apart[kept(known, fade) == 1] if known is not None else apart[:0]
        found.append(np.abs(apart).max(initial=0.0))
    return torch.tensor(found, dtype=torch.float64)
