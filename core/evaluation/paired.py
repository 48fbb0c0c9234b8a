"""Distances of frames from the true ones, each by itself: pure functions of arrays of one shape.

made, true: (T, H, W, C) levels 0 to 255;   judged: (T, H, W) bool, the pixels that count
"""

from __future__ import annotations

import numpy as np
import torch

PEAK = 255.0
_ROUNDING = 1 / 12  # variance of rounding to whole levels, below which an error means nothing
_REACH = 5  # pixels on each side of SSIM's window


def psnr(made: np.ndarray, true: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each frame with a pixel that counts, dB; higher is better, at most 58.9.

        10 log10(255^2 / max(mean (x - x')^2, 1/12))

    1/12 is the error of rounding alone: frames that are equal do not outweigh all others.

    Raises:
        ValueError: shapes that do not fit, or no pixel that counts.
    """
    frames = _frames(made, true, judged)
    squared = np.square(made.astype(np.float64) - true).mean(-1)
    error = np.array([squared[t][judged[t]].mean() for t in frames])
    return 10 * np.log10(PEAK**2 / np.maximum(error, _ROUNDING))


def ssim(made: np.ndarray, true: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Structural similarity of each frame with a pixel that counts, 1 for equal frames: the mean of its map over these pixels.

    Gaussian window of 11 x 11 pixels, sigma 1.5, constants 0.01 and 0.03, mean over channels, frames mirrored at their edges, as
    torchmetrics has it. NaN for frames with a side below 6, which has no room for the window.

    Raises:
        ValueError: shapes that do not fit, or no pixel that counts.
    Source: Wang et al. 2004, "... quality assessment: from error visibility to structural similarity", IEEE TIP 13(4).
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    frames = _frames(made, true, judged)
    if min(made.shape[1:3]) <= _REACH:
        return np.full(len(frames), np.nan)
    ours, theirs = (torch.from_numpy(x[frames].astype(np.float64)).permute(0, 3, 1, 2) for x in (made, true))
    found = structural_similarity_index_measure(ours, theirs, data_range=PEAK, reduction="none", return_full_image=True)
    maps = found[1].mean(1).numpy()  # (frames, H, W)
    return np.array([each[judged[t]].mean() for each, t in zip(maps, frames, strict=True)])


def _frames(made: np.ndarray, true: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """The numbers of the frames with a pixel that counts."""
    if made.shape != true.shape or made.ndim != 4 or judged.shape != made.shape[:3]:
        raise ValueError(
            f"a pair is two arrays (T, H, W, C) of one shape, judged by pixels (T, H, W); got {made.shape}, {true.shape}, "
            f"{judged.shape}"
        )
    frames = np.flatnonzero(judged.any((1, 2)))
    if not len(frames):
        raise ValueError("nothing to judge: every pixel was given")
    return frames
