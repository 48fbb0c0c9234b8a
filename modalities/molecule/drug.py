"""What chemists of drugs look at: likeness to drugs, ease of synthesis, solubility, ring systems, fingerprints."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .chemistry import sanitised
from .graph import Graph

FINGERPRINT = 256  # counts of a fingerprint; so few that those of 200,000 training molecules fit into memory


class Drug(NamedTuple):
    """Numbers of one molecule; NaN for an invalid one.

    Args:
        qed: quantitative estimate of drug-likeness, 0 to 1 (Bickerton et al. 2012, Nat. Chem. 4, 90).
        synthesis: synthetic accessibility, 1 easy to 10 hard (Ertl and Schuffenhauer 2009, J. Cheminform. 1, 8).
        logp: octanol-water partition by atoms' contributions (Wildman and Crippen 1999, JCICS 39, 868).
    """

    qed: float
    synthesis: float
    logp: float


def drug(graph: Graph) -> Drug:
    """QED, SA and logP of one molecule."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import QED, rdMolDescriptors

    try:
        mol = sanitised(graph)
    except ValueError:
        return Drug(*[float("nan")] * 3)
    with rdBase.BlockLogs():
        bare = Chem.RemoveHs(mol)
        return Drug(
            float(QED.qed(bare)),
            float(_sascorer().calculateScore(bare)),
            float(rdMolDescriptors.CalcCrippenDescriptors(bare)[0]),
        )


def ring_systems(graph: Graph) -> tuple[str, ...]:
    """Canonical SMILES of each system of rings that share atoms, with atoms on double bonds to it; none if invalid."""
    from rdkit import Chem

    try:
        mol = Chem.RemoveHs(sanitised(graph))
    except ValueError:
        return ()
    systems: list[set[int]] = []
    for ring in mol.GetRingInfo().AtomRings():
        joined = set(ring)
        apart = []
        for system in systems:
            if system & joined:
                joined |= system
            else:
                apart.append(system)
        systems = [*apart, joined]
    double = Chem.BondType.DOUBLE
    for system in systems:
        for bond in mol.GetBonds():
            ends = {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()}
            if bond.GetBondType() == double and len(ends & system) == 1 and not bond.IsInRing():
                system |= ends
    return tuple(sorted(Chem.MolFragmentToSmiles(mol, sorted(system), isomericSmiles=False) for system in systems))


def fingerprint(graph: Graph) -> np.ndarray:
    """(256,) counts of the environments of atoms up to two bonds away, of length 1; zeros for an invalid molecule.

    The Euclidean distance of two is sqrt(2 - 2 cosine).

    Source: Rogers and Hahn 2010, J. Chem. Inf. Model. 50, 742 (Morgan fingerprints).
    """
    from rdkit import Chem

    try:
        mol = Chem.RemoveHs(sanitised(graph))
    except ValueError:
        return np.zeros(FINGERPRINT)
    counts = _morgan().GetCountFingerprintAsNumPy(mol).astype(np.float64)
    return counts / max(float(np.linalg.norm(counts)), 1.0)


@cache
def _morgan() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT)


@cache
def _sascorer() -> ModuleType:
    """The score that RDKit ships beside its package, with its table of fragments."""
    from rdkit import RDConfig

    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("ornstein_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path}: this installation of RDKit has no SA score; install rdkit from PyPI")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
