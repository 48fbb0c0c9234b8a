"""The networks that judge: what they hear, how clips are varied, and what they reach on real digits."""

import csv
import io
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from ornstein.core.evaluation.spec import Judged
from ornstein.modalities.audio.classifier import Inputs, Variants, autoencoder, classifier, moved_in_time, network
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.hearing import Hearing, decibels, power_of

RATE = 8000


def quiet(words, steps):
    return lambda: None


def clip(wave, rate=RATE):
    wave = np.asarray(wave, np.float32)
    return Clip(wave if wave.ndim == 2 else wave[:, None], rate)


def sine(hertz, seconds=1.0, amplitude=1.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return amplitude * np.sin(2 * np.pi * hertz * t)


def test_levels_are_decibels_of_a_full_sine_and_silence_is_minus_80():
    hearing = Hearing(RATE, RATE)
    loud, soft, silent = hearing([clip(sine(1000)), clip(sine(1000, amplitude=0.1)), clip(np.zeros(RATE))])
    assert loud.shape == (48, hearing.frames) == (48, 81)
    assert float(loud[:, 40].max()) == pytest.approx(0, abs=5)  # a band sums over the width of the window
    assert float(loud[:, 40].max() - soft[:, 40].max()) == pytest.approx(20, abs=0.05)
    assert torch.all(silent == hearing.silence)
    assert hearing.silence == -80


def test_every_band_hears_and_higher_tones_are_heard_in_higher_bands():
    for rate in (8000, 16_000, 22_050, 44_100):
        hearing = Hearing(rate, rate // 2)
        noise = np.random.default_rng(0).standard_normal(rate // 2)
        levels = hearing([clip(noise, rate)])[0].mean(1)
        assert float(levels.min()) > -50
        expected = decibels(hearing.noise)[:, 0]
        assert float((levels - expected).abs().max()) < 5
    bands = [int(Hearing(RATE, RATE)([clip(sine(f))])[0, :, 40].argmax()) for f in (150, 400, 1000, 2000, 3500)]
    assert bands == sorted(set(bands))


def test_clips_are_cut_filled_and_mixed_down():
    hearing = Hearing(RATE, 4000)
    long, short = clip(sine(1000)), clip(sine(1000, 0.25))
    stereo = clip(np.stack([sine(1000), np.zeros(RATE)], 1))
    waves = hearing.mono([long, short, stereo])
    assert torch.equal(waves[0], torch.from_numpy(long.samples[:4000, 0]))
    assert not waves[1, 2000:].any()
    assert torch.allclose(waves[2], waves[0] / 2)
    with pytest.raises(ValueError, match="16000 Hz"):
        hearing([clip(sine(1000), 16_000)])


def test_inputs_lie_between_minus_1_and_1():
    x = Inputs(Hearing(RATE, RATE))([clip(sine(1000)), clip(np.zeros(RATE))])
    assert float(x[1].max()) == -1
    assert -1 <= float(x.min()) <= float(x.max()) < 1.2


def test_levels_come_back_as_power():
    power = torch.tensor([0.0, 1e-6, 1.0])
    assert torch.allclose(power_of(decibels(power)), power, atol=1e-12)


def test_moving_brings_silence_in_and_loses_nothing_else():
    power = torch.arange(1.0, 7.0).expand(3, 2, 6)
    moved = moved_in_time(power, torch.tensor([2, 0, -3]))
    assert moved[:, 0].tolist() == [[0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [4, 5, 6, 0, 0, 0]]


def test_variants_change_only_what_they_are_told_to():
    hearing = Hearing(RATE, RATE)
    x = Inputs(hearing)([clip(sine(1000, amplitude=0.1))]).repeat(64, 1, 1)
    draw = torch.Generator().manual_seed(0)
    still = Variants(hearing, shift=0, gain=0, noise=(-300, -300), gap=0)(x, draw)
    assert torch.allclose(still, x, atol=1e-3)
    louder = 40 * (Variants(hearing, shift=0, gain=6, noise=(-300, -300), gap=0)(x, draw) - x)[:, :, 40].amax(1)
    assert 5 < float(louder.max()) <= 6.01
    gaps = Variants(hearing, shift=0, gain=0, noise=(-300, -300), gap=0.2)(x + 1, draw) == -1
    assert 0.02 < float(gaps.double().mean()) < 0.25


def test_noise_of_variants_is_as_loud_as_noise_in_a_wave():
    hearing = Hearing(RATE, RATE)
    silent = Inputs(hearing)([clip(np.zeros(RATE))]).repeat(200, 1, 1)
    varied = Variants(hearing, shift=0, gain=0, noise=(-30, -30), gap=0)(silent, torch.Generator().manual_seed(0))
    noisy = varied[varied.amax((1, 2)) > -1]
    assert len(noisy) == pytest.approx(100, abs=25)  # half of the clips get none
    wave = clip(np.random.default_rng(0).standard_normal(RATE) * 10 ** (-30 / 20))
    in_wave = hearing.power(hearing.mono([wave])).mean((0, 2))
    in_variants = power_of(40 * (noisy - 1)).mean((0, 2))
    assert float((decibels(in_wave) - decibels(in_variants)).abs().max()) < 1.5


@pytest.mark.parametrize("shape", [(48, 81), (48, 2), (48, 1201), (4, 4)])
def test_networks_serve_any_length(shape):
    x = torch.randn(2, *shape)
    knows, rebuilds = network(shape, 7), network(shape, None)
    assert knows.features(x).shape == rebuilds.features(x).shape == (2, 64)
    assert knows(x).shape == (2, 7)
    assert rebuilds(x).shape == x.shape
    assert sum(p.numel() for p in knows.parameters()) < 400_000


def test_features_of_the_classifier_have_one_length():
    features = network((48, 81), 7).eval().features(torch.randn(5, 48, 81))
    assert torch.allclose(features.norm(dim=1), torch.full((5,), 8.0), atol=0.01)


def low_or_high(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    waves = [sine(rng.uniform(200, 400) * (1 + 4 * label), 0.3, rng.uniform(0.05, 0.5)) for label in labels]
    return Judged([clip(w) for w in waves], [{"label": int(v)} for v in labels], list(map(str, range(n))))


def test_the_same_seed_gives_the_same_classifier_and_another_one_another():
    train, held = low_or_high(40, 0), low_or_high(30, 1)
    source = classifier(Hearing(RATE, 2400), "label", steps=25)
    first, second, other = (source.fit(train, held, seed=s, device="cpu", track=quiet) for s in (0, 0, 1))
    assert first.hash == second.hash != other.hash
    assert first.facts["accuracy on held-out items"] == 1
    assert source == classifier(Hearing(RATE, 2400), "label", steps=25)  # so that a report trains it once


def test_the_autoencoder_explains_something():
    train, held = low_or_high(40, 0), low_or_high(30, 1)
    made = autoencoder(Hearing(RATE, 2400), steps=60).fit(train, held, seed=0, device="cpu", track=quiet)
    assert made.facts["unexplained variance on held-out items"] < 0.6
    assert made.embed(held.samples).shape == (30, 64)


@pytest.fixture(scope="module")
def digits(shared_data):
    """Spoken digits: (train, test)."""
    archive = zipfile.ZipFile(shared_data / "audio/fsdd/fsdd.zip")
    found = {"train": [], "test": []}
    with open(shared_data / "audio/fsdd/metadata.csv", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            wave, rate = soundfile.read(io.BytesIO(archive.read(row["file"])), dtype="float32", always_2d=True)
            found[row["split"]].append((Clip(wave, rate, name=row["file"]), {"label": int(row["digit"])}))
    return {
        split: Judged([c for c, _ in rows], [v for _, v in rows], [c.name for c, _ in rows])
        for split, rows in found.items()
    }


@pytest.mark.slow
def test_real_digits_are_recognised_in_at_least_97_percent_of_the_test_files(digits):
    source = classifier(Hearing(8000, 8000), "label")
    made = source.fit(digits["train"], digits["test"], seed=0, device="cpu", track=quiet)
    assert made.facts["accuracy on held-out items"] >= 0.97
    noisy = [
        Clip(
            (c.samples + 0.03 * c.samples.std() * np.random.default_rng(k).standard_normal(c.samples.shape)).astype(
                "f4"
            ),
            c.rate,
        )
        for k, c in enumerate(digits["test"].samples)
    ]
    right = made.log_probs(noisy).argmax(1) == torch.tensor([values["label"] for values in digits["test"].cond])
    assert float(right.double().mean()) > 0.9  # with noise 30 dB below the speech
