"""All pairs of two sets of shapes: exact EMD beside SciPy in a loop on one core, Chamfer beside torch.cdist in a loop.

A matrix of 200 x 200 has 40,000 matchings; what is timed is a part of one, of which the whole is a multiple.

    make bench, or pytest -m benchmark_ratio -s tests/benchmarks/test_pointcloud_metrics.py
"""

import time

import numpy as np
import pytest
import torch

pytest.importorskip("scipy")
from ornstein.modalities.pointcloud import matrices
from ornstein.modalities.pointcloud.matrices import CHAMFER, EXACT_EMD, cores, matrix
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

POINTS, ROUNDS = 512, 5
EMD_PAIRS, CHAMFER_PAIRS = (4, 32), (8, 64)


@pytest.fixture(autouse=True)
def _nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))
    monkeypatch.setattr(matrices, "_PATIENCE", np.inf)


@pytest.fixture(scope="module")
def clouds():
    """Surfaces of boxes and balls."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (72, POINTS, 3))
    reach = np.where(np.arange(72)[:, None] % 2, np.abs(x).max(2), np.linalg.norm(x, axis=2))
    return list(x / reach[:, :, None] * rng.uniform(0.3, 1, (72, 1, 3)))


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(name, ours, plain):
    ratios = np.array(ours) / np.array(plain)  # of neighbours in time, so that a busy machine slows both
    a, b = min(ours), min(plain)
    print(f"\n{name}, {cores()} cores: {a * 1e3:.2f} ms a pair beside {b * 1e3:.2f}, ratio {a / b:.2f}", end="")
    print(f" (rounds {', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))})")
    return a / b


@pytest.mark.benchmark_ratio
def test_exact_emd_of_all_pairs(clouds):
    n, m = EMD_PAIRS
    x, y = clouds[:n], clouds[n : n + m]

    def plain():
        for a in x:
            for b in y:
                cost = cdist(a, b)
                cost[linear_sum_assignment(cost)].mean()

    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: matrix(EXACT_EMD, x, y)) / (n * m))
        theirs.append(seconds(plain) / (n * m))
    assert told(f"exact EMD, {POINTS} points", ours, theirs) <= 0.6


@pytest.mark.benchmark_ratio
def test_chamfer_of_all_pairs(clouds):
    n, m = CHAMFER_PAIRS
    x, y = clouds[:n], clouds[n : n + m]
    tx, ty = ([torch.from_numpy(a).float() for a in each] for each in (x, y))

    def plain():
        for a in tx:
            for b in ty:
                squared = torch.cdist(a, b).square()
                float(squared.min(0).values.mean() + squared.min(1).values.mean())

    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: matrix(CHAMFER, x, y)) / (n * m))
        theirs.append(seconds(plain) / (n * m))
    assert told(f"Chamfer, {POINTS} points, ours in float64, the loop in float32", ours, theirs) <= 0.3
