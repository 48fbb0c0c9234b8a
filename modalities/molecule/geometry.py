"""Bond lengths, angles and torsions, types of atoms and bonds, and how far two sets of molecules are apart in them."""

from __future__ import annotations

import numpy as np

from .graph import Graph


def atom_types(graph: Graph) -> np.ndarray:
    """(N,) a number for each element and formal charge."""
    return graph.numbers * 100 + graph.charges + 50


def bond_types(graph: Graph) -> np.ndarray:
    """(E,) a number for each pair of elements and class of bond, of the bonds i < j."""
    i, j = _bonded(graph)
    return _types(graph, i, j)


def bond_lengths(graph: Graph) -> np.ndarray:
    """(E, 2) type and length, angstrom, of each bond."""
    i, j = _bonded(graph)
    x = _positions(graph)
    return np.stack([_types(graph, i, j), np.linalg.norm(x[i] - x[j], axis=1)], axis=1)


def bond_angles(graph: Graph) -> np.ndarray:
    """(A, 2) atomic number of the centre, and degrees, of each pair of bonds that meet."""
    x, joined = _positions(graph), graph.bonds > 0
    centre, i = np.nonzero(joined)
    pair, k = np.nonzero(joined[centre] & (np.arange(graph.atoms) > i[:, None]))
    centre, i = centre[pair], i[pair]
    return np.stack([graph.numbers[centre], _angle(x[i] - x[centre], x[k] - x[centre])], axis=1)


def torsions(graph: Graph) -> np.ndarray:
    """(T, 2) type of the bond in the middle and degrees in [0, 180], of each chain i-j-k-l of bonds; 0 is cis.

    Signs are left out: a mirror image has the same. Chains with a straight angle have no torsion.
    """
    x, joined = _positions(graph), graph.bonds > 0
    j, k = _bonded(graph)
    bond, i = np.nonzero(joined[j] & (np.arange(graph.atoms) != k[:, None]))
    j, k = j[bond], k[bond]
    chain, last = np.nonzero(
        joined[k] & (np.arange(graph.atoms) != j[:, None]) & (np.arange(graph.atoms) != i[:, None])
    )
    i, j, k = i[chain], j[chain], k[chain]
    axis = x[k] - x[j]
    left, right = (
        np.cross(x[i] - x[j], axis),
        np.cross(x[last] - x[k], axis),
    )  # |.| = distance from the axis times its length
    length = np.linalg.norm(axis, axis=1)
    bent = np.minimum(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)) > 0.05 * length
    return np.stack([_types(graph, j, k), _angle(left, right)], axis=1)[bent]


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """Wasserstein-1 distance of the values of each type, averaged over types by their frequency in y.

    Types that x lacks count nothing: that they are missing is told by `total_variation`.

    Args:
        x, y: (n, 2), (m, 2) types and values: candidate and reference.

    Returns:
        NaN where the two share no type.

    Source: Vignac et al. 2023, arXiv:2302.09048, section on metrics, there by class of bond alone.
    """
    from scipy.stats import wasserstein_distance

    total = weight = 0.0
    for kind, count in zip(*np.unique(y[:, 0], return_counts=True), strict=True):
        values = x[x[:, 0] == kind, 1]
        if len(values):
            total += count * wasserstein_distance(values, y[y[:, 0] == kind, 1])
            weight += count
    return total / weight if weight else float("nan")


def total_variation(x: np.ndarray, y: np.ndarray) -> float:
    """Half the sum of |difference| of the shares of each type, 0 to 1; 1 where one set is empty.

    Args:
        x, y: (n,), (m,) types.
    """
    if not len(x) or not len(y):
        return float(len(x) != len(y))
    kinds, codes = np.unique(np.concatenate([x, y]), return_inverse=True)
    p, q = (np.bincount(part, minlength=len(kinds)) / len(part) for part in (codes[: len(x)], codes[len(x) :]))
    return 0.5 * float(np.abs(p - q).sum())


def _bonded(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.nonzero(np.triu(graph.bonds, 1))
    return i, j


def _types(graph: Graph, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    ends = np.sort(np.stack([graph.numbers[i], graph.numbers[j]]), axis=0)
    return (ends[0] * 1000 + ends[1]) * 10 + graph.bonds[i, j]


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between rows, exact near 0 and 180 too."""
    cross, dot = np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1)
    return np.degrees(np.arctan2(cross, dot))


def _positions(graph: Graph) -> np.ndarray:
    if graph.positions is None:
        raise ValueError(f"{graph.name or 'a molecule'} has no positions")
    return graph.positions
