"""Fréchet distances of pooled frames: closed forms, pooling, the log-mel embedding, and embeddings by name."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.evaluation.run import jackknife
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.frechet import Embedded, LogMel, Moments, audio_distance, embedding

RATE = 8000


@dataclass(frozen=True)
class Pairs:
    """Samples two by two."""

    name: str = "pairs"
    rate: int = RATE

    def __call__(self, wave):
        return wave[: len(wave) // 2 * 2].reshape(-1, 2)


def clips(n, seed=0, steps=(400, 900), scale=(0.1, 0.1), shift=0.0, rate=RATE):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(*steps, n) // 2 * 2
    return [
        Clip((rng.standard_normal((size // 2, 2)) * scale + shift).reshape(-1, 1).astype(np.float32), rate)
        for size in sizes
    ]


def judged(samples):
    return Judged(samples, [{} for _ in samples], list(map(str, range(len(samples)))))


def distance(ours, train, of=None):
    spec = audio_distance(of or Pairs())
    extractor = spec.extractor.fit(judged(train), judged(train), seed=0, device="cpu", track=lambda *_: lambda: None)
    return spec.compute(judged(ours), judged(train), Context(judged(train), extractor, 0))


def test_the_distance_of_gaussian_frames_in_closed_form():
    ours, train = clips(400, 1, scale=(0.1, 0.3), shift=0.2), clips(400, 2, scale=(0.1, 0.1))
    assert distance(ours, train) == pytest.approx(2 * 0.2**2 + (0.3 - 0.1) ** 2, rel=0.02)


def test_pooled_moments_are_those_of_all_frames_in_one_heap():
    ours, train = clips(5, 1, shift=0.1), clips(7, 2)
    heaps = [torch.cat([Pairs()(torch.from_numpy(c.samples[:, 0])) for c in each]) for each in (ours, train)]
    assert distance(ours, train) == pytest.approx(frechet_distance(*heaps), rel=1e-6)


def test_parts_of_a_set_are_measured_by_their_own_frames():
    ours, train = judged(clips(30, 1)), judged(clips(30, 2))
    context = Context(train, Moments(Pairs()), 0)
    spec = audio_distance(Pairs())
    spec.compute(ours, train, context)
    part = spec.compute(ours.take([3, 8, 9]), train, context)
    assert part == pytest.approx(spec.compute(judged([ours.samples[i] for i in (3, 8, 9)]), train, context), rel=1e-9)
    assert jackknife(lambda each: spec.compute(each, train, context), ours, 5) > 0


def test_equal_sets_are_0_apart_in_log_mel_and_noise_at_40_20_0_decibels_moves_them_apart():
    rng = np.random.default_rng(0)
    t = np.arange(RATE // 2) / RATE
    waves = [0.3 * np.sin(2 * np.pi * f * t) * np.exp(-4 * t) for f in rng.uniform(100, 2000, 20)]

    def noisy(decibels):
        noise = np.random.default_rng(1)
        return [
            Clip(
                (w + noise.standard_normal(len(w)) * w.std() * 10 ** (-decibels / 20)).astype(np.float32)[:, None], RATE
            )
            for w in waves
        ]

    train = noisy(math.inf)
    values = [distance(each, train, LogMel(RATE)) for each in (train, noisy(40), noisy(20), noisy(0))]
    assert values[0] == pytest.approx(0, abs=1e-3)
    assert values == sorted(values)
    assert values[1] > 10


def test_waves_reach_an_embedding_mixed_down_and_at_its_own_rate():
    heard = []

    @dataclass(frozen=True)
    class Ears:
        name: str = "ears"
        rate: int = 16_000

        def __call__(self, wave):
            heard.append(wave)
            return wave[:, None]

    t = np.arange(8000) / 8000
    sine = np.sin(2 * np.pi * 440 * t)
    clip = Clip(np.stack([0.6 * sine, 0.2 * sine], 1).astype(np.float32), 8000)
    rows = Moments(Ears()).embed([clip])
    assert heard[-1].shape == (16_000,)
    assert rows[0, 0] == 16_000
    wanted = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(heard[-1].numpy() - wanted)[500:-500].max() < 1e-3


def test_log_mel_puts_a_sine_at_its_level_in_its_band():
    wave = torch.sin(2 * math.pi * 1000 * torch.arange(RATE) / RATE)
    rows = LogMel(RATE)(wave)
    assert rows.shape == (81, 40)
    loudest = rows[40].argmax()
    assert float(rows[40, loudest]) == pytest.approx(0, abs=6)  # bands sum over the window's width
    assert float(rows[40, -1]) < -60


def test_the_hash_says_which_embedding_it_is():
    assert Moments(Pairs()).hash == Moments(Pairs()).hash
    assert len({Moments(Pairs()).hash, Moments(Pairs(rate=4000)).hash, Moments(LogMel(RATE)).hash}) == 3
    assert Embedded(LogMel(RATE)) == Embedded(LogMel(RATE))  # so that a report makes it once


def test_embeddings_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_ears.py").write_text(
        "class Ears:\n    name, rate = 'ears', 8000\n    def __call__(self, wave):\n        return wave[:, None]\n"
        "class Deaf:\n    name = 'deaf'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert embedding("my_ears:Ears").name == "ears"
    with pytest.raises(ValueError, match="needs `name`, `rate`"):
        embedding("my_ears:Deaf")
    for wrong in ("my_ears:Eyes", "my_eyes:Ears", "my_ears", "", ":Ears"):
        with pytest.raises(ValueError, match=r"package\.module:name"):
            embedding(wrong)


def test_one_frame_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2"):
        distance([Clip(np.zeros((2, 1), np.float32), RATE)], clips(3))
