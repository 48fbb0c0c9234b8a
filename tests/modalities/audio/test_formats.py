"""Files of every format to samples: exact where the format is, found out where the file is not what it says."""

import csv
import io
import struct
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, file_at, open_source, read_all

pytest.importorskip("soundfile")
import soundfile as sf
from ornstein.modalities.audio import formats, libraries
from ornstein.modalities.audio.formats import EXTENSIONS, header, samples
from ornstein.modalities.audio.headers import says_length
from ornstein.modalities.audio.reading import Reading

RATE = 8000


def tone(seconds=1.0, rate=RATE, channels=1, hertz=300.0):
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * (hertz + 100 * k) * t) for k in range(channels)], 1).astype(np.float32)


def encoded(x, rate=RATE, kind="WAV", subtype=None):
    content = io.BytesIO()
    sf.write(content, x, rate, format=kind, subtype=subtype)
    return content.getvalue()


def memory(content, name="x.wav"):
    return File(name, Memory("m", {name: content}))


def on_disk(folder, content, name="x.wav"):
    (folder / name).write_bytes(content)
    return file_at(folder / name)


def half(content):
    return content[: len(content) // 2]


def without_length(mp3):
    """The same frames without the first, which holds the Xing table."""
    return mp3[mp3.index(mp3[:2], 4) :]


# What is read.


@pytest.mark.parametrize(
    ("kind", "subtype", "step"),
    [
        ("WAV", "PCM_U8", 2**-7), ("WAV", "PCM_16", 2**-15), ("WAV", "PCM_24", 2**-23), ("WAV", "PCM_32", 2**-24),
        ("WAV", "FLOAT", 0), ("WAV", "DOUBLE", 0), ("FLAC", "PCM_16", 2**-15), ("FLAC", "PCM_24", 2**-23),
        ("AIFF", "PCM_S8", 2**-7), ("AIFF", "PCM_16", 2**-15), ("AIFF", "FLOAT", 0),
    ],
)  # fmt: skip
def test_lossless_formats_are_off_by_no_more_than_a_step(tmp_path, kind, subtype, step):
    x = tone(channels=2)
    for file in (
        memory(encoded(x, kind=kind, subtype=subtype)),
        on_disk(tmp_path, encoded(x, kind=kind, subtype=subtype)),
    ):
        found = samples(file)
        assert (header(file).rate, header(file).channels, header(file).frames) == (RATE, 2, RATE)
        assert found.dtype == np.float32
        assert np.abs(found - x).max() <= step
        assert step == 0 or np.abs(found - x).max() > 0  # the depth is what it says


@pytest.mark.parametrize(("kind", "name"), [("OGG", "x.ogg"), ("MP3", "x.mp3")])
def test_lossy_formats_keep_length_place_and_sound(kind, name):
    x = tone(2.0, 16000)
    found = samples(memory(encoded(x, 16000, kind), name))
    assert found.shape == x.shape
    assert np.square(found - x).mean() < 0.01 * np.square(x).mean()


@pytest.mark.parametrize("held", [2**26, 2**10], ids=["held", "large"])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "OGG", "MP3"])
def test_a_part_is_that_part_of_the_whole_wherever_the_file_lies(tmp_path, monkeypatch, kind, held):
    monkeypatch.setattr(formats, "_HELD", held)
    x = np.random.default_rng(0).normal(0, 0.1, (60_000, 2)).astype(np.float32)
    content, name = encoded(x, 22050, kind), f"x.{kind.lower()}"
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(name, content)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    files = [memory(content, name), on_disk(tmp_path, content, name)]
    files += [open_source(tmp_path / a, EXTENSIONS).rows()[0].file for a in ("z.zip", "t.tar")]
    whole = samples(files[0])
    assert len(whole) == len(x)
    assert [header(file).direct for file in files] == [
        False,
        held < len(x) and kind in ("WAV", "FLAC", "AIFF"),
        False,
        False,
    ]
    for file in files:
        for start, stop in [(0, 700), (30_123, 41_000), (11, 59_999), (59_990, 60_000), (5_000, 6_000)]:
            np.testing.assert_array_equal(samples(file, start, stop), whole[start:stop])


def test_a_file_that_was_written_again_is_read_again(tmp_path):
    first, second = tone(1.0), tone(0.5)
    np.testing.assert_allclose(samples(on_disk(tmp_path, encoded(first))), first, atol=1e-4)
    np.testing.assert_allclose(samples(on_disk(tmp_path, encoded(second))), second, atol=1e-4)


def test_an_mp3_without_a_table_of_its_length_has_the_length_of_what_is_in_it(tmp_path):
    quiet_then_loud = np.concatenate([tone(2.0) * 0, tone(4.0)])
    bare = without_length(encoded(quiet_then_loud, kind="MP3"))
    assert says_length(io.BytesIO(encoded(tone(), kind="MP3")))
    assert not says_length(io.BytesIO(bare))
    tagged = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 1]) + bytes(257) + bare  # 2 x 128 + 1 bytes of tags
    assert not says_length(io.BytesIO(tagged))
    file = on_disk(tmp_path, bare, "x.mp3")
    with sf.SoundFile(tmp_path / "x.mp3") as sound:
        guess = sound.frames
    assert header(file).frames == len(samples(file)) != guess
    assert abs(header(file).frames - 6 * RATE) < 3000


def test_values_beyond_full_scale_are_kept_and_numbers_of_another_scale_refused():
    beyond = tone() * 3
    np.testing.assert_array_equal(samples(memory(encoded(beyond, subtype="FLOAT"))), beyond)
    with pytest.raises(BadItem, match=r"values to 16384 where full scale is 1"):
        samples(memory(encoded(tone() * 32768, subtype="FLOAT")))


def test_a_size_of_zero_or_of_all_ones_in_a_wav_file_means_up_to_the_end():
    content = bytearray(encoded(tone()))
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert header(memory(bytes(content))).frames == RATE


# Files that are not what they say.


def broken(kind):
    wav = encoded(tone())
    place = wav.index(b"data") + 4
    nan, far = tone(channels=2), tone()
    nan[17, 1] = np.nan
    far[5] = np.inf
    return {
        "empty": (b"", "is empty"),
        "text": (b"these are words, and no sound\n" * 50, "begins with b'these are wo'"),
        "no samples": (encoded(tone(0)), "holds no samples"),
        "one sample": (encoded(tone()[:1]), "holds one sample"),
        "NaN": (encoded(nan, subtype="FLOAT"), "has 1 values that are no finite numbers, the first at sample 17 of channel 1"),
        "infinite": (encoded(far, subtype="FLOAT"), "first at sample 5 of channel 0"),
        "promises more": (wav[:place] + struct.pack("<I", 10**6) + wav[place + 4 :], "1,000,000 bytes .* 16,000 are there"),
        "promises less": (wav[:place] + struct.pack("<I", 1000) + wav[place + 4 :], "15,000 bytes that are no chunk follow"),
        "wav cut": (half(wav), "it may be cut short"),
        "wav without samples": (wav[:30], "no chunk 'data'|cannot be decoded"),
        "aiff cut": (half(encoded(tone(), kind="AIFF")), "it may be cut short"),
        "flac cut": (half(encoded(tone(5), kind="FLAC")), "cannot be decoded|cut short"),
        "ogg cut": (half(encoded(tone(5), kind="OGG")), "last page is not whole"),
        "mp3 cut": (half(encoded(tone(5), kind="MP3")), "of the 40,000 samples that its header promises: it may be cut short"),
        "mp3 cut at once": (encoded(tone(5), kind="MP3")[:100], "cannot be decoded|cut short"),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("place", ["folder", "archive"])
@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "no samples", "one sample", "NaN", "infinite", "promises more", "promises less", "wav cut",
     "wav without samples", "aiff cut", "flac cut", "ogg cut", "mp3 cut", "mp3 cut at once"],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(tmp_path, kind, place):
    content, why = broken(kind)
    name = kind.split()[0] + ".x" if "cut" in kind else "bad.wav"
    file = on_disk(tmp_path, content, name) if place == "folder" else memory(content, name)
    with pytest.raises(BadItem, match=why) as caught:
        samples(file)
    assert name in caught.value.path


def test_no_cut_of_an_ogg_file_passes_for_the_whole():
    whole = encoded(tone(5), kind="OGG")
    for size in np.random.default_rng(0).integers(50, len(whole), 30):
        with pytest.raises(BadItem):
            samples(memory(whole[:size], "x.ogg"))
    assert len(samples(memory(whole, "x.ogg"))) == 5 * RATE


def test_tags_behind_the_samples_and_a_missing_byte_after_odd_ones_are_no_fault():
    wav = encoded(tone()[:801], subtype="PCM_U8")  # an odd number of bytes
    place = wav.index(b"data") + 8
    tags = b"LIST" + struct.pack("<I", 4) + b"INFO"
    for tail in (tags, b"\0" + tags, bytes(20), b""):
        assert len(samples(memory(wav[: place + 801] + tail))) == 801


def test_bad_files_are_counted_and_named_and_too_many_stop_the_run(tmp_path):
    for i in range(9):
        on_disk(tmp_path, encoded(tone(0.1)), f"{i}.wav")
    on_disk(tmp_path, b"words", "bad.wav")
    rows = open_source(tmp_path, EXTENSIONS).rows()
    items, bad = read_all(Reading(RATE), rows, 0.1)
    assert (len(items), [error.path for error in bad]) == (9, [str(tmp_path / "bad.wav")])
    with pytest.raises(ValueError, match=r"1 of 10 files .* more than data.max_bad_share"):
        read_all(Reading(RATE), rows, 0.05)


def test_a_manifest_that_names_missing_files_says_which(tmp_path):
    on_disk(tmp_path, encoded(tone(0.1)), "a.wav")
    (tmp_path / "t.csv").write_text("file,caption,speaker\na.wav,a tone,7\ngone.wav,nothing,8\n")
    with pytest.raises(FileNotFoundError, match=r"names 1 file that .* does not hold: gone.wav"):
        open_source(tmp_path, EXTENSIONS)
    (tmp_path / "t.csv").write_text("file,caption,speaker,label\na.wav,a tone,7,low\n")
    row = open_source(tmp_path, EXTENSIONS).rows()[0]
    item = Reading(RATE, conditions=("caption", "speaker")).read(row.file, row.values)
    assert item.cond == {"caption": "a tone", "speaker": 7, "label": "low"}
    assert Reading(RATE, labels=False).read(row.file, row.values).cond == {}


# The libraries.


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("torchaudio", OSError("undefined symbol: _ZN3c10\nmore"), r"does not load with torch .*\(undefined symbol: _ZN3c10\)"),
        ("torchaudio", RuntimeError("CUDA versions differ"), r"CUDA versions differ.*torchaudio 2.11 fits torch 2.11 to 2.14"),
        ("torchaudio", ModuleNotFoundError("No module named 'torchaudio'"), r"ornstein\[audio\]"),
        ("soundfile", OSError("sndfile library not found"), r"soundfile cannot be used \(sndfile library not found\)"),
    ],
)  # fmt: skip
def test_a_library_that_does_not_fit_is_explained_in_one_line(monkeypatch, name, error, said):
    def fails(_):
        raise error

    monkeypatch.setattr(libraries, "import_module", fails)
    load = getattr(libraries, name)
    load.cache_clear()
    with pytest.raises(ImportError, match=said) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.undo()
    load.cache_clear()
    assert load() is sys.modules[name]


# Real recordings.


def test_every_real_recording_is_read_at_its_rate_channels_and_length(shared_data):
    folder = shared_data / "audio" / "librosa_examples"
    with (folder / "index.csv").open() as table:
        lines = {line["file"]: line for line in csv.DictReader(table)}
    rows = open_source(folder, EXTENSIONS, label_column="kind").rows()
    assert {row.file.name for row in rows} == set(lines)
    for row in rows:
        line, about = lines[row.file.name], header(row.file)
        assert (about.rate, about.channels) == (int(line["sample_rate"]), int(line["channels"]))
        assert about.frames / about.rate == pytest.approx(float(line["seconds"]), abs=0.01)
        x, clip = samples(row.file), Reading(16000).read(row.file, row.values).data
        assert x.shape == (about.frames, about.channels)
        assert clip.samples.shape == (-(-about.frames * 16000 // about.rate), 1)
        power = np.square(x.mean(1)).mean()
        assert 0.5 * power < np.square(clip.samples).mean() <= 1.01 * power  # less what lies above 8 kHz
        if about.rate == 16000:
            np.testing.assert_array_equal(clip.samples, x)


def test_the_real_digits_are_read_from_their_zip(shared_data):
    rows = open_source(shared_data / "audio" / "fsdd", EXTENSIONS, label_column="digit").rows()
    assert len(rows) == 1500
    for row in rows[::50]:
        item = Reading(RATE, conditions=("speaker",)).read(row.file, row.values)
        assert len(item.data.samples) == row.values["samples"]
        assert item.cond == {"label": row.file.name.split("/")[1][0], "speaker": row.values["speaker"]}
    assert isinstance(rows[0], Row)
