"""Tasks pose what they say, and long clips are made window by window without a change to what was given."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.conditioning.columns import Columns
from ornstein.core.modality import Item
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.guides import MelGuide
from ornstein.modalities.audio.known import Band
from ornstein.modalities.audio.mdct import MDCT
from ornstein.modalities.audio.mel import MelScale
from ornstein.modalities.audio.raw import Raw
from ornstein.modalities.audio.tasks import OPEN, SOURCE, Continue, Denoise, Inpaint, Vocode, Widen
from ornstein.modalities.audio.told import MEL, NOISY, Told
from ornstein.modalities.audio.unrolling import unroll

RATE = 1000


def item(steps=200, channels=1, seed=0, **meta):
    samples = np.random.default_rng(seed).normal(0, 0.1, (steps, channels)).astype(np.float32)
    return Item(Clip(samples, RATE, 2.0, 9.0, "x"), {}, "x.wav", meta)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_gap_is_one_stretch_of_the_asked_share():
    for seed in range(20):
        _, known = Inpaint(0.3).pose(item(), rng(seed))
        edges = np.flatnonzero(np.diff(np.concatenate([[1], known.astype(int), [1]])))
        assert len(edges) == 2
        assert edges[1] - edges[0] == 60


def test_gaps_of_an_open_clip_are_its_digital_silence():
    given = item(**{OPEN: True})
    given.data.samples[50:80] = 0
    given.data.samples[120:123] = 0  # 3 ms: part of the sound
    _, known = Inpaint().pose(given, rng())
    assert np.flatnonzero(~known).tolist() == list(range(50, 80))
    with pytest.raises(ValueError, match="nothing is missing"):
        Inpaint().pose(item(**{OPEN: True}), rng())
    silent = replace(given, data=replace(given.data, samples=np.zeros((200, 1), np.float32)))
    with pytest.raises(ValueError, match="only silence"):
        Inpaint().pose(silent, rng())


def test_an_open_clip_is_extended_by_the_asked_seconds():
    given = item(**{OPEN: True})
    posed, known = Continue(0.4).sized(0.15).pose(given, rng())
    assert len(posed.data.samples) == 350
    assert known.tolist() == [True] * 200 + [False] * 150
    assert np.array_equal(posed.data.samples[:200], given.data.samples)
    assert len(Continue(0.4).pose(given, rng())[0].data.samples) == 400  # half a window more
    with pytest.raises(ValueError, match="seconds to make"):
        Continue(0.4).sized("long")
    with pytest.raises(ValueError, match=r"0\.2 s"):
        Continue(0.4, seconds=0.2).pose(item(), rng())


def test_the_band_of_an_open_clip_is_that_of_its_file():
    assert Widen(RATE).pose(item(**{OPEN: True, SOURCE: 400}), rng())[1] == Band(0.4)
    assert Widen(RATE).sized(100.0).pose(item(), rng())[1] == Band(0.2)
    with pytest.raises(ValueError, match="--size"):
        Widen(RATE).pose(item(**{OPEN: True, SOURCE: 1000}), rng())
    with pytest.raises(ValueError, match="below 500 Hz"):
        Widen(RATE).sized(900.0)


def test_a_vocoder_is_told_the_spectrum_and_nothing_of_the_waveform():
    guide = MelGuide(MelScale(RATE, 20, 10))
    given = item(channels=2)
    posed, known = Vocode(guide.told).pose(given, rng())
    assert known is None
    assert posed.cond[MEL].shape == (10, 20)
    alone = guide.told(given.data.samples[:, 1:])
    np.testing.assert_allclose(posed.cond[MEL][:, 10:], alone, atol=1e-6)
    begun = Vocode(guide.told, begun=True).pose(given, rng())[1]
    assert begun[0]
    assert not begun[-100:].any()


def test_noise_is_added_at_the_asked_ratio_but_not_to_a_clip_of_the_user():
    heard = []
    task = Denoise(lambda x: heard.append(x) or x, decibels=(10.0, 10.0))
    given = item(steps=20000)
    known = task.pose(given, rng())[1]
    noise = heard[0] - given.data.samples
    assert known is None
    assert 10 * np.log10(np.mean(given.data.samples**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.2)
    task.pose(item(**{OPEN: True}), rng())
    assert np.array_equal(heard[1], item().data.samples)


def made(item_, known, window, frames, fade, value=0.5):
    """Run `unroll` with a maker of constants; the whole, and what each window was given."""
    seen = []
    roll = unroll(item_, known, window, frames, fade)
    try:
        part, given = next(roll)
        while True:
            seen.append((part, given))
            samples = np.full_like(part.data.samples, value)
            part, given = roll.send(replace(part.data, samples=samples))
    except StopIteration as end:
        return end.value, seen


@pytest.mark.parametrize("steps", [201, 333, 640])
def test_a_long_continuation_keeps_what_is_given_and_each_window_gets_the_end_of_the_last(steps):
    given = item(steps)
    known = np.arange(steps) < 90
    whole, seen = made(given, known, 80, Raw(10), 4)
    assert len(whole.samples) == steps
    assert np.array_equal(whole.samples[:86], given.data.samples[:86])
    assert np.allclose(whole.samples[90:], 0.5)
    starts = [round((part.data.start - 2.0) * RATE) for part, _ in seen]
    assert all(start % 10 == 0 for start in starts)
    assert all(len(part.data.samples) <= 80 for part, _ in seen)
    for (_, bits), start in zip(seen[1:], starts[1:], strict=True):
        assert bits[:20].all()
        assert not bits[-1]
        assert start < steps
    assert np.array_equal(seen[1][0].data.samples[:20], whole.samples[starts[1] : starts[1] + 20])


def test_windows_without_anything_to_make_are_passed_over():
    known = np.ones(1000, bool)
    known[500:520] = False
    whole, seen = made(item(1000), known, 80, Raw(10), 4)
    assert len(seen) == 1
    assert np.array_equal(
        np.delete(whole.samples, np.arange(496, 524), 0), np.delete(item(1000).data.samples, np.arange(496, 524), 0)
    )


def test_what_is_told_of_each_token_goes_with_its_window():
    told = np.arange(40, dtype=np.float32)[:, None]
    whole, seen = made(replace(item(400), cond={MEL: told}), None, 80, Raw(10), 0)
    for part, _ in seen:
        first = round((part.data.start - 2.0) * RATE) // 10
        assert part.cond[MEL][:, 0].tolist() == list(range(first, first + len(part.cond[MEL])))
    assert seen[0][1] is None
    assert seen[1][1][:20].all()
    assert np.allclose(whole.samples, 0.5)


@pytest.mark.parametrize("known", [Band(0.5), None])
def test_windows_that_cannot_be_given_the_last_one_are_blended(known):
    cond = {} if known else {NOISY: np.zeros((40, 1), np.float32)}
    values = iter([0.0, *[1.0] * 20])
    roll = unroll(replace(item(400), cond=cond), known, 80, MDCT(10), 0)
    part, given = next(roll)
    try:
        while True:
            assert given is known
            part, given = roll.send(replace(part.data, samples=np.full_like(part.data.samples, next(values))))
    except StopIteration as end:
        whole = end.value.samples[:, 0]
    assert np.all(np.diff(whole) >= -1e-6)
    assert np.abs(np.diff(whole)).max() < 0.1  # from 0 to 1 over the overlap of 20 samples


def test_a_guide_is_told_beside_the_columns():
    items = [replace(item(), cond={"label": w, "age": a}) for w, a in (("10", 20), ("9", 30), ("9", 40))]
    told = Told(Columns.of(items), (MEL, 4))
    label, age, mel = told.specs()
    assert (label.names, age.kind) == (("9", "10"), "scalar")
    assert (mel.kind, mel.size, mel.route) == ("dense", 4, "concat")
    assert Told.load(json.loads(json.dumps(told.plain()))) == told
    encoded = told.encode([items[0], replace(item(), cond={MEL: np.ones((3, 4))})], 5)
    assert encoded["label"].present.tolist() == [True, False]
    assert encoded[MEL].value.sum(2).tolist()[1] == [4, 4, 4, 0, 0]
    with pytest.raises(ValueError, match=r"condition 'mel' takes arrays \(tokens, 4\), found \(3, 5\)"):
        told.encode([replace(item(), cond={MEL: np.ones((3, 5))})], 5)
