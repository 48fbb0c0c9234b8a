"""Samples for which something was given, beside the shape it was taken from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.rng import generator

from .chamfer import chamfer, density_aware_chamfer, nearest
from .emd import exact_emd
from .fscore import f_score

_MATCHED = 2048  # points of an exact matching, at most

Paired = Callable[[np.ndarray, np.ndarray], float]  # sample, truth


def given_metrics() -> tuple[MetricSpec, ...]:
    """Closeness to the truth, the mean over samples, and exactness of what was given."""
    lines: tuple[tuple[str, str, Paired], ...] = (
        ("CD squared to the truth", "Squared Chamfer distance of the whole shape to the one that was given in part.", chamfer),
        ("EMD exact to the truth", "Mean distance under the best one-to-one matching to it, of equally many points.", _emd),
        ("DCD to the truth", "Density-aware Chamfer distance to it, 0 to 1; in units of its box.", density_aware_chamfer),
    )  # fmt: skip
    specs = [
        MetricSpec(name, "lower", about, _mean(name, pair), "task", needs_given=True) for name, about, pair in lines
    ]
    for share in (0.01, 0.05):
        name = f"F-score at {share:.0%} of the side"
        about = (
            f"Of shares of points within {share:.0%} of its box's longest side: of the sample's, and of the truth's."
        )
        specs.append(MetricSpec(name, "higher", about, _mean(name, partial(_f, share)), "task", needs_given=True))
    about = "Largest distance of a given point from the sample; must be 0."
    return (*specs, MetricSpec("change of given points", "lower", about, _moved, "task", needs_given=True))


def _mean(name: str, pair: Paired) -> Callable[[Judged, Judged, Context], float]:
    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        def rows(_: object) -> torch.Tensor:
            return torch.tensor([pair(x, y) for x, y, _ in _pairs(candidate)], dtype=torch.float64)

        return float(candidate.rows(name, rows).mean())

    return compute


def _moved(candidate: Judged, reference: Judged, context: Context) -> float:
    def rows(_: object) -> torch.Tensor:
        kept = [float(nearest(given, x)[0].max()) if len(given) else 0.0 for x, _, given in _pairs(candidate)]
        return torch.tensor(kept, dtype=torch.float64)

    return float(candidate.rows("change of given points", rows).max())


def _pairs(candidate: Judged) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Points of each sample, of the shape behind it, and those of it that were given.

    Raises:
        ValueError: a shape of which part is not known, and so nothing to compare with.
    """
    for sample, item, known in zip(candidate.samples, candidate.given or (), candidate.known or (), strict=True):
        truth = item.data.points
        if not np.isfinite(truth).all():
            raise ValueError(f"{item.key}: its points are not all known, so that there is no truth to compare with")
        yield sample.points, truth, truth[np.zeros(len(truth), bool) if known is None else np.asarray(known, bool)]


def _emd(x: np.ndarray, truth: np.ndarray) -> float:
    """Exact EMD; of the larger set a random part takes part, the same in every run."""
    n = min(len(x), len(truth), _MATCHED)
    parts = [p if len(p) == n else p[generator(0, "matched", len(p)).permutation(len(p))[:n]] for p in (x, truth)]
    return exact_emd(*parts)


def _f(share: float, x: np.ndarray, truth: np.ndarray) -> float:
    return f_score(x, truth, share).f
