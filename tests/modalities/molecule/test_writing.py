"""Written samples are read back as they were, and every one is accounted for."""

from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.sources import Row, file_at
from ornstein.modalities.molecule import shelves
from ornstein.modalities.molecule.chemistry import canonical_smiles, from_rdkit
from ornstein.modalities.molecule.graph import Graph
from ornstein.modalities.molecule.options import Options
from ornstein.modalities.molecule.pictures import draw
from ornstein.modalities.molecule.reading import read
from ornstein.modalities.molecule.records import rows
from ornstein.modalities.molecule.view import view3d
from ornstein.modalities.molecule.writing import save
from rdkit import Chem
from rdkit.Chem import AllChem


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shelves, "_shelves", [])


def folded(smiles):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    Chem.Kekulize(mol, clearAromaticFlags=True)
    return from_rdkit(mol)


SMILES = ("CCO", "C[N+](=O)[O-]", "C[C@H](O)F", "F/C=C/Cl", "O=C([O-])c1ccc[nH]1")


def test_sdf_and_xyz_come_back_as_they_were_made(tmp_path):
    samples = [replace(folded(s), properties={"gap": 0.1 + 0.2}) for s in SMILES]
    names = {path.name for path in save(samples, tmp_path)}
    assert names == {"samples.sdf", "samples.smi", "samples.xyz"}
    options = Options(properties=("gap",))
    for row, sample in zip(
        rows([Row(file_at(tmp_path / "samples.sdf"))], options, (0.8, 0.1, 0.1)), samples, strict=True
    ):
        item = read(row.file, row.values, options)
        assert item.data.numbers.tolist() == sample.numbers.tolist()
        assert item.data.charges.tolist() == sample.charges.tolist()
        assert np.abs(item.data.positions - sample.positions).max() <= 5.1e-5
        assert item.cond["gap"] == pytest.approx(0.3, abs=1e-9)
        assert canonical_smiles(item.data) == canonical_smiles(sample)
    for row, sample in zip(
        rows([Row(file_at(tmp_path / "samples.xyz"))], Options(), (0.8, 0.1, 0.1)), samples, strict=True
    ):
        again = read(row.file, row.values, Options()).data
        assert np.abs(again.positions - sample.positions).max() < 1e-8
        assert canonical_smiles(again) == canonical_smiles(sample)


def test_smiles_are_canonical_and_keep_stereo(tmp_path):
    save([folded(s) for s in SMILES], tmp_path)
    lines = (tmp_path / "samples.smi").read_text().splitlines()
    assert lines == [f"{Chem.CanonSmiles(s)}\tsample {k}" for k, s in enumerate(SMILES)]


def test_what_is_no_molecule_is_written_and_named(tmp_path):
    good = folded("CCO")
    crowded = replace(good, bonds=np.minimum(good.bonds * 3, 3).astype(np.int8))
    torn = good.part(np.arange(8))  # without the hydrogen of the oxygen
    save([good, crowded, torn], tmp_path)
    lines = (tmp_path / "samples.smi").read_text().splitlines()
    assert lines[0].startswith("CCO\t")
    assert lines[1].startswith("# sample 1 is no molecule: Explicit valence")
    assert lines[2] == "CC[O]\tsample 2"
    blocks = (tmp_path / "samples.sdf").read_text().split("$$$$\n")
    assert len(blocks) == 4
    assert ">  <fault>\nExplicit valence" in blocks[1]
    assert "<fault>" not in blocks[0] + blocks[2]
    torn_again = Chem.MolFromMolBlock(blocks[2], removeHs=False)
    assert sum(atom.GetTotalNumHs() for atom in torn_again.GetAtoms()) == 0  # no reader adds the hydrogen
    raw = Chem.MolFromMolBlock(blocks[1], sanitize=False, removeHs=False)
    assert {bond.GetBondType() for bond in raw.GetBonds()} == {Chem.BondType.TRIPLE}


def test_given_atoms_are_named(tmp_path):
    known = np.arange(9) < 3
    save([replace(folded("CCO"), known=known, name="lead.sdf#2")], tmp_path)
    assert ">  <given>\nlead.sdf#2\n1 2 3\n" in (tmp_path / "samples.sdf").read_text()


def test_graphs_without_positions_have_no_xyz(tmp_path):
    graph = replace(folded("CCO"), positions=None)
    assert [path.name for path in save([graph], tmp_path)] == ["samples.sdf", "samples.smi"]
    assert save([], tmp_path) == []


def test_pictures_mark_given_atoms_and_draw_what_is_no_molecule():
    good = folded("CCO")
    crowded = replace(good, bonds=np.minimum(good.bonds * 3, 3).astype(np.int8))
    plain, marked = draw([good, crowded]), draw([replace(good, known=np.arange(9) < 2), crowded])
    assert plain.dtype == np.uint8
    assert plain.shape == (200, 440, 3)
    for half in (plain[:, :220], plain[:, 220:]):
        assert (half < 128).any(-1).sum() > 50  # both are drawn
    green = [(np.abs(picture.astype(int) - (166, 217, 166)).max(-1) < 8) for picture in (plain, marked)]
    assert not green[0].any()
    assert green[1][:, :220].sum() > 100
    assert not green[1][:, 220:].any()
    assert draw([good] * 30).shape == (1000, 1100, 3)


def test_noise_is_drawn_too():
    """Early in training bonds are noise, and RDKit lays atoms of such graphs upon each other."""
    draws = np.random.default_rng(0)
    for _ in range(20):
        n = int(draws.integers(4, 20))
        bonds = np.triu(draws.integers(0, 4, (n, n)), 1).astype(np.int8)
        assert draw([Graph(draws.choice([1, 6, 7, 8, 9], n), np.zeros(n, int), bonds + bonds.T)]).shape == (200, 220, 3)


def test_the_view_in_3d_holds_all_it_needs():
    page = view3d([folded("CCO"), replace(folded("CC"), positions=None, name="<flat>")])
    assert page.count("<canvas") == 1
    assert "&lt;flat&gt;: no positions" in page
    assert "http" not in page
    assert "src=" not in page
    told = page.split('data-molecule="')[1].split('"')[0].replace("&quot;", '"')
    assert told.count("#ff0d0d") == 1
    assert told.count("#606060") == 2


def test_a_graph_of_one_thousand_atoms_is_written(tmp_path):
    n = 1000
    bonds = np.zeros((n, n), np.int8)
    i = np.arange(n - 1)
    bonds[i, i + 1] = bonds[i + 1, i] = 1
    chain = Graph(np.full(n, 6), np.zeros(n, np.int64), bonds, hydrogens="implicit")
    save([chain], tmp_path)
    assert Chem.MolFromMolBlock((tmp_path / "samples.sdf").read_text()).GetNumAtoms() == n
