"""Conformers of given graphs: how many of the true ones are met, and how closely."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .chemistry import sanitised
from .graph import Graph

SMALL, LARGE = 0.5, 1.25  # angstrom: thresholds for molecules of QM9's size and for drugs
_DRUG = 10  # heavy atoms from which a molecule is measured as a drug; QM9 has up to 9
_MATCHES = 1000  # symmetric ways to lay one over the other that are tried at most


class Met(NamedTuple):
    """How well conformers are met. Coverage: share in [0, 1]; matching: angstrom."""

    coverage: float
    matching: float


def threshold(graph: Graph) -> float:
    """Angstrom below which two conformers count as the same: 0.5 up to 9 heavy atoms, 1.25 above."""
    return SMALL if int(graph.heavy.sum()) < _DRUG else LARGE


def distance(a: Graph, b: Graph) -> float:
    """Root mean square distance of heavy atoms, angstrom, after the best turn, shift and symmetric renumbering.

    Infinite where the two are not the same molecule, or one is invalid.

    Raises:
        ValueError: a molecule without positions.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdMolAlign

    if a.positions is None or b.positions is None:
        raise ValueError(f"{a.name or b.name or 'a molecule'} has no positions")
    try:
        with rdBase.BlockLogs():
            probe, true = (Chem.RemoveHs(sanitised(graph)) for graph in (a, b))
            return float(rdMolAlign.GetBestRMS(probe, true, maxMatches=_MATCHES))
    except (ValueError, RuntimeError):  # invalid; or no way to lay one over the other
        return float("inf")


def recall(distances: np.ndarray, limit: float) -> Met:
    """Of the true conformers of one molecule: share with a sample within the limit; mean distance to the nearest sample.

    Args:
        distances: (samples, true conformers), angstrom.
        limit: angstrom.

    Source: Xu et al. 2021, arXiv:2102.10240, section 5.1.
    """
    nearest = distances.min(0)
    return Met(float((nearest <= limit).mean()), float(nearest.mean()))


def precision(distances: np.ndarray, limit: float) -> Met:
    """Of the samples of one molecule: share within the limit of a true conformer; mean distance to the nearest of them.

    Source: Ganea et al. 2021, arXiv:2106.07802, section 4.
    """
    return recall(distances.T, limit)


def embedded(graph: Graph, seed: int) -> np.ndarray | None:
    """(N, 3) positions of a conformer by RDKit's ETKDGv3, angstrom; None where it finds none.

    It is told the graph alone, as a model is, and not the stereo of the true conformer.

    Source: Wang et al. 2020, J. Chem. Inf. Model. 60, 2044.
    """
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom

    try:
        mol = sanitised(graph)
    except ValueError:
        return None
    mol.RemoveAllConformers()
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = seed
    with rdBase.BlockLogs():
        if rdDistGeom.EmbedMolecule(mol, settings) < 0:
            settings.useRandomCoords = True
            if rdDistGeom.EmbedMolecule(mol, settings) < 0:
                return None
    return np.array(mol.GetConformer().GetPositions(), np.float64)
