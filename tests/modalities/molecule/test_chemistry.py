"""Graphs and RDKit say the same of a molecule."""

import numpy as np
import pytest
from ornstein.modalities.molecule.chemistry import (
    canonical_smiles,
    fragments,
    from_rdkit,
    largest_fragment,
    perceive_bonds,
    sanitised,
    to_rdkit,
)
from ornstein.modalities.molecule.graph import Graph
from rdkit import Chem
from rdkit.Chem import AllChem

SMILES = ("CCO", "c1ccc2[nH]ccc2c1", "C[N+](=O)[O-]", "C#N", "CS(=O)(=O)N", "[O-]c1cccc[n+]1C", "FC(F)(F)Cl")


def full(smiles, kekulised=True):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if kekulised:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    return mol


@pytest.mark.parametrize("smiles", SMILES)
@pytest.mark.parametrize("kekulised", [True, False])
def test_there_and_back_again(smiles, kekulised):
    graph = from_rdkit(full(smiles, kekulised))
    assert (graph.bonds == graph.bonds.T).all()
    assert not graph.bonds.diagonal().any()
    assert bool((graph.bonds == 4).any()) == (not kekulised and "c" in smiles)
    assert canonical_smiles(graph) == Chem.CanonSmiles(smiles)
    again = from_rdkit(to_rdkit(graph))
    for name in ("numbers", "charges", "bonds"):
        assert (getattr(again, name) == getattr(graph, name)).all()


def test_positions_are_exact():
    mol = full("CCO")
    AllChem.EmbedMolecule(mol, randomSeed=1)
    graph = from_rdkit(mol)
    assert (to_rdkit(graph).GetConformer().GetPositions() == mol.GetConformer().GetPositions()).all()
    assert to_rdkit(graph).GetConformer().Is3D()


def test_a_missing_hydrogen_is_a_radical_where_hydrogens_are_explicit():
    whole = from_rdkit(full("CO"))
    torn = whole.part(np.arange(whole.atoms - 1))
    assert sum(a.GetNumRadicalElectrons() for a in sanitised(whole).GetAtoms()) == 0
    assert sum(a.GetNumRadicalElectrons() for a in sanitised(torn).GetAtoms()) == 1
    assert canonical_smiles(torn) == "C[O]"
    heavy = from_rdkit(Chem.MolFromSmiles("CO"))
    assert heavy.hydrogens == "implicit"
    assert canonical_smiles(heavy) == "CO"


def test_what_is_no_molecule_is_not_sanitised():
    bonds = np.ones((6, 6), np.int8) - np.eye(6, dtype=np.int8)
    with pytest.raises(ValueError, match="valence"):
        sanitised(Graph(np.full(6, 6), np.zeros(6, np.int64), bonds))


def test_bonds_that_a_graph_cannot_hold_are_refused():
    with pytest.raises(ValueError, match=r"atoms 1 and 2 is of type DATIVE"):
        from_rdkit(Chem.MolFromSmiles("[NH3]->[B](F)(F)F", sanitize=False))
    with pytest.raises(ValueError, match="atom 1 is no element"):
        from_rdkit(Chem.MolFromSmiles("*C"))


def test_fragments_by_size():
    graph = from_rdkit(Chem.MolFromSmiles("O.CCO.CC"))
    assert [part.tolist() for part in fragments(graph)] == [[1, 2, 3], [4, 5], [0]]
    assert canonical_smiles(largest_fragment(graph)) == "CCO"
    ring = from_rdkit(Chem.MolFromSmiles("C1CCCCCCC1"))
    assert len(fragments(ring)) == 1
    assert largest_fragment(ring) is ring


@pytest.mark.parametrize("smiles", ["CCO", "c1ccc2[nH]ccc2c1", "CC#N", "C[N+](=O)[O-]", "C=C=O"])
def test_bonds_are_found_from_positions(smiles):
    mol = full(smiles)
    assert AllChem.EmbedMolecule(mol, randomSeed=2) == 0
    graph = from_rdkit(mol)
    found = perceive_bonds(graph.numbers, graph.positions)
    assert canonical_smiles(found, stereo=False) == Chem.CanonSmiles(smiles)
    assert not (found.bonds == 4).any()
    assert ((found.bonds > 0) == (graph.bonds > 0)).all()


def test_positions_that_no_bonds_fit_are_refused():
    with pytest.raises(ValueError, match=r"no bonds fit|radicals"):
        perceive_bonds(np.array([8, 1]), np.array([[0.0, 0, 0], [0, 0, 0.97]]))
    charged = perceive_bonds(np.array([8, 1]), np.array([[0.0, 0, 0], [0, 0, 0.97]]), charge=-1)
    assert charged.charges.tolist() == [-1, 0]


def test_stereo_comes_from_positions_and_can_be_left_out():
    mol = full("C[C@H](O)F")
    AllChem.EmbedMolecule(mol, randomSeed=1)
    graph = from_rdkit(mol)
    mirrored = Graph(graph.numbers, graph.charges, graph.bonds, graph.positions * [1, 1, -1])
    assert {canonical_smiles(graph), canonical_smiles(mirrored)} == {"C[C@H](O)F", "C[C@@H](O)F"}
    assert canonical_smiles(graph, stereo=False) == canonical_smiles(mirrored, stereo=False) == "CC(O)F"
