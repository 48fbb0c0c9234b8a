"""Samples of given items as ensembles, and the metrics of `ornstein evaluate` that judge them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.modality import Item

from . import forecasts
from .series import Series

_SEASONS = {"min": 60, "t": 60, "h": 24, "d": 7, "b": 5, "w": 52, "ms": 12, "me": 12, "m": 12, "qs": 4, "qe": 4, "q": 4}
_DAY = 1440  # minutes


def given_metrics(season: int) -> tuple[MetricSpec, ...]:
    """Scores of ensembles on what was not given, and exactness of what was."""

    def scored(score: Callable[..., float], *more: Any) -> Callable[[Judged, Judged, Context], float]:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            target, members, known = candidate.whole("ensembles", lambda: ensembles(candidate))
            return score(target, members, np.isfinite(target) & ~known, *((known, *more) if more else ()))

        return compute

    def moved(candidate: Judged, reference: Judged, context: Context) -> float:
        target, members, known = ensembles(candidate)
        gap = np.abs(members - target[:, None]).swapaxes(0, 1)[:, known]
        return float(gap.max(initial=0.0))

    def spec(name: str, about: str, compute: Callable[[Judged, Judged, Context], float]) -> MetricSpec:
        return MetricSpec(name, "lower", about, compute, "task", needs_given=True)

    return (
        spec("CRPS", "Continuous ranked probability score over all channels, relative to the targets' size.",
             scored(forecasts.crps)),
        spec("CRPS-sum", "The same of the sum over channels; not comparable with CRPS.", scored(forecasts.crps_sum)),
        spec("ND", "Sum of |median - target| over sum of |target|.", scored(forecasts.normalised_deviation)),
        spec("NRMSE", "Root mean square error of the mean over mean |target|.", scored(forecasts.normalised_error)),
        spec("MASE", f"Error of the median over that of repeating the value {season} steps before.",
             scored(forecasts.scaled_error, season)),
        spec("MAE", "Mean |median - target|, in the units of the file.", scored(forecasts.absolute_error)),
        spec("RMSE", "Root mean square of (mean - target), in the units of the file.", scored(forecasts.squared_error)),
        spec("miss of 90 % coverage", "|share of targets in the central 90 % interval - 0.9|.",
             scored(lambda *parts: abs(forecasts.coverage(*parts) - 0.9))),
        spec("calibration error", "Mean |share of targets below a quantile - the quantile|.",
             scored(forecasts.calibration_error)),
        spec("change of given values", "Largest difference of a given value; must be 0.", moved),
    )  # fmt: skip


def ensembles_of(
    samples: Sequence[Series], given: Sequence[Item], known: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples as ensembles: target (N, T, K), members (N, S, T, K), known (N, T, K).

    Shorter items are padded with NaN at the end, which nothing counts.

    Args:
        samples: S for each item, item by item.
        given, known: the N items, and which of their entries were given.
    """
    steps, size = max(item.data.steps for item in given), len(samples) // len(given)
    target = np.stack([_padded(item.data.values, steps) for item in given])
    members = np.stack([_padded(sample.values, steps) for sample in samples]).reshape(
        len(given), size, *target.shape[1:]
    )
    bits = np.stack([_padded(np.where(np.asarray(each, bool), 1.0, np.nan), steps) for each in known])
    return target, members, np.isfinite(bits) & np.isfinite(target)


def ensembles(judged: Judged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`ensembles_of` a column: samples that were given the same item, object by object, are one ensemble's members.

    Every ensemble has as many members as the smallest.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    given, known = judged.given or (), judged.known or ()
    for i, (item, bits) in enumerate(zip(given, known, strict=True)):
        groups.setdefault((id(item), id(bits)), []).append(i)
    size = min(map(len, groups.values()))
    first = [rows[0] for rows in groups.values()]
    samples = [judged.samples[i] for rows in groups.values() for i in rows[:size]]
    return ensembles_of(samples, [given[i] for i in first], [known[i] for i in first])


def season_of(freq: str | None) -> int:
    """Steps of the usual season: a day for steps of hours or minutes, a week for days, a year for months; 1 where unknown."""
    found = re.match(r"(\d*)([a-zA-Z]+)", freq or "")
    if found is None:
        return 1
    count, unit = int(found[1] or 1), found[2].lower()
    if unit in ("min", "t", "h"):
        return max(1, _DAY // (count * (60 if unit == "h" else 1)))
    return max(1, _SEASONS.get(unit, 1) // count)


def _padded(values: np.ndarray, steps: int) -> np.ndarray:
    return np.concatenate([values, np.full((steps - len(values), values.shape[1]), np.nan)])
