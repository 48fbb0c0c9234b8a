"""Metrics that serve any modality, once it says how samples become features or plain rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..modality import Sample
from . import metrics
from .distances import nearest, neighbour_radii
from .spec import Context, Extractor, ExtractorSource, Judged, MetricSpec

Vectors = Callable[[Sequence[Sample]], Tensor]  # samples -> (n, D), rows in which Euclidean distance means something
Found = Callable[
    [Judged, Judged], Tensor
]  # (samples, training items) -> (n, 2), distance to the nearest and its number


def feature_metrics(source: ExtractorSource) -> tuple[MetricSpec, ...]:
    """Fréchet and kernel distance, precision, recall, density and coverage on the features of one extractor."""

    def frechet(candidate: Judged, reference: Judged, context: Context) -> float:
        return metrics.frechet_distance(*_features(candidate, reference, context))

    def kernel(candidate: Judged, reference: Judged, context: Context) -> float:
        x, y = _features(candidate, reference, context)
        within = reference.whole(f"kernel {_extractor(context).hash}", lambda: metrics.kernel_within(y))
        return metrics.kernel_distance(x, y, within)

    def manifold(candidate: Judged, reference: Judged, context: Context) -> metrics.PrecisionRecall:
        extractor = _extractor(context)
        x, y = _features(candidate, reference, context)
        radii = reference.whole(f"radii 3 {extractor.hash}", lambda: neighbour_radii(y, 3))
        return candidate.whole(f"manifold {extractor.hash}", lambda: metrics.precision_recall(x, y, 3, radii))

    def balls(candidate: Judged, reference: Judged, context: Context) -> metrics.DensityCoverage:
        extractor = _extractor(context)
        x, y = _features(candidate, reference, context)
        radii = reference.whole(f"radii 5 {extractor.hash}", lambda: neighbour_radii(y, 5))
        return candidate.whole(f"balls {extractor.hash}", lambda: metrics.density_coverage(x, y, 5, radii))

    return (
        MetricSpec("Fréchet distance", "lower", "Distance of the features' mean and covariance; 0 for equal ones.",
                   frechet, "fidelity", source),
        MetricSpec("kernel distance", "lower", "Unbiased squared MMD of the features; about 0 for equal distributions.",
                   kernel, "fidelity", source),
        MetricSpec("precision", "higher", "Share of samples that lie where training items lie (k = 3).",
                   lambda c, r, x: manifold(c, r, x).precision, "fidelity", source),
        MetricSpec("density", "higher", "How thickly training items surround samples; about 1 for real ones (k = 5).",
                   lambda c, r, x: balls(c, r, x).density, "fidelity", source),
        MetricSpec("recall", "higher", "Share of training items that lie where samples lie (k = 3).",
                   lambda c, r, x: manifold(c, r, x).recall, "diversity", source),
        MetricSpec("coverage", "higher", "Share of training items with a sample in their neighbourhood (k = 5).",
                   lambda c, r, x: balls(c, r, x).coverage, "diversity", source),
    )  # fmt: skip


def extrapolated(source: ExtractorSource) -> MetricSpec:
    """The Fréchet distance on features, extrapolated to infinitely many samples; none of fewer than 5 to each feature."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        x, y = _features(candidate, reference, context)
        return metrics.frechet_extrapolated(x, y, context.seed) if len(x) >= 5 * x.shape[1] else math.nan

    about = "Fréchet distance that infinitely many samples would have, by a line in 1/n; it takes 6 or more samples to a feature."
    return MetricSpec("Fréchet distance, n to infinity", "lower", about, compute, "fidelity", source)


def sliced_wasserstein(vectors: Vectors, of: str, directions: int = 256) -> MetricSpec:
    """Sliced Wasserstein distance of the samples' own numbers; `of` says what they are."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        x, y = _vectors(candidate, vectors, of), _vectors(reference, vectors, of)
        projected = reference.whole(
            f"projections of {of}, {directions}, {context.seed}",
            lambda: metrics.sorted_projections(y, directions, context.seed),
        )
        return metrics.sliced_wasserstein(x, y, directions, context.seed, projected)

    about = f"Wasserstein-2 distance of {of} along {directions} random directions; no network is involved."
    return MetricSpec("sliced Wasserstein", "lower", about, compute)


def class_accuracy(source: ExtractorSource, label: str) -> MetricSpec:
    """How often the extractor's classifier sees the class that was asked for."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        extractor = _extractor(context)
        seen = candidate.rows(f"classes {extractor.hash}", lambda samples: extractor.log_probs(samples).argmax(1))
        asked = torch.tensor([int(cond[label]) for cond in candidate.cond])
        return float((seen == asked).double().mean())

    about = f"Share of samples in which the extractor, a classifier, sees the {label} asked for."
    return MetricSpec("class accuracy", "higher", about, compute, "condition", source, needs_cond=label)


def copying(found: Found, by: str, word: str = "", quantile: float = 0.05) -> tuple[MetricSpec, MetricSpec]:
    """Who is nearer to the training items, samples or held-out ones; and near copies.

    Args:
        found: (judged, reference) -> (n, 2), the distance of each sample to the nearest training item, and its number.
        by: what the distance is of, for people.
        word: behind the names of the two metrics, where there are several distances.
        quantile: share of held-out items that are near copies by definition.
    """

    def nearer(candidate: Judged, reference: Judged, context: Context) -> float:
        return metrics.nearer_share(*(found(each, reference)[:, 0] for each in (candidate, context.held_out)))

    def copies(candidate: Judged, reference: Judged, context: Context) -> float:
        threshold = metrics.copy_threshold(found(context.held_out, reference)[:, 0], quantile)
        return metrics.near_copies(found(candidate, reference)[:, 0], threshold)

    about = f"How often a sample is nearer to the training items, by {by}, than a held-out one: 0.5 is honest, copies give 1."
    near = (
        f"Share of samples as near to a training item, by {by}, as the nearest {quantile:.0%} of the held-out items: "
        f"about {quantile:.2f} is honest, more is memory."
    )
    end = f", {word}" if word else ""
    return (
        MetricSpec(f"memorisation{end}", "lower", about, nearer, "memorisation", nearest=found),
        MetricSpec(f"near copies{end}", "lower", near, copies, "memorisation"),
    )


def nearest_by(vectors: Vectors, of: str) -> Found:
    """The nearest training item by Euclidean distance of the samples' own numbers, for `copying`."""

    def found(candidate: Judged, reference: Judged) -> Tensor:
        x, y = _vectors(candidate, vectors, of), _vectors(reference, vectors, of)
        return candidate.rows(f"nearest by {of}", lambda _: torch.stack(nearest(x, y), dim=1))

    return found


def memorisation(vectors: Vectors, of: str, quantile: float = 0.05) -> tuple[MetricSpec, ...]:
    """Near copies of training items, and authenticity, by Euclidean distance of the samples' own numbers."""
    found = nearest_by(vectors, of)

    def authentic(candidate: Judged, reference: Judged, context: Context) -> float:
        y = _vectors(reference, vectors, of)
        own = reference.whole(f"own nearest by {of}", lambda: nearest(y, y, itself=True)[0])
        pairs = found(candidate, reference)
        return metrics.authenticity(pairs[:, 0], pairs[:, 1].long(), own)

    _, copies = copying(found, of, quantile=quantile)
    truly = f"Share of samples farther, by {of}, from the nearest training item than that is from its own nearest."
    return (
        replace(copies, nearest=found),
        MetricSpec("authenticity", "higher", truly, authentic, "memorisation"),
    )


def _extractor(context: Context) -> Extractor:
    if context.extractor is None:
        raise ValueError("this metric works on features: its MetricSpec needs an extractor")
    return context.extractor


def _features(candidate: Judged, reference: Judged, context: Context) -> tuple[Tensor, Tensor]:
    extractor = _extractor(context)
    return extractor.features(candidate), extractor.features(reference)


def _vectors(judged: Judged, vectors: Vectors, of: str) -> Tensor:
    return judged.rows(f"vectors of {of}", lambda samples: vectors(samples).flatten(1).double())
