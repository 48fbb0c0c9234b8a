"""Conformers that stand in a data set more than once."""

from __future__ import annotations

import numpy as np

from .chemistry import to_rdkit
from .graph import Graph
from .packs import Pack

_SAME = 1e-3  # angstrom, between the distances of one conformer in two files
_FITTED = 1e-2  # angstrom, root of the mean square of its atoms laid over each other
_WAYS = 20_000  # to lay equal atoms over each other that are tried


def repeats(pack: Pack) -> dict[int, int]:
    """Record -> the earlier record of the same molecule in the same shape, up to rotation and the order of like atoms.

    A mirror image is another conformer.
    """
    placed = np.flatnonzero(pack.placed)
    order = placed[np.argsort(pack.keys[placed], kind="stable")]
    borders = np.flatnonzero(np.diff(pack.keys[order])) + 1
    found: dict[int, int] = {}
    for group in np.split(order, borders):
        seen: list[tuple[int, Graph, np.ndarray]] = []
        for i in group.tolist() if len(group) > 1 else ():
            graph = pack.graph(i, {}, "", "explicit")
            distances = _distances(graph)
            twin = next((k for k, other, theirs in seen if _close(distances, theirs) and _fits(graph, other)), None)
            if twin is None:
                seen.append((i, graph, distances))
            else:
                found[i] = twin
    return found


def _distances(graph: Graph) -> np.ndarray:
    """Of all pairs of atoms, sorted."""
    x = graph.positions
    assert x is not None
    return np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 1)])


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return len(a) == len(b) and bool(np.abs(a - b).max() < _SAME)


def _fits(a: Graph, b: Graph) -> bool:
    """Whether one lies over the other by a rotation without a reflection."""
    from rdkit.Chem import rdMolAlign

    try:
        return rdMolAlign.GetBestRMS(to_rdkit(a), to_rdkit(b), maxMatches=_WAYS) < _FITTED
    except RuntimeError:  # their graphs differ after all
        return False
