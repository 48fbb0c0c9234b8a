"""Spectra of overlapping windows, and Griffin and Lim's iteration, which finds phases for magnitudes.

A spectrum every h samples, of 4 h samples under a Hann window; spectrum n is centred on the samples n h to (n + 1) h, and samples
outside of the clip are zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def spectra(x: Tensor, hop: int) -> Tensor:
    """(..., N h) samples to complex (..., N, 2 h + 1), in units where a full-scale sine has a peak of about h."""
    return torch.fft.rfft(F.pad(x, (reach(hop),) * 2).unfold(-1, 4 * hop, hop) * torch.hann_window(4 * hop).to(x))


def griffin_lim(magnitude: Tensor, hop: int, iterations: int, momentum: float = 0.99) -> Tensor:
    """Samples (..., N h) whose spectra have nearly the given magnitudes (..., N, 2 h + 1), the same each time.

    Phases begin at those of pulses, and are made consistent.

    Source: Perraudin et al. 2013, "A fast Griffin-Lim algorithm".
    """
    window, edge = torch.hann_window(4 * hop).to(magnitude), reach(hop)
    weight = _add_up((window**2).expand(*magnitude.shape[:-1], -1), hop)[..., edge:-edge].clamp(min=1e-3)

    def signal(spectrum: Tensor) -> Tensor:
        return _add_up(torch.fft.irfft(spectrum, 4 * hop) * window, hop)[..., edge:-edge] / weight

    n, k = torch.arange(magnitude.shape[-2])[:, None], torch.arange(magnitude.shape[-1])
    angles = torch.polar(torch.ones(()).to(magnitude), (torch.pi / 2 * (n * k % 4)).to(magnitude)).expand(
        magnitude.shape
    )
    before = torch.zeros_like(angles)
    for _ in range(iterations):
        found = spectra(signal(magnitude * angles), hop)
        ahead = found + momentum * (found - before)
        angles, before = ahead / ahead.abs().clamp(min=1e-12), found
    return signal(magnitude * angles)


def reach(hop: int) -> int:
    """Samples of a window on either side of its own h."""
    return 3 * hop // 2


def _add_up(frames: Tensor, hop: int) -> Tensor:
    """(..., N, L) -> (..., (N - 1) h + L): frames h apart, summed."""
    shape, (count, length) = frames.shape[:-2], frames.shape[-2:]
    flat = frames.reshape(-1, count, length).transpose(1, 2)
    total = F.fold(flat, (1, (count - 1) * hop + length), (1, length), stride=(1, hop))
    return total.reshape(*shape, -1)
