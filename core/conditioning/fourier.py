"""Numbers as waves: the features through which a network sees times, scalars and indices."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Fourier(nn.Module):
    """Cosines and sines of a number at geometric angular frequencies.

        x -> (cos f_k x, sin f_k x) sqrt(2),  f_k = low (high / low)^(k / (count - 1)),  k = 0 .. count - 1

    Each feature has unit variance under a uniform phase. The frequencies are formed in the forward pass in at least
    float32, so that a network cast to bfloat16 keeps them.

    Args:
        count: number of frequencies, at least 2; there are 2 count features.
        low: smallest angular frequency, radians per unit of x.
        high: largest one.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    def __init__(self, count: int, low: float, high: float) -> None:
        super().__init__()
        if count < 2 or not 0 < low < high:
            raise ValueError(f"Fourier features need count >= 2 and 0 < low < high, not {count}, {low}, {high}")
        self.count, self.low, self.high = count, low, high

    def forward(self, x: Tensor) -> Tensor:
        """Features (..., 2 count) of x (...)."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        k = torch.arange(self.count, device=x.device, dtype=x.dtype)
        f = self.low * torch.exp(k * (math.log(self.high / self.low) / (self.count - 1)))
        phase = x[..., None] * f
        return torch.cat([phase.cos(), phase.sin()], dim=-1) * math.sqrt(2)
