"""Saving and loading without pickle: the same model comes back, nothing foreign is built, crashes leave the old file."""

import json
import os
import stat
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import yaml
from ornstein.core import checkpoint, registry
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.backbones.dit import DiT
from ornstein.core.checkpoint import build, describe, load, save
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import DDIM, run
from ornstein.core.schedules import VP, Cosine
from ornstein.core.state import CentreFree, Encoded, Field, Layout
from safetensors.torch import load_file, save_file
from toy import Toy, figures

FIELDS = (Field("x", "continuous", 3, Gaussian(Cosine(end=0.99), V(), 0.7), space=CentreFree(), weight=2.0),)
SPECS = (ConditionSpec("label", "class", 2, names=("a", "b")),)


def network(seed: int = 0, fields=FIELDS, specs=SPECS, modality=None) -> NeuralDenoiser:
    net = DiT(fields, specs, 0, width=16, depth=1, heads=2)
    g = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.2)
    return NeuralDenoiser(net, fields, specs, {fields[0].name: Gaussian(VP(0.2, 15.0), V())}, modality).eval()


def drawn(denoiser) -> torch.Tensor:
    encoded = Encoded({"x": torch.zeros(2, 4, 3)}, Layout(torch.ones(2, 4, dtype=torch.bool)))
    return run(denoiser, DDIM(3).plan(denoiser.processes), encoded, seed=0)["x"]


def test_a_model_comes_back_whole(tmp_path):
    denoiser = network()
    save(denoiser.train(), tmp_path / "new" / "run", {"step": 7, "loss": 0.5})
    found = load(tmp_path / "new" / "run")
    assert not found.training
    assert found.fields == denoiser.fields
    assert found.processes == denoiser.processes
    assert found.conditions == denoiser.conditions
    assert type(found.backbone) is DiT
    assert torch.equal(drawn(found), drawn(denoiser.eval()))
    assert checkpoint.meta(tmp_path / "new" / "run") == {"step": 7, "loss": 0.5}
    assert torch.equal(drawn(load(tmp_path / "new" / "run" / "model.safetensors")), drawn(denoiser))


def test_the_modality_travels_with_what_it_learnt(tmp_path):
    toy = Toy(count=5)
    toy.fit([toy.read(row.file, row.values) for row in figures(5).rows()])
    net = DiT(toy.fields, toy.conditions, 0, width=16, depth=1, heads=2)
    save(NeuralDenoiser(net, toy.fields, toy.conditions, modality=toy), tmp_path)
    found = load(tmp_path).modality
    assert type(found) is Toy
    assert (found.count, found.scale, found.sizes) == (5, toy.scale, toy.sizes)


def test_a_trained_model_takes_anew_only_what_the_modality_names(tmp_path, monkeypatch):
    toy = Toy(count=5)
    toy.fit([toy.read(row.file, row.values) for row in figures(5).rows()])
    net = DiT(toy.fields, toy.conditions, 0, width=16, depth=1, heads=2)
    save(NeuralDenoiser(net, toy.fields, toy.conditions, modality=toy), tmp_path)
    with pytest.raises(ValueError, match=r"modality.count: the model is trained already, and none of its options can"):
        load(tmp_path, anew={"count": 7})
    monkeypatch.setattr(Toy, "later", ("count",))
    found = load(tmp_path, anew={"count": 7}).modality
    assert (found.count, found.scale, found.sizes) == (7, toy.scale, toy.sizes)
    with pytest.raises(ValueError, match=r"modality.size: .* and only count can change"):
        load(tmp_path, anew={"size": 7})


def test_a_modality_that_learnt_other_things_names_what_it_misses(tmp_path, monkeypatch):
    toy = Toy(count=5)
    toy.fit([toy.read(row.file, row.values) for row in figures(5).rows()])
    net = DiT(toy.fields, toy.conditions, 0, width=16, depth=1, heads=2)
    save(NeuralDenoiser(net, toy.fields, toy.conditions, modality=toy), tmp_path)
    monkeypatch.setattr(Toy, "load_state", lambda self, tensors, plain: plain["novel"])
    with pytest.raises(ValueError, match=r"Toy 'toy'\) finds no 'novel'.*saved by another version"):
        load(tmp_path)


def test_the_description_is_plain_yaml_and_json(tmp_path):
    save(network(), tmp_path)
    tree = yaml.safe_load((tmp_path / "model.yaml").read_text())
    assert tree["processes"]["x"]["class"] == "ornstein.core.processes.gaussian.Gaussian"
    assert tree["processes"]["x"]["args"]["schedule"]["args"] == {"beta_min": 0.2, "beta_max": 15.0}
    assert json.loads(json.dumps(tree)) == tree


@pytest.mark.parametrize("group", ["schedule", "parametrization", "process"])
def test_every_part_of_a_model_is_described_and_rebuilt(group):
    for name in registry.TABLE[group]:
        part = registry.class_of(group, name)()
        found = build(json.loads(json.dumps(describe(part))))
        assert describe(found) == describe(part)
        assert found == part or isinstance(part, torch.nn.Module)  # one with weights is equal to itself alone


def test_backbones_of_the_table_are_described_and_rebuilt():
    fields = (*FIELDS, Field("a", "categorical", 3, Masked(elbo=True)))
    for name in registry.TABLE["backbone"]:
        net = registry.class_of("backbone", name)(fields, SPECS, 2 if name == "unet" else 0)  # a U-Net refuses sets
        again = build(json.loads(json.dumps(describe(net))))
        assert describe(again) == describe(net)
        assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}


class Tied(Backbone):
    """One weight under two names."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields, conditions=(), axes=0) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes = tuple(fields), tuple(conditions), axes
        self.one, self.two = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.two.weight = self.one.weight

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        return {"x": self.two(self.one(inputs["x"]))}


def test_tied_weights_stay_tied(tmp_path):
    denoiser = NeuralDenoiser(Tied(FIELDS), FIELDS)
    save(denoiser, tmp_path)
    found = load(tmp_path)
    assert found.backbone.one.weight is found.backbone.two.weight
    assert torch.equal(drawn(found), drawn(denoiser))


class Forgetful(Tied):
    def __init__(self, fields, conditions=(), axes=0, width: int = 3) -> None:
        super().__init__(fields, conditions, axes)


def test_what_cannot_be_described_is_named():
    with pytest.raises(ValueError, match="Forgetful must keep its argument 'width' as an attribute"):
        describe(Forgetful(FIELDS))
    with pytest.raises(ValueError, match="a Tensor cannot be described"):
        describe({"a": [torch.zeros(1)]})


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.nn.modules.linear.Linear",
        "ornstein.core.samplers.run",
        "pathlib.Path",
    ],
)
def test_nothing_foreign_is_built(path, tmp_path, monkeypatch):
    tree = {"class": path, "args": {"command": f"touch {tmp_path}/pwned", "args": ["touch", f"{tmp_path}/pwned"]}}
    with pytest.raises(ValueError, match=r"no model is made of; it is not built"):
        build(tree)
    save(network(), tmp_path)
    tensors, model = load_file(tmp_path / "model.safetensors"), yaml.safe_load((tmp_path / "model.yaml").read_text())
    model["backbone"] = tree
    save_file(tensors, tmp_path / "model.safetensors", metadata={"model": json.dumps(model)})
    with pytest.raises(ValueError, match="it is not built"):
        load(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_a_file_cannot_make_a_module_run(tmp_path, monkeypatch):
    (tmp_path / "innocent.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="of no registered plugin"):
        build({"class": "innocent.Net", "args": {}})
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            {"class": "ornstein.core.schedules.Sine", "args": {}},
            "needs ornstein.core.schedules.Sine, which cannot be imported",
        ),
        ({"class": "no_such_package.Net", "args": {}}, "of no registered plugin: install the package"),
        ({"class": "ornstein.core.no_such.Net", "args": {}}, "cannot be imported: No module named"),
        (
            {"class": "ornstein.core.schedules.VP", "args": {"beta": 1}},
            "is not what it was when the checkpoint was saved",
        ),
        ({"class": "ornstein.core.schedules.Schedule", "args": {}}, "is not what it was"),
    ],
)
def test_classes_that_changed_are_named(tree, words):
    with pytest.raises(ValueError, match=words):
        build(tree)


def test_broken_files_say_what_is_wrong(tmp_path):
    save(network(), tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for cut in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"model\.safetensors is truncated or no safetensors file"):
            load(tmp_path)
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="without a description of the model"):
        load(tmp_path)
    tree = yaml.safe_load((tmp_path / "model.yaml").read_text())
    save_file({"w": torch.zeros(1)}, path, metadata={"model": json.dumps(tree)})
    with pytest.raises(ValueError, match="weights do not fit the described network"):
        load(tmp_path)
    save_file({"w": torch.zeros(1)}, path, metadata={"model": json.dumps({**tree, "format": 99})})
    with pytest.raises(ValueError, match="has format 99; this version reads format 1"):
        load(tmp_path)


def test_a_crash_while_writing_leaves_the_older_model(tmp_path, monkeypatch):
    save(network(0), tmp_path)
    before = drawn(load(tmp_path))

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half a fi")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save(network(1), tmp_path)
    assert torch.equal(drawn(load(tmp_path)), before)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.safetensors",
        "model.yaml",
    ]  # nothing half-written stays
    monkeypatch.undo()
    save(network(1), tmp_path)
    assert not torch.equal(drawn(load(tmp_path)), before)


def test_files_have_the_usual_permissions(tmp_path):
    """A model is made to be shared: it is as readable as any other file of the user."""
    old = os.umask(0o022)
    try:
        save(network(), tmp_path)
    finally:
        os.umask(old)
    for name in ("model.safetensors", "model.yaml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644


def test_latest_is_a_link_or_a_text_file(tmp_path):
    save(network(), tmp_path / "digits-1")
    (tmp_path / "latest").write_text("digits-1\n")
    assert checkpoint.resolve(tmp_path / "latest") == tmp_path / "digits-1" / "model.safetensors"
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").symlink_to("digits-1")
    assert torch.equal(drawn(load(tmp_path / "latest")), drawn(network()))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors: the run has not saved a model yet"):
        load(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"no run at .*digits-2; .* holds .*digits-1"):
        load(tmp_path / "digits-2")
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").write_text("gone")
    with pytest.raises(FileNotFoundError, match=r"no run at .*gone"):
        load(tmp_path / "latest")
