"""Any frame of any film, however it is come to, is that frame; what is held does not grow with the film."""

import pickle
import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
import av
from ornstein.core.modality import BadItem
from ornstein.core.sources import file_at, open_source
from ornstein.modalities.video import reading
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.decoding import film_frames, film_header
from ornstein.modalities.video.fitting import Fit, to_channels
from ornstein.modalities.video.formats import FILMS
from ornstein.modalities.video.reading import OnFile
from some_films import CODECS, FIT, counted, numbers, read, write_film


@pytest.mark.parametrize("ending", CODECS)
def test_frames_are_found_by_number_whatever_came_before(tmp_path, ending):
    path = write_film(tmp_path / f"a.{ending}", counted(50), gop=10)
    assert film_header(file_at(path)).rate == 25
    assert numbers(film_frames(file_at(path), range(50), FIT)) == list(range(50))
    random.seed(0)
    for _ in range(20):
        wanted = sorted(random.choices(range(50), k=6))  # some more than once
        assert numbers(film_frames(file_at(path), wanted, FIT)) == wanted


def test_frames_left_out_by_the_decoder_do_not_change_the_others(shared_data):
    fit, rng = Fit(32, 32), np.random.default_rng(0)
    films = [row.file for row in open_source(shared_data / "video" / "misc_clips", FILMS).rows()]
    for file in films:
        n = min(len(film_header(file).times), 60)
        with av.open(str(file.store.path / file.name)) as container:
            plain = [
                fit(frame, film_header(file).aspect)
                for frame, _ in zip(container.decode(video=0), range(n), strict=False)
            ]
        for stride in (1, 3, 7):
            wanted = np.arange(rng.integers(0, n - 14), n, stride)
            np.testing.assert_array_equal(film_frames(file, wanted, fit), np.stack(plain)[wanted], err_msg=file.name)


def test_neighbouring_clips_cost_one_decoding(tmp_path, monkeypatch):
    path, gone = write_film(tmp_path / "a.mp4", counted(48), gop=48), []
    from ornstein.modalities.video.decoding import Film

    plain = Film._go
    monkeypatch.setattr(Film, "_go", lambda film, key: (gone.append(key), plain(film, key)))
    for first in (0, 16, 32):
        assert numbers(film_frames(file_at(path), range(first, first + 16), FIT)) == list(range(first, first + 16))
    assert not gone
    film_frames(file_at(path), [5], FIT)
    assert gone == [0]


# Sizes, pixels, turns.


def marked(height=40, width=80):
    """White at the top left, black elsewhere."""
    frames = np.zeros((3, height, width, 3), np.uint8)
    frames[:, : height // 2, : width // 2] = 255
    return frames


@pytest.mark.parametrize(("angle", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))])
def test_the_turn_that_a_camera_noted_is_made(tmp_path, angle, corner):
    path = write_film(tmp_path / "a.mp4", marked(), rotation=angle or None)  # counterclockwise
    shape = (80, 40) if angle in (90, -90) else (40, 80)
    clip = read(path, fit=Fit(*shape, 1, "pad"))
    halves = clip.frames[1, :, :, 0].reshape(2, shape[0] // 2, 2, shape[1] // 2).mean((1, 3))
    assert (halves > 200).nonzero() == corner
    assert (halves < 50).sum() == 3


def test_oblong_pixels_are_shown_as_players_show_them(tmp_path):
    path = write_film(tmp_path / "a.mkv", marked(40, 40), aspect=Fraction(2, 1))
    frames = read(path, fit=Fit(40, 80, 1, "pad")).frames[1, ..., 0]
    assert frames[:18, :38].min() > 200  # twice as wide as it is stored
    assert frames[:18, 44:].max() < 50


def test_frames_are_cut_stretched_or_barred():
    frame = np.full((20, 40, 3), 200, np.uint8)
    frame[:, :10] = frame[:, 30:] = 10
    assert Fit(20, 20, 3, "crop").pixels(frame).tolist() == frame[:, 10:30].tolist()
    stretched = Fit(20, 20, 1, "stretch").pixels(frame)[..., 0]
    assert stretched[:, :4].max() < 15
    assert stretched[:, 6:14].min() > 195
    barred = Fit(40, 40, 1, "pad").pixels(frame)[..., 0]
    assert barred[:10].max() == barred[30:].max() == 0
    assert barred[10:30].min() >= 9


def test_smaller_frames_are_means_of_areas():
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = Fit(8, 8).pixels(frame).astype(float)
    np.testing.assert_allclose(found, frame.reshape(8, 8, 8, 8, 3).mean((1, 3)), atol=1.5)


def test_values_are_kept_where_nothing_is_to_be_done(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)
    write_film(tmp_path / "a.mkv", colour, codec="ffv1")
    np.testing.assert_array_equal(read(tmp_path / "a.mkv", fit=Fit(24, 32)).frames, colour)
    grey = np.repeat(colour[..., :1], 3, -1)
    write_film(tmp_path / "b.mkv", grey, codec="ffv1")
    np.testing.assert_array_equal(read(tmp_path / "b.mkv", fit=Fit(24, 32, 1)).frames, colour[..., :1])
    assert to_channels(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 1).ravel().tolist() == [76, 150, 29]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"height": 0}, "height=0"),
        ({"channels": 4}, "channels=4"),
        ({"resize": "fit"}, "resize='fit'.*crop, stretch, pad"),
    ],
)
def test_options_of_fitting_are_checked(options, why):
    with pytest.raises(ValueError, match=why):
        Fit(**{"height": 8, "width": 8, **options})


# What is held.


def test_frames_on_file_are_decoded_when_they_are_asked_for(tmp_path, monkeypatch):
    calls, plain = [], reading.frames
    monkeypatch.setattr(reading, "frames", lambda *args: (calls.append(1), plain(*args))[1])
    monkeypatch.setattr(reading, "_kept", reading._Kept(20 * FIT.height * FIT.width))  # room for one clip of 16
    clips = [read(write_film(tmp_path / f"{k}.mp4", counted(16))) for k in range(2)]
    assert len(calls) == 2  # once each, to know that they can be
    assert clips[1].shape == (16, 24, 32, 1)
    assert numbers(clips[1].frames) == list(range(16))
    assert len(calls) == 2  # kept
    assert numbers(pickle.loads(pickle.dumps(clips[0])).frames) == list(range(16))
    assert len(calls) == 3  # it had made room for the other
    assert reading._kept.size <= reading._kept.limit
    clips[0].frames[:] = 0
    assert numbers(clips[0].frames) == list(range(16))  # each gets a copy
    later = replace(clips[0], start=3.0)
    assert isinstance(later, Clip)
    assert later.start == 3


def test_a_film_that_is_gone_when_it_is_asked_for_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_kept", reading._Kept(0))
    clip = read(write_film(tmp_path / "a.mp4", counted(8)))
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(BadItem, match=r"a\.mp4: is empty"):
        clip.frames  # noqa: B018


@pytest.mark.parametrize(
    ("frames", "fps", "why"),
    [
        (np.zeros((4, 4, 4)), 1, "float64"),
        (np.zeros((4, 4, 4, 2), np.uint8), 1, "C of 1 or 3"),
        (np.zeros((0, 4, 4, 1), np.uint8), 1, "shape"),
        (np.zeros((4, 4, 4, 1), np.uint8), 0, "positive"),
    ],
)
def test_a_clip_is_checked(frames, fps, why):
    with pytest.raises(ValueError, match=why):
        Clip(frames, fps, name="a")


_CRASH = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ornstein.core.modality import Item
from ornstein.modalities.video.clip import Clip
from torch.utils.data import DataLoader

class Fatal:
    shape = (4, 8, 8, 3)
    def __call__(self):  # as a fault in native code does, it takes its process down with it
        os.kill(os.getpid(), signal.SIGSEGV)

class Frames:
    clips = [Clip(np.zeros((4, 8, 8, 3), np.uint8), 25.0), Clip(Fatal(), 25.0)]
    def __len__(self):
        return 8
    def __getitem__(self, k):
        return self.clips[k == 5].frames

for batch in DataLoader(Frames(), num_workers=2):
    print(batch.shape)
"""


def test_a_decoder_that_crashes_in_a_worker_ends_the_run_and_does_not_hang_it():
    run = subprocess.run([sys.executable, "-c", _CRASH], capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert "egmentation fault encountered in worker" in run.stderr


_MEMORY = """
import re, sys
from pathlib import Path
from ornstein.core.sources import Row, file_at
from ornstein.modalities.video import reading
from ornstein.modalities.video.fitting import Fit
from ornstein.modalities.video.windows import Cutting
reading._kept.limit = 2**20
rows = Cutting(16).rows([Row(file_at(Path(sys.argv[1])), {})], (0.8, 0.1, 0.1))
items = [reading.Reading(Fit(32, 32)).read(row.file, row.values) for row in rows]
print(len(items), re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the largest memory of a process is read from /proc")
def test_memory_does_not_grow_with_the_length_of_the_film(tmp_path):
    found = {}
    for n in (200, 1000):
        path = write_film(tmp_path / f"{n}.avi", np.repeat(counted(50, 240, 320), n // 50, 0), gop=50)
        out = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _MEMORY, path], capture_output=True, text=True, check=True
        )
        found[n] = [int(word) for word in out.stdout.split()]
    print(found)
    assert found[1000][0] == 50 + 2 * 7
    assert found[1000][1] - found[200][1] < 20_000  # kB; decoded it is 184,000 more


def test_frames_on_file_have_their_shape_before_they_are_decoded(tmp_path):
    assert OnFile(file_at(tmp_path / "none.mp4"), np.arange(5), Fit(8, 12, 3)).shape == (5, 8, 12, 3)
