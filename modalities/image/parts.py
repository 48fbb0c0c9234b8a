"""What can be given of an image, beside a mask of pixels: its means over squares, or its grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .basis import Basis, blocks, unblocked, with_sums


@dataclass(frozen=True)
class Means:
    """The means over squares of side x side pixels, channel by channel.

    Args:
        side: a power of 2 that divides the patch.
    """

    side: int

    def bits(self, basis: Basis) -> Tensor:
        """The coefficients of a patch that are given, (D,) bool."""
        return basis.square >= self.side

    def paste(self, sample: np.ndarray, given: np.ndarray) -> np.ndarray:
        """The sample with exactly the means of the given image."""
        return unblocked(with_sums(blocks(sample, self.side), blocks(given, self.side).sum(-1, dtype=np.int64)))


@dataclass(frozen=True)
class Grey:
    """The means over the three colours, pixel by pixel; of four channels alpha is given too."""

    def bits(self, basis: Basis) -> Tensor:
        """The coefficients of a patch that are given, (D,) bool."""
        channels = len(basis.grey) // max(int(basis.grey.sum()), 1)
        alpha = torch.arange(len(basis.grey)) % channels == 3
        return basis.grey | alpha

    def paste(self, sample: np.ndarray, given: np.ndarray) -> np.ndarray:
        """The sample with exactly the grey of the given image."""
        colours = with_sums(sample[..., :3], given[..., :3].sum(-1, dtype=np.int64))
        return np.concatenate([colours, given[..., 3:]], axis=-1)


Part = Means | Grey
