"""Samples of given items as ensembles, and the scores that judge them: as metrics of `ornstein evaluate`, and in a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.modality import Item

from . import forecasts
from .series import Series

_SEASONS = {"min": 60, "t": 60, "h": 24, "d": 7, "b": 5, "w": 52, "ms": 12, "me": 12, "m": 12, "qs": 4, "qe": 4, "q": 4}
_DAY = 1440  # minutes
COVERAGE = "90 % coverage"

Measure = Callable[
    [np.ndarray, np.ndarray, np.ndarray], float
]  # of target, members, known, as `ensembles_of` gives them


def measures(season: int) -> dict[str, Measure]:
    """Every score of `forecasts` by its name; what is judged are the observed entries that were not given.

    Args:
        season: of MASE, steps.
    """

    def judged(score: Callable[..., float]) -> Measure:
        return lambda target, members, known: score(target, members, np.isfinite(target) & ~known)

    def scaled_error(target: np.ndarray, members: np.ndarray, known: np.ndarray) -> float:
        return forecasts.scaled_error(target, members, np.isfinite(target) & ~known, known, season)

    return {
        "CRPS": judged(forecasts.crps),
        "CRPS-sum": judged(forecasts.crps_sum),
        "ND": judged(forecasts.normalised_deviation),
        "NRMSE": judged(forecasts.normalised_error),
        "MASE": scaled_error,
        "MAE": judged(forecasts.absolute_error),
        "RMSE": judged(forecasts.squared_error),
        COVERAGE: judged(forecasts.coverage),
        "calibration error": judged(forecasts.calibration_error),
    }


def given_metrics(season: int) -> tuple[MetricSpec, ...]:
    """Scores of ensembles on what was not given, and exactness of what was."""
    measured = measures(season)
    covered = measured.pop(COVERAGE)
    measured["miss of 90 % coverage"] = lambda *parts: abs(covered(*parts) - 0.9)

    def moved(target: np.ndarray, members: np.ndarray, known: np.ndarray) -> float:
        return float(np.abs(members - target[:, None]).swapaxes(0, 1)[:, known].max(initial=0.0))

    measured["change of given values"] = moved

    def spec(name: str, about: str) -> MetricSpec:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            return measured[name](*candidate.whole("ensembles", lambda: ensembles(candidate)))

        return MetricSpec(name, "lower", about, compute, "task", needs_given=True)

    return (
        spec("CRPS", "Continuous ranked probability score over all channels, relative to the targets' size."),
        spec("CRPS-sum", "The same of the sum over channels; not comparable with CRPS."),
        spec("ND", "Sum of |median - target| over sum of |target|."),
        spec("NRMSE", "Root mean square error of the mean over mean |target|."),
        spec("MASE", f"Error of the median over that of repeating the value {season} steps before."),
        spec("MAE", "Mean |median - target|, in the units of the file."),
        spec("RMSE", "Root mean square of (mean - target), in the units of the file."),
        spec("miss of 90 % coverage", "|share of targets in the central 90 % interval - 0.9|."),
        spec("calibration error", "Mean |share of targets below a quantile - the quantile|."),
        spec("change of given values", "Largest difference of a given value; must be 0."),
    )


def forecast_table(
    target: np.ndarray,
    known: np.ndarray,
    columns: Mapping[str, np.ndarray],
    season: int,
    say: Callable[[str], None] = lambda words: None,
) -> dict[str, dict[str, float | None]]:
    """All of `measures` for each ensemble, by the name of its column; None where a score is undefined.

    Args:
        target: (N, T, K) with NaN where nothing was observed; known: bool, what was given.
        columns: name -> ensemble (N, S, T, K).
        say: told why a score is undefined.
    """

    def value(column: str, name: str, measure: Measure) -> float | None:
        try:
            return measure(target, columns[column], known)
        except ValueError as error:  # such as no step at which all channels count
            say(f"{column}, {name}: {error}")
            return None

    return {column: {name: value(column, name, m) for name, m in measures(season).items()} for column in columns}


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
    given, known, rows = judged.given or (), judged.known or (), judged.ensembles()
    size = min(map(len, rows))
    samples = [judged.samples[i] for each in rows for i in each[:size]]
    return ensembles_of(samples, [given[each[0]] for each in rows], [known[each[0]] for each in rows])


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
