"""How things move: displacements of blocks from frame to frame, their histogram, and that of their changes.

Frames are brought to 64 pixels on the shorter side, so a unit of displacement is 1/64 of it. Blocks of 8 x 8 without texture tell
nothing and do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor
from torch.nn import functional as F

from .clip import Clip
from .extractor import batch, resized

_SIDE, _BLOCK, _REACH = 64, 8, 6
_TEXTURE = 4.0  # levels: standard deviation of a block that tells
_HASTE = 0.05  # levels for each unit of displacement: of equal matches the shorter one is taken
_VELOCITIES = (2 * _REACH + 1) ** 2
_CHANGES = 2 * 2 * _REACH  # lengths of changes, in whole units, the last one open
_MOST = 512  # training clips whose motion is measured


def motion_metrics() -> tuple[MetricSpec, ...]:
    """Distances of the histograms of motion, and of its changes, to those of the training clips."""

    def spec(name: str, about: str, part: slice) -> MetricSpec:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            real = reference.whole("motion", lambda: histograms(_some(reference.samples)).sum(0))
            ours = candidate.rows("motion", histograms).sum(0)
            return jensen_shannon(ours[part].numpy(), real[part].numpy())

        return MetricSpec(name, "lower", about, compute)

    of = "Jensen-Shannon divergence (base 2, 0 to 1), to the training clips,"
    return (
        spec("motion, JSD", f"{of} of the histogram of displacements of blocks between two frames.", slice(_VELOCITIES)),
        spec("change of motion, JSD", f"{of} of the histogram of their changes from frame to frame.", slice(_VELOCITIES, None)),
    )  # fmt: skip


def histograms(clips: Sequence[Clip]) -> Tensor:
    """(n, 169 + 24) counts of each clip: displacements of blocks with texture, and lengths of their changes."""
    return torch.stack([_histogram(*displacements(clip)) for clip in clips])


def displacements(clip: Clip) -> tuple[Tensor, Tensor]:
    """(T - 1, blocks, 2) displacements (dy, dx) of blocks, whole units of 1/64 of the shorter side, and which of them tell.

    Each block of a frame is compared with all places of the frame before up to 6 units away, by the mean absolute difference; the
    displacement is where it came from to where it is.
    """
    x = batch([clip.frames]).mean(1, keepdim=True) * 255
    height, width = x.shape[3:]
    scale = _SIDE / min(height, width)
    size = max(_SIDE, round(height * scale)), max(_SIDE, round(width * scale))
    levels = resized(x, size)[0, 0]  # (T, h, w)
    after, before = levels[1:], F.pad(levels[:-1][:, None], (_REACH,) * 4, mode="replicate")[:, 0]
    h, w = levels.shape[1:]
    best = torch.full_like(_blocks(after), torch.inf)
    found = torch.zeros(*best.shape, 2, dtype=torch.long)
    for dy in range(-_REACH, _REACH + 1):
        for dx in range(-_REACH, _REACH + 1):
            top, left = _REACH - dy, _REACH - dx
            apart = _blocks((after - before[:, top : top + h, left : left + w]).abs())
            cost = apart + _HASTE * float(np.hypot(dy, dx))
            nearer = cost < best
            best = torch.where(nearer, cost, best)
            found[nearer] = torch.tensor([dy, dx])
    spread = (_blocks(after.square()) - _blocks(after).square()).clamp(min=0).sqrt()
    return found.flatten(1, 2), (spread >= _TEXTURE).flatten(1)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Divergence of two histograms of counts, base 2, 0 to 1; 1 where only one of them is empty, 0 where both are."""
    if not p.sum() or not q.sum():
        return float(bool(p.sum()) != bool(q.sum()))
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2
    return sum(float((x[x > 0] * np.log2(x[x > 0] / m[x > 0])).sum()) for x in (p, q)) / 2


def _histogram(moves: Tensor, tell: Tensor) -> Tensor:
    bins = (moves[..., 0] + _REACH) * (2 * _REACH + 1) + moves[..., 1] + _REACH
    both = tell[1:] & tell[:-1]
    changes = (moves[1:] - moves[:-1])[both].double().norm(dim=-1).round().long().clamp(max=_CHANGES - 1)
    counts = torch.bincount(bins[tell], minlength=_VELOCITIES), torch.bincount(changes, minlength=_CHANGES)
    return torch.cat(counts).double()


def _blocks(x: Tensor) -> Tensor:
    """(T, h, w) -> (T, h // 8, w // 8) means."""
    return F.avg_pool2d(x[:, None], _BLOCK)[:, 0]


def _some(clips: Sequence[Clip]) -> Sequence[Clip]:
    return clips[:: -(-len(clips) // _MOST)]
