"""Between graphs and RDKit, and what both of them are asked: parts, bonds from distances, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .graph import AROMATIC, DOUBLE, SINGLE, TRIPLE, Graph, Hydrogens

if TYPE_CHECKING:
    from rdkit import Chem


def to_rdkit(graph: Graph) -> Chem.Mol:
    """The molecule as RDKit's, atom for atom, not sanitised: `Chem.SanitizeMol` then says whether it is a molecule.

    Where hydrogens are explicit no atom may take implicit ones, so that a missing hydrogen shows as a radical. Positions become
    a 3D conformer; stereo is not assigned (`Chem.AssignStereochemistryFrom3D`).
    """
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    kinds = {
        SINGLE: Chem.BondType.SINGLE,
        DOUBLE: Chem.BondType.DOUBLE,
        TRIPLE: Chem.BondType.TRIPLE,
        AROMATIC: Chem.BondType.AROMATIC,
    }
    mol = Chem.RWMol()
    explicit = graph.hydrogens == "explicit"
    aromatic = (graph.bonds == AROMATIC).any(1).tolist()
    for number, charge, in_ring in zip(graph.numbers.tolist(), graph.charges.tolist(), aromatic, strict=True):
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(explicit)
        atom.SetIsAromatic(in_ring)
        mol.AddAtom(atom)
    for i, j in np.argwhere(np.triu(graph.bonds, 1)).tolist():
        kind = int(graph.bonds[i, j])
        mol.AddBond(i, j, kinds[kind])
        if kind == AROMATIC:
            mol.GetBondBetweenAtoms(i, j).SetIsAromatic(True)
    if graph.positions is not None:
        conformer = Chem.Conformer(graph.atoms)
        conformer.Set3D(True)
        for i, xyz in enumerate(graph.positions.tolist()):
            conformer.SetAtomPosition(i, Point3D(*xyz))
        mol.AddConformer(conformer, assignId=True)
    out = mol.GetMol()
    out.SetProp("_Name", graph.name)
    return out


def from_rdkit(mol: Chem.Mol, hydrogens: Hydrogens | None = None) -> Graph:
    """The molecule as arrays, atom for atom; bonds as they are, kekulised or aromatic; positions where it has a 3D conformer.

    Args:
        mol: a molecule of RDKit.
        hydrogens: what `Graph.hydrogens` becomes; None: `explicit` where no atom has a hydrogen beside those that are atoms.

    Raises:
        ValueError: a bond that is none of single, double, triple and aromatic, or an atom without an element.
    """
    kinds = bond_classes()
    count = mol.GetNumAtoms()
    atoms = list(mol.GetAtoms())
    numbers = np.fromiter((atom.GetAtomicNum() for atom in atoms), np.int64, count)
    charges = np.fromiter((atom.GetFormalCharge() for atom in atoms), np.int64, count)
    if (numbers == 0).any():
        raise ValueError(f"atom {int(np.argmin(numbers)) + 1} is no element (a dummy or query atom)")
    bonds = np.zeros((count, count), np.int8)
    for bond in mol.GetBonds():
        i, j, kind = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), kinds.get(bond.GetBondType())
        if kind is None:
            raise ValueError(
                f"the bond of atoms {i + 1} and {j + 1} is of type {bond.GetBondType()}; "
                "single, double, triple and aromatic bonds are read"
            )
        bonds[i, j] = bonds[j, i] = kind
    positions = None
    if mol.GetNumConformers() and mol.GetConformer().Is3D():
        positions = np.array(mol.GetConformer().GetPositions(), np.float64)
    if hydrogens is None:
        if mol.NeedsUpdatePropertyCache():
            mol.UpdatePropertyCache(strict=False)
        hydrogens = "implicit" if any(atom.GetTotalNumHs() for atom in atoms) else "explicit"
    name = mol.GetProp("_Name") if mol.HasProp("_Name") else ""
    return Graph(numbers, charges, bonds, positions, {}, name, None, hydrogens)


def bond_classes() -> dict[Chem.BondType, int]:
    """Classes of `Graph.bonds` by RDKit's types of bond."""
    from rdkit import Chem

    return {
        Chem.BondType.SINGLE: SINGLE,
        Chem.BondType.DOUBLE: DOUBLE,
        Chem.BondType.TRIPLE: TRIPLE,
        Chem.BondType.AROMATIC: AROMATIC,
    }


def fragments(graph: Graph) -> list[np.ndarray]:
    """Indices of the atoms of each connected part, the part with most heavy atoms first, ties by atoms, then by first atom."""
    left = np.ones(graph.atoms, bool)
    joined = graph.bonds > 0
    found: list[np.ndarray] = []
    while left.any():
        part = np.zeros(graph.atoms, bool)
        part[int(np.argmax(left))] = True
        while True:
            grown = part | joined[part].any(0)
            if (grown == part).all():
                break
            part = grown
        found.append(np.flatnonzero(part))
        left &= ~part
    return sorted(found, key=lambda atoms: (-int(graph.heavy[atoms].sum()), -len(atoms), int(atoms[0])))


def largest_fragment(graph: Graph) -> Graph:
    """The connected part with most heavy atoms."""
    parts = fragments(graph)
    return graph if len(parts) < 2 else graph.part(parts[0])


def perceive_bonds(numbers: np.ndarray, positions: np.ndarray, charge: int = 0) -> Graph:
    """Bonds and formal charges that fit the distances and the charge of the whole molecule, kekulised; see `perceive`."""
    from rdkit import Chem

    mol = perceive(numbers, positions, charge)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    return from_rdkit(mol, "explicit")


def perceive(numbers: np.ndarray, positions: np.ndarray, charge: int = 0) -> Chem.Mol:
    """A sanitised molecule whose bonds fit the distances: connectivity by covalent radii, then bond orders by valence.

    Args:
        numbers: (N,) atomic numbers, hydrogens among them.
        positions: (N, 3), angstrom.
        charge: of the whole molecule, units of e.

    Raises:
        ValueError: no assignment of bonds fits, or the only one has radicals.

    Source: Kim and Kim 2015, Bull. Korean Chem. Soc. 36, 1769 (xyz2mol), as RDKit's rdDetermineBonds.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    empty = np.zeros((len(numbers), len(numbers)), np.int8)
    bare = Graph(np.asarray(numbers, np.int64), np.zeros(len(numbers), np.int64), empty, np.asarray(positions))
    mol = Chem.RWMol(to_rdkit(bare))
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineBonds(mol, charge=charge, embedChiral=False)
            Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"no bonds fit the positions at charge {charge:+d} ({first_line(error)})") from error
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        raise ValueError(f"the bonds that fit the positions at charge {charge:+d} leave radicals")
    return mol.GetMol()


def canonical_smiles(graph: Graph, stereo: bool = True) -> str:
    """Canonical SMILES without hydrogens that need not be written; stereo as the positions have it.

    Raises:
        ValueError: RDKit does not sanitise the molecule.
    """
    from rdkit import Chem

    mol = sanitised(graph)
    if graph.positions is not None and stereo:
        Chem.AssignStereochemistryFrom3D(mol)
    if graph.hydrogens == "explicit":
        mol = Chem.RemoveHs(mol)
    return Chem.MolToSmiles(mol, isomericSmiles=stereo)


def sanitised(graph: Graph) -> Chem.Mol:
    """The molecule with valences checked, rings and aromaticity found, missing hydrogens as radicals.

    Raises:
        ValueError: the graph is no molecule; the message is RDKit's.
    """
    from rdkit import Chem, rdBase

    mol = to_rdkit(graph)
    with rdBase.BlockLogs():
        Chem.SanitizeMol(mol)  # its errors are ValueErrors
    return mol


def first_line(error: BaseException) -> str:
    """The first line of a message of RDKit, without its place in the source."""
    text = str(error).strip()
    return text.splitlines()[0].strip() if text else type(error).__name__
