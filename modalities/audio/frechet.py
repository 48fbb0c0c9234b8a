"""Fréchet distances of frames: of log-mel levels, and the Fréchet audio distance of any embedding.

All frames of a set are pooled, so clips of any length count by their frames. What is kept of a clip is the number of its frames,
their sum and the sum of their outer products: moments of any set are sums of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from ornstein.core.evaluation.embedding import embedding as named
from ornstein.core.evaluation.extractors import digest
from ornstein.core.evaluation.metrics import frechet_distance_of_moments
from ornstein.core.evaluation.spec import Context, Extractor, ExtractorSource, Judged, MetricSpec, Track
from ornstein.core.rng import generator
from torch import Tensor

from .clip import Clip
from .hearing import Hearing, decibels
from .resampling import resample


class Embedding(Protocol):
    """What `FAD` needs: any object with a rate that maps a mono wave to rows, one for each of its frames.

    VGGish, PANNs or CLAP become one in some lines: weights are loaded in the constructor, from where the user keeps them.
    """

    @property
    def name(self) -> str:
        """What a report calls it."""
        ...

    @property
    def rate(self) -> int:
        """Hz, at which waves are asked for."""
        ...

    def __call__(self, wave: Tensor) -> Tensor:
        """(T,) float32 at `rate` -> (F, D), F at least 1."""
        ...


def embedding(where: str) -> Embedding:
    """The embedding that `package.module:name` makes when it is called without arguments.

    Raises:
        ValueError: no such name, or what it makes is no embedding.
    """
    made: Embedding = named(where, "rate")
    return made


@dataclass(frozen=True)
class LogMel:
    """Log-mel levels as an embedding without weights: a row for each frame of 12.5 ms, dB."""

    rate: int
    bands: int = 40
    name: str = "log-mel"

    def __call__(self, wave: Tensor) -> Tensor:
        """(T,) -> (F, M)."""
        hearing = Hearing(self.rate, len(wave), self.bands)
        return decibels(hearing.power(wave[None]))[0].T


class Moments(Extractor):
    """Clips to the moments of their frames' embeddings: (n, 1 + D + D D) rows of count, sum and sum of outer products.

    The hash is that of the embedding's name, rate and answer to a fixed wave of noise.
    """

    def __init__(self, embedding: Embedding) -> None:
        self.embedding, self.name = embedding, embedding.name
        probe = torch.from_numpy(generator(0, "probe").standard_normal(embedding.rate).astype(np.float32)) / 10
        answer = embedding(probe)
        self.hash = digest(f"{self.name} {embedding.rate}".encode(), answer.float().numpy().tobytes())
        self.facts = {"trained as": "given", "features": answer.shape[1], "rate, Hz": embedding.rate}

    def embed(self, samples: Sequence[Clip]) -> Tensor:
        """(n, 1 + D + D D) float64."""
        return torch.stack([_moments(self.rows(clip)) for clip in samples])

    @torch.inference_mode()
    def rows(self, clip: Clip) -> Tensor:
        """(F, D) of one clip, mixed down and brought to the embedding's rate."""
        mono = resample(clip.samples.mean(1, keepdims=True), clip.rate, self.embedding.rate)
        return self.embedding(torch.from_numpy(np.ascontiguousarray(mono[:, 0])))

    def pooled(self, judged: Judged) -> Tensor:
        """(1 + D + D D,) of a whole set, worked out once, without keeping what each clip adds."""
        return judged.whole(f"moments {self.hash}", lambda: sum(_moments(self.rows(clip)) for clip in judged.samples))


@dataclass(frozen=True)
class Embedded(ExtractorSource):
    """A given embedding: nothing is trained.

    Args:
        embedding: one that hashes by what it is, such as a frozen dataclass, or by identity.
    """

    embedding: Embedding

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Moments:
        """The extractor."""
        return Moments(self.embedding)


def audio_distance(embedding: Embedding) -> MetricSpec:
    """Fréchet distance of all frames of the samples to all frames of the training clips."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        extractor = context.extractor
        assert isinstance(extractor, Moments)
        ours = extractor.features(candidate).sum(0)
        return frechet_distance_of_moments(*_gaussian(ours), *_gaussian(extractor.pooled(reference)))

    about = f"Fréchet audio distance: of the mean and covariance of frames as the {embedding.name} embedding sees them."
    return MetricSpec(f"FAD, {embedding.name}", "lower", about, compute, extractor=Embedded(embedding))


def _moments(rows: Tensor) -> Tensor:
    rows = rows.double()
    count = torch.tensor([float(len(rows))], dtype=torch.float64)
    return torch.cat([count, rows.sum(0), (rows.T @ rows).flatten()])


def _gaussian(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and unbiased covariance (D, D).

    Raises:
        ValueError: fewer than 2 frames.
    """
    n, size = float(moments[0]), math.isqrt(len(moments) - 1)  # size^2 < 1 + D + D^2 - 1 < (size + 1)^2
    if n < 2:
        raise ValueError(f"{n:.0f} frames: a covariance needs at least 2")
    mean, outer = moments[1 : 1 + size] / n, moments[1 + size :].unflatten(0, (size, size)) / n
    return mean, (outer - torch.outer(mean, mean)) * (n / (n - 1))
