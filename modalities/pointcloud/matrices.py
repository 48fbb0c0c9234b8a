"""Distances of all pairs of two sets of clouds: over the cores, within bounded memory, resumed from disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from ornstein.core.evaluation.spec import Track
from ornstein.core.sources import Cache

from .chamfer import chamfer_to_many
from .emd import exact_emd, squared_approximate_emd

_CACHE = Cache("pointcloud")
_TILE = 16  # pairs of one piece of work, in one row
_PATIENCE = 10.0  # seconds of work that are kept: what takes less is not written


@dataclass(frozen=True)
class Distance:
    """A distance between clouds, under a name that says which.

    Args:
        name: as reports and files call it: with its definition.
        about: what it is, in a sentence.
        to_many: x (N, 3) and m others -> (m,).
        symmetric: d(x, y) = d(y, x), so that half of the pairs of one set suffice.
        equal: whether both clouds must have equally many points.
    """

    name: str
    about: str
    to_many: Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]
    symmetric: bool = True
    equal: bool = True


def _each(pair: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]:
    return lambda x, others: np.array([pair(x, y) for y in others])


CHAMFER = Distance(
    "CD squared", "mean squared distance to the nearest point, both ways added", chamfer_to_many, equal=False
)
EXACT_EMD = Distance("EMD exact", "mean distance under the best one-to-one matching", _each(exact_emd))
APPROXIMATE_EMD = Distance(
    "EMD squared approximate",
    "mean squared distance under PVD's and LION's soft matching, which they print as EMD",
    _each(squared_approximate_emd),
    symmetric=False,
)


def silent(words: str, steps: int) -> Callable[[], None]:
    """A track that shows nothing."""
    return lambda: None


def matrix(
    distance: Distance,
    x: Sequence[np.ndarray],
    y: Sequence[np.ndarray] | None = None,
    track: Track = silent,
    words: str = "",
) -> np.ndarray:
    """(n, m) float64 distances of each cloud of x to each of y; of x to itself where y is None, with 0 on the diagonal.

    Threads work on parts of rows: NumPy and SciPy let go of the interpreter there. What has been found is kept on disk every
    ten seconds, under a hash of the points and the name of the distance, so that work which was cut off goes on where it was.

    Args:
        x, y: clouds, (N_i, 3).
        track: told of the tiles that are done: a progress bar.
        words: what the bar says.
    """
    from threadpoolctl import threadpool_limits

    own = y is None
    others = x if y is None else y
    name = _name(distance, x, None if own else others)
    kept = _CACHE.load(name)
    out = np.full((len(x), len(others)), np.nan) if kept is None else kept["distances"]
    if own:
        np.fill_diagonal(out, 0.0)
    tiles = [tile for tile in _tiles(len(x), len(others), own and distance.symmetric) if np.isnan(out[tile]).any()]
    advance = track(words or distance.name, len(tiles))

    def work(tile: tuple[int, slice]) -> tuple[tuple[int, slice], np.ndarray]:
        return tile, distance.to_many(x[tile[0]], others[tile[1]])

    started = saved = time.monotonic()
    # Each product is small: the threads here are those that pay, and a product's own would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        pool = ThreadPoolExecutor(cores())
        try:
            for tile, found in pool.map(work, tiles):
                out[tile] = found
                if own and distance.symmetric:
                    out[tile[1], tile[0]] = found
                advance()
                if time.monotonic() - saved > _PATIENCE:
                    _CACHE.save(name, {"distances": out})
                    saved = time.monotonic()
        finally:  # an interrupt neither waits for what is planned nor loses what is done
            pool.shutdown(cancel_futures=True)
            if time.monotonic() - started > _PATIENCE:
                _CACHE.save(name, {"distances": out})
    if own:  # a soft matching of a cloud with itself is not quite at distance 0
        np.fill_diagonal(out, 0.0)
    return out


def _tiles(n: int, m: int, half: bool) -> list[tuple[int, slice]]:
    """Parts of rows; with `half` only what is right of the diagonal."""
    return [
        (i, slice(start, min(start + _TILE, m)))
        for i in range(n)
        for start in range(i + 1 if half else 0, m, _TILE)
    ]  # fmt: skip


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name(distance: Distance, x: Sequence[np.ndarray], y: Sequence[np.ndarray] | None) -> str:
    """What the file of a matrix is called: a hash of the distance's name and of all points."""
    sha = hashlib.sha256(distance.name.encode())
    for clouds in (x, y or ()):
        sha.update(len(clouds).to_bytes(8, "little"))
        for points in clouds:
            sha.update(len(points).to_bytes(8, "little") + np.ascontiguousarray(points, np.float64).tobytes())
    return f"distances-{sha.hexdigest()[:24]}"
