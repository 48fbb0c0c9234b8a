"""Log-magnitude spectra: all frequencies of a window without their phases, which Griffin and Lim's iteration finds again."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .frames import Frames, channels_apart, channels_together
from .phases import griffin_lim, reach, spectra

_SILENT = 1e-5  # of the peak of a full-scale sine: magnitudes below it are silence


class Spectrum(Frames):
    """A token is ln |S| of the 4 h samples around its own h, at the 2 h + 1 frequencies from 0 to half of the rate.

    Where a mel spectrum is told, what is left to find is which frequencies of a band are loud.

    Args:
        hop: h, even.
        iterations: of Griffin and Lim.

    Raises:
        ValueError: a hop that is odd.
    """

    exact: ClassVar[bool] = False
    levels: ClassVar[bool] = True

    def __init__(self, hop: int, iterations: int = 60) -> None:
        super().__init__(hop)
        if hop % 2:
            raise ValueError(f"modality.frame={hop}: spectra are centred on it, so it must be even")
        self.iterations = iterations

    @property
    def size(self) -> int:
        """2 h + 1."""
        return 2 * self.hop + 1

    @property
    def reach(self) -> int:
        """3/2 h."""
        return reach(self.hop)

    @property
    def bands(self) -> Tensor:
        """Each is one."""
        return torch.arange(self.size)

    def cut(self, x: Tensor, counts: Tensor) -> Tensor:
        """(B, C, N h) -> (B, N, C (2 h + 1))."""
        return channels_together(spectra(x, self.hop).abs().clamp(min=_SILENT * self.hop).log())

    def join(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C (2 h + 1)) -> (B, C, N h); behind the last real token, and below what counts as silence, is silence."""
        there = torch.arange(tokens.shape[1]) < counts[:, None]
        magnitude = channels_apart(tokens, self.size).exp()
        heard = there[:, None, :, None] & (magnitude > 1.01 * _SILENT * self.hop)
        return griffin_lim(magnitude * heard, self.hop, self.iterations)
