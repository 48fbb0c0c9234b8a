"""Fundamental frequency: of frames of a wave, of a whole clip, and how far two tracks or an asked tone are apart.

Autocorrelation of Hann-windowed frames over that of the window, as Boersma 1993 ("Accurate short-term analysis of the
fundamental frequency and the harmonics-to-noise ratio of a sampled sound", Proceedings of the Institute of Phonetic Sciences 17),
sections 3.1 to 3.4, without its search for a path through the candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_FINER = 4  # lags to a sample
_PERIODS = 3  # of the lowest tone that fill the window
_SILENT = 0.01  # a frame whose peak is below this share of the clip's is unvoiced
_CHUNK = 512  # frames transformed at once
_OCTAVE = 0.01  # strength that a doubling of the period costs


@dataclass(frozen=True)
class Tracker:
    """Frames of a mono wave to fundamental frequencies.

    Args:
        rate: Hz.
        low, high: Hz, what is looked for; `high` at most a quarter of the rate.
        hop: seconds between frames.
        voiced: a frame is voiced where its strength, 0 to 1, is at least this.

    Raises:
        ValueError: a range that the rate does not hold.
    """

    rate: int
    low: float = 65.0
    high: float = 1000.0
    hop: float = 0.01
    voiced: float = 0.45

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high <= self.rate / 4:
            raise ValueError(
                f"pitch is looked for from {self.low} to {self.high} Hz: at most a quarter of {self.rate} Hz"
            )

    @property
    def window(self) -> int:
        """Samples of a frame."""
        return math.ceil(_PERIODS * self.rate / self.low)

    def __call__(self, wave: Tensor) -> Tensor:
        """(F,) Hz of frames of a wave (T,), NaN where a frame is unvoiced; frame f is centred at sample round(f hop rate)."""
        frames = self._frames(wave.double())
        strength, frequency = (
            torch.cat(each) for each in zip(*map(self._strongest, frames.split(_CHUNK)), strict=True)
        )
        loud = frames.abs().amax(1)
        heard = (strength >= self.voiced) & (loud > _SILENT * wave.abs().max().clamp(min=1e-6))
        return torch.where(heard, frequency, torch.nan)

    def _frames(self, wave: Tensor) -> Tensor:
        """(F, L), each without its mean."""
        size, hop = self.window, max(1, round(self.hop * self.rate))
        padded = torch.nn.functional.pad(wave, (size // 2, size))
        frames = padded.unfold(0, size, hop)[: 1 + len(wave) // hop]
        return frames - frames.mean(1, keepdim=True)

    def _strongest(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Strength (F,) and Hz (F,) of the strongest maximum of the normalised autocorrelation in the range."""
        window = torch.hann_window(self.window, dtype=torch.float64)
        first = math.floor(_FINER * self.rate / self.high)
        last = math.ceil(_FINER * self.rate / self.low)
        own = _autocorrelation(frames * window, last + 2)
        at_zero = own[:, :1].clamp(min=1e-20)
        of_window = _autocorrelation(window[None], last + 2)
        r = (own / at_zero) / (of_window / of_window[:, :1])
        before, here, after = r[:, first - 1 : last], r[:, first : last + 1], r[:, first + 1 : last + 2]
        curve = (before - 2 * here + after).clamp(max=-1e-12)
        offset = 0.5 * (before - after) / curve
        peak = here - 0.25 * (before - after) * offset
        lag = (torch.arange(first, last + 1) + offset) / (_FINER * self.rate)  # seconds
        is_peak = (here >= before) & (here > after) & (here > 0)
        score = torch.where(is_peak, peak.clamp(max=1) - _OCTAVE * (self.low * lag.clamp(min=1e-6)).log2(), -torch.inf)
        best = score.argmax(1, keepdim=True)
        found = torch.where(is_peak.gather(1, best), peak.gather(1, best), 0.0)
        return found[:, 0].clamp(max=1), 1 / lag.gather(1, best)[:, 0]


def clip_pitch(tracker: Tracker, wave: Tensor) -> float:
    """Median Hz of the voiced frames of a wave (T,); NaN where there are none."""
    found = tracker(wave)
    voiced = found[found.isfinite()]
    return float(voiced.quantile(0.5)) if len(voiced) else math.nan


def cents(f: Tensor | float, g: Tensor | float) -> Tensor:
    """1200 log2(f / g): hundredths of a semitone by which f is above g."""
    return 1200 * torch.log2(torch.as_tensor(f, dtype=torch.float64) / torch.as_tensor(g, dtype=torch.float64))


def track_difference(ours: Tensor, true: Tensor) -> tuple[float, float]:
    """Root mean square difference in cents where both tracks (F,) are voiced, NaN where they never are, and the share of
    frames of which only one is voiced. The longer track counts as far as the shorter one goes.
    """
    n = min(len(ours), len(true))
    ours, true = ours[:n], true[:n]
    a, b = ours.isfinite(), true.isfinite()
    apart = cents(ours[a & b], true[a & b]).square().mean().sqrt()
    return float(apart), float((a != b).double().mean())


def _autocorrelation(frames: Tensor, lags: int) -> Tensor:
    """(F, lags) at lags 0, 1/4, 2/4, ... samples: the spectrum's power, taken back on a finer grid."""
    size = 1 << (2 * frames.shape[1] - 1).bit_length()
    power = torch.fft.rfft(frames, size).abs().square()
    return torch.fft.irfft(power, _FINER * size)[:, :lags]
