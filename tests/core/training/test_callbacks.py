import numpy as np
import pytest
import torch
from matplotlib.image import imread
from ornstein.core import checkpoint
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.evaluation.pictures import as_pixels
from ornstein.core.modality import Item, Modality
from ornstein.core.sampling import sample
from ornstein.core.training.callbacks import Pictures, can_render, fixed_conditions
from training_world import Tiny, parts, trainer


def test_pictures_are_drawn_every_so_many_steps_and_change_nothing(tmp_path):
    module, data = parts()
    trainer(tmp_path / "a", 6, run={"every": 3, "pictures": 2, "n": 4}).fit(module, data)
    files = sorted(p.name for p in (tmp_path / "a/pictures").iterdir())
    assert files == [f"step-{step:08d}.png" for step in (2, 4, 6)]
    without, data = parts()
    trainer(tmp_path / "b", 6).fit(without, data)
    pairs = zip(module.network.parameters(), without.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any("tfevents" in p.name for p in (tmp_path / "a/tensorboard").iterdir())


def test_a_picture_is_of_the_averaged_weights_with_classes_in_turn(tmp_path):
    module, data = parts()
    trainer(tmp_path, 6, run={"every": 6, "pictures": 6, "n": 4}).fit(module, data)
    drawn = (imread(tmp_path / "pictures/step-00000006.png")[..., :3] * 255).round().astype(np.uint8)
    exported = checkpoint.load(tmp_path)
    samples = sample(exported, module.sampler, 4, {"label": [0, 1, 2, 0]}, seed=0)
    assert np.array_equal(drawn, as_pixels(module.modality.render(samples)))


def test_samples_that_cannot_be_decoded_cost_the_picture_and_not_the_run(tmp_path, monkeypatch):
    def diverged(*_):
        raise ValueError("the sample is not finite")

    monkeypatch.setattr(Tiny, "decode", diverged)
    module, data = parts()
    with pytest.warns(UserWarning, match="no picture at step 2: the sample is not finite"):
        trainer(tmp_path, 3, run={"every": 3, "pictures": 2, "n": 4}).fit(module, data)
    assert module.trainer.global_step == 3
    assert not (tmp_path / "pictures").exists()


def test_the_export_is_the_average_and_samples_alone(tmp_path):
    module, data = parts()
    trainer(tmp_path, 5).fit(module, data)
    exported = checkpoint.load(tmp_path)
    for name, weight in exported.named_parameters():
        assert torch.equal(weight, module.ema.mean[name])
    assert torch.equal(exported.modality.scale, module.modality.scale)
    assert checkpoint.meta(tmp_path) == {"step": 5}


def test_fixed_conditions_cycle_through_classes_and_borrow_the_rest():
    specs = (ConditionSpec("label", "class", 3), ConditionSpec("size", "scalar"))
    items = [Item(None, {"size": 1.0}), Item(None, {})]
    assert fixed_conditions(specs, items, 4) == {"label": [0, 1, 2, 0], "size": [1.0, None, 1.0, None]}
    assert fixed_conditions(specs, [], 2) == {"label": [0, 1]}


def test_a_modality_without_render_has_no_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(Tiny, "render", Modality.render)
    assert not can_render(Tiny())
    module, data = parts()
    trainer(tmp_path, 2, run={"every": 2, "pictures": 1}).fit(module, data)
    assert not (tmp_path / "pictures").exists()


def test_pictures_need_a_step_and_a_sample():
    with pytest.raises(ValueError, match="at least 1"):
        Pictures("x", every=0)
