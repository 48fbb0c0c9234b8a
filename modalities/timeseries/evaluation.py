"""How series are judged: the metrics of `ornstein evaluate`, and the floor.

Networks and scales are fitted on training windows. What is called "held-out" sets the candidate against held-out windows
instead, which no network saw, with windows that overlap kept out of each other's folds; the column of real data then holds
training windows, as the best that copying could do. `published` has the scores as papers report them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from ornstein.core.evaluation.distances import nearest
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec, alike
from ornstein.core.evaluation.standard import copying, feature_metrics
from ornstein.core.modality import Item, Rng
from ornstein.core.rng import generator
from torch import Tensor

from . import floors, scores, statistics
from .ensembles import given_metrics, season_of
from .lines import interpolated
from .series import Series
from .ts2vec import TS2Vec

_FOLDS = 5


@dataclass(frozen=True)
class Windows:
    """Series to arrays of one length, scaled to [0, 1] by the range of each training channel.

    Training windows that lie within [0, 1] are left as they are: the published scores of Sines, whose channels fill [0.5, 1], are
    those of the values themselves.

    Args:
        steps: T, the length of the shortest training window; longer ones count with their first T steps.
        low, span: (K,) of the training windows; a channel that never moves has span 1.
    """

    steps: int
    low: np.ndarray
    span: np.ndarray

    @classmethod
    def of(cls, samples: Sequence[Series]) -> Windows:
        """Fitted on training windows."""
        steps = min(sample.steps for sample in samples)
        values = np.concatenate([sample.values for sample in samples])
        seen = np.isfinite(values)
        low = np.where(seen, values, np.inf).min(0)
        span = np.where(seen, values, -np.inf).max(0) - low  # -inf where nothing was observed
        if low.min() >= 0 and (low + span).max() <= 1:
            return cls(steps, np.zeros_like(low), np.ones_like(span))
        return cls(steps, np.where(seen.any(0), low, 0.0), np.where(span > 0, span, 1.0))

    def raw(self, samples: Sequence[Series]) -> Tensor:
        """(n, T, K) float64, scaled, NaN where nothing was observed.

        Raises:
            ValueError: another number of channels, or a sample shorter than T.
        """
        wrong = [s for s in samples if s.steps < self.steps or s.values.shape[1] != len(self.low)]
        if wrong:
            raise ValueError(
                f"{wrong[0].name or 'a sample'} is {wrong[0].values.shape}; the training windows have {len(self.low)} "
                f"channels and at least {self.steps} steps"
            )
        return torch.from_numpy((np.stack([s.values[: self.steps] for s in samples]) - self.low) / self.span)

    def __call__(self, samples: Sequence[Series]) -> Tensor:
        """(n, T, K) float32, scaled, with gaps filled along straight lines."""
        return torch.from_numpy(interpolated(self.raw(samples).numpy())).float()


def series_metrics(task: str, freq: str | None = None, season: int | None = None) -> tuple[MetricSpec, ...]:
    """What is measured on series of a task.

    Args:
        freq: length of a step as pandas writes it, from which MASE takes its season.
        season: steps, where it is not that of the frequency.
    """
    if task != "unconditional":
        return (*_statistics(), *given_metrics(season_of(freq) if season is None else season))
    source = TS2Vec(fitted)
    features = [spec for spec in feature_metrics(source) if spec.name != "Fréchet distance"]
    return (*_context_fid(source), *features, *_scores(), *_statistics(), *_memory())


def fitted(train: Judged) -> Windows:
    """The scale and length of the training windows, worked out once."""
    return train.whole("windows", lambda: Windows.of(train.samples))


def series_floor(
    items: Sequence[Item],
    cond: Sequence[Mapping[str, Any]],
    rng: Rng,
    given: Sequence[Item] | None = None,
    known: Sequence[Any] | None = None,
) -> list[Series]:
    """A sample for each cond: from a Gaussian copula of the training windows or, where items are given, an autoregression.

    Places at which the same item is given with the same known entries get members of one ensemble.

    Windows of several lengths are cut to the shortest.

    Args:
        items: training windows.
        given, known: what each sample is to continue or fill, and which of its entries are known.

    Raises:
        ValueError: no items.
    """
    if not items:
        raise ValueError("a floor needs training items")
    train, first = stacked(items), items[0].data
    if given is None or known is None:
        drawn = floors.gaussian_copula(train, len(cond), rng)
        return [Series(values, first.columns, freq=first.freq) for values in drawn]
    model = floors.fit_autoregression(train, order_for(train.shape[1]))
    out: dict[int, Series] = {}
    for rows in alike(given, known):
        item, bits = given[rows[0]], np.asarray(known[rows[0]], bool)
        filled = model.fill(item.data.values[None], bits[None], len(rows), rng)[0]
        out |= {i: replace(item.data, values=values) for i, values in zip(rows, filled, strict=True)}
    return [out[i] for i in range(len(given))]


def stacked(items: Sequence[Item]) -> np.ndarray:
    """(m, T, K): the items, cut to the shortest."""
    steps = min(item.data.steps for item in items)
    return np.stack([item.data.values[:steps] for item in items])


def order_for(steps: int) -> int:
    """Steps that the autoregressive floor looks back on: half a window, at most 24."""
    return max(1, min(steps // 2, 24))


def _context_fid(source: TS2Vec) -> tuple[MetricSpec, ...]:
    def to_training(candidate: Judged, reference: Judged, context: Context) -> float:
        assert context.extractor is not None
        return frechet_distance(context.extractor.features(candidate), context.extractor.features(reference))

    def to_held_out(candidate: Judged, reference: Judged, context: Context) -> float:
        assert context.extractor is not None
        own = context.extractor.features(_stand_in(candidate, reference, context))
        return frechet_distance(own, context.extractor.features(context.held_out))

    return (
        MetricSpec("Context-FID", "lower", "Fréchet distance of TS2Vec features to the training windows'.",
                   to_training, extractor=source),
        MetricSpec("Context-FID, held-out", "lower", "The same to held-out windows; real: training windows to them.",
                   to_held_out, extractor=source),
    )  # fmt: skip


def _scores() -> tuple[MetricSpec, ...]:
    """The scores of GRUs; each network is trained once for a column, and its verdicts are spread over the windows."""

    def discriminative(candidate: Judged, reference: Judged, context: Context) -> float:
        def verdicts(_: Sequence[Series]) -> Tensor:
            made, real = _pair(candidate, reference, context)
            return scores.cross_judged(real, made, blocked_folds(real), context.seed)

        right = candidate.rows(f"recognised {context.seed}", verdicts)
        return abs(float(right.double().mean()) - 0.5)

    def predictive(candidate: Judged, reference: Judged, context: Context) -> float:
        def errors(_: Sequence[Series]) -> Tensor:
            made, real = _pair(candidate, reference, context)
            return scores.predictive_errors(real, made, 1, context.seed)[0]

        return float(candidate.rows(f"predicted {context.seed}", errors).double().mean())

    def correlational(candidate: Judged, reference: Judged, context: Context) -> float:
        windows = fitted(reference)
        return scores.correlational_distance(_scaled(windows, reference), _scaled(windows, candidate))

    return (
        MetricSpec("discriminative score, held-out", "lower", "|accuracy - 1/2| of GRUs that tell held-out windows from "
                   "generated ones, judged on blocks without overlap; real: training windows.", discriminative),
        MetricSpec("predictive score, held-out", "lower", "Error, on held-out windows, of a GRU that learnt from generated ones "
                   "to predict the last channel one step ahead; real: from training windows.", predictive),
        MetricSpec("correlational score", "lower", "Sum of |difference| of the channels' correlations, over 10.",
                   correlational),
    )  # fmt: skip


def _statistics() -> tuple[MetricSpec, ...]:
    def compared(name: str, distance: Callable[[Any, Any], float], of: Callable[[Windows, Judged], Any]) -> Any:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            windows = fitted(reference)
            return distance(of(windows, candidate), reference.whole(f"of {name}", lambda: of(windows, reference)))

        return compute

    return tuple(
        MetricSpec(name, "lower", about, compared(name, distance, of))
        for name, about, distance, of in (
            ("autocorrelation distance", "Mean |difference| of autocorrelations over lags and channels.",
             statistics.autocorrelation_distance, _raw),
            ("spectrum distance", "Total variation of the shares of frequencies in the power, 0 to 1.",
             statistics.spectrum_distance, _scaled),
            ("marginal Wasserstein", "Wasserstein-1 distance of each channel's values, in its standard deviations.",
             statistics.marginal_distance, lambda windows, judged: statistics.marginals(_raw(windows, judged))),
        )
    )  # fmt: skip


def _memory() -> tuple[MetricSpec, ...]:
    """By Euclidean distance of scaled windows to the nearest training window."""

    def found(judged: Judged, reference: Judged) -> Tensor:
        def search(_: Sequence[Series]) -> Tensor:
            own, train = (_scaled(fitted(reference), each).flatten(1) for each in (judged, reference))
            return torch.stack(nearest(own, train), dim=1)

        return judged.rows("nearest training window", search)

    return copying(found, "scaled values")


def blocked_folds(windows: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(rows to learn from, rows to judge) for 5 blocks of windows (n, T, K) in order of time; no two steps are in both.

    Windows overlap where they share two steps one after the other, value by value. Where that leaves less than half of the
    other windows, as with few different values, such sharing says nothing about overlap, and all of them stay.
    """
    flat = np.ascontiguousarray(windows.numpy().reshape(-1, windows.shape[-1]))
    _, steps = np.unique(flat.view(np.dtype((np.void, flat[0].nbytes))).ravel(), return_inverse=True)
    numbers = steps.reshape(windows.shape[:2]).astype(np.int64)
    pairs = numbers[:, :-1] * len(flat) + numbers[:, 1:]
    rows = np.arange(len(windows))
    found = []
    for judged in np.array_split(rows, _FOLDS):
        others = np.setdiff1d(rows, judged)
        apart = others[~np.isin(pairs[others], pairs[judged]).any(1)]
        own = apart if 2 * len(apart) >= len(others) else others
        found.append((torch.from_numpy(own), torch.from_numpy(judged)))
    return found


def _pair(candidate: Judged, reference: Judged, context: Context) -> tuple[Tensor, Tensor]:
    """Candidates, and as many held-out windows in order of time."""
    windows, n = fitted(reference), len(candidate)
    made = _scaled(windows, _stand_in(candidate, reference, context))
    rows = np.linspace(0, len(context.held_out) - 1, n).round().astype(int)
    return made, _scaled(windows, context.held_out)[rows]


def _stand_in(candidate: Judged, reference: Judged, context: Context) -> Judged:
    """The candidate; training windows in its place where it consists of the held-out ones it is to be compared with."""
    held = {id(sample) for sample in context.held_out.samples}
    if any(id(sample) not in held for sample in candidate.samples):
        return candidate

    def drawn(_: Sequence[Series]) -> Tensor:
        order = generator(context.seed, "evaluation", "stand-in").permutation(len(reference))
        return torch.from_numpy(np.resize(order, len(candidate)))

    return reference.take(candidate.rows("stand-in", drawn).tolist())  # parts of the candidate keep their own


def _scaled(windows: Windows, judged: Judged) -> Tensor:
    return judged.rows("scaled windows", windows)


def _raw(windows: Windows, judged: Judged) -> Tensor:
    return judged.rows("raw windows", windows.raw)
