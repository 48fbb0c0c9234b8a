"""Whether what moves obeys the law of the embedded world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

from . import world
from .clip import Clip

_PROBED = 16  # training clips by which a data set is recognised
_OBEYS = 0.5  # pixels
_LEEWAY = 0.25  # pixels a frame by which a speed may lie outside those of the world


def obeyed(clips: Sequence[Clip]) -> bool:
    """Whether clips are of the embedded world: the centre of half of some of them moves, and by its law, to 0.5 pixels.

    The centre of a picture that is bright all over hardly moves, whatever is in it.
    """
    probed = clips[:: max(1, len(clips) // _PROBED)][:_PROBED]
    shape = (world.SIDE, world.SIDE, 1)
    if not probed or any(clip.shape[1:] != shape or clip.shape[0] < 4 for clip in probed):
        return False
    centres = [world.track(clip.frames) for clip in probed]
    speed = np.median([np.linalg.norm(np.diff(path, axis=0), axis=1).mean() for path in centres])
    apart = np.median([world.residual(path).mean() for path in centres])
    return bool(speed >= world.SPEEDS[0] / 2 and apart <= _OBEYS)


def physics_metrics(given: bool) -> tuple[MetricSpec, ...]:
    """Distance of the tracked centre from the path that fits best, and, where something was given, from the true one."""

    def law(candidate: Judged) -> Tensor:
        return candidate.rows("residuals of the law", residuals)

    def moving(candidate: Judged) -> float:
        speed = candidate.rows("speeds of the law", speeds)
        slow, fast = world.SPEEDS[0] - _LEEWAY, world.SPEEDS[1] + _LEEWAY
        return float(((speed >= slow) & (speed <= fast)).double().mean())

    def apart(candidate: Judged, reference: Judged, context: Context) -> float:
        def last(_: object) -> Tensor:
            pairs = zip(candidate.samples, candidate.given or (), strict=True)
            ends = [world.track(x.frames[-1:])[0] - world.track(item.data.frames[-1:])[0] for x, item in pairs]
            distance = torch.from_numpy(np.linalg.norm(np.stack(ends), axis=1))
            return distance.nan_to_num(nan=torch.inf)

        return float(candidate.rows("distance of the last centres", last).median())

    specs = (
        MetricSpec("law residual, pixels", "lower", "Median over clips of the mean distance of the tracked centre from the "
                   "straight, reflected path that fits it best.", lambda c, r, x: float(law(c).mean(1).median())),
        MetricSpec("law residual at the end, pixels", "lower", "Of the last frame alone, from the path that fits all frames.",
                   lambda c, r, x: float(law(c)[:, -1].median())),
        MetricSpec("at a speed of the world", "higher", "Share of clips whose path has a speed that films have, to 0.25 pixels a "
                   "frame: what stands still obeys the law as well.", lambda c, r, x: moving(c)),
    )  # fmt: skip
    if not given:
        return specs
    about = "Median distance of the centre in the last frame from where the true clip has it."
    return (*specs, MetricSpec("centre at the end, pixels", "lower", about, apart, "task", needs_given=True))


def residuals(clips: Sequence[Clip]) -> Tensor:
    """(n, T) distances in pixels, infinite in a frame without a digit."""
    return torch.from_numpy(np.stack([world.residual(world.track(clip.frames)) for clip in clips]))


def speeds(clips: Sequence[Clip]) -> Tensor:
    """(n,) of the paths that fit best, pixels a frame; 0 with a digit in fewer than two frames."""
    paths = [world.track(clip.frames) for clip in clips]
    return torch.tensor([world.fitted(path).speed if np.isfinite(path).all(1).sum() > 1 else 0.0 for path in paths])
