"""Is a shape new, or a training shape again? By Chamfer distance, always beside what held-out shapes score."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from ornstein.core.evaluation.spec import Judged, MetricSpec
from ornstein.core.evaluation.standard import copying
from torch import Tensor

from .chamfer import chamfer_to_many
from .cloud import Cloud
from .matrices import cores

_COARSE = 64  # points by which all training shapes are compared
_LIST = 16  # of them that are then compared by all points
_POINTS = 512
_ROW = 1 << 14  # points of training shapes taken at once in the coarse comparison


def memory_metrics() -> tuple[MetricSpec, ...]:
    """Who is nearer to the training shapes, and near copies."""
    return copying(found, "Chamfer distance", "CD squared")


def found(judged: Judged, reference: Judged) -> Tensor:
    """(n, 2): squared Chamfer distance of each sample to the nearest training shape, and its number.

    All training shapes are compared by their first 64 points; the 16 nearest then by up to 512.
    """
    return judged.rows("nearest training shape", lambda samples: _search(samples, reference.samples))


def _search(samples: Sequence[Cloud], train: Sequence[Cloud]) -> Tensor:
    from threadpoolctl import threadpool_limits

    coarse = np.stack([_first(cloud, _COARSE) for cloud in train])  # (m, 64, 3)

    def search(sample: Cloud) -> tuple[float, int]:
        near = np.argsort(_coarse_distances(_first(sample, _COARSE), coarse), kind="stable")[:_LIST]
        distances = chamfer_to_many(sample.points[:_POINTS], [train[i].points[:_POINTS] for i in near])
        best = int(distances.argmin())
        return float(distances[best]), int(near[best])

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
        return torch.tensor(list(pool.map(search, samples)), dtype=torch.float64).view(-1, 2)


def _first(cloud: Cloud, count: int) -> np.ndarray:
    """(count, 3): the first points, again where there are fewer."""
    return cloud.points[np.resize(np.arange(cloud.size), count)]


def _coarse_distances(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(m,) squared Chamfer distances of x (P, 3) to others (m, P, 3)."""
    p, step = len(x), max(1, _ROW // len(x))
    left = np.concatenate([-2 * x, (x * x).sum(1, keepdims=True), np.ones((p, 1))], axis=1)
    out = []
    for start in range(0, len(others), step):
        part = others[start : start + step].reshape(-1, 3)
        right = np.concatenate([part, np.ones((len(part), 1)), (part * part).sum(1, keepdims=True)], axis=1)
        squared = (left @ right.T).reshape(p, -1, p)
        out.append(squared.min(2).mean(0) + squared.min(0).mean(1))
    return np.concatenate(out)
