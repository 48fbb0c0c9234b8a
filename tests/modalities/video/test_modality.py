"""The plugin as a whole: what it keeps, refuses, poses and gives back."""

import numpy as np
import pytest
import torch
from ornstein.core import samplers
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.values import conditions
from ornstein.core.conformance import check_modality
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import Item
from ornstein.core.rng import generator
from ornstein.core.sampling import sample
from ornstein.core.sources import File, Memory, Row
from ornstein.modalities.video import Clip, Video
from ornstein.modalities.video.tasks import OPEN

SMALL = {"frames": 8, "height": 8, "width": 8, "channels": 1, "context": 3}


def items(count=6, frames=8, fps=(8.0,), meta=None, **cond):
    rng = np.random.default_rng(0)
    out = []
    for i in range(count):
        pixels = rng.integers(0, 256, (frames, 8, 8, 1), dtype=np.uint8)
        told = {name: values[i % len(values)] for name, values in cond.items()}
        out.append(Item(Clip(pixels, fps[i % len(fps)], name=str(i)), told, f"{i}.npz", meta or {}))
    return out


def fitted(training=None, **options):
    modality = Video(**{**SMALL, **options})
    modality.fit(items() if training is None else training)
    return modality


def untrained(modality, **options):
    torch.manual_seed(0)
    net = DiT(modality.fields, modality.conditions, modality.axes, width=16, depth=2, heads=1, **options)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return NeuralDenoiser(net, modality.fields, modality.conditions, modality=modality)


def film(frames, fps=8.0, **values):
    import io

    content = io.BytesIO()
    np.savez(content, frames=frames, fps=fps)
    return Row(File("a.npz", Memory("films", {"a.npz": content.getvalue()})), values)


@pytest.mark.parametrize("output", ["mp4", "npz"])
def test_it_keeps_the_rules_of_the_core(output):
    results = check_modality(Video(**{**SMALL, "height": 16, "width": 16, "output": output}), items=8)
    assert {r.name: r.message for r in results if r.status == "failed"} == {}


def test_clips_of_a_film_are_told_what_its_row_says():
    frames = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    modality = Video(**SMALL, columns=["speed"])
    row = film(frames, label=3, speed=1.5, unused="x")
    clips = modality.rows([row, film(frames)], (0.8, 0.1, 0.1))
    found = [modality.read(each.file, each.values) for each in clips[:3]]
    assert [each.cond for each in found] == [{"speed": 1.5, "label": "3", "fps": 8.0}] * 3
    assert not any(each.meta.get(OPEN) for each in found)
    assert np.array_equal(found[0].data.frames, frames[:8])
    assert np.array_equal(found[-1].data.frames, frames[-8:])
    whole = modality.read(row.file, modality.rows([row], None)[0].values)
    assert whole.meta[OPEN]
    assert whole.data.shape[0] == 20
    fixed = Video(**SMALL, fps=8.0, timing=True, labels=False)
    assert fixed.read(clips[1].file, clips[1].values).cond == {"fps": 8.0, "start": 1.0}


def test_conditions_are_what_the_training_data_has():
    training = items(label=["b", "a"], speed=[1.0, 3.0], caption=["a ball", "a bat falls"], fps=(8.0, 24.0))
    for item in training:
        item.cond["fps"] = item.data.fps
    modality = fitted(training)
    specs = {spec.name: spec for spec in modality.conditions}
    assert specs["label"].names == ("a", "b")
    assert (specs["speed"].offset, specs["speed"].scale) == (2.0, 1.0)
    assert (specs["fps"].unit, specs["fps"].offset) == ("1/s", 16.0)
    assert specs["caption"].size == len("a bat falls")
    encoded = modality.encode([training[0], items()[1]], None, generator(0))
    assert encoded.cond["label"].value[0] == 1
    assert encoded.cond["label"].present.tolist() == [True, False]
    assert encoded.cond["speed"].value[0] == 1.0
    assert bytes(encoded.cond["caption"].value[0][encoded.cond["caption"].mask[0]].tolist()) == b"a ball"
    with pytest.raises(ValueError, match="did you mean 'a'"):
        modality.encode(items(1, label=["aa"]), None, generator(0))
    with pytest.raises(ValueError, match="word in some rows"):
        fitted(items(speed=[1.0, "fast"]))
    with pytest.raises(ValueError, match="no training clip"):
        fitted([])


def test_what_was_learnt_travels():
    modality = fitted(items(label=["b", "a"], speed=[1.0, 3.0], fps=(8.0, 24.0)))
    tensors, plain = modality.state()
    other = Video(**SMALL)
    other.load_state(tensors, plain)
    assert other.conditions == modality.conditions
    a, b = (m.blank(9, {}, generator(0, "blank")) for m in (modality, other))
    assert a.aux == b.aux


def test_new_clips_have_the_asked_length_and_rate():
    training = items(fps=(8.0, 24.0))
    for item in training:
        item.cond["fps"] = item.data.fps
    modality = fitted(training)
    rates = [fps for fps, _, _ in modality.blank(20, {}, generator(0, "blank")).aux["place"]]
    assert set(rates) == {8.0, 24.0}
    assert rates[:5] == [fps for fps, _, _ in modality.blank(5, {}, generator(0, "blank")).aux["place"]]
    asked = conditions(modality.conditions, {"fps": 12.0}, 2)
    assert [fps for fps, _, _ in modality.blank(2, asked, generator(0)).aux["place"]] == [12.0, 12.0]
    assert modality.blank(1, {}, generator(0), 5).aux["size"] == [(5, 8, 8)]
    for bad in (0, 9, 2.5, (4, 8, 8)):
        with pytest.raises(ValueError, match="--task prediction"):
            modality.blank(1, {}, generator(0), bad)


@pytest.mark.parametrize("task", ["prediction", "continuation", "interpolation", "keyframes", "inpaint"])
@pytest.mark.parametrize("tokens", [None, samplers.Pyramid(lag=2), samplers.Autoregressive()])
def test_what_is_given_is_exact_whatever_the_times(task, tokens):
    modality = fitted()
    given = items(2)
    made = sample(
        untrained(modality), samplers.DDIM(steps=3, tokens=tokens), given=given, task=task, seed=3, batch_size=2
    )
    for k, (found, item) in enumerate(zip(made, given, strict=True)):
        _, known = modality.tasks()[task].pose(item, generator(3, "pose", k))
        assert np.array_equal(found.frames[known], item.data.frames[known])
        assert (found.frames[~known] != item.data.frames[~known]).mean() > 0.9


@pytest.mark.parametrize("tokens", [samplers.Pyramid(lag=1), samplers.Autoregressive()])
def test_a_roll_out_is_as_long_as_asked(tokens):
    modality = fitted()
    given = items(2, frames=3, meta={OPEN: True})
    made = sample(
        untrained(modality, attention_axes=[[1, 2], [0]]),
        samplers.DDIM(steps=2, tokens=tokens), given=given, task="prediction", size=27,
    )  # fmt: skip
    for found, item in zip(made, given, strict=True):
        assert found.shape == (30, 8, 8, 1)
        assert np.array_equal(found.frames[:3], item.data.frames)
        assert (found.frames[3:].reshape(27, -1).std(1) > 0).all()


def test_factorised_attention_sees_a_frame_and_then_a_place_through_time():
    modality = fitted()
    denoiser = untrained(modality, attention_axes=[[1, 2], [0]])
    encoded = modality.encode(items(1), None, generator(0))
    x = encoded.state["video"]
    moved = x.clone()
    moved[0, 0] += 1  # the first token of the first tubelets in time
    with torch.no_grad():
        a, b = (denoiser({"video": y}, 0.5, encoded.layout, {})["video"].x0 for y in (x, moved))
    assert ((a - b).abs().amax(-1) > 0).all()  # through its frame, and from there through time
    only = untrained(modality, attention_axes=[[0]])
    with torch.no_grad():
        a, b = (only({"video": y}, 0.5, encoded.layout, {})["video"].x0 for y in (x, moved))
    changed = ((a - b).abs().amax(-1) > 0)[0].view(4, 2, 2)
    assert changed[:, 0, 0].all()
    assert changed.sum() == 4


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"frames": 0}, "modality.frames=0"),
        ({"height": 0}, "modality.height=0"),
        ({"channels": 2}, "modality.channels=2"),
        ({"fps": -1.0}, "modality.fps=-1"),
        ({"patch": (0, 4, 4)}, "modality.patch"),
        ({"context": 0}, "modality.context=0"),
        ({"long": "split"}, "modality.long"),
        ({"resize": "zoom"}, "modality.resize"),
        ({"output": "avi"}, "modality.output"),
    ],
)
def test_options_out_of_range_are_refused(options, why):
    with pytest.raises(ValueError, match=why):
        Video(**{**SMALL, **options})
