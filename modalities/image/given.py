"""Images of which something was given, against the true ones: the lines of a report on tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from ornstein.core.evaluation import paired
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

from .channels import to_channels
from .enlarging import LOW, enlarged, reduced
from .parts import Part

Pair = tuple[np.ndarray, np.ndarray, np.ndarray]  # sample and true image (H, W, C), what was given (H, W)
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # made, true, judged -> a number for each frame


def given_metrics(task: str) -> tuple[MetricSpec, ...]:
    """PSNR and SSIM of the pixels that were made, of all samples and of the best one for each item; exactness of those given.

    Where an image of fewer pixels was given: whether samples agree with it, and what they gain over enlarging it.
    """
    return (
        _mean("PSNR, dB", "Peak signal-to-noise ratio of the pixels that were made, mean over samples.", paired.psnr),
        _mean("SSIM", "Structural similarity where pixels were made, mean over samples.", paired.ssim),
        _best("PSNR of the best, dB", "Of the sample nearest to the true image, of all of an item; it grows with their number.",
              paired.psnr),
        _best("SSIM of the best", "Of the sample most like the true image, of all of an item; it grows with their number.",
              paired.ssim),
        *(_of_smaller() if task.startswith("upscale") else ()),
        MetricSpec("error on unknown pixels", "lower", "Root mean square difference from the original, levels 0..255.",
                   _error, "task", needs_given=True),
        MetricSpec("change of given pixels", "lower", "Largest change that makes what was given exact, levels 0..255; must be 0.",
                   _moved, "task", needs_given=True),
    )  # fmt: skip


def _of_smaller() -> tuple[MetricSpec, ...]:
    measures: tuple[tuple[Measure, str], ...] = ((paired.psnr, "PSNR, dB"), (paired.ssim, "SSIM"))
    gains = (_gain(measure, name, method) for measure, name in measures for method in ("bicubic", "Lanczos"))
    return (*gains, _consistency())


def low_resolution_error(sample: np.ndarray, low: np.ndarray) -> float:
    """Root mean square difference, levels, of a sample (H, W, C), made smaller by areas, from the image (h, w, C) it was made of.

    An image that agrees exactly has that of rounding, at most 0.5.
    """
    return float(np.sqrt(np.square(reduced(sample, low.shape[:2]) - low).mean()))


def _mean(name: str, about: str, measure: Measure) -> MetricSpec:
    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        return float(_rows(candidate, measure).nanmean())

    return MetricSpec(name, "higher", about, compute, "task", needs_given=True)


def _best(name: str, about: str, measure: Measure) -> MetricSpec:
    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        rows = _rows(candidate, measure).nan_to_num(-torch.inf)
        best = torch.stack([rows[members].max() for members in candidate.ensembles()])
        return float(best[best.isfinite()].mean())

    return MetricSpec(name, "higher", about, compute, "task", needs_given=True)


def _gain(measure: Measure, name: str, method: str) -> MetricSpec:
    """A measure less that of the given image, enlarged; `name` with its unit."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        def floor(_: object) -> Tensor:
            return _values(
                measure(enlarged(low, true.shape[:2], method)[None], true[None], ~known[None])
                for (_, true, known), low in zip(pairs(candidate), _low(candidate), strict=True)
            )

        return float((_rows(candidate, measure) - candidate.rows(f"{measure.__name__} of {method}", floor)).nanmean())

    word, comma, unit = name.partition(", ")
    about = f"{word} less that of enlarging the given image ({method}); above 0 is better than that."
    return MetricSpec(f"{word} over {method}{comma}{unit}", "higher", about, compute, "task", needs_given=True)


def _consistency() -> MetricSpec:
    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        def rows(samples: Sequence[np.ndarray]) -> Tensor:
            found = (low_resolution_error(*pair) for pair in zip(samples, _low(candidate), strict=True))
            return torch.tensor(list(found), dtype=torch.float64)

        return float(candidate.rows("low-resolution error", rows).square().mean().sqrt())

    about = "Root mean square difference of samples, made smaller again, from the given image, levels 0..255."
    return MetricSpec("low-resolution error", "lower", about, compute, "task", needs_given=True)


def _error(candidate: Judged, reference: Judged, context: Context) -> float:
    squares = [np.square(made.astype(np.float64) - true)[~known].ravel() for made, true, known in pairs(candidate)]
    flat = np.concatenate(squares)
    return float(np.sqrt(flat.mean())) if flat.size else 0.0


def _moved(candidate: Judged, reference: Judged, context: Context) -> float:
    changes = [0.0]
    for (sample, true, mask), known in zip(pairs(candidate), candidate.known or (), strict=True):
        exact = known.paste(sample, true) if isinstance(known, Part) else np.where(mask[..., None], true, sample)
        changes.append(float(np.abs(exact.astype(np.float64) - sample).max(initial=0)))
    return max(changes)


def _rows(judged: Judged, measure: Measure) -> Tensor:
    """(n,) of the pixels that were made; NaN of images of which all was given, or that have no room for the measure."""

    def rows(_: object) -> Tensor:
        return _values(measure(sample[None], true[None], ~known[None]) if not known.all() else np.full(1, np.nan)
                       for sample, true, known in pairs(judged))  # fmt: skip

    return judged.rows(f"{measure.__name__} of what was made", rows)


def _values(found: Iterator[np.ndarray]) -> Tensor:
    return torch.tensor([float(each[0]) for each in found], dtype=torch.float64)


def pairs(judged: Judged) -> Iterator[Pair]:
    """Each sample, its true image, and which of its pixels were given, whole.

    Raises:
        ValueError: a sample of another size than its true image.
    """
    for sample, item, known in zip(judged.samples, judged.given or (), judged.known or (), strict=True):
        true = to_channels(item.data, sample.shape[-1])
        if true.shape != sample.shape:
            raise ValueError(f"{item.key}: the given image is {true.shape}, the sample {sample.shape}")
        whole = None if isinstance(known, Part) else known
        yield sample, true, np.zeros(true.shape[:2], bool) if whole is None else np.asarray(whole, bool)


def _low(judged: Judged) -> Iterator[np.ndarray]:
    """The image of fewer pixels that each sample was made of.

    Raises:
        ValueError: an item without one.
    """
    for sample, item in zip(judged.samples, judged.given or (), strict=True):
        if item.cond.get(LOW) is None:
            raise ValueError(f"{item.key}: nothing was given under {LOW!r}, the image to be enlarged")
        yield to_channels(np.asarray(item.cond[LOW], np.uint8), sample.shape[-1])
