"""The baselines: noise with the training clips' spectra, linear prediction of gaps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core.modality import Item
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.evaluation import audio_floor
from ornstein.modalities.audio.floors import coloured_noise, linear_prediction
from ornstein.modalities.audio.known import Band
from ornstein.modalities.audio.paired import si_sdr

RATE = 8000


def rng(seed=0):
    return np.random.default_rng(seed)


def hum(scale, low, high, n=30, steps=4000, channels=1, **cond):
    """Noise between two frequencies."""
    out = []
    for k in range(n):
        spectrum = np.fft.rfft(rng(k + 100).standard_normal((channels, steps)))
        f = np.fft.rfftfreq(steps, 1 / RATE)
        spectrum[:, (f < low) | (f > high)] = 0
        wave = np.fft.irfft(spectrum, steps)
        out.append(Item(Clip((scale * wave / wave.std()).T.astype(np.float32), RATE), dict(cond), f"{cond}{k}"))
    return out


def share_between(clips, low, high):
    power = np.mean([np.abs(np.fft.rfft(clip.samples[:, 0])) ** 2 for clip in clips], 0)
    f = np.fft.rfftfreq(len(clips[0].samples), 1 / RATE)
    return power[(f >= low) & (f <= high)].sum() / power.sum()


def test_noise_has_the_power_and_the_spectrum_of_its_class():
    items = hum(0.05, 300, 800, label=0) + hum(0.2, 2000, 3000, label=1)
    made = coloured_noise(items, [{"label": 0}, {"label": 1}] * 20, ["label"], rng())
    low, high = made[::2], made[1::2]
    assert np.mean([c.samples.std() for c in low]) == pytest.approx(0.05, rel=0.05)
    assert np.mean([c.samples.std() for c in high]) == pytest.approx(0.2, rel=0.05)
    assert share_between(low, 250, 850) > 0.97
    assert share_between(high, 1950, 3050) > 0.97
    assert not np.array_equal(low[0].samples, low[1].samples)


def test_noise_is_loud_when_the_training_clips_are():
    fade = np.linspace(0, 1, 4000, dtype=np.float32)[:, None] ** 2
    items = [replace(item, data=Clip(item.data.samples * fade, RATE)) for item in hum(0.2, 100, 3900, label=0)]
    made = np.stack([c.samples for c in coloured_noise(items, [{}] * 60, [], rng())])
    for at in (500, 1500, 3000, 3800):
        assert made[:, at - 60 : at + 60].std() == pytest.approx(0.2 * (at / 4000) ** 2, rel=0.15)


def test_noise_of_classes_that_never_met_comes_from_clips_that_share_most():
    items = hum(0.1, 300, 800, label=0, speaker=0) + hum(0.1, 2000, 3000, label=1, speaker=1)
    asked = [{"label": 0, "speaker": 7}, {"label": 5, "speaker": 1}, {"label": None, "speaker": None}]
    made = coloured_noise(items, asked, ["label", "speaker"], rng())
    assert share_between(made[:1], 250, 850) > 0.95
    assert share_between(made[1:2], 1950, 3050) > 0.95
    assert 0.2 < share_between(made[2:], 250, 850) < 0.8  # of all clips


def test_noise_has_lengths_of_the_training_clips_and_their_channels():
    items = hum(0.1, 300, 800, n=3, channels=2) + hum(0.1, 300, 800, n=3, steps=1111, channels=2)
    made = coloured_noise(items, [{}] * 20, [], rng())
    assert {clip.samples.shape for clip in made} == {(4000, 2), (1111, 2)}
    assert abs(np.corrcoef(made[0].samples.T)[0, 1]) < 0.3


def test_a_floor_needs_training_clips():
    with pytest.raises(ValueError, match="training clips"):
        coloured_noise([], [{}], [], rng())


def tones():
    t = np.arange(8000) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 1000 * t + 1)
    return Clip(wave.astype(np.float32)[:, None], RATE, start=2.0, seconds=9.0, name="tones")


def gap(start, stop, steps=8000):
    known = np.ones(steps, bool)
    known[start:stop] = False
    return known


def test_linear_prediction_bridges_a_short_gap_of_tones_and_keeps_the_rest():
    clip, known = tones(), gap(4000, 4080)
    made = linear_prediction(clip, known, rng())
    assert np.array_equal(made.samples[known], clip.samples[known])
    ours, true = (torch.from_numpy(c.samples[4000:4080].T) for c in (made, clip))
    assert si_sdr(ours, true) > 20
    assert (made.start, made.seconds, made.name) == (2.0, 9.0, "tones")


def test_linear_prediction_does_not_look_into_the_gap():
    clip, known = tones(), gap(4000, 4300)
    other = replace(clip, samples=np.where(known[:, None], clip.samples, 77).astype(np.float32))
    assert np.array_equal(linear_prediction(clip, known, rng()).samples, linear_prediction(other, known, rng()).samples)


@pytest.mark.parametrize(("start", "stop"), [(0, 3000), (5000, 8000), (3000, 6000)])
def test_linear_prediction_of_noise_has_its_power_at_both_ends_and_between(start, stop):
    clip = hum(0.1, 0, 2000, n=1, steps=8000)[0].data
    made = np.stack([linear_prediction(clip, gap(start, stop), rng(seed)).samples[start:stop] for seed in range(8)])
    assert made.std() == pytest.approx(0.1, rel=0.2)
    assert share_between([Clip(made[0], RATE)], 0, 2100) > 0.95


def test_gaps_beside_each_other_are_filled_from_between_them_and_silence_stays_silent():
    clip = tones()
    known = gap(4000, 4040) & gap(4100, 4140)
    made = linear_prediction(clip, known, rng())
    ours, true = (torch.from_numpy(c.samples[4000:4140].T) for c in (made, clip))
    assert si_sdr(ours, true) > 5
    silent = replace(clip, samples=np.zeros((8000, 1), np.float32))
    assert not linear_prediction(silent, known, rng()).samples.any()
    assert not linear_prediction(clip, np.zeros(8000, bool), rng()).samples.any()  # nothing is known


def test_the_floor_of_what_is_given():
    clip = tones()
    items = hum(0.1, 300, 800, n=4)
    asked = Item(clip, {"mel": np.ones((3, 5), np.float32)}, "asked")
    stretch, band = Item(clip, {}, "stretch"), Item(clip, {}, "band")
    known = gap(4000, 4080)
    given, bits = [stretch, asked, band, stretch, asked], [known, None, Band(0.5), known, None]
    heard = []

    def sound(told, true):
        heard.append(told)
        return replace(true, samples=0.5 * true.samples)

    made = audio_floor(items, [{}] * 5, rng(), given, bits, sounds={"mel": sound})
    assert np.array_equal(made[1].samples, 0.5 * clip.samples)
    assert len(heard) == 1  # once for both members
    assert not made[2].samples.any()  # what is given is pasted over it
    assert np.array_equal(made[0].samples[known], clip.samples[known])
    assert not np.array_equal(made[0].samples, made[3].samples)  # members draw their own errors
