"""The scores of generated windows exactly as papers report them, with their spread over repeated evaluations.

This is the table of Diffusion-TS (Yuan and Qiao 2024, arXiv:2403.01742); `protocols.Published` makes it for a run. Its
reference is what the model was trained on, and windows overlap, so that copies of the training windows are perfect here: read it
beside `ornstein evaluate`, which holds windows out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.evaluation.protocol import Score
from ornstein.core.rng import generator
from torch import Tensor

from . import scores
from .ts2vec import represent, train_encoder

SCORES = ("Context-FID", "correlational", "discriminative", "predictive")


def published_table(
    real: Tensor,
    generated: Tensor,
    repeats: int = 5,
    seed: int = 0,
    which: Sequence[str] = SCORES,
    progress: Callable[[str], None] = lambda words: None,
) -> dict[str, Score]:
    """Context-FID, correlational, discriminative and predictive score, each evaluated `repeats` times.

    As published, correlations and predictions use all windows. The other two depend on the number of windows: there the larger
    set is thinned to the smaller by a seeded choice.

    Args:
        real, generated: (n, T, K) and (m, T, K), float32, every channel scaled to [0, 1] by the real windows' range.
        which: of `SCORES`.
        progress: told what is being worked out.

    Raises:
        ValueError: sets of other shapes, values that are not finite, an unknown score.
    """
    check(which, repeats)
    n = min(len(real), len(generated))
    few, made = _thinned(real, n, seed, "real"), _thinned(generated, n, seed, "generated")
    measured: dict[str, Callable[[], list[float]]] = {
        "Context-FID": lambda: [context_fid(few, made, seed + i) for i in range(repeats)],
        "correlational": lambda: scores.correlational_scores(real, generated, repeats, seed),
        "discriminative": lambda: scores.discriminative_scores(few, made, repeats, seed),
        "predictive": lambda: scores.predictive_scores(real, generated, repeats, seed),
    }
    table = {}
    for name in which:
        progress(f"{name}, {repeats} evaluations")
        table[name] = Score(tuple(measured[name]()))
    return table


def check(which: Sequence[str], repeats: int) -> None:
    """Whether there are such scores.

    Raises:
        ValueError: an unknown score or none, or no evaluation.
    """
    unknown = sorted(set(which) - set(SCORES))
    if unknown or not which or repeats < 1:
        raise ValueError(
            f"scores are {', '.join(SCORES)}, evaluated at least once; found {list(unknown or which)}, {repeats} times"
        )


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
