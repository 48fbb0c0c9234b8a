"""Fundamental frequencies: tones of known pitch, unvoiced sound, and tracks against each other."""

import math

import numpy as np
import pytest
import torch
from ornstein.modalities.audio.pitch import Tracker, cents, clip_pitch, track_difference


def tone(hertz, rate=16_000, seconds=0.5, amplitudes=(1, 0.5, 1 / 3, 0.25), bend=0.0):
    t = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    phase = 2 * math.pi * hertz * (t + bend * t**2 / 2)
    parts = (a * torch.sin(k * phase + k * k) for k, a in enumerate(amplitudes, 1) if k * hertz < 0.48 * rate)
    return 0.2 * sum(parts)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("hertz", [80.0, 130.8, 440.0, 987.8])
def test_tones_are_found_within_a_cent(rate, hertz):
    assert float(cents(clip_pitch(Tracker(rate), tone(hertz, rate)), hertz)) == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    "amplitudes", [(1,), (1, 0, 1 / 3, 0, 0.2), (1, 1, 0, 1, 0, 0, 0, 1), (0, 1, 1, 1), (0.1, 1, 0.2, 0.5)]
)
def test_the_timbre_does_not_move_the_pitch_not_even_where_the_fundamental_is_missing(amplitudes):
    assert float(cents(clip_pitch(Tracker(16_000), tone(196.0, amplitudes=amplitudes)), 196)) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("off", [-60.0, -49.0, 30.0, 100.0])
def test_a_tone_out_of_tune_is_so_many_cents_away(off):
    found = clip_pitch(Tracker(16_000), tone(261.63 * 2 ** (off / 1200)))
    assert float(cents(found, 261.63)) == pytest.approx(off, abs=1)


def test_noise_moves_the_pitch_little_and_noise_alone_has_none():
    rng = np.random.default_rng(0)
    x = tone(220.0)
    noise = torch.from_numpy(rng.standard_normal(len(x)))
    noisy = x + noise * x.std() * 10 ** (-10 / 20)
    assert abs(float(cents(clip_pitch(Tracker(16_000), noisy), 220))) < 10
    assert math.isnan(clip_pitch(Tracker(16_000), 0.1 * noise))


@pytest.mark.parametrize("wave", [torch.zeros(4000), torch.zeros(1), torch.full((4000,), 0.5)])
def test_silence_and_a_constant_have_no_pitch(wave):
    assert math.isnan(clip_pitch(Tracker(16_000), wave))


def test_frames_stand_where_they_say():
    x = torch.cat([torch.zeros(8000).double(), tone(200.0)])
    track = Tracker(16_000)(x)
    assert len(track) == 1 + len(x) // 160
    assert not track[:45].isfinite().any()
    assert track[55:95].isfinite().all()


def test_a_glide_is_followed():
    track = Tracker(16_000)(tone(200.0, bend=1.0))
    at = torch.arange(10, 41) * 0.01
    assert float(cents(track[10:41], 200 * (1 + at)).abs().max()) < 8


def test_ranges_that_the_rate_does_not_hold_are_refused():
    with pytest.raises(ValueError, match="a quarter of 2000 Hz"):
        Tracker(2000)


def test_tracks_differ_by_cents_where_both_are_voiced_and_by_voicing():
    nan = math.nan
    true = torch.tensor([100.0, 100.0, nan, nan, 200.0, 200.0])
    ours = torch.tensor([100.0, nan, nan, 150.0, 200 * 2 ** (1 / 12), 200.0])
    apart, voicing = track_difference(ours, true)
    assert apart == pytest.approx(math.sqrt(100**2 / 3), rel=1e-4)
    assert voicing == pytest.approx(2 / 6)
    assert track_difference(true, true) == (0, 0)
    assert math.isnan(track_difference(torch.full((3,), nan), true)[0])


def test_noise_at_40_20_0_decibels_moves_the_track_of_a_glide():
    x = tone(150.0, bend=0.6)
    tracker, rng = Tracker(16_000), np.random.default_rng(3)
    noise = torch.from_numpy(rng.standard_normal(len(x))) * x.std()
    found = [track_difference(tracker(x + 10 ** (-d / 20) * noise), tracker(x)) for d in (40, 20, 0)]
    assert [f for f, _ in found] == sorted(f for f, _ in found)
    assert [v for _, v in found] == sorted(v for _, v in found)
    assert found[2][0] > 3 * found[0][0]
    assert found[2][1] > 0.02
