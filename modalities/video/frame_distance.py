"""Fréchet distance of single frames: whether pictures are right, whatever their order in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.evaluation.extractors import Learned, LearnedExtractor, digest
from ornstein.core.evaluation.metrics import frechet_distance_of_moments
from ornstein.core.evaluation.spec import Context, Extractor, ExtractorSource, Judged, MetricSpec, Track
from torch import Tensor

from .clip import Clip
from .extractor import Inputs, by_content, in_order, network, shifted

_FRAMES = 4  # of each clip, evenly from the first to the last


@dataclass(frozen=True)
class Frames(ExtractorSource):
    """A classifier of the label by a single frame, or an autoencoder of frames where there is none.

    Args:
        label: condition with the class numbers.
        steps: optimiser steps.
    """

    label: str | None = None
    steps: int = 600

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Pooled:
        """Train it on four frames of each training clip."""
        train = train.take(by_content(train.samples))
        kind = "autoencoder" if self.label is None else f"{self.label} classifier"
        source = Learned(f"{kind} of frames", Inputs(1), network, self.label, shifted, self.steps)
        return Pooled(source.fit(single(train), single(held_out), seed=seed, device=device, track=track))


class Pooled(Extractor):
    """Clips to the moments of their frames' features: (n, D + D D) rows, means of rows and of outer products."""

    def __init__(self, inner: LearnedExtractor) -> None:
        self.inner, self.name, self.facts = inner, inner.name, inner.facts
        self.hash = digest(inner.hash.encode(), str(_FRAMES).encode())

    def embed(self, samples: Sequence[Clip]) -> Tensor:
        """(n, D + D D) float64."""
        return in_order(samples, self._moments)

    def _moments(self, clips: Sequence[Clip]) -> Tensor:
        rows = self.inner.embed([frame for clip in clips for frame in frames_of(clip)]).unflatten(0, (len(clips), -1))
        outer = rows.transpose(1, 2) @ rows / rows.shape[1]
        return torch.cat([rows.mean(1), outer.flatten(1)], 1)


def frame_distance(label: str | None) -> MetricSpec:
    """Fréchet distance of four frames of each sample to four of each training clip."""

    def gaussian(judged: Judged, extractor: Pooled) -> tuple[Tensor, Tensor]:
        rows = extractor.features(judged)
        return judged.whole(f"moments {extractor.hash}", lambda: _gaussian(rows))

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        extractor = context.extractor
        assert isinstance(extractor, Pooled)
        return frechet_distance_of_moments(*gaussian(candidate, extractor), *gaussian(reference, extractor))

    about = "Fréchet distance of single frames, four of each clip, to those of the training clips; their order does not matter."
    return MetricSpec("frame Fréchet distance", "lower", about, compute, extractor=Frames(label))


def frames_of(clip: Clip) -> list[Clip]:
    """Four frames of a clip, evenly from the first to the last, each a clip."""
    frames = clip.frames
    at = np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)
    return [Clip(frames[t : t + 1], clip.fps, name=clip.name) for t in at]


def single(judged: Judged) -> Judged:
    """Frames of all clips, each with what was asked of its clip."""
    frames = [frame for clip in judged.samples for frame in frames_of(clip)]
    times = range(_FRAMES)
    return Judged(frames, [c for c in judged.cond for _ in times], [f"{k} {t}" for k in judged.keys for t in times])


def _gaussian(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of all frames; the sums of rows are exact, so their order does not touch a digit."""
    size = math.isqrt(rows.shape[1])  # D^2 < D + D^2 < (D + 1)^2
    mean = torch.tensor([math.fsum(column) for column in rows.T.tolist()], dtype=torch.float64) / len(rows)
    return mean[:size], mean[size:].unflatten(0, (size, size)) - torch.outer(mean[:size], mean[:size])
