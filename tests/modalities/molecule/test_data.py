"""The molecules that need no download: what they are, that they are always the same, and that they are made once."""

import re
from itertools import islice

import numpy as np
import pytest

pytest.importorskip("rdkit")

from ornstein.modalities.molecule import data
from rdkit import Chem
from rdkit.Chem import AllChem


def test_fragments_make_molecules_of_the_sizes_and_elements_that_are_said():
    found = list(islice(data.smiles(0), 300))
    mols = [Chem.MolFromSmiles(text) for text in found]
    assert len(set(found)) == 300
    assert all(Chem.MolToSmiles(mol) == text for mol, text in zip(mols, found, strict=True))
    sizes = [mol.GetNumAtoms() for mol in mols]
    assert (min(sizes), max(sizes)) == data.HEAVY
    assert {atom.GetSymbol() for mol in mols for atom in mol.GetAtoms()} == {"C", "N", "O", "F"}
    assert {atom.GetFormalCharge() for mol in mols for atom in mol.GetAtoms()} == {-1, 0, 1}  # of nitro groups
    assert all(Chem.GetFormalCharge(mol) == 0 for mol in mols)
    assert not any(mol.HasSubstructMatch(Chem.MolFromSmarts("[OX2][OX2]")) for mol in mols)
    assert {len(Chem.GetSymmSSSR(mol)) for mol in mols} >= {0, 1, 2}


def test_they_are_the_same_each_time_and_others_for_another_seed():
    first, again, other = (list(islice(data.smiles(seed), 20)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert data.block("CCO") == data.block("CCO")


def test_a_record_is_a_relaxed_molecule_with_its_tags():
    text = data.block("O=CN1CCCC1")
    mol = Chem.MolFromMolBlock(text, removeHs=False)
    assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == "O=CN1CCCC1"
    force = AllChem.MMFFGetMoleculeForceField(mol, AllChem.MMFFGetMoleculeProperties(mol))
    tags = {name: float(value) for name, value in re.findall(r">  <(\w+)>\n(.*)\n", text)}
    assert force.CalcEnergy() == pytest.approx(tags["energy"], abs=1e-2)
    assert np.abs(np.array(force.CalcGrad())).max() < 0.5  # kcal/mol/angstrom
    assert set(tags) == {"energy", "logp"}


def test_what_has_no_geometry_is_left_out_and_the_number_of_molecules_holds(monkeypatch):
    monkeypatch.setattr(data, "block", lambda text: None if "N" in text else f"{text}\n$$$$\n")
    texts = data.blocks(30)
    assert len(texts) == 30
    assert not any("N" in text for text in texts)


def test_they_are_made_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "COUNT", 6)
    data._rows.cache_clear()
    first = [row.file.read() for row in data.Small().rows()]
    assert len(first) == 6
    assert all(content.count(b"$$$$\n") == content.endswith(b"$$$$\n") == 1 for content in first)
    monkeypatch.setattr(data, "blocks", lambda count: pytest.fail("made again"))
    data._rows.cache_clear()
    assert [row.file.read() for row in data.Small().rows()] == first
    assert len(list(data._CACHE.folder.glob("embedded-*-6.npz"))) == 1
    data._rows.cache_clear()
