"""How surprising each value of a series is to a model that can fill gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ornstein.core.denoiser import Denoiser
from ornstein.core.modality import Item
from ornstein.core.samplers import Sampler
from ornstein.core.sampling import sample

from .tasks import OPEN


def anomaly_scores(
    denoiser: Denoiser,
    sampler: Sampler,
    items: Sequence[Item],
    *,
    n: int = 8,
    folds: int = 4,
    block: int = 1,
    seed: int = 0,
) -> list[np.ndarray]:
    """Distance of each value from what the model puts in its place, in units of the model's own spread there.

        s = |v - m| / sqrt(d^2 + e^2)

    m and d are mean and standard deviation of n values that are made while v, with every `folds`-th block of steps, is hidden
    and all else is given; e is the median of d over the channel, so that places that the model is sure of do not explode.

    Args:
        denoiser: trained on a task that hides steps (`impute`), with its modality.
        sampler: how to fill.
        items: as `read` gives them.
        n: values made for each, at least 2.
        folds: runs of the sampler; each hides another share 1 / folds of the steps.
        block: steps that are hidden together; longer ones find longer anomalies.
        seed: of what is made.

    Returns:
        (T, K) for each item; NaN where nothing was observed.

    Raises:
        ValueError: n or folds below 2, or a block below 1.
    """
    if n < 2 or folds < 2 or block < 1:
        raise ValueError(f"n={n} and folds={folds} are at least 2, block={block} at least 1")
    scores = [np.full(item.data.values.shape, np.nan) for item in items]
    mean, spread = ([np.full_like(s, np.nan) for s in scores] for _ in range(2))
    for fold in range(folds):
        hidden = [(np.arange(item.data.steps) // block % folds == fold)[:, None] for item in items]
        known = [item.data.observed & ~h for item, h in zip(items, hidden, strict=True)]
        made = sample(denoiser, sampler, n, seed=seed + fold, task="impute_blocks", given=_closed(items), known=known)
        for i, h in enumerate(hidden):
            members = np.stack([s.values for s in made[i * n : (i + 1) * n]])
            here = h & np.ones_like(scores[i], bool)
            mean[i][here], spread[i][here] = members.mean(0)[here], members.std(0, ddof=1)[here]
    usual = np.median(np.concatenate(spread), axis=0)
    for s, item, m, d in zip(scores, items, mean, spread, strict=True):
        s[:] = np.abs(item.data.values - m) / np.sqrt(d**2 + usual**2)
    return scores


def _closed(items: Sequence[Item]) -> list[Item]:
    """Items of which everything there is stands in them, so that no task looks for more."""
    return [Item(item.data, item.cond, item.key, {k: v for k, v in item.meta.items() if k != OPEN}) for item in items]
