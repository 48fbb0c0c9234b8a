"""What a small GRU sees in generated windows, and their correlations: the scores of TimeGAN and Diffusion-TS.

Windows are (n, T, K) float32, each channel scaled to [0, 1] by the range of the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ornstein.core.rng import key
from torch import Tensor
from torch.nn import functional as F

from .gru import Recurrent, batches, trained

DISCRIMINATOR_STEPS, PREDICTOR_STEPS, BATCH = 2000, 5000, 128


def discriminative_scores(
    real: Tensor, generated: Tensor, runs: int = 5, seed: int = 0, iterations: int = DISCRIMINATOR_STEPS
) -> list[float]:
    """How well a GRU tells real from generated windows: |accuracy - 1/2| of each run; 0 is best, 1/2 worst.

    As published: max(K // 2, 1) units, batches of 128 of each kind, a random 80 % of each kind to learn from, accuracy on
    the others. Windows that overlap are on both sides of that division; see `cross_judged`. Both kinds have n windows,
    the smaller of the two numbers.

    Args:
        real, generated: (n, T, K).

    Source: Yoon et al. 2019, section 5; Yuan and Qiao 2024, arXiv:2403.01742, and its published code.
    """
    n = _balanced(real, generated)
    draw = torch.Generator().manual_seed(key(seed, "discriminative") >> 1)
    orders = [[torch.randperm(n, generator=draw) for _ in range(runs)] for _ in range(2)]
    cut = int(n * 0.8)
    own = [[order[:cut] for order in kind] for kind in orders]
    network = _discriminators(real[:n], generated[:n], own[0], own[1], seed, iterations)
    found = []
    for run in range(runs):
        right = [network.judge(real[orders[0][run][cut:]], run, last=True) > 0]
        right += [network.judge(generated[orders[1][run][cut:]], run, last=True) <= 0]
        found.append(abs(float(torch.cat(right).double().mean()) - 0.5))
    return found


def cross_judged(
    real: Tensor,
    generated: Tensor,
    folds: Sequence[tuple[Tensor, Tensor]],
    seed: int = 0,
    iterations: int = DISCRIMINATOR_STEPS,
) -> Tensor:
    """(n, 2) whether each real and each generated window was recognised by a GRU that never saw it or an overlapping one.

    Args:
        real, generated: (n, T, K); generated windows are interchangeable and share the real ones' folds.
        folds: rows to learn from, and rows to judge, for each network; the latter are each row once.
    """  # fmt: skip
    own = [rows for rows, _ in folds]
    network = _discriminators(real, generated, own, own, seed, iterations)
    right = torch.empty(len(real), 2, dtype=torch.bool)
    for run, (_, judged) in enumerate(folds):
        right[judged, 0] = network.judge(real[judged], run, last=True) > 0
        right[judged, 1] = network.judge(generated[judged], run, last=True) <= 0
    return right


def predictive_errors(
    real: Tensor, generated: Tensor, runs: int = 5, seed: int = 0, iterations: int = PREDICTOR_STEPS
) -> Tensor:
    """(runs, n) mean absolute error on each real window of GRUs that learnt from generated ones to predict a step ahead.

    As published: channel K at step t + 1 from the other K - 1 at steps up to t, max(K // 2, 1) units, a sigmoid at the
    end, absolute error, batches of 128. A single channel, for which that is not defined, is predicted from itself.

    Args:
        real, generated: (n, T, K) and (m, T, K).

    Source: as `discriminative_scores`.
    """
    _balanced(real, generated, least=2)
    channels = generated.shape[-1]
    told = slice(0, max(channels - 1, 1))
    rows = [torch.arange(len(generated))] * runs

    def loss(network: Recurrent, draw: torch.Generator) -> Tensor:
        windows = generated[batches(rows, BATCH, draw)]
        ahead = network(windows[..., :-1, told]).sigmoid()
        return (ahead - windows[..., 1:, -1]).abs().mean((1, 2))

    inputs = told.stop
    network = trained(runs, inputs, max(channels // 2, 1), loss, iterations, seed, "predictor")
    ahead = torch.stack([network.judge(real[:, :-1, told], run).sigmoid() for run in range(runs)])
    return (ahead - real[:, 1:, -1]).abs().mean(2)


def predictive_scores(
    real: Tensor, generated: Tensor, runs: int = 5, seed: int = 0, iterations: int = PREDICTOR_STEPS
) -> list[float]:
    """Mean of `predictive_errors` over the real windows, of each run; what windows of the real kind reach is best."""
    return predictive_errors(real, generated, runs, seed, iterations).double().mean(1).tolist()


def correlations(x: Tensor) -> Tensor:
    """(K (K + 1) / 2,) correlations at lag 0 of windows (n, T, K), of each pair of channels and of each with itself.

    Means and (unbiased) deviations are those of all steps of all windows; a channel that never moves has correlation 0.
    """
    x = x.double().flatten(0, 1)
    spread = x.std(0)
    scaled = (x - x.mean(0)) / torch.where(spread > 0, spread, 1.0)
    lower = torch.tril_indices(x.shape[1], x.shape[1])
    return (scaled.T @ scaled / len(x))[lower[0], lower[1]]


def correlational_distance(real: Tensor, generated: Tensor) -> float:
    """Sum of the absolute differences of `correlations`, over 10; 0 for equal ones."""
    return float((correlations(real) - correlations(generated)).abs().sum() / 10)


def correlational_scores(real: Tensor, generated: Tensor, runs: int = 5, seed: int = 0) -> list[float]:
    """`correlational_distance` as published: in each run of a fifth of the real windows' number, drawn with repetition.

    Source: Liao et al. 2020, arXiv:2006.05421; Yuan and Qiao 2024, arXiv:2403.01742, and its published code.
    """
    draw = torch.Generator().manual_seed(key(seed, "correlational") >> 1)
    size = max(len(real) // 5, 1)
    pick = [[x[torch.randint(len(x), (size,), generator=draw)] for x in (real, generated)] for _ in range(runs)]
    return [correlational_distance(*pair) for pair in pick]


def _discriminators(
    real: Tensor, generated: Tensor, of_real: list[Tensor], of_generated: list[Tensor], seed: int, iterations: int
) -> Recurrent:
    """A network for each list of rows; its last number is above 0 for windows that it takes to be real."""

    def loss(network: Recurrent, draw: torch.Generator) -> Tensor:
        truth = real[batches(of_real, BATCH, draw)]
        made = generated[batches(of_generated, BATCH, draw)]
        logits = network(torch.cat([truth, made], 1), last=True)
        size = truth.shape[1]
        return F.softplus(-logits[:, :size]).mean(1) + F.softplus(logits[:, size:]).mean(1)

    channels = real.shape[-1]
    return trained(len(of_real), channels, max(channels // 2, 1), loss, iterations, seed, "discriminator")


def _balanced(real: Tensor, generated: Tensor, least: int = 10) -> int:
    """The smaller number of windows.

    Raises:
        ValueError: other shapes, values that are not finite, too few or too short windows.
    """
    if real.ndim != 3 or real.shape[1:] != generated.shape[1:]:
        raise ValueError(
            f"windows (n, T, K) of one shape are compared; found real {tuple(real.shape)}, generated {tuple(generated.shape)}"
        )
    if min(len(real), len(generated)) < least or real.shape[1] < 2:
        raise ValueError(
            f"{len(real)} real and {len(generated)} generated windows of {real.shape[1]} steps: at least {least} of each, "
            "of 2 steps, are needed"
        )
    if not bool(torch.isfinite(real).all() and torch.isfinite(generated).all()):
        raise ValueError("windows hold values that are not finite: fill or leave out what was not observed")
    return min(len(real), len(generated))
