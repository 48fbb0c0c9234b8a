"""Model space: samples of clips of any lengths to scaled tokens, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .frames import Frames, channels_apart, channels_together

_QUIETEST = (
    0.01  # of the spread of all numbers: a band below it is not brought to unit spread, it would be rounding noise
)
_CHUNK = 64  # clips that are measured at once


@dataclass(frozen=True)
class Tokens:
    """Frames, and the scale of each of their bands.

    Args:
        frames: how samples are cut.
        mean: (D,) of the training data, 0 where numbers are amplitudes.
        std: (D,) of the training data; before `fit` 1.
    """

    frames: Frames
    mean: Tensor = field(default_factory=lambda: torch.zeros(1))
    std: Tensor = field(default_factory=lambda: torch.ones(1))

    def fitted(self, clips: Sequence[np.ndarray]) -> Tokens:
        """With the scales of these clips, (T, C) each: a mean and a standard deviation for each band.

        Raises:
            ValueError: all of them are silent.
        """
        bands = self.frames.bands
        count, first, second = 0, torch.zeros(self.frames.size).double(), torch.zeros(self.frames.size).double()
        for start in range(0, len(clips), _CHUNK):
            x, counts = stacked(clips[start : start + _CHUNK], self.frames)
            there = (torch.arange(x.shape[2] // self.frames.hop) < counts[:, None])[:, None].expand(-1, x.shape[1], -1)
            values = channels_apart(self.frames.cut(x, counts), self.frames.size)[there].double()
            count, first, second = count + len(values), first + values.sum(0), second + values.square().sum(0)
        share = torch.zeros(int(bands.max()) + 1).double().index_add(0, bands, torch.ones(len(bands)).double())
        each = torch.zeros_like(share).index_add(0, bands, first)[bands] / (share[bands] * count)
        power = torch.zeros_like(share).index_add(0, bands, second)[bands] / (share[bands] * count)
        mean = each if self.frames.levels else torch.zeros_like(each)
        std = (power - mean**2).clamp(min=0).sqrt()
        if not std.any():
            raise ValueError("every training clip is silent: there is nothing to learn the scale from")
        std = std.clamp(min=_QUIETEST * float(std.square().mean().sqrt()))
        return Tokens(self.frames, mean.float(), std.float())

    def encode(self, clips: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Clips (T, C): tokens (B, N, C D), zeros behind the last real one, and how many are real, (B,)."""
        x, counts = stacked(clips, self.frames)
        y = channels_apart(self.frames.cut(x, counts), self.frames.size)
        there = (torch.arange(y.shape[2]) < counts[:, None])[:, None, :, None]
        return channels_together(torch.where(there, (y - self.mean) / self.std, 0.0)), counts

    def decode(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C D) -> (B, C, N h)."""
        return self.frames.join(self.levels(tokens), counts)

    def levels(self, tokens: Tensor) -> Tensor:
        """(B, N, C D) as frames give them, without their scales."""
        return channels_together(channels_apart(tokens, self.frames.size) * self.std + self.mean)


def stacked(clips: Sequence[np.ndarray], frames: Frames) -> tuple[Tensor, Tensor]:
    """Clips (T, C) as (B, C, N h), zeros at their ends, and the tokens of each, (B,)."""
    counts = torch.tensor([frames.count(len(clip)) for clip in clips])
    out = np.zeros((len(clips), clips[0].shape[1], int(counts.max()) * frames.hop), np.float32)
    for row, clip in zip(out, clips, strict=True):
        row[:, : len(clip)] = clip.T
    return torch.from_numpy(out), counts
