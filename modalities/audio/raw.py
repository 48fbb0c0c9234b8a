"""Samples as they are, some of them to a token."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .frames import Frames, channels_apart, channels_together


class Raw(Frames):
    """A token is h samples of each channel; any part of it may be given.

    All numbers share one scale: a waveform has no bands yet.
    """

    exact: ClassVar[bool] = True

    @property
    def size(self) -> int:
        """H."""
        return self.hop

    @property
    def reach(self) -> int:
        """Nothing but its own samples."""
        return 0

    @property
    def bands(self) -> Tensor:
        """One."""
        return torch.zeros(self.hop, dtype=torch.long)

    def cut(self, x: Tensor, counts: Tensor) -> Tensor:
        """(B, C, N h) -> (B, N, C h)."""
        return channels_together(x.unflatten(-1, (-1, self.hop)))

    def join(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C h) -> (B, C, N h)."""
        return channels_apart(tokens, self.hop).flatten(2)

    def given(self, known: Tensor) -> Tensor:
        """Sample by sample."""
        return known.unflatten(-1, (-1, self.hop))
