"""A comparer of sets of shapes: it holds the reference shapes, and what is known of all distances to them and within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.evaluation.extractors import digest
from ornstein.core.evaluation.spec import Context, Extractor, ExtractorSource, Judged, MetricSpec, Track
from ornstein.core.rng import generator
from torch import Tensor

from . import sets
from .cloud import Cloud
from .matrices import Distance, matrix

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], float]  # S to S, S to R, R to R


@dataclass(frozen=True)
class Pairs(ExtractorSource):
    """Distances of all pairs of samples and held-out shapes: what an extractor of features is to other metrics.

    Args:
        distance: between two clouds.
        points: of each cloud, the first ones; fewer where a held-out shape has fewer.
        shapes: of each set, at most.
    """

    distance: Distance
    points: int
    shapes: int

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Compared:
        """With at most `shapes` held-out items, drawn with the seed; where they are judged, training items stand in for them."""
        order = generator(seed, "evaluation", "reference shapes").permutation(len(held_out))[: self.shapes]
        stand_in = generator(seed, "evaluation", "stand-in").permutation(len(train))
        points = min(self.points, min(cloud.size for cloud in held_out.samples))
        return Compared(self, points, held_out, order.tolist(), [train.samples[i] for i in stand_in], track)


class Compared(Extractor):
    """Distances to and within the reference shapes; its "features" are the distances to them."""

    def __init__(
        self, source: Pairs, points: int, held_out: Judged, order: list[int], train: Sequence[Cloud], track: Track
    ) -> None:
        self.distance, self.points, self.shapes, self.track = source.distance, points, source.shapes, track
        self.name = f"pairs by {source.distance.name}"
        self.held = {id(sample) for sample in held_out.samples}
        self.train = train
        self.reference = [self._points(held_out.samples[i]) for i in order]
        self.hash = digest(source.distance.name.encode(), *(points.tobytes() for points in self.reference))
        self.facts = {"distance": source.distance.about, "points": points, "reference shapes": len(order)}
        self._within: np.ndarray | None = None

    def embed(self, samples: Sequence[Cloud]) -> Tensor:
        """(n, |R|) distances of samples to the reference shapes."""
        clouds = [self._points(sample) for sample in samples]
        found = matrix(self.distance, self.reference, clouds, self.track, f"{self.distance.name}, to held-out shapes")
        return torch.from_numpy(found.T.copy())

    def within_reference(self) -> np.ndarray:
        """(|R|, |R|), worked out once."""
        if self._within is None:
            words = f"{self.distance.name}, within held-out shapes"
            self._within = matrix(self.distance, self.reference, None, self.track, words)
        return self._within

    def score(self, judged: Judged, value: Score) -> float:
        """A score of the first `shapes` samples against equally many reference shapes.

        Held-out items that are judged themselves are replaced by training items.
        """
        rows = judged.rows(f"{self.hash} to", lambda samples: self._padded(self.embed(self._used(samples)), samples))
        own = judged.rows(f"{self.hash} own", lambda samples: self._padded(self._own(samples), samples))
        number = judged.rows(f"{self.hash} number", lambda samples: torch.arange(len(samples)))
        kept = ~torch.isnan(rows[:, 0])
        n = int(kept.sum())
        within = own[kept][:, number[kept]]
        return value(within.numpy(), rows[kept][:, :n].numpy(), self.within_reference()[:n, :n])

    def _own(self, samples: Sequence[Cloud]) -> Tensor:
        clouds = [self._points(sample) for sample in self._used(samples)]
        words = f"{self.distance.name}, within samples"
        return torch.from_numpy(matrix(self.distance, clouds, None, self.track, words))

    def _used(self, samples: Sequence[Cloud]) -> Sequence[Cloud]:
        """The first `shapes` of them; as many training items where they are held-out items."""
        if all(id(sample) in self.held for sample in samples):
            samples = self.train
        return samples[: min(self.shapes, len(samples))]

    def _padded(self, rows: Tensor, samples: Sequence[Cloud]) -> Tensor:
        """A row for each sample, NaN for those that are not compared."""
        rows = rows[: len(samples)]
        return torch.cat([rows, rows.new_full((len(samples) - len(rows), rows.shape[1]), torch.nan)])

    def _points(self, cloud: Cloud) -> np.ndarray:
        """The first points.

        Raises:
            ValueError: there are fewer, and the distance needs equally many.
        """
        if cloud.size < self.points and self.distance.equal:
            raise ValueError(
                f"{cloud.name or 'a sample'} has {cloud.size} points; {self.distance.name} compares {self.points} points of each "
                "shape: make samples of at least that size"
            )
        return cloud.points[: self.points]


def set_metrics(source: Pairs) -> tuple[MetricSpec, ...]:
    """MMD, COV and 1-NNA by one distance, against held-out shapes."""
    name = source.distance.name

    def scored(value: Score) -> Callable[[Judged, Judged, Context], float]:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            assert isinstance(context.extractor, Compared)
            return context.extractor.score(candidate, value)

        return compute

    about = (
        f"By {source.distance.about}; up to {source.points} points of each shape, up to {source.shapes} samples against as many "
        "held-out shapes; real: training shapes."
    )
    return (
        MetricSpec(f"1-NNA, {name}", "lower", "How well the nearest neighbour tells samples from held-out shapes: 0.5 is ideal. "
                   + about, scored(sets.one_nearest_neighbour_accuracy), "fidelity", source),
        MetricSpec(f"MMD, {name}", "lower", "Distance of a held-out shape to the nearest sample, mean. " + about,
                   scored(lambda own, to, within: sets.minimum_matching_distance(to)), "fidelity", source),
        MetricSpec(f"COV, {name}", "higher", "Share of held-out shapes that are the nearest one of some sample. " + about,
                   scored(lambda own, to, within: sets.coverage(to)), "diversity", source),
    )  # fmt: skip
