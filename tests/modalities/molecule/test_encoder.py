"""Model space: round trips, classes, frames, sizes, and noise that is brought near."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core.modality import Item
from ornstein.core.rng import generator
from ornstein.core.state import Condition
from ornstein.modalities.molecule.coupling import aligned, permuted, rotation
from ornstein.modalities.molecule.given import Given
from ornstein.modalities.molecule.sizes import Sizes
from some_molecules import SMILES, fitted, graph, item

RNG = np.random.default_rng(0)


def encoded(modality, items, known=None):
    return modality.encode(items, known, generator(0))


def turn(seed=0):
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()


# Round trips.


@pytest.mark.parametrize(
    "options", [{}, {"representation": "graph"}, {"representation": "graph", "hydrogens": "implicit"}]
)
def test_molecules_come_back_as_they_were(options):
    modality = fitted(**options)
    how = {"hydrogens": options.get("hydrogens", "explicit"), "flat": "representation" in options}
    items = [item(s, **how) for s in SMILES]
    batch = encoded(modality, items)
    back = modality.decode(batch.state, batch.mask, batch.aux)
    for before, after in zip((i.data for i in items), back, strict=True):
        assert np.array_equal(before.numbers, after.numbers)
        assert np.array_equal(before.charges, after.charges)
        assert np.array_equal(before.bonds, after.bonds)
        assert before.hydrogens == after.hydrogens
        if before.positions is None:
            assert after.positions is None
        else:
            assert np.abs(before.positions - after.positions).max() < 1e-5  # in the frame of the file


def test_aromatic_bonds_are_a_class_of_their_own_where_they_are_asked_for():
    modality = fitted(bonds="aromatic")
    molecule = item("c1ccccc1CO", kekulise=False)
    assert (molecule.data.bonds == 4).sum() == 12
    batch = encoded(modality, [molecule])
    assert np.array_equal(modality.decode(batch.state, batch.mask, batch.aux)[0].bonds, molecule.data.bonds)
    with pytest.raises(ValueError, match=r"class 4.*kekulised"):
        encoded(fitted(), [molecule])


def test_kinds_of_atoms_keep_element_and_charge_together():
    modality = fitted()
    assert modality._vocabulary.names == ("H", "C", "N", "N+", "O-", "O", "F")
    batch = encoded(modality, [item("C[N+](=O)[O-]")])
    assert batch.state["atoms"][0, :4].tolist() == [1, 3, 5, 4]


def test_atoms_that_training_never_saw_are_listed_with_their_counts():
    with pytest.raises(ValueError, match=r"ClCCCl.*2 Cl \(they hold H, C, N, N\+, O-, O, F\)"):
        encoded(fitted(), [item("ClCCCl")])


def test_positions_have_unit_scale_and_their_mean_at_zero():
    modality = fitted()
    items = [item(s) for s in SMILES]
    batch = encoded(modality, items)
    x = batch.state["positions"]
    assert x.sum(1).abs().max() < 1e-4
    assert abs(float((x**2).sum() / (3 * batch.mask.sum())) - 1) < 1e-4
    scaled = encoded(fitted(position_scale=2.0), items).state["positions"]
    assert torch.allclose(2.0 * scaled, modality._scale * x, atol=1e-5)


def test_properties_come_back_with_a_molecule_and_not_with_what_is_made_around_it():
    modality, molecule = fitted(), item("CCO")
    molecule = replace(molecule, data=replace(molecule.data, properties={"energy": -3.5}))
    whole = encoded(modality, [molecule])
    assert modality.decode(whole.state, whole.mask, whole.aux)[0].properties == {"energy": -3.5}
    for known in (None, Given.of(molecule.data.heavy, placed=True)):
        posed = encoded(modality, [molecule], [known])
        assert modality.decode(posed.state, posed.mask, posed.aux)[0].properties == {}


# Rounding.


def test_what_is_left_masked_becomes_the_commonest_atom_and_no_bond():
    modality = fitted()
    batch = encoded(modality, [item("CCO")])
    state = {name: x.clone() for name, x in batch.state.items()}
    state["atoms"][0, 2], state["bonds"][0, 0, 1], state["bonds"][0, 1, 0] = 7, 4, 4
    sample = modality.decode(state, batch.mask, batch.aux)[0]
    assert (sample.numbers[2], sample.charges[2]) == (1, 0)
    assert sample.bonds[0, 1] == sample.bonds[1, 0] == 0
    assert sample.bonds[1, 2] == 1


def test_bonds_are_symmetric_and_none_leads_to_padding_or_to_the_atom_itself():
    modality = fitted()
    batch = encoded(modality, [item("CC"), item("c1ccccc1CO")])
    state = {**batch.state, "bonds": torch.randint(0, 4, batch.state["bonds"].shape)}
    for sample, size in zip(modality.decode(state, batch.mask, batch.aux), (8, 16), strict=True):
        assert sample.bonds.shape == (size, size)
        assert np.array_equal(sample.bonds, sample.bonds.T)
        assert not sample.bonds.diagonal().any()


def test_positions_that_are_not_finite_are_a_diverged_sampler():
    modality = fitted()
    batch = encoded(modality, [item("CC"), item("CCO")])
    padded = {**batch.state, "positions": batch.state["positions"].masked_fill(~batch.mask[..., None], torch.nan)}
    modality.decode(padded, batch.mask, batch.aux)  # what stands at padding is nobody's
    with pytest.raises(ValueError, match="diverged"):
        modality.decode({**batch.state, "positions": padded["positions"] * torch.inf}, batch.mask, batch.aux)


# Frames of what is given.


def test_given_positions_are_measured_from_their_own_mean():
    modality, molecule = fitted(), item("CC(=O)NC1CC1")
    some = np.arange(molecule.data.atoms) < 4
    batch = encoded(modality, [molecule], [Given.of(some, placed=True)])
    x = batch.state["positions"][0]
    assert x[:4].mean(0).abs().max() < 1e-6
    assert x.mean(0).abs().max() > 0.1
    moved = molecule.data.positions + np.where(some, 0.0, 5.0)[:, None]
    again = encoded(modality, [replace(molecule, data=replace(molecule.data, positions=moved))], [Given.of(some, True)])
    assert torch.equal(batch.known.values["positions"], again.known.values["positions"])
    back = modality.decode(batch.state, batch.mask, batch.aux)[0]
    assert np.abs(back.positions - molecule.data.positions).max() < 1e-5


def test_where_no_position_is_given_samples_lie_at_the_origin_whatever_the_file_says():
    modality, molecule = fitted(), item("CCO")
    all_ = np.ones(molecule.data.atoms, bool)
    batch = encoded(modality, [molecule], [Given.of(all_, placed=False)])
    assert not batch.known.bits["positions"].any()
    assert batch.known.bits["atoms"].all()
    assert int(batch.known.bits["bonds"].sum()) == 9 * 8  # the diagonal is no entry
    sample = modality.decode(batch.state, batch.mask, batch.aux)[0]
    assert np.abs(sample.positions.mean(0)).max() < 1e-5


def test_atoms_that_are_to_be_made_need_neither_element_nor_place():
    modality, molecule = fitted(), item("CC")
    data = molecule.data
    numbers = np.where(data.heavy, data.numbers, 0)
    positions = np.where(data.heavy[:, None], data.positions, np.nan)
    bare = replace(molecule, data=replace(data, numbers=numbers, positions=positions))
    batch = encoded(modality, [bare], [Given.of(data.heavy, placed=True)])
    assert torch.isfinite(batch.state["positions"]).all()
    with pytest.raises(ValueError, match="not finite, first that of atom 3"):
        encoded(modality, [replace(molecule, data=replace(data, positions=positions))])
    with pytest.raises(ValueError, match=r"6 \*"):
        encoded(modality, [bare])


def test_a_molecule_without_positions_is_refused_where_they_are_needed():
    modality = fitted()
    flat = item("CCO", flat=True)
    with pytest.raises(ValueError, match="no 3D positions"):
        encoded(modality, [flat])
    known = Given.of(np.ones(flat.data.atoms, bool), placed=False)
    assert encoded(modality, [flat], [known]).state["positions"].abs().max() == 0


# Sizes.


def test_sizes_are_drawn_as_often_as_training_has_them():
    sizes = Sizes.of([9, 5, 5, 7], [[]] * 4)
    drawn = [sizes.draw(u) for u in (np.arange(1000) + 0.5) / 1000]
    assert {n: drawn.count(n) for n in (5, 7, 9)} == {5: 500, 7: 250, 9: 250}
    assert {sizes.draw(u, least=6) for u in (0.1, 0.4, 0.6, 0.9)} == {7, 9}
    with pytest.raises(ValueError, match=r"at least 10 atoms.*largest training molecule has 9"):
        sizes.draw(0.5, least=10)


def test_sizes_follow_the_properties_that_are_asked_for():
    atoms = RNG.integers(4, 30, 2000)
    values = np.stack([-100.0 * atoms + RNG.normal(0, 20, 2000), RNG.normal(0, 1, 2000)], 1)
    values[:300, 0] = np.nan  # unknown values are near nothing
    sizes = Sizes.of(atoms, values)
    drawn = [sizes.draw(u, np.array([-1500.0, np.nan])) for u in (np.arange(200) + 0.5) / 200]
    assert abs(np.mean(drawn) - 15) < 0.3
    assert np.std(drawn) < 1
    free = [sizes.draw(u, np.array([np.nan, np.nan])) for u in (np.arange(2000) + 0.5) / 2000]
    assert sorted(free) == sorted(atoms)


def test_new_molecules_are_as_large_as_those_of_training_and_sample_k_does_not_depend_on_n():
    modality = fitted(properties=["energy"], cond=lambda s: {"energy": float(len(s))}, units={"energy": "eV"})
    assert modality.conditions[0].unit == "eV"
    nine = modality.blank(9, {}, generator(3)).mask.sum(1).tolist()
    assert modality.blank(4, {}, generator(3)).mask.sum(1).tolist() == nine[:4]
    assert set(nine) <= {graph(s).atoms for s in SMILES}
    assert modality.blank(2, {}, generator(3), size=11).mask.sum(1).tolist() == [11, 11]
    with pytest.raises(ValueError, match="number of atoms"):
        modality.blank(2, {}, generator(3), size=(3, 4))


def test_a_property_of_which_a_sample_asks_nothing_leaves_its_size_free():
    smiles = [*SMILES] * 20
    modality = fitted(smiles, properties=["size"], cond=lambda s: {"size": float(graph(s).atoms)})
    told = {"size": Condition(torch.tensor([8.0] * 200), torch.tensor([True, False] * 100))}
    sizes = modality.blank(200, told, generator(0)).mask.sum(1)
    assert set(sizes[::2].tolist()) == {8}
    assert len(set(sizes[1::2].tolist())) > 4


def test_conditions_are_the_numbers_of_the_file_and_absent_where_it_has_none():
    modality = fitted(properties=["energy"], cond=lambda s: {"energy": -len(s)})
    batch = modality.encode([item("CC", {"energy": -417.031}), item("CCO")], None, generator(0))
    assert batch.cond["energy"].present.tolist() == [True, False]
    assert abs(float(batch.cond["energy"].value[0]) + 417.031) < 1e-4
    with pytest.raises(ValueError, match="no training molecule has a value of gap"):
        fitted(properties=["gap"])


# Turns.


def test_augment_turns_a_molecule_about_its_centre_and_keeps_its_hand():
    modality, molecule = fitted(), item("OCC1CO1")
    turned = modality.augment(molecule, generator(5))
    x, y = molecule.data.positions, turned.data.positions
    assert np.abs(x - y).max() > 0.1
    assert np.allclose(x.mean(0), y.mean(0))
    pairs = [np.linalg.norm(p[:, None] - p, axis=-1) for p in (x, y)]
    assert np.allclose(*pairs)
    volumes = [np.linalg.det((p - p[0])[1:4]) for p in (x, y)]
    assert np.isclose(*volumes)
    assert fitted(rotate=False).augment(molecule, generator(5)) is molecule


def test_a_turned_and_permuted_copy_is_brought_back():
    x = RNG.normal(size=(8, 3))
    x -= x.mean(0)
    assert np.allclose(x @ turn() @ rotation(x @ turn(), x), x)
    order = RNG.permutation(8)
    assert np.allclose(permuted(x, x[order]), x)
    mirrored = rotation(x * [-1, 1, 1], x)
    assert np.isclose(np.linalg.det(mirrored), 1.0)


def test_noise_is_brought_nearer_and_stays_what_it_is():
    mask = torch.arange(9)[None] < torch.tensor([[9], [5], [1], [6]])
    source = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(4, 9, 3, generator=source) * mask[..., None] for _ in range(2))
    x0, eps = (x - x.sum(1, keepdim=True) / mask.sum(1)[:, None, None] * mask[..., None] for x in (x0, eps))
    eps[3] += 0.5 * mask[3][:, None]  # the frame of given atoms
    turn = torch.tensor([True, True, True, False])
    near = aligned(x0, eps, mask, torch.ones(4, dtype=torch.bool), turn)
    cost = [((x0 - e) ** 2).sum((1, 2)) for e in (eps, near)]
    assert (cost[1] <= cost[0] + 1e-4).all()
    assert cost[1][0] < 0.7 * cost[0][0]
    lengths = [e[0].norm(dim=1).sort().values for e in (eps, near)]
    assert torch.allclose(*lengths, atol=1e-5)
    kept = aligned(x0, eps, mask, torch.zeros(4, dtype=torch.bool), turn)  # turned alone: each atom keeps its own
    assert torch.allclose(kept[0] @ kept[0].T, eps[0] @ eps[0].T, atol=1e-4)
    assert not torch.allclose(near[0] @ near[0].T, eps[0] @ eps[0].T, atol=1e-4)
    assert not near[~mask].any()
    assert torch.equal(near[3], eps[3])
    assert near.sum(1)[:3].abs().max() < 1e-4


def test_align_moves_the_noise_of_positions_alone():
    modality = fitted(align=True)
    batch = encoded(modality, [item("CCO"), item("OCC1CO1")])
    f = modality.fields[0]
    noise = {name: x.clone() for name, x in batch.state.items()}
    noise["positions"] = f.space.project(torch.randn(batch.state["positions"].shape), batch.mask)
    coupled = modality.couple(batch.state, noise, batch.mask, None, generator(0))
    assert not torch.equal(coupled["positions"], noise["positions"])
    assert coupled["atoms"] is noise["atoms"]
    assert fitted().couple(batch.state, noise, batch.mask, None, generator(0)) is noise


def test_align_turns_the_noise_of_conformers_as_a_whole_and_keeps_that_of_given_places():
    modality = fitted(align=True)
    poses = [modality.tasks()[task].pose(item("OCC1CO1"), generator(1)) for task in ("conformers", "scaffold")]
    batch = modality.encode([posed for posed, _ in poses], [given for _, given in poses], generator(0))
    noise = torch.randn(batch.state["positions"].shape)
    near = modality.couple(batch.state, {**batch.state, "positions": noise}, batch.mask, batch.known, generator(0))
    assert torch.allclose(near["positions"][0] @ near["positions"][0].T, noise[0] @ noise[0].T, atol=1e-4)
    assert not torch.allclose(near["positions"][0], noise[0], atol=1e-2)
    assert torch.equal(near["positions"][1], noise[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"position_scale": 0.0}, "position_scale=0.0"),
        ({"representation": "graph", "position_scale": 1.0}, "representation=3d"),
        ({"representation": "graph", "align": True}, "representation=graph"),
        ({"units": {"energy": "eV"}}, "units of energy"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    from ornstein.modalities.molecule import Molecules

    with pytest.raises(ValueError, match=words):
        Molecules(**options)


def test_no_molecules_teach_nothing():
    with pytest.raises(ValueError, match="no training molecule"):
        fitted(())
    with pytest.raises(ValueError, match="before fit"):
        _ = type(fitted())().fields
    assert isinstance(item("CC"), Item)
