"""Noise that is paired with the positions of a molecule: the permutation and the rotation that bring it nearest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# The noise of a sample of which positions are given keeps its centre, that of any other one has none: see `state.CentreFree`.
_CENTRED = 1e-4


def aligned(x0: Tensor, noise: Tensor, mask: Tensor) -> Tensor:
    """The noise of each sample with its atoms permuted, then turned, so that the sum of |x_0 - eps|^2 is small.

    The permutation is the best one as the noise lies; the rotation is the best one after it (Kabsch), without reflection. A
    sample of which positions are given keeps its noise: its frame is fixed.

    Args:
        x0: (B, N, 3) positions in model space.
        noise: (B, N, 3).
        mask: (B, N) bool.

    Source: Klein et al. 2023, arXiv:2306.15030, section 3.2; Irwin et al. 2024, arXiv:2406.07266;
    Kabsch 1976, Acta Cryst. A32, 922.
    """
    out = noise.clone()
    counts = mask.sum(1)
    free = (noise.sum(1) / counts[:, None]).abs().amax(1) < _CENTRED
    for i in torch.nonzero(free & (counts > 1))[:, 0].tolist():
        n = int(counts[i])
        eps = noise[i, :n].double().cpu().numpy()
        out[i, :n] = torch.from_numpy(nearest(x0[i, :n].double().cpu().numpy(), eps)).to(out)
    return out


def nearest(x: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """The rows of eps (N, 3) permuted and turned towards x (N, 3), both centred."""
    from scipy.optimize import linear_sum_assignment

    _, order = linear_sum_assignment(-(x @ eps.T))  # |x|^2 and |eps|^2 are the same for all permutations
    eps = eps[order]
    return eps @ rotation(eps, x)


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """R (3, 3), det R = 1, with the least |source R - target|^2, both (N, 3) and centred."""
    u, _, vt = np.linalg.svd(source.T @ target)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return u @ flip @ vt
