"""Is a clip new, or a training clip again? By pixels, also where the copy begins some frames earlier or later.

Always beside what held-out clips score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ornstein.core.evaluation.distances import nearest
from ornstein.core.evaluation.spec import Judged, MetricSpec
from ornstein.core.evaluation.standard import copying
from torch import Tensor
from torch.nn import functional as F

from .clip import Clip
from .extractor import batch

_SIDE = 8  # pixels to which frames are brought


def memory_metrics(frames: int) -> tuple[MetricSpec, ...]:
    """Who is nearer to the training clips, and near copies.

    Args:
        frames: of a training clip.
    """

    def found(judged: Judged, reference: Judged) -> Tensor:
        return judged.rows(f"nearest training clip, {frames}", lambda clips: search(clips, reference.samples, frames))

    return copying(found, "pixels at any offset in time")


def search(clips: Sequence[Clip], train: Sequence[Clip], frames: int) -> Tensor:
    """(n, 2): distance of each clip to the nearest training clip, and its number.

    The middle half of the clip's last `frames` frames is compared with every stretch as long of each training clip: the root mean
    square difference of grey levels, frames brought to 8 x 8 pixels.
    """
    length = max(1, frames // 2)
    begin = (frames - length) // 2
    ours = _thumbnails(clips, frames)[:, begin : begin + length].flatten(1)
    theirs = _thumbnails(train, frames)
    best = torch.full((len(ours),), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(ours), dtype=torch.long)
    for offset in range(frames - length + 1):
        distance, at = nearest(ours, theirs[:, offset : offset + length].flatten(1))
        closer = distance < best
        best, index = torch.where(closer, distance, best), torch.where(closer, at, index)
    return torch.stack([best / ours.shape[1] ** 0.5, index.double()], 1)


def _thumbnails(clips: Sequence[Clip], frames: int) -> Tensor:
    """(n, frames, 8, 8) grey levels of the last frames, means over areas."""
    short = [clip for clip in clips if clip.shape[0] < frames]
    if short:
        raise ValueError(f"{short[0].name or 'a clip'} has {short[0].shape[0]} frames, and {frames} are compared")
    return torch.stack(
        [F.adaptive_avg_pool2d(batch([np.asarray(clip.frames[-frames:])])[0].mean(0) * 255, _SIDE) for clip in clips]
    ).double()
