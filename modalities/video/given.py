"""Clips of which something was given, against the true ones: the lines of a report on tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from ornstein.core.evaluation import paired
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

from .floors import copy_last, linear_motion

Paired = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # sample, truth, judged -> a number for each frame
Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]  # frames, known -> frames


def given_metrics(task: str) -> tuple[MetricSpec, ...]:
    """PSNR and SSIM of what was made, of all samples and of the best one for each item, and exactness of what was given.

    Where the end of a clip is made, PSNR is also set against that of two floors on the same clips.
    """
    ends = task in ("prediction", "continuation")
    return (
        _mean("PSNR, dB", "Peak signal-to-noise ratio of the pixels that were made, mean over frames and samples.", paired.psnr),
        _mean("SSIM", "Structural similarity where pixels were made, mean over frames and samples.", paired.ssim),
        _best("PSNR of the best, dB", "Of the sample that comes nearest to the true clip, of all of an item; it grows with their "
              "number.", paired.psnr),
        _best("SSIM of the best", "Of the sample most like the true clip, of all of an item; it grows with their number.",
              paired.ssim),
        *((_gain("copy-last", copy_last), _gain("linear motion", linear_motion)) if ends else ()),
        MetricSpec("change of given pixels", "lower", "Largest difference of a given pixel, levels 0 to 255; must be 0.", _moved,
                   "task", needs_given=True),
    )  # fmt: skip


def _mean(name: str, about: str, measure: Paired) -> MetricSpec:
    return MetricSpec(name, "higher", about, lambda c, r, x: float(_rows(c, measure).mean()), "task", needs_given=True)


def _best(name: str, about: str, measure: Paired) -> MetricSpec:
    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        rows = _rows(candidate, measure)
        return float(np.mean([float(rows[members].max()) for members in candidate.ensembles()]))

    return MetricSpec(name, "higher", about, compute, "task", needs_given=True)


def _gain(name: str, fill: Fill) -> MetricSpec:
    """PSNR less that of a floor for the same given frames."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        def floor(_: object) -> Tensor:
            return _means(paired.psnr(fill(true, known), true, ~known) for _, true, known in pairs(candidate))

        return float((_rows(candidate, paired.psnr) - candidate.rows(f"PSNR of {name}", floor)).mean())

    about = {
        "copy-last": "PSNR less that of holding the last given frame; above 0 is better than that.",
        "linear motion": "PSNR less that of moving the last given frame on as it moved before; above 0 is better than that.",
    }[name]
    return MetricSpec(f"PSNR over {name}, dB", "higher", about, compute, "task", needs_given=True)


def _rows(judged: Judged, measure: Paired) -> Tensor:
    """(n,) mean over the frames that were made."""
    name = f"{measure.__name__} of what was made"
    return judged.rows(name, lambda _: _means(measure(*_judged(pair)) for pair in pairs(judged)))


def _means(values: Iterator[np.ndarray]) -> Tensor:
    return torch.tensor([float(each.mean()) for each in values], dtype=torch.float64)


def _judged(pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sample, true, known = pair
    return sample, true, ~known


def pairs(judged: Judged) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each sample, its true clip (T, H, W, C), and what was given (T, H, W).

    Raises:
        ValueError: a sample of another shape than its true clip.
    """
    for sample, item, known in zip(judged.samples, judged.given or (), judged.known or (), strict=True):
        true = item.data.frames
        if sample.frames.shape != true.shape:
            raise ValueError(f"{item.key}: the given clip is {true.shape}, the sample {sample.frames.shape}")
        yield sample.frames, true, np.zeros(true.shape[:3], bool) if known is None else np.asarray(known, bool)


def _moved(candidate: Judged, reference: Judged, context: Context) -> float:
    def rows(_: object) -> Tensor:
        apart = (np.abs(s.astype(np.int16) - true)[known].max(initial=0) for s, true, known in pairs(candidate))
        return torch.tensor([float(each) for each in apart], dtype=torch.float64)

    return float(candidate.rows("change of given pixels", rows).max())
