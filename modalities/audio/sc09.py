"""The scores of the SC09 suite: what a classifier of spoken digits says of samples, as published for models of speech.

Pure functions of class probabilities and features, in float64. FID is `core.evaluation.metrics.frechet_distance` of the
classifier's features. As used by Kong et al. 2021, arXiv:2009.09761, and Goel et al. 2022, arXiv:2202.09729.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from ornstein.core.evaluation.distances import nearest
from torch import Tensor

BINS = 50  # of NDB
_LEAST = 20  # training items a bin, on average
_ROUNDS = 50  # of k-means


def inception_score(log_probs: Tensor, rng: np.random.Generator) -> float:
    """exp E KL(p || q), p over a random half of the samples and q the mean of the other half; 1 to K, higher is better.

    The classic score takes q over all samples; it is larger by a trifle.

    Args:
        log_probs: (n, K).

    Raises:
        ValueError: fewer than 2 samples.
    """
    _check(log_probs, 2)
    order = torch.from_numpy(rng.permutation(len(log_probs)))
    first, second = log_probs.double()[order].tensor_split(2)
    mean = second.logsumexp(0) - math.log(len(second))
    return math.exp(float((first.exp() * (first - mean)).sum(1).mean()))


def modified_inception_score(log_probs: Tensor) -> float:
    """exp of the mean of KL(p_i || p_j) over all ordered pairs i, j; at least 1, higher is more diverse within classes.

    The published score draws 10,000 pairs with replacement; this is the value it estimates, in closed form:
        mean_i sum_k p_ik log p_ik - sum_k (mean_i p_ik) (mean_j log p_jk)

    Source: Gurumurthy et al. 2017, arXiv:1706.02071.
    """
    _check(log_probs, 1)
    logs = log_probs.double()
    own = (logs.exp() * logs).sum(1).mean()
    return math.exp(float(own - (logs.exp().mean(0) * logs.mean(0)).sum()))


def am_score(log_probs: Tensor, reference: Tensor) -> float:
    """KL(mean of the reference || mean of the samples) + mean entropy of the samples; at least 0, lower is better.

    Args:
        log_probs: (n, K) of samples; reference: (m, K) of training items.

    Source: Zhou et al. 2018, arXiv:1703.02000.
    """
    _check(log_probs, 1)
    _check(reference, 1)
    logs, others = log_probs.double(), reference.double()
    mean, asked = logs.logsumexp(0) - math.log(len(logs)), others.logsumexp(0) - math.log(len(others))
    entropy = -(logs.exp() * logs).sum(1).mean()
    return float((asked.exp() * (asked - mean)).sum() + entropy)


def different_bins(features: Tensor, centres: Tensor, counts: Tensor) -> float:
    """NDB / K: share of bins in which the share of samples differs from that of training items, 0 to 1; lower is better.

    A sample is in the bin of its nearest centre. Shares differ where the two-proportion z-test with pooled variance rejects at
    5 %, so about 0.05 is what equal distributions give.

    Args:
        features: (n, D) of samples.
        centres, counts: (K, D), (K,) of training items, from `bins`.

    Source: Richardson and Weiss 2018, arXiv:1805.12462, section 3.
    """
    n, m = len(features), int(counts.sum())
    found = nearest(features, centres)[1].bincount(minlength=len(centres)).double()
    p, q = found / n, counts.double() / m
    pooled = (found + counts) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    z = (p - q).abs() / error.clamp(min=1e-12)
    return float((torch.erfc(z / math.sqrt(2)) < 0.05).double().mean())


def bins(features: Tensor, rng: np.random.Generator, most: int = BINS) -> tuple[Tensor, Tensor]:
    """Centres (K, D) and counts (K,) by k-means of training features (m, D); K is at most `most` and at most m / 20.

    Raises:
        ValueError: fewer than 20 rows.
    """
    from scipy.cluster.vq import kmeans2

    _check(features, _LEAST)
    rows = features.double().numpy()
    first = rows[rng.choice(len(rows), min(most, len(rows) // _LEAST), replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a bin left empty, where rows are alike: it does no harm
        centres, member = kmeans2(rows, first, iter=_ROUNDS, minit="matrix")
    return torch.from_numpy(centres), torch.from_numpy(member).long().bincount(minlength=len(centres))


def _check(rows: Tensor, least: int) -> None:
    if rows.ndim != 2 or len(rows) < least:
        raise ValueError(f"rows of shape {tuple(rows.shape)}: at least {least} rows of one width are needed")
