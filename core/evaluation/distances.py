"""Euclidean neighbours, in float64 and in blocks, so that memory stays bounded for large sets."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_BLOCK = 1 << 22  # entries of a block


def row_blocks(n: int, m: int) -> Iterator[slice]:
    """The rows of an (n, m) matrix in parts that are small enough to be held."""
    step = max(1, _BLOCK // max(m, 1))
    yield from (slice(start, min(start + step, n)) for start in range(0, n, step))


def blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the distance matrix of x (n, D) and y (m, D): (slice of x, (rows, m)).

    Differences are formed entry by entry, not through |x|^2 + |y|^2 - 2 x.y: equal rows have distance exactly 0.
    """
    x, y = x.double(), y.double()
    for rows in row_blocks(len(x), len(y)):
        yield rows, torch.cdist(x[rows], y, compute_mode="donot_use_mm_for_euclid_dist")


def neighbour_radii(x: Tensor, k: int) -> Tensor:
    """(n,) distance of each row of x (n, D) to its k-th nearest other row.

    Raises:
        ValueError: fewer than k + 1 rows.
    """
    if len(x) <= k:
        raise ValueError(f"{len(x)} rows have no {k}-th nearest other row; at least {k + 1} are needed")
    return torch.cat([distance.kthvalue(k + 1, dim=1).values for _, distance in blocks(x, x)])


def nearest(x: Tensor, y: Tensor, *, itself: bool = False) -> tuple[Tensor, Tensor]:
    """Distance (n,) and row (n,) of the nearest row of y (m, D) for each row of x (n, D).

    The search goes through matrix products, for wide data such as pixels; the distance of the pair found is then formed
    entry by entry, so that a copy has distance exactly 0.

    Args:
        itself: x and y are the same rows in the same order, and no row counts as its own neighbour.
    """
    x, y = x.double(), y.double()
    squares = y.square().sum(1)
    found = []
    for rows in row_blocks(len(x), len(y)):
        squared = squares - 2 * x[rows] @ y.T  # (rows, m), but for |x|^2, which no comparison within a row needs
        if itself:
            squared.diagonal(rows.start).fill_(torch.inf)
        found.append(squared.argmin(1))
    index = torch.cat(found)
    return (x - y[index]).norm(dim=1), index
