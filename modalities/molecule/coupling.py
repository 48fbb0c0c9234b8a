"""Noise that is paired with the positions of a molecule: the permutation and the rotation that bring it nearest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def aligned(x0: Tensor, noise: Tensor, mask: Tensor, permute: Tensor, turn: Tensor) -> Tensor:
    """The noise of each sample with its atoms permuted, then turned, so that the sum of |x_0 - eps|^2 is small.

    The permutation is the best one as the noise lies; the rotation is the best one after it (Kabsch), without reflection.

    Args:
        x0: (B, N, 3) positions in model space, turned at random.
        noise: (B, N, 3).
        mask: (B, N) bool.
        permute: (B,) bool, samples of which nothing is given. Where elements are, the noise of an atom must not tell of its own.
        turn: (B,) bool, samples of which no position is given: the frame of any other is fixed, and its noise is kept.

    Source: Klein et al. 2023, arXiv:2306.15030, section 3.2; Irwin et al. 2024, arXiv:2406.07266;
    Kabsch 1976, Acta Cryst. A32, 922.
    """
    out, counts = noise.clone(), mask.sum(1)
    for i in torch.nonzero(turn & (counts > 1))[:, 0].tolist():
        n = int(counts[i])
        x, eps = (each[i, :n].double().cpu().numpy() for each in (x0, noise))
        eps = permuted(x, eps) if permute[i] else eps
        out[i, :n] = torch.from_numpy(eps @ rotation(eps, x)).to(out)
    return out


def permuted(x: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """The rows of eps (N, 3) in the order that is nearest to x (N, 3)."""
    from scipy.optimize import linear_sum_assignment

    return eps[linear_sum_assignment(-(x @ eps.T))[1]]  # |x|^2 and |eps|^2 are the same for all permutations


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """R (3, 3), det R = 1, with the least |source R - target|^2, both (N, 3) and centred."""
    u, _, vt = np.linalg.svd(source.T @ target)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return u @ flip @ vt
