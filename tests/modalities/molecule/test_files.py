"""Every format of molecules, every fault that a record can have, and what is kept between readings."""

import gzip
import warnings

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, file_at, open_source
from ornstein.modalities.molecule import shelves
from ornstein.modalities.molecule.chemistry import canonical_smiles
from ornstein.modalities.molecule.formats import EXTENSIONS, Record
from ornstein.modalities.molecule.options import Options
from ornstein.modalities.molecule.parsing import _told as told
from ornstein.modalities.molecule.parsing import molecule
from ornstein.modalities.molecule.reading import read
from ornstein.modalities.molecule.records import given, rows
from rdkit import Chem
from rdkit.Chem import AllChem

SHARES = (0.8, 0.1, 0.1)
GRAPHS = Options("graph", "implicit")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shelves, "_shelves", [])


def folded(smiles, name="", hydrogens=True):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    Chem.Kekulize(mol, clearAromaticFlags=True)
    mol = mol if hydrogens else Chem.RemoveHs(mol)
    mol.SetProp("_Name", name or smiles)
    return mol


def sdf(*mols, tags=""):
    return "".join(f"{Chem.MolToMolBlock(mol)}{tags}$$$$\n" for mol in mols)


def files_of(**contents):
    """Name (with _ for the dot) -> text or bytes."""
    held = {n.replace("__", "."): c.encode() if isinstance(c, str) else c for n, c in contents.items()}
    store = Memory("held", held)
    return [Row(File(name, store)) for name in sorted(held)]


def read_all(found, options):
    """Good items by key, and the messages of the bad ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = rows(found, options, SHARES)
    good, bad = {}, []
    for row in every:
        try:
            item = read(row.file, row.values, options)
            good[item.key] = item
        except BadItem as error:
            bad.append(str(error))
    assert len(good) + len(bad) == len(every), "every record is an item or a bad one"
    return good, bad


def only(found, options):
    good, bad = read_all(found, options)
    assert not bad
    assert len(good) == 1
    return next(iter(good.values()))


def mol2(mol):
    """A MOL2 file as Corina writes it, which RDKit reads."""
    kinds = {"C": "C.3", "O": "O.3", "H": "H"}
    lines = [
        f"@<TRIPOS>MOLECULE\nethanol\n{mol.GetNumAtoms()} {mol.GetNumBonds()} 1 0 0\nSMALL\nNO_CHARGES\n@<TRIPOS>ATOM"
    ]
    for i, (atom, xyz) in enumerate(zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True), 1):
        symbol = atom.GetSymbol()
        lines.append(f"{i} {symbol}{i} {xyz[0]:.4f} {xyz[1]:.4f} {xyz[2]:.4f} {kinds[symbol]} 1 UNK 0.0")
    lines.append("@<TRIPOS>BOND")
    lines += [f"{k} {b.GetBeginAtomIdx() + 1} {b.GetEndAtomIdx() + 1} 1" for k, b in enumerate(mol.GetBonds(), 1)]
    return "\n".join(lines) + "\n"


def test_every_format_gives_the_same_molecule():
    mol = folded("CCO")
    texts = {
        "a__sdf": sdf(mol),
        "a__mol": Chem.MolToMolBlock(mol),
        "a__mol2": mol2(mol),
        "a__pdb": Chem.MolToPDBBlock(mol),
        "a__xyz": Chem.MolToXYZBlock(mol),
        "a__sdf__gz": gzip.compress(sdf(mol).encode()),
    }
    for name, text in texts.items():
        graph = only(files_of(**{name: text}), Options()).data
        assert canonical_smiles(graph) == "CCO", name
        assert np.bincount(graph.numbers, minlength=9)[[1, 6, 8]].tolist() == [6, 2, 1], name
        assert np.abs(graph.positions - mol.GetConformer().GetPositions()).max() < 6e-4, name  # pdb has 3 decimals
    for name, text in {
        "a__smi": "CCO ethanol\n",
        "a__inchi": "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3\n",
        "a__csv": "id,smiles\nx,CCO\n",
        "a__csv__gz": gzip.compress(b"id,smiles\nx,CCO\n"),
        "a__tsv": "id\tSMILES\nx\tCCO\n",
    }.items():
        graph = only(files_of(**{name: text}), Options("graph")).data
        assert (canonical_smiles(graph), graph.atoms, graph.positions) == ("CCO", 9, None), name


def test_conjugated_charged_and_cyclic_molecules_are_perceived_from_positions():
    for smiles in ("c1ccc2[nH]ccc2c1", "CC#N", "O=C(O)c1ccccc1", "C[N+](=O)[O-]", "CS(=O)(=O)N"):
        graph = only(files_of(a__xyz=Chem.MolToXYZBlock(folded(smiles))), Options()).data
        assert canonical_smiles(graph, stereo=False) == Chem.CanonSmiles(smiles)
    block = Chem.MolToXYZBlock(folded("C[NH3+]")).split("\n")
    block[1] = "charge = 1"
    graph = only(files_of(a__xyz="\n".join(block)), Options()).data
    assert graph.charges.sum() == 1
    assert canonical_smiles(graph) == "C[NH3+]"


def test_bonds_of_a_pdb_file_without_orders_come_from_its_positions():
    text = Chem.MolToPDBBlock(folded("O=Cc1ccccc1"), flavor=8)  # flavor 8: no double CONECT lines
    assert canonical_smiles(only(files_of(a__pdb=text), Options()).data) == "O=Cc1ccccc1"


def test_hydrogens_explicit_added_and_implicit():
    bare = sdf(folded("CCO", hydrogens=False))
    _, bad = read_all(files_of(a__sdf=bare), Options())
    assert len(bad) == 1
    assert "misses 6 hydrogens" in bad[0]
    assert "modality.hydrogens=added" in bad[0]
    added = only(files_of(a__sdf=bare), Options(hydrogens="added")).data
    lengths = np.linalg.norm(added.positions[:, None] - added.positions, axis=-1)[added.bonds > 0]
    assert added.atoms == 9
    assert lengths.min() > 0.9
    assert lengths.max() < 1.7
    heavy = only(files_of(a__sdf=sdf(folded("CCO"))), Options(hydrogens="implicit")).data
    assert heavy.numbers.tolist() == [6, 6, 8]
    assert heavy.positions.shape == (3, 3)
    assert canonical_smiles(heavy) == "CCO"


def test_kekulised_and_aromatic_bonds():
    found = files_of(a__smi="c1ccccc1\n")
    kekulised, aromatic = only(found, GRAPHS).data, only(found, Options("graph", bonds="aromatic")).data
    ring = kekulised.bonds[np.triu_indices(6, 1)]
    assert sorted(ring[ring > 0].tolist()) == [1, 1, 1, 2, 2, 2]
    assert (aromatic.bonds[:6, :6] == 4).sum() == 12
    assert canonical_smiles(aromatic) == "c1ccccc1"
    with pytest.raises(ValueError, match="hydrogens=explicit"):
        Options("graph", "implicit", "aromatic")


def test_stereo_stays_where_positions_are():
    for smiles in ("C[C@H](O)F", "C[C@@H](O)F", "F/C=C/F", "F/C=C\\F"):
        assert canonical_smiles(only(files_of(a__sdf=sdf(folded(smiles))), Options()).data) == Chem.CanonSmiles(smiles)


def test_properties_from_tags_columns_comments_and_tables():
    wanted = Options(properties=("gap", "mu"))
    tagged = only(files_of(a__sdf=sdf(folded("CO"), tags=">  <gap>\n0.25\n\n>  <mu> (1)\n-1.5e0\n\n")), wanted)
    assert tagged.cond == {"gap": 0.25, "mu": -1.5}
    assert tagged.data.properties == tagged.cond
    frame = Chem.MolToXYZBlock(folded("CO")).split("\n")
    frame[1] = 'gap=0.25 mu = -1.5 title="a b"'
    assert only(files_of(a__xyz="\n".join(frame)), wanted).cond == {"gap": 0.25, "mu": -1.5}
    table = "smiles;gap;mu\nCO;0.25;\nCC;abc;1\nCCC;nan;2\n"
    good, bad = read_all(files_of(a__csv=table), Options("graph", properties=("gap", "mu")))
    assert good["a.csv#1"].cond == {"gap": 0.25}
    assert good["a.csv#3"].cond == {"mu": 2.0}
    assert len(bad) == 1
    assert "record 2" in bad[0]
    assert "'gap' is 'abc'" in bad[0]
    beside = files_of(a__sdf=sdf(folded("CO", "m2"), folded("CC", "m1")), a__sdf__csv="id,gap,mu\nm1,1,2\nm2,3,4\n")
    good, bad = read_all(beside, wanted)
    assert not bad
    assert [good[f"a.sdf#{k}"].cond for k in (1, 2)] == [{"gap": 3, "mu": 4}, {"gap": 1, "mu": 2}]
    with pytest.raises(LookupError, match="did you mean gap"):
        rows(files_of(a__sdf=sdf(folded("CO"), tags=">  <gap>\n1\n\n")), Options(properties=("gab",)), SHARES)


def test_a_row_of_a_manifest_gives_properties_too():
    row = files_of(a__xyz=Chem.MolToXYZBlock(folded("CO")))[0]
    found = [Row(row.file, {"energy": -5, "label": "alcohol"})]
    assert only(found, Options(properties=("energy",))).cond == {"energy": -5.0, "label": "alcohol"}


def test_the_layout_of_qm9():
    block = Chem.MolToXYZBlock(folded("C")).split("\n")
    atoms = [f"{line.rstrip()} -1.2*^-6" for line in block[2:7]]
    comment = "gdb 1\t" + "\t".join(
        str(x) for x in (157.7, 157.7, 157.7, 0.5, 13.2, -0.3, 0.1, 0.5, 35, 0.04, 1, 2, 3, 4, 6)
    )
    text = "\n".join(["5", comment, *atoms, "1341.3 1341.3", "C C", "InChI=1S/CH4/h1H4 InChI=1S/CH4/h1H4"]) + "\n"
    item = only(files_of(a__xyz=text), Options(properties=("mu", "Cv")))
    assert item.cond == {"mu": 0.5, "Cv": 6.0}
    assert item.data.numbers.tolist() == [6, 1, 1, 1, 1]


FAULTS = {
    "no SMILES": ("graph", "a__smi", "CC(C\n", "extra open parentheses"),
    "valence": ("graph", "a__smi", "C(C)(C)(C)(C)C\n", "Explicit valence"),
    "aromaticity": ("graph", "a__smi", "c1cccc1\n", "kekulize"),
    "radical": ("graph", "a__smi", "C[CH2]\n", "is a radical: atom 2 (C) has 1"),
    "extended radical": ("graph", "a__smi", "[CH2]C |^1:0| x\n", "radical"),
    "metal": ("graph", "a__smi", "C[Mg]Br\n", "metal: atom 2 is Mg"),
    "isotope": ("graph", "a__smi", "[13CH3]C\n", "isotope 13C"),
    "dummy": ("graph", "a__smi", "*CC\n", "no element"),
    "one atom": ("graph", "a__smi", "[Cl-]\n", "has 1 atom; 2"),
    "no positions": ("3d", "a__smi", "CCO\n", "gives no positions; 3D ones are needed"),
    "no column": ("graph", "a__csv", "a,b\n1,2\n", "no column of SMILES or InChI: it has a, b"),
    "short row": ("graph", "a__csv", "smiles,b\nCC\n", "line 2 has 1 cells, the header 2"),
    "empty cell": ("graph", "a__csv", "b,smiles\nx,\n", "nothing in column 'smiles'"),
    "empty file": ("graph", "a__smi", "", "is empty"),
    "only comments": ("graph", "a__smi", "# nothing\n", "holds no molecule"),
    "not text": ("graph", "a__smi", b"\x00\x01\xff" * 40, "is not text"),
    "not gzip": ("graph", "a__smi__gz", b"no gzip at all", "gzip"),
    "short frame": ("3d", "a__xyz", "3\n\nC 0 0 0\nH 0 0 1\n", "1 of 3 atoms are missing"),
    "odd frame": ("3d", "a__xyz", "C 0 0 0\n", "line 1 is 'C 0 0 0'"),
    "odd atom": ("3d", "a__xyz", "2\n\nC 0 0 0\nQq 0 0 1\n", "atom 2 is 'Qq 0 0 1'"),
    "NaN in XYZ": ("3d", "a__xyz", "2\n\nO 0 0 0\nH nan 0 1\n", "atom 2 has coordinates that are not finite"),
    "metal in XYZ": ("3d", "a__xyz", "2\n\nLi 0 0 0\nH 0 0 1.6\n", "metal: atom 1 is Li"),
    "radical in XYZ": ("3d", "a__xyz", "2\n\nO 0 0 0\nH 0 0 0.97\n", "no bonds|radical"),
    "one place": ("3d", "a__xyz", "3\n\nO 0 0 0\nH 0 0 0.96\nH 0 0 0.96\n", "same place|bonds"),
    "no MOL2": ("3d", "a__mol2", "hello\n", "no MOL2"),
    "no PDB": ("3d", "a__pdb", "hello\n", "no PDB"),
    "no MOL": ("3d", "a__sdf", "hello\n", "is cut short: it has no line M  END"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_file(fault):
    representation, name, text, why = FAULTS[fault]
    good, bad = read_all(files_of(**{name: text}), Options(representation))
    assert not good
    assert len(bad) == 1
    assert name.replace("__", ".") in bad[0]
    assert any(part in bad[0] for part in why.split("|")), bad[0]


def test_faults_of_coordinates():
    mol = folded("CCO")
    flat = Chem.Mol(mol)
    AllChem.Compute2DCoords(flat)
    bohr = Chem.Mol(mol)
    nowhere, pressed = Chem.Mol(mol), Chem.Mol(mol)
    for i, (x, y, z) in enumerate(mol.GetConformer().GetPositions()):
        bohr.GetConformer().SetAtomPosition(i, (x / 0.529177, y / 0.529177, z / 0.529177))
        nowhere.GetConformer().SetAtomPosition(i, (0.0, 0.0, 0.0))
        pressed.GetConformer().SetAtomPosition(i, (x, y, 0.0))
    lines = Chem.MolToMolBlock(mol).split("\n")
    lines[5] = "       nan" + lines[5][10:]
    cases = {
        sdf(flat): "2D coordinates",
        sdf(bohr): "look like bohr",
        sdf(nowhere): "at the origin",
        sdf(pressed): "marked as 3D",
        "\n".join(lines) + "\n$$$$\n": "not finite",
    }
    for text, why in cases.items():
        _, bad = read_all(files_of(a__sdf=text), Options())
        assert [why in each for each in bad] == [True], bad
    _, bad = read_all(files_of(a__xyz=Chem.MolToXYZBlock(bohr)), Options())
    assert "look like bohr" in bad[0]
    assert "0.529177" in bad[0]
    flat_graph = only(files_of(a__sdf=sdf(flat)), Options("graph")).data  # a graph needs no positions
    assert canonical_smiles(flat_graph) == "CCO"


def test_a_record_cut_short_leaves_those_before_it():
    whole = sdf(*(folded(s) for s in ("CO", "CC", "CCO")))
    third = whole.index("CCO\n")
    for cut, why in ((third + 200, "no line M  END"), (len(whole) - len("$$$$\n"), "no line $$$$")):
        good, bad = read_all(files_of(a__sdf=whole[:cut]), Options())
        assert list(good) == ["a.sdf#1", "a.sdf#2"]
        assert len(bad) == 1
        assert "a.sdf, record 3 (CCO)" in bad[0]
        assert why in bad[0]
    packed = gzip.compress(
        "".join(f"{'C' * (k % 30 + 1)}{'O' * (k % 7)}N\n" for k in range(1000)).encode(), compresslevel=1
    )
    good, bad = read_all(files_of(a__smi__gz=packed[: len(packed) // 2]), GRAPHS)
    assert good
    assert len(bad) == 1
    assert "cut short" in bad[0]


def test_fragments_are_kept_cut_or_refused():
    found = files_of(a__smi="CCO.CC(=O)O.[Na+].[Cl-]\nC[NH3+].[Cl-]\n")
    _, bad = read_all(found, Options("graph", fragments="refuse"))
    assert ["holds 4 fragments" in bad[0], "holds 2 fragments" in bad[1]] == [True, True]
    with pytest.warns(UserWarning, match="of 2 records the largest fragment was taken"):
        every = rows(found, Options("graph", "implicit", fragments="largest"), SHARES)
    graphs = [read(r.file, r.values, Options("graph", "implicit", fragments="largest")).data for r in every]
    assert [canonical_smiles(g) for g in graphs] == ["CC(=O)O", "C[NH3+]"]
    good, bad = read_all(found, Options("graph", "implicit"))
    assert "metal: atom 8 is Na" in bad[0]
    assert canonical_smiles(good["a.smi#2"].data) == "C[NH3+].[Cl-]"


def test_molecules_above_the_limit_are_counted_and_named():
    with pytest.warns(
        UserWarning, match="2 of 3 records cannot be used: 2 x has # atoms, more than modality.largest=#"
    ):
        rows(files_of(a__smi="CCO\nCCCC\nCCCCC\n"), Options("graph", "implicit", largest=3), SHARES)


def test_the_same_conformer_twice_is_bad_and_its_mirror_image_is_not():
    mol = folded("C[C@H](O)F")
    x = mol.GetConformer().GetPositions()
    turned, mirrored, other = Chem.Mol(mol), Chem.Mol(mol), folded("C[C@H](O)F")
    for i, (a, b, c) in enumerate(x):
        turned.GetConformer().SetAtomPosition(i, (b + 1, -a, c))
        mirrored.GetConformer().SetAtomPosition(i, (a, b, -c))
    AllChem.EmbedMolecule(other, randomSeed=3)
    turned = Chem.RenumberAtoms(turned, list(range(mol.GetNumAtoms()))[::-1])
    found = files_of(a__sdf=sdf(mol, mirrored, other), b__sdf=sdf(turned))
    good, bad = read_all(found, Options())
    assert list(good) == ["a.sdf#1", "a.sdf#2", "a.sdf#3"]
    assert len(bad) == 1
    assert "b.sdf" in bad[0]
    assert "same conformer as record 1 of a.sdf" in bad[0]


def test_equal_graphs_share_a_part_whatever_their_order_and_kekule_form():
    texts = [("Cc1ccccc1F", "c1(F)c(C)cccc1"), ("CC1=CC=CC=C1F", "CC1=C(F)C=CC=C1"), ("OCC", "C(O)C")]
    for a, b in texts:
        with pytest.warns(UserWarning, match="1 of 2 records repeat the graph"):
            rows(files_of(a__smi=f"{a}\n{b}\n"), GRAPHS, SHARES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for a, b in (("CC1=CN=NN1", "CC1=CNN=N1"), ("CCO", "COC"), ("C[NH3+]", "CN"), ("C1=CC=CC=C1", "C1=CCCC=C1")):
            rows(files_of(a__smi=f"{a}\n{b}\n"), GRAPHS, SHARES)


def test_parts_follow_the_graph_and_obey_the_files():
    text = "".join("F" + f"{k:08b}".replace("0", "C").replace("1", "N") + "C\n" for k in range(256))
    every = rows(files_of(a__smi=text), GRAPHS, SHARES)
    count = {part: sum(row.values["split"] == part for row in every) for part in ("train", "validation", "test")}
    assert 190 < count["train"] < 220
    assert 10 < count["validation"] < 45
    assert 10 < count["test"] < 45
    again = rows(files_of(a__smi="CC=O\n" + text), GRAPHS, SHARES)
    assert [row.values["split"] for row in again[1:]] == [row.values["split"] for row in every]
    store = Memory("held", {"train/a.smi": text.encode(), "test/b.smi": b"CC=O\nCCC=O\n"})
    official = [Row(File(n, store), {"split": n.split("/")[0]}) for n in sorted(store.files)]
    placed = rows(official, GRAPHS, SHARES)
    words = {name: [r.values["split"] for r in placed if r.file.name == name] for name in store.files}
    assert set(words["test/b.smi"]) == {"test"}
    assert set(words["train/a.smi"]) == {"train", "validation"}
    assert 0.05 < words["train/a.smi"].count("validation") / 256 < 0.18  # 0.1 of 0.9


def test_given_files_may_lack_positions_and_hydrogens():
    smiles = files_of(a__smi="CCO\n")[0]
    graph = read(smiles.file, {}, Options()).data
    assert graph.positions is None
    assert graph.atoms == 9
    part = files_of(a__sdf=sdf(folded("CCO", hydrogens=False)))[0]
    assert read(part.file, {}, Options()).data.numbers.tolist() == [6, 6, 8]
    many = files_of(a__smi="CCO\nCC\n")
    with pytest.raises(BadItem, match=r"a\.smi: holds 2 molecules"):
        read(many[0].file, {}, Options())
    assert [read(r.file, r.values, Options()).data.atoms for r in given(many, Options())] == [9, 8]


def test_folders_and_zips_are_read_through_the_sources_of_the_core(tmp_path):
    import zipfile

    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.smi").write_text("CCO\nCC\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"smiles\nCCC\n"))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    for root in (folder, tmp_path / "data.zip"):
        good, bad = read_all(open_source(root, EXTENSIONS).rows(), GRAPHS)
        assert sorted(good) == ["a.smi#1", "a.smi#2", "b.csv.gz"]
        assert not bad


def test_what_is_kept_on_disk_is_used_until_the_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "many.smi"
    lines = [f"{'C' * (k % 8 + 1)}{'O' * (k % 3)}N" for k in range(2304)]
    path.write_text("\n".join(lines))
    first, bad = read_all([Row(file_at(path))], GRAPHS)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 1

    def fail(*_args, **_options):
        raise AssertionError("parsed again")

    with monkeypatch.context() as patch:
        patch.setattr(shelves, "_shelves", [])
        patch.setattr(shelves, "over_cores", fail)
        second, bad_again = read_all([Row(file_at(path))], GRAPHS)
        assert bad_again == bad
        assert list(second) == list(first)
        for key, item in first.items():
            assert (second[key].data.bonds == item.data.bonds).all()
            assert second[key].data.numbers.tolist() == item.data.numbers.tolist()
            assert second[key].data.numbers.dtype == np.int64
        with pytest.raises(AssertionError, match="parsed again"):
            read_all([Row(file_at(path))], Options("graph"))  # other options are another entry
    lines[0] = "FCCl"  # as long as before would do, too: the content is hashed
    path.write_text("\n".join(lines))
    third, _ = read_all([Row(file_at(path))], GRAPHS)
    assert canonical_smiles(third["many.smi#1"].data) == "FCCl"


def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path):
    path = tmp_path / "many.smi"
    path.write_text("\n".join(f"{'C' * (k % 8 + 1)}O" for k in range(2304)))
    first, _ = read_all([Row(file_at(path))], GRAPHS)
    (kept,) = (tmp_path / "cache").rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    shelves._shelves.clear()
    second, _ = read_all([Row(file_at(path))], GRAPHS)
    assert list(second) == list(first)


def test_geometries_of_qm9_with_their_table(shared_data):
    options = Options(properties=("mu", "gap"))
    good, bad = read_all(open_source(shared_data / "molecules" / "qm9_mini", EXTENSIONS).rows(), options)
    assert len(good) == 21
    assert not bad
    methane = good["qm9_mini.sdf#1"]
    assert methane.cond == {"mu": 0.0, "gap": 0.5048}
    assert canonical_smiles(methane.data) == "C"


def test_real_tables_of_smiles(shared_data):
    folder = shared_data / "molecules" / "moleculenet"
    options = Options("graph", "implicit", properties=("expt",), column="smiles")
    good, bad = read_all([Row(file_at(folder / "freesolv.csv"))], options)
    assert len(good) + len(bad) == 580
    assert all("heavy atom" in why for why in bad)
    assert all(-30 < item.cond["expt"] < 10 for item in good.values())


@pytest.mark.parametrize(
    "text",
    [
        "CC(=O)Nc1ccc(Cl)cc1Br",
        "C[C@@H](N)C(=O)[O-]",
        "C[N+](C)(C)C",
        "c1cc[nH]c1",
        "O=[N+]([O-])c1ccccc1",
        "[O-][Cl+3]([O-])([O-])O",
        "FC(F)(F)S(=O)(=O)[C-]1CC%12CC1CC%12",
        "[SiH3]C",
        "CB(O)OP(=O)(O)I",
    ],
)
@pytest.mark.parametrize("hydrogens", ["implicit", "added"])
def test_atoms_told_by_a_smiles_are_those_of_rdkit(text, hydrogens):
    """Numbers and charges are read off the text, in RDKit's order, hydrogens last."""
    options = Options("graph", hydrogens)
    mol = Chem.MolFromSmiles(text)
    mol = mol if hydrogens == "implicit" else Chem.AddHs(mol)
    found = molecule(Record("smiles", text), options)
    assert found.numbers == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    assert found.charges == [atom.GetFormalCharge() for atom in mol.GetAtoms()]


@pytest.mark.parametrize("text", ["[2H]C", "C[H]", "CC.O", "C*", "C[Na]", "[H]O[H]", "C~C", "C[CH2:3]C"])
def test_what_a_smiles_tells_not_plainly_is_left_to_rdkit(text):
    assert told(text) is None
