"""Plain statistics of two sets of windows: correlation in time, spectrum, marginals, nearness. No network is involved.

Windows are (n, T, K) tensors; an entry that is not finite was not observed and counts nowhere, unless said otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor


def autocorrelations(x: Tensor, lags: int | None = None) -> Tensor:
    """(lags, K) correlation of steps t and t + l of windows x, l = 1..lags, by the mean and variance of all windows.

    A channel that never moves has correlation 0.

    Args:
        lags: None: T - 1.
    """
    _check(x)
    steps = x.shape[1]
    seen = torch.isfinite(x)
    x = torch.where(seen, x, 0.0).double()
    count = seen.sum((0, 1)).clamp(min=1)
    centred = (x - x.sum((0, 1)) / count) * seen
    variance = centred.square().sum((0, 1)) / count
    lags = steps - 1 if lags is None else min(lags, steps - 1)
    pairs = _lagged(centred, lags) / _lagged(seen.double(), lags).round().clamp(min=1)
    return torch.where(variance > 0, pairs / torch.where(variance > 0, variance, 1.0), 0.0)


def autocorrelation_distance(x: Tensor, y: Tensor) -> float:
    """Mean absolute difference of `autocorrelations` over lags 1..T - 1 and channels."""
    return float((autocorrelations(x) - autocorrelations(y)).abs().mean())


def spectra(x: Tensor) -> Tensor:
    """(T // 2, K) shares of the frequencies 1/T, 2/T, ... in the power of windows x, each window less its mean.

    Source: the periodogram, Schuster 1898. Unobserved entries must have been filled.
    """
    _check(x)
    x = x.double()
    power = torch.fft.rfft(x - x.mean(1, keepdim=True), dim=1)[:, 1:].abs().square().mean(0)
    total = power.sum(0)
    return torch.where(total > 0, power / torch.where(total > 0, total, 1.0), 0.0)


def spectrum_distance(x: Tensor, y: Tensor) -> float:
    """Total variation of the two `spectra`, mean over channels; 0 for equal ones, 1 for disjoint ones."""
    return float(0.5 * (spectra(x) - spectra(y)).abs().sum(0).mean())


def marginals(x: Tensor) -> list[Tensor]:
    """For each channel all observed values of the windows, in ascending order, float64."""
    _check(x)
    flat = x.double().flatten(0, 1)
    return [column[torch.isfinite(column)].sort().values for column in flat.unbind(1)]


def marginal_distance(x: list[Tensor], y: list[Tensor]) -> float:
    """Wasserstein-1 distance of one channel's values, in standard deviations of y; mean over channels.

        W_1 = integral |F_x - F_y|, exact for any two numbers of values

    Args:
        x, y: `marginals` of the two sets. A channel that never moves in y is taken in its own unit.
    """
    return float(torch.stack([_wasserstein(a, b) for a, b in zip(x, y, strict=True)]).mean())


def _lagged(x: Tensor, lags: int) -> Tensor:
    """(lags, K) sums over windows and steps of x_t x_(t + l), through a Fourier transform without wrapping."""
    spectrum = torch.fft.rfft(x, n=2 * x.shape[1], dim=1).abs().square().sum(0)
    return torch.fft.irfft(spectrum, n=2 * x.shape[1], dim=0)[1 : lags + 1]


def _wasserstein(x: Tensor, y: Tensor) -> Tensor:
    if not len(x) or not len(y):
        return x.new_full((), torch.nan)
    both = torch.cat([x, y]).sort().values
    share = [torch.searchsorted(side, both[:-1], right=True).double() / len(side) for side in (x, y)]
    unit = y.std() if len(y) > 1 and y.std() > 0 else torch.ones_like(y[0])
    return ((share[0] - share[1]).abs() * both.diff()).sum() / unit


def _check(x: Tensor) -> None:
    if x.ndim != 3 or not len(x) or x.shape[1] < 2:
        raise ValueError(f"windows (n, T, K) of at least 2 steps are needed, found {tuple(x.shape)}")
