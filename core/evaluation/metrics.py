"""Distances and shares between two sets of rows, such as features: pure functions, computed in float64.

Every function takes the candidate first, x (n, D), and the reference second, y (m, D). Sizes may differ, but most
values depend on n and m: compare only columns of equal sizes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .distances import blocks, neighbour_radii, row_blocks


class PrecisionRecall(NamedTuple):
    """Two shares in [0, 1]."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density >= 0, about 1 for equal distributions, and coverage in [0, 1]."""

    density: float
    coverage: float


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians with the sets' means and unbiased covariances.

        |mu_x - mu_y|^2 + tr(S_x) + tr(S_y) - 2 tr((S_x S_y)^(1/2))

    With R the triangular factor of the centred rows, S = R'R, the last trace is the nuclear norm of R_x R_y'. No square
    root of a covariance is formed, so sets with fewer rows than columns lose no digits.

    Raises: ValueError for fewer than 2 rows.
    Source: Dowson and Landau 1982 (distance); Heusel et al. 2017, arXiv:1706.08500 (use on features).
    """
    _check(x, y, least=2)
    return max(_frechet(_factor(x), _factor(y)), 0.0)


def frechet_distance_of_moments(mean_x: Tensor, cov_x: Tensor, mean_y: Tensor, cov_y: Tensor) -> float:
    """The same distance from means (D,) and covariances (D, D), through symmetric eigendecompositions."""
    root = _root(cov_x.double()) @ _root(cov_y.double())
    shift = (mean_x.double() - mean_y.double()).square().sum()
    value = shift + cov_x.double().trace() + cov_y.double().trace() - 2 * torch.linalg.svdvals(root).sum()
    return float(value.clamp(min=0))


def kernel_distance(x: Tensor, y: Tensor, within_y: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy under k(a, b) = (a.b / D + 1)^3; it may be negative.

    Args:
        within_y: `kernel_within(y)` where it is known already.

    Raises: ValueError for fewer than 2 rows.
    Source: Bińkowski et al. 2018, arXiv:1801.01401, section 2.1 and equation (4); Gretton et al. 2012, lemma 6.
    """
    _check(x, y, least=2)
    within_y = kernel_within(y) if within_y is None else within_y
    return kernel_within(x) + within_y - 2 * _cubic_sum(x, y) / (len(x) * len(y))


def kernel_within(x: Tensor) -> float:
    """Mean of the kernel of `kernel_distance` over all pairs of two rows of one set.

    Raises: ValueError for fewer than 2 rows.
    """
    _check(x, x, least=2)
    itself = float(_cubic(x.double().square().sum(1) / x.shape[1]).sum())
    return (_cubic_sum(x, x) - itself) / (len(x) * (len(x) - 1))


def precision_recall(x: Tensor, y: Tensor, k: int = 3, radii_y: Tensor | None = None) -> PrecisionRecall:
    """Share of candidates within the reference's manifold, and share of the reference within the candidates'.

    The manifold of a set is the union of the closed balls around its rows that reach their k-th nearest other row.

    Args:
        radii_y: `neighbour_radii(y, k)` where it is known already.

    Raises: ValueError for fewer than k + 1 rows.
    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991, equations (1) and (2).
    """
    _check(x, y, least=k + 1)
    radii_x = neighbour_radii(x, k)
    radii_y = neighbour_radii(y, k) if radii_y is None else radii_y
    precise, recalled = 0, torch.zeros(len(y), dtype=torch.bool, device=y.device)
    for rows, distance in blocks(x, y):
        precise += int((distance <= radii_y).any(1).sum())
        recalled |= (distance <= radii_x[rows, None]).any(0)
    return PrecisionRecall(precise / len(x), float(recalled.double().mean()))


def density_coverage(x: Tensor, y: Tensor, k: int = 5, radii_y: Tensor | None = None) -> DensityCoverage:
    """How many reference balls hold a candidate, over k, and which share of the reference balls holds any.

        density = 1/(k n) sum_j sum_i [x_j in B_i],   coverage = 1/m sum_i [some x_j in B_i],   B_i closed, as above

    Args:
        radii_y: `neighbour_radii(y, k)` where it is known already.

    Raises: ValueError for fewer than k + 1 rows of the reference.
    Source: Naeem et al. 2020, arXiv:2002.09797, equations (3) and (4).
    """
    _check(x, y, least=1)
    radii_y = neighbour_radii(y, k) if radii_y is None else radii_y
    inside, covered = 0, torch.zeros(len(y), dtype=torch.bool, device=y.device)
    for _, distance in blocks(x, y):
        hit = distance <= radii_y
        inside += int(hit.sum())
        covered |= hit.any(0)
    return DensityCoverage(inside / (k * len(x)), float(covered.double().mean()))


def frechet_extrapolated(x: Tensor, y: Tensor, seed: int = 0, points: int = 15) -> float:
    """The Fréchet distance of infinitely many candidates: of the line in 1/n through its values for fewer of them, that at 0.

    The distance of n rows lies about c/n above that of their distribution, once n is larger than D: values are taken at sizes
    from n/10, but at least 2.5 D, to n. It may come out negative. What the size of the reference adds is left in.

    Args:
        seed: of the rows that are drawn for each size.
        points: sizes, evenly spaced.

    Raises: ValueError for fewer than 5 D candidates or 2 points.
    Source: Chong and Forsyth 2020, arXiv:1911.07023, section 4.1, with 5,000 to 50,000 rows of 2,048 features.
    """
    _check(x, y, least=2)
    n, least = len(x), max(len(x) / 10, 2.5 * x.shape[1])
    if least > n / 2 or points < 2:
        raise ValueError(
            f"{n} candidates of width {x.shape[1]} at {points} sizes: at least 5 for each column, and 2 sizes"
        )
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.linspace(least, n, points, dtype=torch.float64).round().long().tolist()
    factored = _factor(y)
    values = [_frechet(_factor(x[torch.randperm(n, generator=draw)[:size].to(x.device)]), factored) for size in sizes]
    inverse, value = 1 / torch.tensor(sizes, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
    apart = inverse - inverse.mean()
    slope = (apart * value).sum() / apart.square().sum()
    return float(value.mean() - slope * inverse.mean())


def inception_score(log_probs: Tensor, splits: int = 1) -> float:
    """exp of the mean of KL(p(y | x) || p(y)) over candidates, p(y) their mean; between 1 and the number of classes.

    It is the mean over equal parts in the given order; papers have 10. Small parts lower it.

    Args:
        log_probs: (n, K) log-probabilities of classes.

    Raises: ValueError for fewer candidates than parts.
    Source: Salimans et al. 2016, arXiv:1606.03498, section 4.
    """
    if log_probs.ndim != 2 or not 1 <= splits <= len(log_probs):
        raise ValueError(
            f"rows of log-probabilities (n, K) in 1 to n parts; got {tuple(log_probs.shape)}, {splits} parts"
        )
    log_p, scores = log_probs.double(), []
    for part in range(splits):
        rows = log_p[part * len(log_p) // splits : (part + 1) * len(log_p) // splits]
        marginal = rows.logsumexp(0) - math.log(len(rows))
        scores.append(float((rows.exp() * (rows - marginal).nan_to_num()).sum(1).mean().exp()))
    return math.fsum(scores) / splits


def sliced_wasserstein(
    x: Tensor, y: Tensor, directions: int = 256, seed: int = 0, sorted_y: Tensor | None = None
) -> float:
    """Sliced 2-Wasserstein distance: the root of the mean of W_2^2 over seeded random directions.

    In one dimension W_2^2 is the integral over u in [0, 1] of the squared difference of the two quantile functions.
    Both are steps, so the integral is a finite sum, exact for unequal n and m too.

    Args:
        sorted_y: `sorted_projections(y, directions, seed)` where they are known already.

    Source: Rabin et al. 2012; Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """
    _check(x, y, least=1)
    px = sorted_projections(x, directions, seed)
    py = sorted_projections(y, directions, seed) if sorted_y is None else sorted_y
    at_x, at_y, width = _shared_steps(len(x), len(y), x.device)
    squared = (width[:, None] * (px[at_x] - py[at_y]).square()).sum(0)
    return math.sqrt(float(squared.mean()))


def sorted_projections(x: Tensor, directions: int, seed: int) -> Tensor:
    """(n, directions) rows along seeded random directions, each direction in ascending order, float64."""
    draw = torch.Generator().manual_seed(seed)
    theta = torch.randn(directions, x.shape[1], generator=draw, dtype=torch.float64).to(x.device)
    theta = theta / theta.norm(dim=1, keepdim=True)
    return (x.double() @ theta.T).sort(0).values


def copy_threshold(held_out: Tensor, quantile: float = 0.05) -> float:
    """The distance below which a row counts as a near copy of a training row.

    It is the given quantile (linear interpolation) of the distances `held_out` (m,) from each held-out row to its nearest
    training row. So about that share of held-out rows are near copies themselves: honest data lie that near by chance.
    """
    return float(held_out.quantile(quantile))


def near_copies(distance: Tensor, threshold: float) -> float:
    """Share of rows whose distance (n,) to the nearest training row is at most the threshold."""
    return float((distance <= threshold).double().mean())


def nearer_share(generated: Tensor, held_out: Tensor) -> float:
    """How often a generated sample is nearer to the training data than a held-out one is; 1/2 where both are alike.

        P(d_generated < d_held_out) + P(d_generated = d_held_out) / 2,   d to the nearest training item

    Copies of training items give 1.

    Args:
        generated, held_out: (n,), (m,) distances to the nearest training item.
    """
    ordered, generated = held_out.sort().values, generated.contiguous()
    below, up_to = (torch.searchsorted(ordered, generated, right=right) for right in (False, True))
    return float(1 - (below + up_to).double().mean() / (2 * len(ordered)))


def authenticity(distance: Tensor, index: Tensor, own: Tensor) -> float:
    """Share of candidates that lie farther from their nearest training row than this row lies from its own nearest.

    Args:
        distance, index: `nearest(candidates, train)`, (n,) each.
        own: (m,) distance of each training row to its nearest other training row.

    Source: Alaa et al. 2022, arXiv:2102.08921, section 3.3, with the nearest neighbour as its hypothesis test.
    """
    return float((distance > own[index]).double().mean())


def _check(x: Tensor, y: Tensor, least: int) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"two sets of rows of equal width are needed, (n, D) and (m, D); got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if min(len(x), len(y)) < least:
        raise ValueError(f"{len(x)} candidate and {len(y)} reference rows; at least {least} of each are needed")


def _factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and R (min(n, D), D) with R'R the unbiased covariance."""
    x = x.double()
    mean = x.mean(0)
    return mean, torch.linalg.qr((x - mean) / math.sqrt(len(x) - 1), mode="r").R


def _frechet(x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor]) -> float:
    """The distance of two sets from their means and factors; rounding may make it negative."""
    (mean_x, r_x), (mean_y, r_y) = x, y
    cross = torch.linalg.svdvals(r_x @ r_y.T).sum()
    return float((mean_x - mean_y).square().sum() + r_x.square().sum() + r_y.square().sum() - 2 * cross)


def _root(cov: Tensor) -> Tensor:
    """Symmetric square root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _cubic(product: Tensor) -> Tensor:
    """The kernel from a.b / D, in its place."""
    return product.add_(1).pow_(3)


def _cubic_sum(x: Tensor, y: Tensor) -> float:
    """Sum of the kernel over all pairs of rows, in blocks: the (n, m) matrix is never held."""
    x, y = x.double() / x.shape[1], y.double()
    return math.fsum(float(_cubic(x[rows] @ y.T).sum()) for rows in row_blocks(len(x), len(y)))


def _shared_steps(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces of [0, 1] on which both quantile functions stand still: their rows in each set, and their widths."""
    cuts = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # in units of 1/(n m), integers
    width = torch.diff(cuts, prepend=cuts.new_zeros(1))
    start = cuts - width
    return (start // m).to(device), (start // n).to(device), (width.double() / (n * m)).to(device)
