"""What judging hears: log-mel spectrograms of clips, in decibels, of one length, with the level of white noise in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .clip import Clip
from .libraries import torchaudio

_WINDOW = 0.032  # seconds
_FLOOR = 1e-8  # power that counts as silence: -80 dB below a full-scale sine
_CHUNK = 256  # clips transformed at once


@dataclass(frozen=True)
class Hearing:
    """Clips to log-mel power in decibels, 10 log10(P + 1e-8).

    P is the power of Hann windows of 32 ms in mel bands of unit height (Slaney's scale, up to half the rate), where a sine of
    full scale at the centre of a band has about P = 1. Channels are mixed down by their mean.

    Args:
        rate: of all clips, Hz.
        steps: samples of a clip that are heard: longer ones are cut at the end, shorter ones are filled with silence.
        bands: M.
        hop: seconds between frames.
    """

    rate: int
    steps: int
    bands: int = 48
    hop: float = 0.0125

    @property
    def frames(self) -> int:
        """F."""
        return 1 + self.steps // self._hop

    @property
    def silence(self) -> float:
        """Decibels of a band in which there is nothing."""
        return float(10 * np.log10(_FLOOR))

    def __call__(self, clips: Sequence[Clip]) -> Tensor:
        """(n, M, F) float32, dB.

        Raises:
            ValueError: a clip of another rate.
        """
        parts = [clips[start : start + _CHUNK] for start in range(0, len(clips), _CHUNK)]
        powers = [self.power(self.mono(part)) for part in parts] or [torch.zeros(0, self.bands, self.frames)]
        return decibels(torch.cat(powers))

    def mono(self, clips: Sequence[Clip]) -> Tensor:
        """(n, steps) float32."""
        out = np.zeros((len(clips), self.steps), np.float32)
        for row, clip in zip(out, clips, strict=True):
            if clip.rate != self.rate:
                raise ValueError(f"clip {clip.name!r} has {clip.rate} Hz; what it is compared with has {self.rate} Hz")
            heard = clip.samples[: self.steps].mean(1)
            row[: len(heard)] = heard
        return torch.from_numpy(out)

    def power(self, waves: Tensor) -> Tensor:
        """(n, M, F) power of waves (n, T)."""
        spectrum = torch.stft(
            waves,
            self._size,
            self._hop,
            self._length,
            self._window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return torch.einsum("nkf,km->nmf", spectrum.abs().square(), self._banks)

    @cached_property
    def noise(self) -> Tensor:
        """(M, 1) mean power of white noise of variance 1."""
        return self._banks.sum(0)[:, None] * self._window.square().sum()

    @cached_property
    def _hop(self) -> int:
        return max(1, round(self.hop * self.rate))

    @cached_property
    def _length(self) -> int:
        return max(4, round(_WINDOW * self.rate))

    @cached_property
    def _size(self) -> int:
        """Points of the transform: twice the window, so that no low band is left without one."""
        return 2 * self._length

    @cached_property
    def _window(self) -> Tensor:
        """A Hann window under which a sine of full scale has a peak of 1."""
        window = torch.hann_window(self._length)
        return window * (2 / window.sum())

    @cached_property
    def _banks(self) -> Tensor:
        """(K, M)."""
        melscale_fbanks = torchaudio().functional.melscale_fbanks
        return melscale_fbanks(self._size // 2 + 1, 0.0, self.rate / 2, self.bands, self.rate, None, "slaney")


def decibels(power: Tensor) -> Tensor:
    """10 log10(P + 1e-8)."""
    return 10 * (power + _FLOOR).log10()


def power_of(levels: Tensor) -> Tensor:
    """The power behind `decibels`."""
    return (torch.pow(10.0, levels / 10) - _FLOOR).clamp(min=0)
