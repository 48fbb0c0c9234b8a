"""The scores of generated windows exactly as papers report them, with their spread over repeated evaluations.

This is the table of Diffusion-TS (Yuan and Qiao 2024, arXiv:2403.01742); `tables` makes it for a run. Its reference is what
the model was trained on, and windows overlap, so that copies of the training windows are perfect here: read it beside
`ornstein evaluate`, which holds windows out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.rng import generator
from torch import Tensor

from . import scores
from .ts2vec import represent, train_encoder

SCORES = ("Context-FID", "correlational", "discriminative", "predictive")


@dataclass(frozen=True)
class Score:
    """Repeated evaluations of one score."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the evaluations."""
        return math.fsum(self.values) / len(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation of the evaluations (n - 1); NaN of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean by Student's t, which is what papers print behind the sign."""
        from scipy.stats import t

        runs = len(self.values)
        return float(t.ppf(0.975, runs - 1)) * self.deviation / math.sqrt(runs) if runs > 1 else math.nan

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.half_width:.4f}" if len(self.values) > 1 else f"{self.mean:.4f}"


def published_table(
    real: Tensor,
    generated: Tensor,
    seeds: int = 5,
    seed: int = 0,
    which: Sequence[str] = SCORES,
    progress: Callable[[str], None] = lambda words: None,
) -> dict[str, Score]:
    """Context-FID, correlational, discriminative and predictive score, each evaluated `seeds` times.

    As published, correlations and predictions use all windows. The other two depend on the number of windows: there the larger
    set is thinned to the smaller by a seeded choice.

    Args:
        real, generated: (n, T, K) and (m, T, K), float32, every channel scaled to [0, 1] by the real windows' range.
        which: of `SCORES`.
        progress: told what is being worked out.

    Raises:
        ValueError: sets of other shapes, values that are not finite, an unknown score.
    """
    unknown = sorted(set(which) - set(SCORES))
    if unknown or seeds < 1:
        raise ValueError(f"scores are {', '.join(SCORES)}, evaluated at least once; found {unknown}, {seeds} times")
    n = min(len(real), len(generated))
    few, made = _thinned(real, n, seed, "real"), _thinned(generated, n, seed, "generated")
    measured: dict[str, Callable[[], list[float]]] = {
        "Context-FID": lambda: [context_fid(few, made, seed + i) for i in range(seeds)],
        "correlational": lambda: scores.correlational_scores(real, generated, seeds, seed),
        "discriminative": lambda: scores.discriminative_scores(few, made, seeds, seed),
        "predictive": lambda: scores.predictive_scores(real, generated, seeds, seed),
    }
    table = {}
    for name in which:
        progress(f"{name}, {seeds} evaluations")
        table[name] = Score(tuple(measured[name]()))
    return table


def context_fid(real: Tensor, generated: Tensor, seed: int = 0) -> float:
    """Fréchet distance of TS2Vec features, TS2Vec trained on the real windows.

    Source: Jeha et al. 2022, "PSA-GAN", arXiv:2108.00981, section 4 (the score); as published by Diffusion-TS.
    """
    encoder = train_encoder(real, seed)
    return frechet_distance(represent(encoder, generated), represent(encoder, real))


def halves(real: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two disjoint random halves: real against real, the best that a model can do with as many windows."""
    order = torch.from_numpy(generator(seed, "halves").permutation(len(real)))
    half = len(real) // 2
    return real[order[:half]], real[order[half : 2 * half]]


def _thinned(x: Tensor, n: int, seed: int, word: str) -> Tensor:
    """n of the windows, in their order."""
    if len(x) == n:
        return x
    rows = np.sort(generator(seed, "thinned", word).permutation(len(x))[:n])
    return x[torch.from_numpy(rows)]
