"""How far a molecule is from the nearest shape at rest, by the MMFF94 force field."""

from __future__ import annotations

from typing import NamedTuple

from .chemistry import fragments, sanitised
from .graph import Graph

_STEPS = 2000  # of the relaxation; small molecules need some hundreds


class Strain(NamedTuple):
    """Energy above the relaxed shape, kcal/mol, and root mean square distance of all atoms from it, angstrom.

    Both are NaN where there is no answer: an invalid molecule, several fragments, or atoms that MMFF94 has no parameters for.
    """

    energy: float
    rmsd: float


def strain(graph: Graph) -> Strain:
    """Relax one molecule from its own positions and compare; hydrogens must be explicit.

    Source: Halgren 1996, J. Comput. Chem. 17, 490 (MMFF94).
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdForceFieldHelpers, rdMolAlign

    nothing = Strain(float("nan"), float("nan"))
    if graph.positions is None or graph.hydrogens == "implicit" or len(fragments(graph)) != 1:
        return nothing
    try:
        mol = sanitised(graph)
    except ValueError:
        return nothing
    with rdBase.BlockLogs():
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
        if properties is None:
            return nothing
        relaxed = Chem.Mol(mol)
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(relaxed, properties)
        field.Initialize()
        before = field.CalcEnergy()
        field.Minimize(maxIts=_STEPS)
        after = field.CalcEnergy()
        atoms = [(i, i) for i in range(graph.atoms)]
        return Strain(before - after, float(rdMolAlign.AlignMol(relaxed, mol, atomMap=atoms)))
