"""Is it a molecule? Valid, in one piece, nothing missing, and as its own positions say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .chemistry import canonical_smiles, fragments, perceive_bonds, sanitised, to_rdkit
from .graph import Graph


class Verdict(NamedTuple):
    """What holds of one molecule.

    Args:
        valid: RDKit sanitises it, all of its fragments.
        valid_largest: RDKit sanitises the fragment with most heavy atoms; published tables often mean this one.
        connected: it is one fragment.
        complete: valid, one fragment, and no atom is a radical, as it is where a hydrogen or another bond is missing.
        agrees: complete, and the bonds perceived from its positions are its own; False without positions.
    """

    valid: bool
    valid_largest: bool
    connected: bool
    complete: bool
    agrees: bool


def verdict(graph: Graph) -> Verdict:
    """Judge one molecule; nothing is raised for a broken one."""
    parts = fragments(graph)
    connected = len(parts) == 1
    radicals = _radicals(graph)
    valid = radicals is not None
    valid_largest = valid if connected else _radicals(graph.part(parts[0])) is not None
    complete = connected and radicals == 0
    return Verdict(valid, valid_largest, connected, complete, complete and agrees(graph))


def smiles(graph: Graph) -> str:
    """Canonical SMILES without stereo, of all fragments; empty for an invalid molecule."""
    try:
        return canonical_smiles(graph, stereo=False)
    except ValueError:
        return ""


def agrees(graph: Graph) -> bool:
    """Whether bonds perceived from the positions join the same atoms and make the same molecule, resonance forms alike.

    For a complete molecule; False where it has no positions or no bonds fit them.
    """
    if graph.positions is None:
        return False
    if not np.array_equal(_joined(graph), graph.bonds > 0):
        return False  # said early: the search for orders takes long where atoms lack neighbours
    try:
        perceived = perceive_bonds(graph.numbers, graph.positions, int(graph.charges.sum()))
    except ValueError:
        return False
    return smiles(perceived) == smiles(graph)


def _radicals(graph: Graph) -> int | None:
    """Unpaired electrons; None for an invalid molecule."""
    try:
        mol = sanitised(graph)
    except ValueError:
        return None
    return sum(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())


def _joined(graph: Graph) -> np.ndarray:
    """(N, N) bool, which atoms the distances join."""
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    bare = Graph(graph.numbers, np.zeros_like(graph.charges), np.zeros_like(graph.bonds), graph.positions)
    mol = Chem.RWMol(to_rdkit(bare))
    rdDetermineBonds.DetermineConnectivity(mol)
    return Chem.GetAdjacencyMatrix(mol) > 0
