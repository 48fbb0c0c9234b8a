"""The short-time Fourier transform with compressed magnitudes: twice as many numbers as samples, phases kept."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .frames import Frames, channels_apart, channels_together, check_power, compressed, expanded, sine_window


class STFT(Frames):
    """A token is the spectrum of 2 h samples under a sine window, its real parts 0..h and its imaginary parts 1..h-1.

    Magnitudes become |X|^p, as `compressed` says, phases stay. `join` adds overlapping frames under the same window and divides
    by the sum of its squares: the signal whose spectra are nearest to tokens that no signal has (Griffin and Lim 1984, eq. 6).

    Args:
        hop: h, even.
        power: p.

    Raises:
        ValueError: an odd hop, another power.

    Source: compressed spectra as a target: Richter et al. 2022, arXiv:2208.05830, section III-B.
    """

    exact: ClassVar[bool] = True

    def __init__(self, hop: int, power: float = 1.0) -> None:
        super().__init__(hop)
        if hop % 2:
            raise ValueError(f"modality.frame={hop}: frames of the STFT overlap by half, so it must be even")
        self.power = check_power(power)

    @property
    def size(self) -> int:
        """2 h."""
        return 2 * self.hop

    @property
    def reach(self) -> int:
        """Half a hop."""
        return self.hop // 2

    @property
    def bands(self) -> Tensor:
        """A frequency is one, its real and its imaginary part alike."""
        return torch.cat([torch.arange(self.hop + 1), torch.arange(1, self.hop)])

    def cut(self, x: Tensor, counts: Tensor) -> Tensor:
        """(B, C, N h) -> (B, N, C 2 h)."""
        frames = F.pad(x, (self.reach, self.reach)).unfold(-1, 2 * self.hop, self.hop)
        spectrum = torch.fft.rfft(frames * _window(self.hop).to(x), norm="ortho")
        spectrum = torch.polar(compressed(spectrum.abs(), self.power), spectrum.angle())
        return channels_together(torch.cat([spectrum.real, spectrum.imag[..., 1:-1]], -1))

    def join(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C 2 h) -> (B, C, N h)."""
        real, imag = channels_apart(tokens, self.size).split([self.hop + 1, self.hop - 1], -1)
        spectrum = torch.complex(real, F.pad(imag, (1, 1)))
        spectrum = torch.polar(expanded(spectrum.abs(), self.power), spectrum.angle())
        window = _window(self.hop).to(tokens)
        there = (torch.arange(tokens.shape[1]) < counts[:, None])[:, None, :, None]
        frames = torch.fft.irfft(spectrum, 2 * self.hop, norm="ortho") * window * there
        total = self._overlapped(frames) / self._overlapped(window**2 * there).clamp(min=1e-6)
        return total * there.expand(-1, -1, -1, self.hop).flatten(2)

    def _overlapped(self, frames: Tensor) -> Tensor:
        """(B, C, N, 2 h) -> (B, C, N h): the sum of frames where they stand."""
        first, second = frames.split(self.hop, -1)
        total = F.pad(first.flatten(2), (0, self.hop)) + F.pad(second.flatten(2), (self.hop, 0))
        return total[..., self.reach : -self.reach]


@lru_cache(maxsize=8)
def _window(hop: int) -> Tensor:
    return sine_window(2 * hop).float()
