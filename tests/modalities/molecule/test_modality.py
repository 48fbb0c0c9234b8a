"""The plugin as a whole: the conformance kit, what it refuses, tasks through a sampler, and a run from file to file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core import checkpoint, samplers
from ornstein.core.conformance import check_modality, small_dit
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import BadItem
from ornstein.core.rng import generator
from ornstein.core.sampling import sample
from ornstein.core.sources import File, Listing, Memory, Row
from ornstein.modalities.molecule import Molecules, data
from ornstein.modalities.molecule.tasks import OPEN
from some_molecules import SMILES, fitted, graph, item

MORE = (*SMILES, "CCC(=O)OC", "C#CCN", "c1cc[nH]c1C", "CC(C)(C)O", "O=CC1CCC1", "CN(C)C=O", "COc1ccccc1", "NCC(F)CO")
AWAY = np.array([30.0, -7.0, 2.0])
CHEAP = ("valid", "connected", "valid and connected", "given part kept", "uniqueness")


class Few(Molecules):
    """A few molecules with a property, so that the kit is asked in seconds."""

    name = "few"

    def datasets(self):
        store = Memory("few", {f"{i}.sdf": data.block(s).encode() for i, s in enumerate(MORE)})
        return {"few": Listing(tuple(Row(File(name, store)) for name in store.files))}

    def metrics(self, task):
        """Without the dear ones, which the registered modality is asked for."""
        return [metric for metric in super().metrics(task) if metric.name in CHEAP]


@pytest.mark.parametrize(
    "options",
    [
        {"properties": ["energy", "logp"], "units": {"energy": "kcal/mol"}},
        {"bonds": "aromatic", "align": True, "position_scale": 1.5, "smarts": "[#6][#8]"},
        {"representation": "graph", "hydrogens": "implicit"},
    ],
    ids=["told", "aromatic", "graph"],
)
def test_every_rule_of_a_modality_is_kept(options):
    found = check_modality(Few(**options), items=16)
    assert [f"{r.name}: {r.message}" for r in found if r.status == "failed"] == []
    skipped = {r.name for r in found if r.status == "skipped"}
    unclaimed = {"symmetry_reflection"} | (
        {"symmetry_translation", "symmetry_rotation"} if "representation" in options else set()
    )
    untold = set() if "properties" in options else {n for n in skipped if "condition" in n}
    assert skipped == unclaimed | untold


def test_files_with_atoms_that_training_never_saw_are_bad_items_after_fit():
    modality = Few()
    modality.fit(
        [modality.read(row.file, row.values) for row in modality.rows(modality.datasets()["few"].rows(), (1, 0, 0))]
    )
    file = File("salt.sdf", Memory("m", {"salt.sdf": data.block("ClCCBr").encode()}))
    with pytest.raises(BadItem, match=r"salt.sdf.*1 Cl, 1 Br"):
        modality.read(file, {})


def test_held_out_molecules_with_atoms_that_training_never_saw_are_found_and_named():
    from ornstein.core.training.batches import encodable

    store = Memory("m", {f"{s}.sdf": data.block(s).encode() for s in ("CCO", "CCN", "CCCl", "CC(=O)O", "CCCO")})
    items = [Molecules().read(File(name, store), {}) for name in store.files]
    modality = Molecules()
    modality.fit(items[:2])
    kept, foreign = encodable(modality, items[2:], items[:2])
    assert [item.key for item in kept] == ["CC(=O)O.sdf", "CCCO.sdf"]
    assert len(foreign) == 1
    assert "1 Cl (they hold H, C, N, O)" in foreign[0]


def test_rows_of_a_data_set_are_whole_and_those_that_are_given_are_open():
    modality = Few()
    rows = modality.datasets()["few"].rows()
    assert OPEN not in modality.read(*at(modality.rows(rows, (0.8, 0.1, 0.1))[0])).meta
    assert modality.read(*at(modality.rows(rows, None)[0])).meta[OPEN]
    assert modality.read(rows[0].file, {}).meta[OPEN]


def at(row):
    return row.file, row.values


def test_what_was_learnt_travels_as_tensors_and_plain_json():
    modality = fitted(properties=["energy"], cond=lambda s: {"energy": float(len(s))})
    tensors, plain = modality.state()
    other = checkpoint.build(checkpoint.describe(modality))
    other.load_state(tensors, json.loads(json.dumps(plain)))
    assert other.fields == modality.fields
    assert other._scale == modality._scale
    told = {"energy": torch.tensor([3.0] * 5)}
    from ornstein.core.conditioning.values import conditions

    cond = conditions(modality.conditions, told, 5)
    assert torch.equal(*(m.blank(5, cond, generator(1)).mask for m in (modality, other)))


def test_graphs_have_no_positions_and_no_conformers():
    modality = fitted(representation="graph", hydrogens="implicit")
    assert [f.name for f in modality.fields] == ["atoms", "bonds"]
    assert "conformers" not in modality.tasks()
    assert modality.symmetries == ("permutation",)
    assert Molecules.symmetries == ("permutation", "translation", "rotation")


# Through a sampler.


def network(modality):
    torch.manual_seed(0)
    denoiser = NeuralDenoiser(
        small_dit(modality.fields, modality.conditions, 0), modality.fields, modality.conditions, modality=modality
    )
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return denoiser.eval()


@pytest.mark.parametrize("task", ["scaffold", "fragments", "linker"])
def test_a_given_part_stays_where_it_is_and_keeps_its_bonds(task):
    modality = fitted()
    given = [item(s, meta={OPEN: True}) for s in ("CC(=O)NC1CC1", "c1ccccc1CO")]
    moved = [replace(i, data=replace(i.data, positions=i.data.positions + AWAY)) for i in given]
    made = sample(network(modality), samplers.DDPM(5), 3, task=task, given=moved, seed=4)
    assert len(made) == 6
    for k, molecule in enumerate(made):
        source, known = moved[k // 3].data, molecule.known
        size = source.atoms
        assert known.any()
        assert not known[size:].any()
        assert np.array_equal(molecule.positions[known], source.positions[known[:size]])
        pairs = np.ix_(known, known)
        assert np.array_equal(molecule.bonds[pairs], source.bonds[np.ix_(known[:size], known[:size])])
        away = np.linalg.norm(molecule.positions.mean(0) - source.positions.mean(0))
        assert away < 10  # the new atoms are beside what was given, not at the origin


def test_conformers_of_a_smiles_have_its_graph():
    modality = fitted()
    flat = item("CC(=O)NC1CC1", flat=True, meta={OPEN: True})
    made = sample(network(modality), samplers.DDPM(5), 2, task="conformers", given=[flat])
    for molecule in made:
        assert np.array_equal(molecule.bonds, flat.data.bonds)
        assert np.array_equal(molecule.numbers, flat.data.numbers)
        assert np.isfinite(molecule.positions).all()
        assert np.abs(molecule.positions.mean(0)).max() < 1e-3
    assert not np.allclose(made[0].positions, made[1].positions)


def test_nothing_given_keeps_the_centre_of_mass_at_zero_at_every_step():
    modality = fitted()
    denoiser = network(modality)
    centres = []

    def watch(at):
        x = at.state["positions"]
        centres.append(float((x.sum(1) / (x != 0).any(-1).sum(1, keepdim=True)).abs().max()))

    sample(denoiser, samplers.DDPM(6), 5, hooks=[watch])
    assert len(centres) > 5
    assert max(centres) < 1e-5


def test_permuted_atoms_with_permuted_noise_give_the_permuted_sample():
    from ornstein.core.objective import draw_noise
    from ornstein.core.samplers.run import run

    modality = fitted()
    denoiser = network(modality).double()
    blank = modality.blank(1, {}, generator(0), size=9).to("cpu", torch.float64)
    noise = draw_noise(denoiser, blank, 0, torch.arange(1), "prior")
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    turned = {"positions": noise["positions"][:, order], "atoms": noise["atoms"][:, order]}
    turned["bonds"] = noise["bonds"][:, order][:, :, order]
    # one step: later ones move classes by uniforms of their own, which no prior permutes
    plan = samplers.DDIM(1).plan(denoiser.processes)
    first, second = (run(denoiser, plan, blank, seed=0, prior=prior) for prior in (noise, turned))
    assert torch.allclose(first["positions"][:, order], second["positions"], atol=1e-9)


def test_from_files_to_files(tmp_path):
    modality = fitted()
    denoiser = network(modality)
    checkpoint.save(denoiser, tmp_path / "model")
    made = sample(checkpoint.load(tmp_path / "model"), samplers.DDPM(3), 4)
    files = modality.write(made, tmp_path / "out")
    assert any(path.suffix == ".sdf" for path in files)
    assert all(path.is_file() for path in files)
    assert {g.atoms for g in made} <= {graph(s).atoms for s in SMILES}
