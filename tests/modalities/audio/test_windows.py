"""Rates, channels and windows: a window is that part of the whole recording, and nothing is lost in silence."""

import io
import warnings
from itertools import pairwise

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, file_at, open_source, split

pytest.importorskip("soundfile")
pytest.importorskip("torchaudio")
import soundfile as sf
from ornstein.modalities.audio import formats, resampling
from ornstein.modalities.audio.formats import EXTENSIONS
from ornstein.modalities.audio.reading import Reading
from ornstein.modalities.audio.resampling import length, mixed, resample, span
from ornstein.modalities.audio.windows import REFUSED, START, STOP, Cutting

SHARES = (0.8, 0.1, 0.1)


def noise(frames, channels=1, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (frames, channels)).astype(np.float32)


def recordings(*lengths, rate=1000, channels=1, values=None):
    """Files that count their samples in steps of 2^-20, exact in float32."""
    files = {}
    for i, frames in enumerate(lengths):
        content = io.BytesIO()
        x = np.repeat(np.arange(frames, dtype=np.float32)[:, None] * 2.0**-20, channels, 1)
        sf.write(content, x, rate, format="WAV", subtype="FLOAT")
        files[f"{i}.wav"] = content.getvalue()
    store = Memory("m", files)
    return [Row(File(name, store), dict(values or {})) for name in files]


def counts(rows, rate=1000):
    """The numbers of the samples in each item."""
    items = (Reading(rate).read(row.file, row.values) for row in rows)
    return [np.rint(item.data.samples[:, 0] * 2.0**20).astype(int) for item in items]


# Rates.


@pytest.mark.parametrize(
    ("source", "target"), [(44100, 16000), (8000, 16000), (192000, 16000), (22050, 24000), (16001, 16000)]
)
def test_a_sine_stays_that_sine_at_any_rate(source, target):
    t, hertz = np.arange(source) / source, 440.0
    found = resample(np.sin(2 * np.pi * hertz * t)[:, None].astype(np.float32), source, target)
    assert found.shape == (target, 1)
    assert found.dtype == np.float32
    wanted = np.sin(2 * np.pi * hertz * np.arange(target) / target)
    inner = slice(target // 10, -target // 10)
    assert np.abs(found[inner, 0] - wanted[inner]).max() < 3e-3


def test_what_the_lower_rate_cannot_hold_is_taken_out():
    t = np.arange(44100) / 44100
    high = np.sin(2 * np.pi * 12_000 * t)[:, None].astype(np.float32)
    inner = resample(high, 44100, 16000)[1000:-1000]
    assert np.sqrt(np.square(inner).mean()) < 0.002


def test_one_rate_is_no_change():
    x = noise(100)
    assert resample(x, 8000, 8000) is x


@pytest.mark.parametrize(("source", "target"), [(44100, 16000), (8000, 16000), (22050, 16000), (48000, 44100)])
def test_both_ways_of_resampling_are_one_filter(source, target):
    x, common = noise(5000, 2), np.gcd(source, target)
    ours = resampling._polyphase(x, target // common, source // common)
    np.testing.assert_allclose(resample(x, source, target), ours, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target"), [(44100, 16000), (8000, 16000), (22050, 16000), (16000, 44100), (16001, 16000), (8000, 8000)]
)
def test_a_part_of_the_resampled_is_the_part_resampled(source, target):
    x = noise(60_000)
    whole = resample(x, source, target)
    assert len(whole) == length(len(x), source, target)
    for start, stop in [(0, 500), (1, 900), (9_999, 12_345), (len(whole) - 700, len(whole))]:
        first, last, skip = span(start, stop, source, target)
        part = resample(x[first:last], source, target)[skip : skip + stop - start]
        np.testing.assert_allclose(part, whole[start:stop], atol=1e-6)


# Channels.


def test_channels_are_mixed_as_asked():
    x = np.array([[1.0, 0.0], [0.5, -0.5]], np.float32)
    assert mixed(x, 1, "mean").tolist() == [[0.5], [0.0]]
    assert mixed(x, 1, "left").tolist() == [[1.0], [0.5]]
    assert mixed(x, 1, "right").tolist() == [[0.0], [-0.5]]
    assert mixed(x[:, :1], 2, "mean").tolist() == [[1.0, 1.0], [0.5, 0.5]]
    assert mixed(x, 2, "left") is x


def test_six_channels_at_192_khz_become_one_and_not_two(tmp_path):
    x = np.zeros((19_200, 6), np.float32)
    x[:, 2] = 0.6
    sf.write(tmp_path / "six.wav", x, 192_000, subtype="PCM_24")
    file = file_at(tmp_path / "six.wav")
    clip = Reading(16000).read(file, {}).data
    assert clip.samples.shape == (1600, 1)
    np.testing.assert_allclose(clip.samples[100:-100], 0.1, atol=1e-3)
    with pytest.raises(BadItem, match=r"has 6 channels, .* take modality.channels=1"):
        Reading(16000, channels=2).read(file, {})


# Windows.


def test_windows_cover_a_recording_and_the_last_ends_with_it():
    found = counts(Cutting(1000, 1.0).rows(recordings(3400, 3000), SHARES))
    assert [(w[0], w[-1] + 1) for w in found] == [
        (0, 1000),
        (1000, 2000),
        (2000, 3000),
        (2400, 3400),
        (0, 1000),
        (1000, 2000),
        (2000, 3000),
    ]
    assert all((np.diff(w) == 1).all() for w in found)


def test_a_hop_makes_windows_overlap():
    found = counts(Cutting(1000, 1.0, hop=0.25).rows(recordings(2100, 10), SHARES))
    assert [w[0] for w in found] == [0, 250, 500, 750, 1000, 1100, 0]


@pytest.mark.parametrize("held", [2**26, 2**10], ids=["held", "large"])
def test_windows_of_another_rate_join_to_the_whole_recording(tmp_path, monkeypatch, held):
    monkeypatch.setattr(formats, "_HELD", held)
    x = noise(50_000, 2)
    sf.write(tmp_path / "a.flac", x, 22050)
    sf.write(tmp_path / "b.flac", x, 22050)
    rows = Cutting(16000, 0.5).rows(open_source(tmp_path, EXTENSIONS).rows(), SHARES)
    whole = Reading(16000).read(rows[0].file, {}).data
    parts = [Reading(16000).read(row.file, row.values).data for row in rows if row.file.name == "a.flac"]
    assert (len(parts), len(whole.samples)) == (5, 36_282)
    for part in parts:
        start = round(part.start * 16000)
        np.testing.assert_allclose(part.samples, whole.samples[start : start + 8000], atol=1e-6)
        assert part.seconds == pytest.approx(50_000 / 22050)
    assert parts[-1].start + parts[-1].duration == pytest.approx(whole.duration)
    assert parts[1].name == "a.flac[8000:16000]"


def test_shorter_ones_keep_their_length_or_are_refused_by_name():
    rows = recordings(400, 1000)
    assert [len(w) for w in counts(Cutting(1000, 1.0).rows(rows, SHARES))] == [400, 1000]
    refused, whole = Cutting(1000, 1.0, short="refuse").rows(rows, SHARES)
    assert REFUSED not in whole.values
    with pytest.raises(BadItem, match=r"0.wav: lasts 0.4 s, and a window 1 s: shorter ones are refused"):
        Reading(1000).read(refused.file, refused.values)


def test_longer_ones_are_cropped_aloud_or_refused_by_name():
    rows = recordings(1600, 1000, 61_000)
    with pytest.warns(UserWarning, match=r"2 of 3 recordings are longer than .*, and 1.01 minutes are not"):
        found = counts(Cutting(1000, 1.0, long="crop").rows(rows, SHARES))
    assert [(w[0], len(w)) for w in found] == [(0, 1000)] * 3
    refused = Cutting(1000, 1.0, long="refuse").rows(rows, SHARES)
    assert [REFUSED in row.values for row in refused] == [True, False, True]
    with pytest.raises(BadItem, match=r"lasts 1.6 s, and a window 1 s: longer ones are refused"):
        Reading(1000).read(refused[0].file, refused[0].values)


def test_a_file_that_cannot_be_opened_is_one_bad_item_and_stops_nothing():
    store = Memory("m", {"a.wav": b"words", "b.wav": recordings(500)[0].file.read()})
    rows = Cutting(1000, 0.25).rows([Row(File(name, store)) for name in store.names()], SHARES)
    assert [row.file.name for row in rows] == ["a.wav", "b.wav", "b.wav"]
    with pytest.raises(BadItem, match="begins with b'words'"):
        Reading(1000).read(rows[0].file, rows[0].values)


def test_windows_of_a_recording_stay_in_one_part_and_an_official_split_is_obeyed():
    parts = split(Cutting(1000, 0.5).rows(recordings(*[2000] * 60), SHARES), 0, SHARES)
    names = {part: {row.file.name for row in rows} for part, rows in parts.items()}
    assert sum(map(len, names.values())) == 60
    assert all(len(rows) == 4 * len(names[part]) > 0 for part, rows in parts.items())
    official = split(Cutting(1000, 0.5).rows(recordings(2000, values={"split": "train"}), SHARES), 0, (1.0, 0.0, 0.0))
    assert [len(rows) for rows in official.values()] == [4, 0, 0]


def test_a_single_recording_is_divided_by_time_and_no_window_crosses_a_border():
    with pytest.warns(UserWarning, match=r"0.wav is the only recording: its parts are stretches of it"):
        parts = split(Cutting(1000, 0.5, hop=0.2).rows(recordings(20_300), SHARES), 0, SHARES)
    seen = {part: set(np.concatenate(counts(rows))) for part, rows in parts.items()}
    assert seen["train"] == set(range(16_240))
    assert seen["validation"] == set(range(16_240, 18_270))
    assert seen["test"] == set(range(18_270, 20_300))
    with pytest.raises(
        ValueError, match=r"is the only recording and lasts 2 s: by data.split=\[0.8, 0.1, 0.1\] some part is shorter"
    ):
        Cutting(1000, 0.5).rows(recordings(2000), SHARES)


def test_given_files_stay_whole():
    rows = recordings(5000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = Cutting(1000, 1.0, long="refuse").rows(rows, None)
    assert given == rows
    assert len(counts(given)[0]) == 5000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0}, "modality.rate=0"), ({"seconds": 0.0}, "modality.seconds=0.0"),
        ({"seconds": float("inf")}, "modality.seconds=inf"), ({"hop": 1e-9}, "modality.hop=1e-09"),
        ({"hop": 2.0}, "what lies between is lost"), ({"hop": 0.5, "long": "crop"}, "makes none"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Cutting(**{"rate": 1000, "seconds": 1.0, **options})


def test_windows_of_the_real_recordings_cover_them(shared_data):
    rows = open_source(shared_data / "audio" / "librosa_examples", EXTENSIONS, label_column="kind").rows()
    cut = Cutting(16000, 2.0).rows(rows, SHARES)
    by_file = {row.file.name: [r for r in cut if r.file.name == row.file.name] for row in rows}
    for row in rows:
        places = [(each.values[START], each.values[STOP]) for each in by_file[row.file.name]]
        assert places[0][0] == 0
        assert all(stop - start == 32_000 for start, stop in places)
        assert all(b[0] <= a[1] for a, b in pairwise(places))
        whole = Reading(16000).read(row.file, {}).data.samples
        assert places[-1][1] == len(whole)
        for each in by_file[row.file.name][::7]:
            part = Reading(16000).read(each.file, each.values).data.samples
            np.testing.assert_allclose(part, whole[each.values[START] : each.values[STOP]], atol=2e-6)
