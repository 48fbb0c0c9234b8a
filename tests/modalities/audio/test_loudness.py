"""Loudness against known values, and what is told of silent and overdriven clips."""

import warnings

import numpy as np
import pytest
from ornstein.core.modality import Item

pytest.importorskip("torchaudio")
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.loudness import check, gain, lufs
from ornstein.modalities.audio.silence import report, silence

RATE = 48_000


def sine(amplitude, seconds=3.0, hertz=997.0, channels=1):
    t = np.arange(round(seconds * RATE)) / RATE
    return np.repeat(amplitude * np.sin(2 * np.pi * hertz * t)[:, None], channels, 1).astype(np.float32)


def item(samples, key="x", **cond):
    return Item(Clip(samples, RATE, name=key), cond, key)


# BS.1770-4: a sine of 997 Hz at full scale in one channel has -3.01 LUFS; two such channels have twice its power.
@pytest.mark.parametrize(
    ("amplitude", "channels", "known"), [(1.0, 1, -3.01), (0.1, 1, -23.01), (1.0, 2, 0.0), (0.1, 2, -20.0)]
)
def test_a_sine_has_the_loudness_that_the_standard_gives_it(amplitude, channels, known):
    assert lufs(sine(amplitude, channels=channels), RATE) == pytest.approx(known, abs=0.05)


def test_a_clip_shorter_than_a_block_has_the_loudness_of_its_sound():
    assert lufs(sine(0.1, seconds=0.2), RATE) == pytest.approx(-23.01, abs=0.2)


def test_silence_around_sound_is_gated_away():
    quiet = np.concatenate([sine(0.1), 0 * sine(1.0, seconds=9.0)])
    assert lufs(quiet, RATE) == pytest.approx(-23.01, abs=0.4)


@pytest.mark.parametrize("how", ["peak", "rms", -23.0, -30])
def test_the_gain_brings_a_clip_to_what_was_asked(how):
    for amplitude in (0.003, 0.2, 1.7):
        x = sine(amplitude)
        y = x * np.float32(gain(x, RATE, how))
        if how == "peak":
            assert np.abs(y).max() == pytest.approx(1)
        elif how == "rms":
            assert np.sqrt(np.square(y).mean()) == pytest.approx(0.1, rel=1e-4)
        else:
            assert lufs(y, RATE) == pytest.approx(how, abs=0.02)


@pytest.mark.parametrize("how", [None, "peak", "rms", -23.0])
def test_silence_stays_silence(how):
    assert gain(np.zeros((RATE, 1), np.float32), RATE, how) == 1.0


def test_none_leaves_clips_as_they_are_and_other_words_are_refused():
    assert gain(sine(0.2), RATE, None) == 1.0
    for how in (None, "peak", "rms", -23, -14.5):
        check(how)
    for how in ("loud", 3.0, -70, True, float("nan")):
        with pytest.raises(ValueError, match=f"modality.loudness={how}"):
            check(how)


def test_the_share_of_silence_is_that_of_silent_frames():
    assert silence(sine(0.1), RATE) == 0
    assert silence(sine(0.1, 1.0) * np.repeat([0, 1, 0, 0], RATE // 4)[:, None], RATE) == pytest.approx(0.75, abs=0.02)
    assert silence(sine(0.0013), RATE) == 1  # its root mean square is -60.7 dB
    assert silence(sine(0.0016), RATE) == 0  # -58.9 dB
    assert silence(sine(0.0001) + np.float32(0.4), RATE) == 1  # an offset is not heard
    assert silence(np.zeros((5, 2), np.float32), RATE) == 1


def test_what_training_clips_are_better_without_is_told_once_each():
    items = [item(sine(0.1, 0.1), f"{i}.wav", word="ab"[i % 2], take=f"take {i}") for i in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(items)  # nothing to tell: names of their own are no classes
    items += [item(0 * sine(1.0, 0.1), "still.wav", word="a"), item(sine(1.5, 0.1), "loud.wav", word="c")]
    with pytest.warns(UserWarning, match=r".") as told:
        report(items)
    assert [str(w.message) for w in told] == [
        "1 of 6 training clips are silent throughout (below -60 dB of full scale): still.wav",
        "1 of 6 training clips have values beyond full scale, which are kept: loud.wav",
        "1 of 3 classes of 'word' have a single training example: c",
    ]


def test_silence_alone_cannot_be_learnt():
    with pytest.raises(ValueError, match=r"all 2 training clips are silent .*: a, b"):
        report([item(np.zeros((100, 1), np.float32), key) for key in "ab"])
