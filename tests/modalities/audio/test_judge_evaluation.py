"""The lines of a report: which are declared, what planted faults do to them, and one small report on tones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from ornstein.core.evaluation import evaluate
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.core.modality import Item
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.data import Tones
from ornstein.modalities.audio.evaluation import Trained, audio_metrics, clipped_share
from ornstein.modalities.audio.formats import samples as read_samples
from ornstein.modalities.audio.known import Band

RATE = 16_000
PITCHES = tuple(map(str, range(48, 72)))
DIGITS = Trained(8000, 8000, 1200, {"label": tuple("0123456789"), "speaker": ("a", "b")})
SUITE = ["FID", "IS", "AM", "mIS", "NDB"]
PAIRED = ["MR-STFT", "log-spectral distance, dB", "MCD, dB", "F0 error, cents", "voicing error", "SI-SDR, dB"]


def names(task, trained):
    return [spec.name for spec in audio_metrics(task, trained)]


def judged(clips, cond=None, **more):
    return Judged(clips, cond or [{} for _ in clips], list(map(str, range(len(clips)))), **more)


def value(name, trained, ours, train, held=None, task="unconditional"):
    spec = {spec.name: spec for spec in audio_metrics(task, trained)}[name]
    held = held or train
    fitted = spec.extractor and spec.extractor.fit(train, held, seed=0, device="cpu", track=lambda *_: lambda: None)
    return spec.compute(ours, train, Context(held, fitted, 0))


def test_lines_are_told_apart_and_each_class_has_a_judge():
    found = names("unconditional", DIGITS)
    assert len(set(found)) == len(found)
    assert found[:5] == SUITE
    assert {"label recognised", "speaker recognised", "FAD, log-mel", "silent clips", "clipping", "near copies"} <= set(
        found
    )
    assert not {"pitch within 50 cents", *PAIRED} & set(found)


def test_classes_that_cannot_be_learnt_have_no_judge():
    bare = names("unconditional", replace(DIGITS, classes={}))
    assert not set(SUITE) & set(bare)
    assert bare[0] == "Fréchet distance"
    assert names("unconditional", replace(DIGITS, classes={"label": ("one",)})) == bare
    captions = {"caption": tuple(map(str, range(1000)))}
    assert names("unconditional", replace(DIGITS, classes=captions)) == bare


def test_the_suite_is_of_the_label_whatever_stands_before_it():
    for classes in ({"accent": "ab", "label": "01"}, {"label": "01", "accent": "ab"}):
        spec = audio_metrics("unconditional", replace(DIGITS, classes=classes))[0]
        assert spec.extractor.name == "label classifier"


@pytest.mark.parametrize("task", ["inpaint", "continue", "widen", "vocode", "denoise"])
def test_tasks_are_judged_pair_by_pair(task):
    specs = {spec.name: spec for spec in audio_metrics(task, DIGITS)}
    assert list(specs)[: len(PAIRED)] == PAIRED
    assert all(specs[name].needs_given for name in (*PAIRED, "change of given samples"))
    assert [name for name in specs if specs[name].better == "higher"] == ["SI-SDR, dB"]


def test_pitches_are_judged_where_they_are_midi_numbers():
    by_class = names("unconditional", replace(DIGITS, classes={"pitch": PITCHES}))
    by_number = names("unconditional", replace(DIGITS, classes={}, numbers=("pitch",)))
    by_word = names("unconditional", replace(DIGITS, classes={"pitch": ("low", "high")}))
    assert "pitch within 50 cents" in by_class
    assert "pitch within 50 cents" in by_number
    assert "pitch within 50 cents" not in by_word


@dataclass
class Tone:
    """One of the embedded tones."""

    clip: Clip
    told: Mapping[str, Any]


@pytest.fixture(scope="module")
def tones():
    """Every 12th of the embedded tones."""
    return [Tone(Clip(read_samples(row.file), RATE, name=row.file.name), row.values) for row in Tones().rows()[::12]]


def test_every_embedded_tone_sounds_at_the_pitch_it_was_asked_for(tones):
    tones, trained = tones[::7], Trained(RATE, 8000, 2880, {"pitch": PITCHES})
    cond = [{"pitch": PITCHES.index(tone.told["pitch"])} for tone in tones]
    ours = judged([tone.clip for tone in tones], cond)
    assert value("pitch within 50 cents", trained, ours, ours) == 1
    assert value("pitch error, cents", trained, ours, ours) < 6  # they are up to 5 cents out of tune
    semitone = judged(ours.samples, [{"pitch": (values["pitch"] + 1) % 24} for values in cond])
    assert value("pitch within 50 cents", trained, semitone, ours) == 0
    numbers = judged(ours.samples, [{"pitch": float(tone.told["pitch"])} for tone in tones])
    by_number = Trained(RATE, 8000, 2880, {}, ("pitch",))
    assert value("pitch within 50 cents", by_number, numbers, ours) == 1


def test_noise_of_no_pitch_is_out_of_tune():
    rng = np.random.default_rng(0)
    noise = judged([Clip(rng.standard_normal((8000, 1)).astype(np.float32) / 9, RATE)] * 3, [{"pitch": 3}] * 3)
    trained = Trained(RATE, 8000, 2880, {"pitch": PITCHES})
    assert value("pitch within 50 cents", trained, noise, noise) == 0
    assert value("pitch error, cents", trained, noise, noise) == math.inf  # a report leaves it empty


def clip(wave, rate=8000):
    return Clip(np.asarray(wave, np.float32).reshape(len(wave), -1), rate)


def test_silence_and_clipping_are_counted():
    loud, quiet = np.full(800, 0.5), np.zeros(800)
    loud[::2] *= -1
    train = judged([clip(np.concatenate([loud, quiet]))] * 4)
    trained = replace(DIGITS, rate=8000)
    assert value("silence", trained, train, train) == 0
    ours = judged([clip(np.concatenate([loud, loud])), clip(np.concatenate([quiet, quiet]))])
    assert value("silence", trained, ours, train) == 0
    assert value("silent clips", trained, ours, train) == 0.5
    assert value("silence", trained, ours.take([0]), train) == 0.5
    assert clipped_share(clip([0.5, 1.0, -1.2, 0.99])) == 0.5
    assert value("clipping", trained, judged([clip([0.5, 1.0]), clip([0, 0.1])]), train) == 0.25


def test_noise_at_40_20_0_decibels_moves_silence_and_clipping():
    fade = np.repeat([1.0, 0.0], 4000)
    wave = 0.9 * np.sin(np.arange(8000) / 5) * fade

    def noisy(decibels):
        noise = np.random.default_rng(0).standard_normal(8000)
        return judged([clip(wave + wave.std() * noise * 10 ** (-decibels / 20))])

    train, sets = judged([clip(wave)]), [noisy(math.inf), noisy(40), noisy(20), noisy(0)]
    for name in ("silence", "clipping"):
        found = [value(name, DIGITS, each, train) for each in sets]
        assert found[0] == 0
        assert found == sorted(found)
        assert found[-1] > 0.05


def bursts(n, seed):
    """Tones that begin and end at random."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        t = np.arange(4000) / 8000
        inside = (t > rng.uniform(0, 0.2)) & (t < rng.uniform(0.3, 0.5))
        out.append(clip(rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * rng.uniform(100, 3000) * t) * inside))
    return judged(out)


def test_copies_are_found_even_when_phases_differ_and_noise_moves_them_away():
    train, held = bursts(60, 0), bursts(60, 1)
    trained = Trained(8000, 4000, 60, {})
    turned = []
    for each in train.samples[:30]:  # every frequency turned by a quarter: another waveform, the same sound
        spectrum = np.fft.rfft(each.samples[:, 0])
        turned.append(clip(np.fft.irfft(1j * spectrum, 4000)))
    assert value("near copies", trained, train.take(range(30)), train, held) == 1
    assert value("near copies", trained, judged(turned), train, held) > 0.9
    assert value("near copies", trained, bursts(60, 2), train, held) < 0.2
    assert value("authenticity", trained, train.take(range(30)), train, held) == 0
    rng = np.random.default_rng(0)
    far = [
        judged(
            [
                clip(c.samples[:, 0] + c.samples.std() * 10 ** (-d / 20) * rng.standard_normal(4000))
                for c in train.samples
            ]
        )
        for d in (40, 20, 0)
    ]
    shares = [value("near copies", trained, each, train, held) for each in far]
    assert shares == sorted(shares, reverse=True)


def given(true, ours, known):
    return judged([clip(ours)], given=[Item(clip(true), {}, "true")], known=[known])


def test_only_what_was_made_is_compared_and_what_was_given_must_stay():
    rng = np.random.default_rng(0)
    true = 0.1 * rng.standard_normal(8000)
    known = np.ones(8000, bool)
    known[3000:5000] = False
    ours = true.copy()
    ours[3000:5000] += 0.1 * rng.standard_normal(2000)
    pasted = given(true, ours, known)
    assert value("SI-SDR, dB", DIGITS, pasted, pasted, task="inpaint") == pytest.approx(0, abs=1)
    assert value("change of given samples", DIGITS, pasted, pasted, task="inpaint") == 0
    ours[2990] += 0.25
    moved = given(true, ours, known)
    assert value("change of given samples", DIGITS, moved, moved, task="inpaint") == pytest.approx(0.25, rel=1e-5)
    faded = replace(DIGITS, fade=20)  # such a sample lies in the cross-fade, where change is stated
    assert value("change of given samples", faded, moved, moved, task="inpaint") == 0


def test_a_band_that_was_given_must_stay():
    rng, t = np.random.default_rng(0), np.arange(8000) / 8000
    true = 0.1 * rng.standard_normal(8000)
    above = given(true, true + 0.2 * np.sin(2 * np.pi * 3000 * t), Band(0.5))
    below = given(true, true + 0.2 * np.sin(2 * np.pi * 1000 * t), Band(0.5))
    assert value("change of given samples", DIGITS, above, above, task="widen") < 1e-6
    assert value("change of given samples", DIGITS, below, below, task="widen") == pytest.approx(0.2, rel=1e-3)


def test_every_paired_line_is_best_for_the_truth_and_worse_with_noise_at_40_20_0_decibels():
    t = np.arange(8000) / 8000
    phase = 2 * np.pi * (120 * t + 20 * t**2)
    true = 0.2 * sum(np.sin(k * phase) / k for k in range(1, 12)) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))
    noise = np.random.default_rng(0).standard_normal(8000) * true.std()
    sets = [given(true, true + noise * 10 ** (-d / 20), None) for d in (math.inf, 40, 20, 0)]
    best = dict.fromkeys(PAIRED, 0.0) | {"SI-SDR, dB": 100.0}
    for name in PAIRED:
        found = [value(name, DIGITS, each, each, task="denoise") for each in sets]
        assert found[0] == best[name]
        assert found == sorted(found, reverse=name == "SI-SDR, dB"), name
        assert found[3] != found[1], name


def test_a_silent_truth_leaves_si_sdr_undefined_and_a_wrong_length_is_refused():
    silent = given(np.zeros(4000), 0.1 * np.ones(4000), None)
    assert math.isnan(value("SI-SDR, dB", DIGITS, silent, silent, task="denoise"))
    short = given(np.ones(4000), np.ones(3999), None)
    with pytest.raises(ValueError, match="true: the given clip is"):
        value("MR-STFT", DIGITS, short, short, task="denoise")


@pytest.mark.slow
def test_a_report_on_tones_puts_each_line_where_it_belongs(tones):
    """Copies of the held-out tones as samples: what a perfect model reaches, and a floor that is far from it."""
    from ornstein.modalities.audio import Audio

    audio = Audio(rate=RATE, seconds=0.5, columns=["timbre", "pitch"], labels=False)
    items = [Item(tone.clip, {k: tone.told[k] for k in ("timbre", "pitch")}, tone.clip.name) for tone in tones]
    order = np.random.default_rng(0).permutation(len(items))
    train, held = [items[i] for i in order[:180]], [items[i] for i in order[180:]]
    audio.fit(train)
    report = evaluate(audio, [i.data for i in held], [i.cond for i in held], train, held, repeats=3, progress=False)
    rows = {row["metric"]: row for row in report.rows}
    assert rows["pitch within 50 cents"]["ours"]["value"] == rows["pitch within 50 cents"]["real"]["value"] == 1
    assert rows["pitch within 50 cents"]["floor"]["value"] < 0.9
    assert rows["timbre recognised"]["ours"]["value"] > 0.9
    for name in ("FID", "FAD, log-mel", "AM"):
        assert rows[name]["floor"]["value"] > rows[name]["real"]["value"]
    assert rows["silent clips"]["ours"]["value"] == 0
    assert rows["near copies"]["ours"]["value"] <= 0.25  # held-out tones are no copies
