"""The lines of a report: which are declared, and that planted faults move the lines that are meant for them."""

from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.evaluation.run import evaluate
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.core.modality import Item
from ornstein.core.rng import generator
from ornstein.modalities.molecule import evaluation
from ornstein.modalities.molecule.evaluation import molecule_metrics
from ornstein.modalities.molecule.floors import molecule_floor
from ornstein.modalities.molecule.given import pasted
from ornstein.modalities.molecule.options import Options
from ornstein.modalities.molecule.tasks import Conformers, Scaffold
from some_molecules import fitted, graph

WRITTEN = """
CCO CCCO CC(C)O CCOC COCO CC=O CCC=O CC(C)=O COC=O CC#C CCC#C COC#C CCCC CCC(C)C CC(=O)CC C1CC1C C1CC1O C1CC1CO C1CC1C=O C1CC1CC
C1CC1C#C C1CC1C(C)=O CNC CCNC CC(N)=O NCCO CC(N)C C1CC1N C1CC1CN CCCN NCC=O CC#N CCC#N OCC#N COCC#N C1CC1C#N OCCO OCCCO COCCO
C1CC1OC CCF FCCO CC(F)=O C1CC1F
"""
NAMES = WRITTEN.split()
TASKS = ("unconditional", "scaffold", "fragments", "linker", "substructure", "conformers")
LINES = (
    "valid", "complete", "connected", "molecules stable, valency", "molecules stable, distance", "bonds as positions say",
    "unique", "novel", "bond lengths W1, Å", "strain, kcal/mol", "memorisation, shape", "memorisation, graph",
    "near copies, shape",
)  # fmt: skip


@pytest.fixture(scope="module")
def molecules():
    return [graph(name) for name in NAMES]


def judged(graphs, names=None, **more):
    keys = names or [f"sample {k}" for k in range(len(graphs))]
    return Judged(graphs, [{"atoms": float(g.atoms)} for g in graphs], keys, **more)


def values(candidate, train, held, lines, task="unconditional", **options):
    specs = {spec.name: spec for spec in molecule_metrics(task, Options(**options))}
    context = Context(judged(held), None, 0)
    return {line: specs[line].compute(candidate, judged(train), context) for line in lines}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"hydrogens": "implicit"}, {"representation": "graph"}, {"representation": "graph", "hydrogens": "implicit"}],
)
def test_lines_are_told_apart_and_graphs_have_none_on_geometry(task, options):
    specs = molecule_metrics(task, Options(properties=("energy",), **options), {"energy": "eV"})
    names = [spec.name for spec in specs]
    assert len(set(names)) == len(names)
    spatial = {"bond lengths W1, Å", "torsions W1, °"}
    forces = {"strain, kcal/mol", "PoseBusters", "molecules stable, distance", "bonds as positions say"}
    flat, implicit = options.get("representation") == "graph", options.get("hydrogens") == "implicit"
    assert spatial <= set(names) or flat
    assert flat or implicit or forces <= set(names)
    assert not (spatial | forces | {"memorisation, shape"}) & set(names) if flat else True
    assert not forces & set(names) if implicit else True
    assert ("error of energy, eV" in names) == (task != "conformers")
    assert any(spec.needs_given for spec in specs) == (task != "unconditional")


def test_planted_faults_move_their_own_lines(molecules):
    train, held = molecules[::2], molecules[1::2]
    good = values(judged(train), train, held, LINES)
    for line in ("valid", "complete", "connected", "molecules stable, valency", "unique"):
        assert good[line] == 1
    assert good["novel"] == 0
    assert good["bond lengths W1, Å"] == 0
    assert good["memorisation, shape"] == 1
    assert good["near copies, shape"] == 1
    assert good["memorisation, graph"] > 0.9

    stretched = [replace(g, positions=1.15 * g.positions) for g in held]
    found = values(judged(stretched), train, held, LINES)
    assert found["valid"] == found["complete"] == 1
    assert found["molecules stable, distance"] == 0
    assert found["bond lengths W1, Å"] == pytest.approx(0.15 * 1.25, abs=0.03)
    assert found["strain, kcal/mol"] > 50
    assert found["novel"] == 1

    bare = [g.part(np.arange(g.atoms) < g.atoms - 1) for g in held]  # the last hydrogen is missing
    found = values(judged(bare), train, held, LINES)
    assert found["valid"] == found["connected"] == 1
    assert found["complete"] == found["molecules stable, valency"] == found["bonds as positions say"] == 0

    apart = [replace(g, bonds=np.zeros_like(g.bonds)) for g in held]
    found = values(judged(apart), train, held, ("connected", "valid", "atoms stable, valency"))
    assert found["connected"] == found["atoms stable, valency"] == 0

    found = values(judged([held[0]] * 10), train, held, ("unique",))
    assert found["unique"] == 0.1


def test_dear_lines_look_at_the_first_samples_alone(molecules, monkeypatch):
    monkeypatch.setattr(evaluation, "STRAINED", 4)
    bad = [replace(g, positions=1.3 * g.positions) for g in molecules[4:12]]
    found = values(judged([*molecules[:4], *bad]), molecules, molecules, ("strain, kcal/mol",))
    alone = values(judged(molecules[:4]), molecules, molecules, ("strain, kcal/mol",))
    assert found == alone


def test_the_error_of_a_property_is_that_of_a_regressor_which_never_saw_the_sample(molecules):
    lines = ("error of atoms", "error of atoms, by size")
    specs = {spec.name: spec for spec in molecule_metrics("unconditional", Options(properties=("atoms",)))}
    held = judged(molecules)
    context = Context(held, None, 0)
    real, size = (specs[line].compute(held.take(range(20)), held, context) for line in lines)
    assert size == 0  # the property is the size
    assert 0 < real < 0.5  # left out, not remembered
    wanted = [{"atoms": g.atoms + 10.0} for g in molecules]
    other = Judged([graph(name) for name in NAMES], wanted, NAMES)
    missed, missed_size = (specs[line].compute(other, held, context) for line in lines)
    assert missed == pytest.approx(10, abs=0.5)
    assert missed_size == pytest.approx(10)
    assert specs["error of atoms"].missing(Judged(molecules[:1], [{}], ["a"])) is not None


def posed(task, graphs):
    pairs = [task.pose(Item(g, key=g.name), generator(0)) for g in graphs]
    return [(item, known) for item, known in pairs if known is not None]


def test_a_moved_scaffold_and_a_changed_bond_are_seen(molecules):
    pairs = posed(Scaffold(), molecules)
    how = {"given": [item for item, _ in pairs], "known": [known for _, known in pairs]}
    lines = ("given part kept", "change of given positions, Å")
    exact = [pasted(replace(item.data, positions=item.data.positions + 1), item.data, known) for item, known in pairs]
    shifted = [replace(item.data, positions=item.data.positions + 3) for item, _ in pairs]
    for samples in (exact, shifted):
        found = values(judged(samples, **how), molecules, molecules, lines, "scaffold")
        assert found == {lines[0]: 1, lines[1]: pytest.approx(0, abs=1e-9)}
    first = pairs[0][1].atoms.argmax()
    positions, bonds = shifted[0].positions.copy(), shifted[0].bonds.copy()
    positions[first] += [0.3, 0, 0]
    partner = np.flatnonzero(pairs[0][1].bonds[first])[0]
    bonds[first, partner] = bonds[partner, first] = 3 - bonds[first, partner]
    faulty = [replace(shifted[0], positions=positions, bonds=bonds), *shifted[1:]]
    found = values(judged(faulty, **how), molecules, molecules, lines, "scaffold")
    assert found[lines[0]] == pytest.approx(1 - 1 / len(pairs))
    count = pairs[0][1].atoms.sum()
    assert found[lines[1]] == pytest.approx(0.3 * (1 - 1 / count))


def test_conformers_are_met_by_molecule_and_not_by_sample(molecules):
    lines = ("conformers met", "distance of conformers, Å", "samples that are conformers", "distance to conformers, Å")
    three = [graph("CCCO"), graph("CCC#C")]
    far = replace(
        three[0], positions=1.5 * three[0].positions, name="CCCO, again"
    )  # a second true conformer of the first
    pairs = posed(Conformers(), [three[0], far, three[1]])
    how = {"given": [item for item, _ in pairs], "known": [known for _, known in pairs]}
    samples = [three[0], three[0], three[1]]
    found = values(judged(samples, **how), molecules, molecules, lines, "conformers")
    assert found["conformers met"] == pytest.approx((0.5 + 1) / 2)
    assert found["samples that are conformers"] == 1
    assert found["distance to conformers, Å"] == pytest.approx(0, abs=1e-3)
    assert 0.5 < found["distance of conformers, Å"] * 4 < 3


def test_a_whole_report_has_its_three_columns(molecules, monkeypatch):
    monkeypatch.setattr(evaluation, "POSED", 2)
    names = NAMES[:40]
    modality = fitted(names)
    monkeypatch.setattr(modality, "floor", molecule_floor, raising=False)
    train, held = names[::2], names[1::2]
    samples = [graph(name) for name in held[:12]]
    items = [[Item(graph(name), {}, name) for name in part] for part in (train, held)]
    report = evaluate(modality, samples, [{}] * 12, *items, repeats=3, progress=False)
    assert report.columns == ["ours", "real", "floor"]
    for line in LINES:
        assert all(report.value(line, column) is not None for column in report.columns), line
    assert report.value("complete") == report.value("complete", "real") == 1
    assert report.value("bond angles W1, °", "floor") > report.value("bond angles W1, °", "real")
    assert report.pictures
