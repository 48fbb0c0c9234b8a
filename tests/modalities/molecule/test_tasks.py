"""Tasks: which part is given, what is to be made, how large it becomes, and that what was given comes back exactly."""

from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.rng import generator
from ornstein.core.sources import File, Memory
from ornstein.modalities.molecule.chemistry import canonical_smiles, fragments
from ornstein.modalities.molecule.given import Given
from ornstein.modalities.molecule.sizes import Sizes
from ornstein.modalities.molecule.tasks import OPEN, Conformers, Fragments, Linker, Scaffold, Substructure, bridges
from some_molecules import SMILES, fitted, graph, item

SIZES = Sizes.of([9, 12, 14, 14, 18, 20], [[]] * 6)


def heavy_part(data, given):
    """SMILES of the given atoms, their valences filled up."""
    return canonical_smiles(replace(data.part(given), positions=None, hydrogens="implicit"))


def posed(task, smiles, seed=0, open_=False, **how):
    return task.pose(item(smiles, meta={OPEN: True} if open_ else None, **how), generator(seed))


# What is given.


@pytest.mark.parametrize(
    ("smiles", "scaffold"),
    [
        ("CCc1ccccc1C(=O)NC1CC1", "O=C(NC1CC1)c1ccccc1"),
        ("O=C1CCCC1CC", "O=C1CCCC1"),
        ("c1ccccc1CO", "c1ccccc1"),
        ("OCC1CO1", "C1CO1"),
        ("NCC(c1ccccc1)C1CCO1", "c1ccc(CC2CCO2)cc1"),
    ],
)
def test_the_scaffold_is_that_of_bemis_and_murcko(smiles, scaffold):
    found, known = posed(Scaffold(), smiles)
    assert heavy_part(found.data, known.atoms) == canonical_smiles(graph(scaffold, "implicit", flat=True))
    assert np.array_equal(known.positions, known.atoms)


def test_a_molecule_without_a_ring_gives_no_scaffold():
    assert posed(Scaffold(), "CCO")[1] is None
    assert posed(Scaffold(), "c1ccccc1", hydrogens="implicit", flat=True)[1] is None  # all of it: nothing would be left
    with pytest.raises(ValueError, match=r"CCO: has no ring.*fragments"):
        posed(Scaffold(), "CCO", open_=True)


def test_bonds_among_given_atoms_are_given_also_where_there_are_none_and_no_others():
    found, known = posed(Scaffold(), "c1ccccc1CO")
    ring = np.flatnonzero(known.atoms)
    assert len(ring) == 6
    assert known.bonds.sum() == 6 * 5
    assert not known.bonds.diagonal().any()
    assert not known.bonds[:, ~known.atoms].any()
    assert (found.data.bonds[np.ix_(ring, ring)] == 0).sum() > 6


def test_hydrogens_are_never_given_so_that_every_given_atom_can_be_built_on():
    for task in (Scaffold(), Fragments(), Linker(), Substructure(smarts="[#1]~[#6]")):
        for smiles in (*SMILES, "CCc1ccccc1C(=O)NC1CC1"):
            found, known = posed(task, smiles)
            assert known is None or not (known.atoms & ~found.data.heavy).any()


def test_fragments_are_a_quarter_to_three_quarters_of_the_heavy_atoms_in_one_or_two_parts():
    counts, shares = set(), []
    for seed in range(60):
        found, known = posed(Fragments(), "CCc1ccccc1C(=O)NC1CC1", seed)
        counts.add(len(fragments(found.data.part(known.atoms))))
        shares.append(known.atoms.sum() / found.data.heavy.sum())
    assert counts == {1, 2}
    assert 0.2 < min(shares) < 0.35
    assert 0.65 < max(shares) < 0.8


def test_a_linker_touches_both_of_the_two_fragments_that_are_given():
    seen = set()
    for seed in range(40):
        found, known = posed(Linker(), "CCc1ccccc1C(=O)NC1CC1", seed)
        data = found.data
        first, second = fragments(data.part(known.atoms))
        given = np.flatnonzero(known.atoms)
        linker = data.heavy & ~known.atoms
        assert len(fragments(data.part(linker))) == 1
        for part in (first, second):
            assert (data.bonds[given[part]][:, linker] > 0).sum() == 1  # one bond each
        seen.add(heavy_part(data, linker))
    assert "NC=O" in seen
    assert len(seen) > 4


def test_bonds_in_rings_double_bonds_and_hydrogens_are_not_cut():
    data = graph("CC(=O)NC1CC1")
    assert [tuple(sorted((i, j))) for i, j in bridges(data)] == [(0, 1), (1, 3), (3, 4)]
    assert posed(Linker(), "c1ccccc1CO")[1] is not None
    assert posed(Linker(), "CCO")[1] is not None
    assert posed(Linker(), "CC")[1] is None


def test_a_substructure_is_given_by_its_graph_and_not_by_its_place():
    found, known = posed(Substructure(smarts="C(=O)N"), "CCc1ccccc1C(=O)NC1CC1")
    assert heavy_part(found.data, known.atoms) == "NC=O"
    assert not known.positions.any()
    assert posed(Substructure(smarts="S"), "CCO")[1] is None
    with pytest.raises(ValueError, match="does not match the SMARTS S"):
        posed(Substructure(smarts="S"), "CCO", open_=True)
    with pytest.raises(ValueError, match=r"'C\(' is no SMARTS"):
        posed(Substructure(smarts="C("), "CCO")
    matches = {tuple(np.flatnonzero(posed(Substructure(smarts="cc"), "c1ccccc1CO", s)[1].atoms)) for s in range(40)}
    assert len(matches) == 6  # a random one of them


def test_conformers_give_the_graph_and_no_position():
    found, known = posed(Conformers(), "CCO", flat=True)
    assert known.atoms.all()
    assert known.bonds.sum() == 9 * 8
    assert not known.positions.any()
    assert found.data.positions is None


# Open items: files of a user's own.


def test_an_open_scaffold_gets_atoms_behind_its_own():
    found, known = posed(Scaffold(SIZES), "c1ccccc1", open_=True)
    data = found.data
    assert data.atoms in (14, 18, 20)  # more than the 12 that the ring and its hydrogens have
    assert np.array_equal(data.numbers[:12], graph("c1ccccc1").numbers)
    assert not data.numbers[12:].any()
    assert np.isnan(data.positions[12:]).all()
    assert known.atoms[:6].all()
    assert not known.atoms[6:].any()
    assert {posed(Scaffold(SIZES), "c1ccccc1", s, open_=True)[0].data.atoms for s in range(40)} == {14, 18, 20}


def test_an_open_molecule_of_which_something_is_to_be_made_anew_keeps_its_size():
    assert posed(Scaffold(SIZES), "c1ccccc1CO", open_=True)[0].data.atoms == 16
    assert posed(Fragments(SIZES), "c1ccccc1CO", open_=True)[0].data.atoms in (18, 20)  # all heavy atoms are given
    assert posed(Linker(SIZES), "C1CC1.CO", open_=True)[1].atoms.sum() == 5


def test_a_size_counts_all_atoms_and_holds():
    assert posed(Scaffold(SIZES).sized(30), "c1ccccc1CO", open_=True)[0].data.atoms == 30
    small, known = posed(Scaffold(SIZES).sized(9), "c1ccccc1CO", open_=True)
    assert small.data.atoms == 9
    assert known.atoms.sum() == 6
    assert small.data.numbers[known.atoms].tolist() == [6] * 6
    with pytest.raises(ValueError, match="6 atoms are given"):
        posed(Scaffold(SIZES).sized(6), "c1ccccc1CO", open_=True)
    with pytest.raises(ValueError, match="give a number of atoms"):
        Scaffold(SIZES).sized((3, 4))
    with pytest.raises(ValueError, match=r"largest training molecule has 9.*--size"):
        posed(Scaffold(Sizes.of([9], [[]])), "c1ccccc1", open_=True)


def test_whole_molecules_of_a_data_set_keep_their_size():
    found, known = posed(Scaffold(SIZES), "c1ccccc1")
    assert found.data.atoms == 12
    assert known.atoms.sum() == 6


# What is known, in and out.


def test_what_was_given_comes_back_exactly_in_its_own_frame():
    modality = fitted()
    for name, task in modality.tasks().items():
        found, known = posed(task, "CC(=O)NC1CC1")
        batch = modality.encode([found], [known], generator(0))
        other = {k: x.roll(1, 1) for k, x in batch.state.items()}
        sample = modality.paste(modality.decode(other, batch.mask, batch.aux)[0], found, known)
        if known is None:
            assert name == "unconditional"
            continue
        assert np.array_equal(sample.known, known.atoms)
        assert np.array_equal(sample.numbers[known.atoms], found.data.numbers[known.atoms])
        assert np.array_equal(sample.bonds[known.bonds], found.data.bonds[known.bonds])
        assert np.array_equal(sample.positions[known.positions], found.data.positions[known.positions])
        assert sample.name == "CC(=O)NC1CC1"


def test_a_smarts_in_a_file_says_what_is_known():
    modality, molecule = fitted(), item("CC(=O)NC1CC1", meta={OPEN: True})
    file = File("amide.smarts", Memory("m", {"amide.smarts": b"C(=O)N\n", "s.smarts": b"S", "x.smarts": b"C("}))
    known = modality.read_known(file, molecule)
    assert heavy_part(molecule.data, known.atoms) == "NC=O"
    assert np.array_equal(known.positions, known.atoms)
    assert not modality.read_known(file, item("CC(=O)NC1CC1", flat=True)).positions.any()
    larger, _ = Fragments(SIZES).pose(molecule, generator(0))
    batch = modality.encode([larger], [known], generator(0))
    assert batch.mask.sum() == larger.data.atoms > molecule.data.atoms
    assert int(batch.known.bits["atoms"].sum()) == 3
    sample = modality.paste(modality.decode(batch.state, batch.mask, batch.aux)[0], larger, known)
    assert int(sample.known.sum()) == 3
    for name, words in (("s.smarts", "does not match"), ("x.smarts", "is no SMARTS")):
        with pytest.raises(BadItem, match=words):
            modality.read_known(File(name, file.store), molecule)
    with pytest.raises(ValueError, match="of 16 atoms, and the molecule has 9"):
        Given.of(np.ones(16, bool), placed=True).of_size(9)
