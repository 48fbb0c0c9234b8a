"""The plugin as a whole: what it keeps, refuses, poses and gives back."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from ornstein.core import checkpoint, samplers
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.values import conditions
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import BadItem, Item
from ornstein.core.rng import generator
from ornstein.core.sampling import sample
from ornstein.core.sources import File, Memory, Row, file_at
from ornstein.modalities.audio import Audio, Clip
from ornstein.modalities.audio.sizes import sizes

RATE = 2000
SMALL = {"rate": RATE, "seconds": 0.32, "frame": 20, "bands": 12}


def items(count=6, channels=1, lengths=(640, 500), **cond):
    rng = np.random.default_rng(0)
    out = []
    for i in range(count):
        samples = rng.normal(0, 0.1, (lengths[i % len(lengths)], channels)).astype(np.float32)
        told = {name: values[i % len(values)] for name, values in cond.items()}
        out.append(Item(Clip(samples, RATE, name=str(i)), told, f"{i}.wav"))
    return out


def fitted(training=None, **options):
    modality = Audio(**{**SMALL, **options})
    modality.fit(items() if training is None else training)
    return modality


def untrained(modality, seed=0):
    torch.manual_seed(seed)
    net = DiT(modality.fields, modality.conditions, modality.axes, width=16, depth=1, heads=1)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return NeuralDenoiser(net, modality.fields, modality.conditions, modality=modality)


def back(modality, given):
    encoded = modality.encode(given, None, generator(0, "encode"))
    return modality.decode(encoded.state, encoded.mask, encoded.aux)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoder", ["raw", "mdct", "stft"])
def test_clips_come_back_within_80_db(encoder, channels):
    given = items(channels=channels, lengths=(640, 501))
    for clip, found in zip(
        (i.data for i in given), back(fitted(given, encoder=encoder, channels=channels), given), strict=True
    ):
        assert found.samples.shape == clip.samples.shape
        error = np.linalg.norm(found.samples - clip.samples) / np.linalg.norm(clip.samples)
        assert 20 * np.log10(error + 1e-12) < -80
        assert (found.rate, found.start, found.seconds) == (clip.rate, clip.start, clip.seconds)


@pytest.mark.parametrize("loudness", ["peak", "rms"])
def test_loudness_is_one_in_model_space_and_its_own_outside(loudness):
    given = items()
    loud = [Item(Clip(i.data.samples * np.float32(0.05), RATE, name="soft"), {}, i.key) for i in given]
    modality = fitted(given, loudness=loudness)
    a, b = (modality.encode(x, None, generator(0, "encode")).state["sound"] for x in (given, loud))
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert np.allclose(back(modality, loud)[0].samples, loud[0].data.samples, atol=1e-6)


def test_gains_come_from_what_is_given():
    given = items()[:1]
    louder = Item(Clip(given[0].data.samples.copy(), RATE), {}, "0.wav")
    louder.data.samples[400:] *= 5
    known = [np.arange(640) < 400]
    modality = fitted(loudness="rms")
    a, b = (modality.encode([x], known, generator(0, "encode")).aux["gain"] for x in (given[0], louder))
    assert a == b


def test_clips_of_another_rate_or_more_channels_are_refused():
    with pytest.raises(ValueError, match="2000 Hz and 2 channels"):
        fitted().encode(items(channels=2), None, generator(0, "encode"))
    with pytest.raises(ValueError, match="no training clip"):
        fitted([])


def test_new_clips_are_as_long_as_those_of_their_class():
    training = items(8, lengths=(640, 300), label=["long", "short"])
    modality = fitted(training)
    cond = conditions(modality.conditions, {"label": ["short", "long", "short"]}, 3)
    blank = modality.blank(3, cond, generator(0, "blank"))
    assert blank.aux["steps"] == [300, 640, 300]
    assert blank.mask.sum(1).tolist() == [15, 32, 15]
    assert modality.blank(2, {}, generator(0, "blank"), size=0.1).aux["steps"] == [200, 200]
    with pytest.raises(ValueError, match="--task continuation"):
        modality.blank(1, {}, generator(0, "blank"), size=2.0)
    bank = sizes([10, 20], [1.0, 0.5], {"label": [0, 1]})
    assert bank.draw(0.9, {"label": 0}) == (10, 1.0)
    assert bank.draw(0.9, {"label": 7}) == (20, 0.5)


def test_what_was_learnt_travels():
    modality = fitted(items(label=["a", "b"], age=[1.0, 2.0]), encoder="mel", loudness="rms")
    other = Audio(**SMALL, encoder="mel", loudness="rms")
    other.load_state(*modality.state())
    assert other.conditions == modality.conditions
    a, b = (m.encode(items(), None, generator(0, "encode")).state["sound"] for m in (modality, other))
    assert torch.equal(a, b)


@pytest.mark.parametrize("encoder", ["raw", "mdct"])
@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_a_continuation_of_any_length_keeps_what_was_given_bit_by_bit(encoder, seconds):
    modality = fitted(encoder=encoder)
    given = Item(items()[0].data, {}, "x.wav", {"open": True})
    made = sample(
        untrained(modality), samplers.DDIM(steps=2), given=[given], task="continuation", size=seconds, batch_size=4
    )[0]
    steps, fade = len(given.data.samples), round(modality.fade * RATE)
    assert len(made.samples) == steps + round(seconds * RATE)
    assert np.array_equal(made.samples[: steps - fade], given.data.samples[: steps - fade])
    assert made.samples[steps:].any()


def test_a_vocoder_makes_clips_of_any_length_from_spectra_alone():
    modality = fitted(encoder="mdct", guide="mel")
    assert {"vocode", "vocode_on"} <= set(modality.tasks())
    denoiser = untrained(modality)
    for steps in (500, 1500):
        given = items(1, lengths=(steps,))
        made = sample(denoiser, samplers.DDIM(steps=2), given=given, task="vocode")[0]
        assert len(made.samples) == steps
    told = modality.tasks()["vocode"].pose(items()[0], np.random.default_rng(0))[0].cond["mel"]
    asked = sample(denoiser, samplers.DDIM(steps=2), n=1, cond={"mel": told})[0]
    again = sample(denoiser, samplers.DDIM(steps=2), n=1, cond={"mel": told * 0.5})[0]
    assert len(asked.samples) == 640
    assert np.abs(asked.samples - again.samples).max() > 1e-4


def test_spectra_become_sound_by_the_model_that_is_named(tmp_path):
    speaker = fitted(encoder="mdct", guide="mel")
    checkpoint.save(untrained(speaker), tmp_path)
    modality = fitted(encoder="mel", vocoder=str(tmp_path))
    plain = fitted(encoder="mel")
    spoken, again, iterated = back(modality, items()[:2]), back(modality, items()[:2]), back(plain, items()[:2])
    assert [len(clip.samples) for clip in spoken] == [640, 500]
    assert np.array_equal(spoken[0].samples, again[0].samples)
    assert not np.allclose(spoken[0].samples, iterated[0].samples, atol=1e-3)
    with pytest.raises(ValueError, match="has bands=12, the spectra need 10"):
        back(fitted(encoder="mel", bands=10, vocoder=str(tmp_path)), items()[:1])


def test_recordings_of_any_rate_and_channels_come_back_from_model_space():
    folder = Path(os.environ.get("ORNSTEIN_DATA", Path(__file__).parents[4] / "shared" / "data")) / "audio"
    if not folder.is_dir():
        pytest.skip("needs audio/librosa_examples of ORNSTEIN_DATA")
    paths = sorted((folder / "librosa_examples").glob("*.ogg"))
    assert len(paths) == 8
    for path in paths:
        modality = Audio(rate=16000, channels=2, seconds=1.0, encoder="mdct", frame=256)
        read = modality.read(file_at(path), {"first_sample": 16000, "end_sample": 32000})
        assert read.data.samples.shape == (16000, 2)
        modality.fit([read])
        error = np.linalg.norm(back(modality, [read])[0].samples - read.data.samples)
        assert 20 * np.log10(error / np.linalg.norm(read.data.samples)) < -80


def test_windows_and_whole_files():
    sound, content = np.random.default_rng(0).normal(0, 0.1, 1500).astype(np.float32), io.BytesIO()
    soundfile.write(content, sound, RATE, format="WAV", subtype="FLOAT")
    file = File("a.wav", Memory("m", {"a.wav": content.getvalue()}))
    modality = Audio(**SMALL, timing=True)
    rows = modality.rows([Row(file, {"split": "train"})], (0.8, 0.1, 0.1))
    read = [modality.read(row.file, row.values) for row in rows]
    assert [len(i.data.samples) for i in read] == [640, 640, 640]
    assert read[1].cond == {"seconds": 0.75, "start": 0.32}
    assert not any("open" in i.meta for i in read)
    whole = modality.read(file, {})
    assert whole.meta["open"]
    assert np.array_equal(whole.data.samples[:, 0], sound)


def test_seconds_to_be_made_are_read_from_a_table():
    modality, item = fitted(), items()[0]

    def mask(text):
        return modality.read_known(File("m.csv", Memory("m", {"m.csv": text.encode()})), item)

    assert np.flatnonzero(~mask("start,end\n0.1,0.2\n")).tolist() == list(range(200, 400))
    for text, words in (("a,b\n1,2\n", "columns"), ("start,end\nx,1\n", "row 1"), ("start,end\n0.3,0.9\n", "stretch")):
        with pytest.raises(BadItem, match=words):
            mask(text)


def test_training_clips_are_moved_and_made_louder_within_bounds():
    modality, item = Audio(**SMALL, shift=0.01, gain=6.0), items()[0]
    for seed in range(10):
        found = modality.augment(item, np.random.default_rng(seed)).data.samples[:, 0]
        best = max(range(-20, 21), key=lambda by: float(np.dot(np.roll(item.data.samples[:, 0], by), found)))
        ratio = np.dot(np.roll(item.data.samples[:, 0], best), found) / np.dot(found, found)
        assert 10 ** (-6.2 / 20) < 1 / ratio < 10 ** (6.2 / 20)
    assert Audio(**SMALL).augment(item, np.random.default_rng(0)) is item


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 3}, "choose from 1, 2"),
        ({"guide": "text"}, "choose from none, mel, noisy"),
        ({"fade": -1.0}, "modality.fade"),
        ({"loudness": "max"}, "modality.loudness"),
        ({"vocoder": "runs/x"}, "needs none"),
        ({"seconds": 0.0}, "modality.seconds"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Audio(**options)
