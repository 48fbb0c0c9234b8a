"""Log-mel spectra: what is heard without phases. They are given back as sound by a vocoder, or by Griffin and Lim's iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from .frames import Frames, channels_apart, channels_together
from .libraries import torchaudio
from .phases import griffin_lim, reach, spectra

FLOOR = 1e-5  # magnitudes below it are silence: 100 dB under full scale


@dataclass(frozen=True)
class MelScale:
    """A mel spectrum every h samples, of 4 h samples under a Hann window, as DiffWave has it.

    The filters are Slaney's: triangles of equal area from 0 Hz to half of the rate. Frame n is centred on the samples n h to
    (n + 1) h; samples outside of the clip are zeros. At 22,050 Hz with h = 256 and 80 bands these are DiffWave's settings
    (Kong et al. 2020, arXiv:2009.09761, section 5.1: 80 bands, windows of 1,024 samples, hop 256).

    Args:
        rate: of the samples, Hz.
        hop: h, even.
        bands: M.

    Raises:
        ValueError: a hop that is odd, or more bands than the window can tell apart.
    """

    rate: int
    hop: int
    bands: int = 80

    def __post_init__(self) -> None:
        if self.hop % 2:
            raise ValueError(f"modality.frame={self.hop}: mel frames are centred on it, so it must be even")
        empty = int((self.filters.sum(0) == 0).sum()) if 0 < self.bands <= 2 * self.hop else -1
        if empty:
            found = f"{empty} of them hold no frequency" if empty > 0 else f"1 to {2 * self.hop} are possible"
            raise ValueError(
                f"modality.bands={self.bands}: windows of {4 * self.hop} samples at {self.rate} Hz: {found}; take fewer "
                "bands or a longer modality.frame"
            )

    @property
    def window(self) -> int:
        """4 h, the samples of a window."""
        return 4 * self.hop

    @property
    def reach(self) -> int:
        """Samples of a window on either side of the token's own."""
        return reach(self.hop)

    @property
    def filters(self) -> Tensor:
        """(2 h + 1, M): from magnitudes of frequencies to those of bands."""
        return _filters(self.rate, self.hop, self.bands)

    def log_mel(self, x: Tensor) -> Tensor:
        """(..., N h) -> (..., N, M): natural logarithms of band magnitudes, at least ln 1e-5."""
        return (spectra(x, self.hop).abs() @ self.filters.to(x)).clamp(min=FLOOR).log()

    def told(self, x: Tensor) -> Tensor:
        """As DiffWave's network reads it: (20 log10 mel + 80) / 100, cut to 0 and 1; (..., N h) -> (..., N, M)."""
        return self.as_told(self.log_mel(x))

    def as_told(self, log_mel: Tensor) -> Tensor:
        """The same from log-mel spectra of any shape."""
        return ((log_mel * (20 / math.log(10)) + 80) / 100).clamp(0, 1)

    def untold(self, told: Tensor) -> Tensor:
        """Log-mel from what `told` gave; what it cut stays cut."""
        return (told * 100 - 80) * (math.log(10) / 20)

    def sound(self, log_mel: Tensor, iterations: int = 60) -> Tensor:
        """Griffin and Lim's samples of (..., N, M): (..., N h), the same each time.

        Magnitudes are those of 0 or more whose bands come nearest, by multiplicative steps from the filters' transpose; phases
        begin at those of pulses, and are made consistent with momentum 0.99 (Perraudin et al. 2013, "A fast Griffin-Lim
        algorithm").
        """
        magnitude = unmel(log_mel.exp() - FLOOR * (log_mel <= math.log(FLOOR) + 1e-4), self.filters)
        return griffin_lim(magnitude, self.hop, iterations)


class Mel(Frames):
    """A token is the log-mel spectrum around its samples.

    Args:
        scale: rate, hop and bands.
        iterations: of Griffin and Lim.
    """

    exact: ClassVar[bool] = False
    levels: ClassVar[bool] = True

    def __init__(self, scale: MelScale, iterations: int = 60) -> None:
        super().__init__(scale.hop)
        self.scale, self.iterations = scale, iterations

    @property
    def size(self) -> int:
        """M."""
        return self.scale.bands

    @property
    def reach(self) -> int:
        """3/2 h."""
        return self.scale.reach

    @property
    def bands(self) -> Tensor:
        """Each is one."""
        return torch.arange(self.scale.bands)

    def cut(self, x: Tensor, counts: Tensor) -> Tensor:
        """(B, C, N h) -> (B, N, C M)."""
        return channels_together(self.scale.log_mel(x))

    def join(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C M) -> (B, C, N h); behind the last real token is silence."""
        there = torch.arange(tokens.shape[1]) < counts[:, None]
        bands = channels_apart(tokens, self.size)
        return self.scale.sound(bands.where(there[:, None, :, None], math.log(FLOOR)), self.iterations)


def unmel(mel: Tensor, filters: Tensor, steps: int = 30) -> Tensor:
    """Magnitudes (..., F) of 0 or more with mel = magnitudes @ filters as nearly as can be (Lee and Seung 2001)."""
    w = filters.to(mel)
    x = (mel @ w.T).clamp(min=1e-12)
    target = mel @ w.T
    for _ in range(steps):
        x = x * target / ((x @ w) @ w.T).clamp(min=1e-12)
    return x


@lru_cache(maxsize=8)
def _filters(rate: int, hop: int, bands: int) -> Tensor:
    return torchaudio().functional.melscale_fbanks(
        2 * hop + 1, 0.0, rate / 2, bands, rate, norm="slaney", mel_scale="slaney"
    )
