"""What is said of sets of molecules, in closed form; the regressor, conformers and the floor."""

from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.modality import Item
from ornstein.core.rng import generator
from ornstein.modalities.molecule import conformers, geometry
from ornstein.modalities.molecule.floors import Elements, grown, molecule_floor, placed
from ornstein.modalities.molecule.given import pasted
from ornstein.modalities.molecule.graph import Graph
from ornstein.modalities.molecule.regress import Regressor, coulomb_spectrum, median_of_size
from ornstein.modalities.molecule.stability import stable_by_valency
from ornstein.modalities.molecule.tasks import Conformers, Scaffold
from ornstein.modalities.molecule.validity import smiles, verdict
from some_molecules import SMILES, graph

MANY = [
    f"{a}{b}{c}"
    for a in ("C", "CC", "OC", "NC", "C1CC1")
    for b in ("", "C", "CO", "C(=O)")
    for c in ("C", "O", "CN", "C#N")
]


def chain(degrees):
    """Hydrogen peroxide of right angles, turned about its middle bond."""
    turn = np.radians(degrees)
    positions = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.4], [np.cos(turn), np.sin(turn), 1.4]])
    bonds = np.diag([1, 1, 1], 1) + np.diag([1, 1, 1], -1)
    return Graph(np.array([1, 8, 8, 1]), np.zeros(4, int), bonds.astype(np.int8), positions)


# Geometry.


@pytest.mark.parametrize("degrees", [0, 60, 111.5, 180])
def test_lengths_angles_and_torsions_are_those_built_in(degrees):
    g = chain(degrees)
    assert geometry.bond_lengths(g)[:, 1] == pytest.approx([1.0, 1.4, 1.0])
    assert geometry.bond_angles(g).tolist() == [[8, pytest.approx(90)], [8, pytest.approx(90)]]
    assert geometry.torsions(g)[:, 1] == pytest.approx([degrees], abs=1e-6)
    mirrored = replace(g, positions=g.positions * [1, -1, 1])
    assert geometry.torsions(mirrored)[:, 1] == pytest.approx([degrees], abs=1e-6)


def test_every_angle_and_torsion_is_counted_once_and_straight_ones_have_none():
    ethane = graph("CC")
    assert [len(f(ethane)) for f in (geometry.bond_lengths, geometry.bond_angles, geometry.torsions)] == [7, 12, 9]
    assert geometry.bond_angles(ethane)[:, 1] == pytest.approx(109.5, abs=6)
    straight = chain(0)
    straight = replace(straight, positions=np.array([[0, 0, -1.0], [0, 0, 0], [0, 0, 1.4], [0, 0.01, 2.4]]))
    assert len(geometry.torsions(straight)) == 0


def test_wasserstein_is_the_shift_of_each_type_weighed_by_frequency():
    rng = np.random.default_rng(0)
    y = np.stack([np.repeat([1.0, 2.0], [30, 10]), rng.standard_normal(40)], axis=1)
    x = y + np.stack([np.zeros(40), np.where(y[:, 0] == 1, 0.1, -0.5)], axis=1)
    assert geometry.wasserstein(x, y) == pytest.approx(0.75 * 0.1 + 0.25 * 0.5)
    assert geometry.wasserstein(x[:30], y) == pytest.approx(0.1)  # a type that is missing has no distance
    assert np.isnan(geometry.wasserstein(x[:30], y[30:]))
    foreign = np.concatenate([x, [[9.0, 1e6]]])
    assert geometry.wasserstein(foreign, y) == pytest.approx(0.2)


def test_total_variation_of_types():
    assert geometry.total_variation(np.array([1, 1, 2, 3]), np.array([1, 1, 1, 2])) == pytest.approx(0.25)
    assert geometry.total_variation(np.array([1]), np.array([2])) == 1
    assert geometry.total_variation(np.array([1, 2, 1, 2]), np.array([2, 1])) == 0
    assert geometry.total_variation(np.array([]), np.array([1])) == 1
    nitro = graph("C[N+](=O)[O-]")
    assert len(set(geometry.atom_types(nitro).tolist())) == 5  # C, N+, O, O-, H
    assert len(set(geometry.bond_types(nitro).tolist())) == 4


# Regression.


def test_the_spectrum_of_hydrogen_is_known_and_no_motion_changes_a_spectrum():
    pair = Graph(np.array([1, 1]), np.zeros(2, int), np.zeros((2, 2), np.int8), np.array([[0.0, 0, 0], [0, 0, 0.8]]))
    assert coulomb_spectrum(pair)[:2] == pytest.approx([0.5 + 1.25, 0.5 - 1.25])
    assert not coulomb_spectrum(pair)[2:].any()
    g = graph("N#CCC1CCOC1")
    rng = np.random.default_rng(0)
    turn, order = np.linalg.qr(rng.standard_normal((3, 3)))[0], rng.permutation(g.atoms)
    moved = replace(g, positions=-g.positions @ turn.T + 2).part(order)
    assert coulomb_spectrum(moved) == pytest.approx(coulomb_spectrum(g))
    assert np.abs(coulomb_spectrum(graph("CCO")) - coulomb_spectrum(g)).max() > 1


def test_a_sum_over_atoms_is_learnt_and_a_molecule_left_out_does_not_see_its_own_value():
    graphs = [graph(name, flat=True) for name in MANY]
    values = np.array([100 * (g.numbers == 8).sum() + 10 * (g.numbers == 6).sum() + g.atoms for g in graphs], float)
    fitted = Regressor.fit(graphs[:-10], values[:-10])
    assert np.abs(fitted(graphs[-10:]) - values[-10:]).mean() < 0.05 * values.std()
    wrong = values.copy()
    wrong[7] += 500
    fooled = Regressor.fit(graphs, wrong)
    assert abs(fooled.left_out[7] - values[7]) < 100
    with pytest.raises(ValueError, match="9 molecules"):
        Regressor.fit(graphs[:9], values[:9])


def test_leaving_one_out_is_fitting_on_the_others():
    graphs = [graph(name, flat=True) for name in MANY[:30]]
    values = np.array([g.atoms**1.5 + (g.numbers == 7).sum() for g in graphs])
    whole = Regressor.fit(graphs, values)
    for row in (0, 11, 29):
        others = [k for k in range(30) if k != row]
        again = Regressor.fit([graphs[k] for k in others], values[others])
        assert whole.left_out[row] == pytest.approx(float(again([graphs[row]])[0]), abs=0.05 * values.std())


def test_size_alone_gives_the_median_of_the_nearest_size():
    methane, ethane, propanol = graph("C"), graph("CC"), graph("CCCO")  # 5, 8 and 12 atoms
    found = median_of_size([methane, methane, methane, ethane], np.array([1.0, 2.0, 9.0, 5.0]), [methane, propanol])
    assert found.tolist() == [2.0, 5.0]


# Conformers.


def test_the_distance_of_conformers_sees_neither_turns_nor_symmetry():
    g = graph("c1ccccc1CO")
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    turn *= np.linalg.det(turn)
    flipped = np.arange(g.atoms)
    flipped[[0, 1, 3, 4]] = [4, 3, 1, 0]  # the ring turned about its axis
    same = replace(g, positions=(g.positions @ turn.T + 5)[flipped])
    assert conformers.distance(same, g) == pytest.approx(0, abs=0.05)
    stretched = replace(g, positions=1.1 * g.positions)
    assert conformers.distance(stretched, g) > 0.1
    assert conformers.distance(g, graph("CCO")) == float("inf")
    assert [conformers.threshold(graph(s)) for s in ("CCCCCCCCC", "CCCCCCCCCC")] == [0.5, 1.25]


def test_coverage_and_matching_of_a_table():
    distances = np.array([[0.1, 0.9], [0.7, 0.6], [2.0, 3.0]])  # three samples, two true conformers
    assert conformers.recall(distances, 0.5) == (0.5, pytest.approx(0.35))
    assert conformers.precision(distances, 0.65) == (pytest.approx(2 / 3), pytest.approx((0.1 + 0.6 + 2.0) / 3))


def test_rdkit_folds_a_graph_and_the_seed_decides():
    flat = graph("N#CCC1CCOC1", flat=True)
    first, again, other = (conformers.embedded(flat, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert verdict(replace(flat, positions=first)).agrees
    invalid = replace(flat, charges=np.full(flat.atoms, 3))
    assert conformers.embedded(invalid, 1) is None


# The floor.


def items(**how):
    return [Item(graph(name, **how), {"atoms": float(graph(name, **how).atoms)}, name) for name in SMILES]


@pytest.mark.parametrize("how", [{}, {"hydrogens": "implicit", "flat": True}])
def test_the_floor_fills_every_valence_in_one_fragment(how):
    train = items(**how)
    made = molecule_floor(train, [{}] * 60, generator(3))
    assert {g.atoms for g in made} <= {item.data.atoms for item in train}
    assert len({g.atoms for g in made}) > 3
    assert len({smiles(g) for g in made}) > 10
    whole = [verdict(g).complete for g in made]
    assert np.mean(whole) > 0.9
    assert all(stable_by_valency(g).all() for g, good in zip(made, whole, strict=True) if good)
    assert all((g.positions is None) == bool(how) for g in made)
    again = molecule_floor(train, [{}] * 60, generator(3))
    assert all(np.array_equal(a.numbers, b.numbers) for a, b in zip(made, again, strict=True))


def test_the_floor_puts_bonded_atoms_at_typical_lengths():
    g = placed(replace(graph("CC"), positions=np.full((8, 3), np.nan)), generator(0))
    lengths = geometry.bond_lengths(g)[:, 1]
    assert sorted(set(lengths.round(6))) == [1.09, 1.54]


def test_the_floor_of_a_property_knows_the_size_alone():
    train = items()
    wanted = [{"atoms": float(size)} for size in (8, 9, 21)]
    sizes = [int(k) for k in np.unique([item.data.atoms for item in train])]
    many = [Item(item.data, item.cond, f"{item.key} {k}") for k in range(20) for item in train]
    made = molecule_floor(many, wanted * 5, generator(1))
    nearest = [min(sizes, key=lambda size: abs(size - asked["atoms"])) for asked in wanted] * 5
    assert [g.atoms for g in made] == nearest


def test_the_floor_keeps_what_is_given_and_completes_it():
    train = items()
    posed = [Scaffold().pose(item, generator(0)) for item in train]
    posed = [(item, known) for item, known in posed if known is not None]
    made = molecule_floor(train, [{}] * len(posed), generator(1), [p[0] for p in posed], [p[1] for p in posed])
    assert len(made) > 3
    for sample, (item, known) in zip(made, posed, strict=True):
        at = known.atoms
        assert sample.atoms == item.data.atoms
        assert np.array_equal(sample.numbers[at], item.data.numbers[at])
        assert np.array_equal(sample.positions[at], item.data.positions[at])
        assert np.isfinite(sample.positions).all()
        assert verdict(pasted(sample, item.data, known)).connected
        assert not np.array_equal(sample.positions[~at], item.data.positions[~at])


def test_the_floor_of_conformers_is_etkdg():
    train = items()[:3]
    posed = [Conformers().pose(item, generator(0)) for item in train]
    made = molecule_floor(train, [{}] * 3, generator(1), [p[0] for p in posed], [p[1] for p in posed])
    for sample, item in zip(made, train, strict=True):
        assert np.array_equal(sample.bonds, item.data.bonds)
        assert not np.allclose(sample.positions, item.data.positions)
        assert verdict(sample).agrees


def test_hydrogens_alone_fill_a_part_that_has_just_their_room():
    elements = Elements.of([graph("CCO")])
    assert elements.numbers.tolist() == [6, 8]
    assert elements.shares == pytest.approx([2 / 3, 1 / 3])
    ethanol = graph("CCO")
    made = grown(ethanol, ethanol.numbers == 1, elements, generator(0))
    assert smiles(made) == "CCO"
    with pytest.raises(ValueError, match="known valency"):
        Elements.of([replace(ethanol, numbers=np.full(9, 1))])
    with pytest.raises(ValueError, match="training items"):
        molecule_floor([], [{}], generator(0))
