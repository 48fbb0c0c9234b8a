"""Clips of films: nothing is lost in silence, and each is that part of the film."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("av")
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, file_at, split
from ornstein.modalities.video.fitting import Fit
from ornstein.modalities.video.reading import Reading
from ornstein.modalities.video.windows import FIRST, REFUSED, STOP, Cutting
from some_films import counted, numbers, read, write_film

SHARES = (0.8, 0.1, 0.1)
FIT = Fit(4, 4, 1)


def films(folder, *lengths, fps=10.0, values=None):
    """Arrays whose frames are their numbers."""
    files = {}
    for i, n in enumerate(lengths):
        path = folder / f"{i}.npz"
        np.savez(path, frames=np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, 4, 4)), fps=fps)
        files[path.name] = path.read_bytes()
    return [Row(File(name, Memory("here", files)), dict(values or {})) for name in files]


def spans(rows):
    return [(row.file.name, row.values[FIRST], row.values[STOP]) for row in rows]


def shown(rows, **options):
    """The numbers of the frames in each item."""
    return [Reading(FIT, **options).read(row.file, row.values).data.frames[:, 0, 0, 0].tolist() for row in rows]


def test_windows_miss_nothing_and_the_last_ends_with_the_film(tmp_path):
    rows = Cutting(4).rows(films(tmp_path, 10, 4), SHARES)
    assert spans(rows) == [("0.npz", 0, 4), ("0.npz", 4, 8), ("0.npz", 6, 10), ("1.npz", 0, 4)]
    assert shown(rows) == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9], [0, 1, 2, 3]]


@pytest.mark.parametrize(("frames", "stride", "hop"), [(4, 1, None), (4, 1, 1), (3, 2, None), (3, 2, 3), (2, 5, None)])
def test_clips_take_every_so_many_frames(tmp_path, frames, stride, hop):
    rows = Cutting(frames, stride=stride, hop=hop).rows(films(tmp_path, 23, 23), SHARES)
    firsts = [row.values[FIRST] for row in rows if row.file.name == "0.npz"]
    assert all(b - a == (hop or frames * stride) for a, b in pairwise(firsts[:-1]))
    assert rows[len(firsts) - 1].values[STOP] == 23
    for row, found in zip(rows, shown(rows, stride=stride), strict=True):
        assert found == [row.values[FIRST] + stride * k for k in range(frames)]


def test_windows_are_counted_at_the_models_rate(tmp_path):
    rows = Cutting(4, fps=5.0).rows(films(tmp_path, 16, 16), SHARES)
    assert spans(rows[:2]) == [("0.npz", 0, 4), ("0.npz", 4, 8)]
    assert shown(rows[:2], fps=5.0) == [[0, 2, 4, 6], [8, 10, 12, 14]]


def test_a_clip_knows_its_rate_its_start_and_its_name(tmp_path):
    rows = Cutting(3, fps=5.0, stride=2).rows(films(tmp_path, 30, 30), SHARES)
    item = Reading(FIT, fps=5.0, stride=2, timing=True).read(rows[1].file, rows[1].values)
    assert (item.data.fps, item.data.start) == (2.5, 1.2)
    assert item.cond == {"fps": 2.5, "start": 1.2}
    assert item.key == item.data.name == "0.npz[6:11]"
    whole = Reading(FIT).read(rows[0].file, {})
    assert (whole.key, whole.cond) == ("0.npz", {})


def test_only_the_beginning_and_what_is_left_is_said(tmp_path):
    with pytest.warns(UserWarning, match=r"1 of 2 films are longer than a clip: .* 6 frames are not"):
        rows = Cutting(4, long="crop").rows(films(tmp_path, 10, 4), SHARES)
    assert spans(rows) == [("0.npz", 0, 4), ("1.npz", 0, 4)]


def test_longer_and_shorter_films_are_refused(tmp_path):
    rows = Cutting(4, long="refuse").rows(films(tmp_path, 10, 4, 3), SHARES)
    assert [REFUSED in row.values for row in rows] == [True, False, True]
    with pytest.raises(BadItem, match=r"here!0\.npz: has 10 frames, and a clip takes 4: longer ones are refused"):
        Reading(FIT).read(rows[0].file, rows[0].values)
    with pytest.raises(BadItem, match=r"here!2\.npz: has 3 frames, and a clip takes 4: leave it out"):
        Reading(FIT).read(rows[2].file, rows[2].values)


def test_clips_of_a_film_stay_in_one_part(tmp_path):
    rows = Cutting(4, hop=2).rows(films(tmp_path, *[20] * 20), SHARES)
    parts = split(rows, 0, SHARES)
    held = [{row.file.name for row in rows} for rows in parts.values()]
    assert all(held)
    assert sum(map(len, held)) == 20


def test_a_single_film_is_divided_by_time(tmp_path):
    with pytest.warns(UserWarning, match="the only film: its parts are stretches of it"):
        rows = Cutting(4).rows(films(tmp_path, 100), SHARES)
    found = {
        part: np.unique(shown([r for r in rows if r.values["split"] == part]))
        for part in ("train", "validation", "test")
    }
    assert [found[part].tolist() for part in found] == [list(range(80)), list(range(80, 90)), list(range(90, 100))]
    with pytest.raises(
        ValueError, match=r"the only film and has 30 frames: .* some part is shorter than a clip, 4 frames"
    ):
        Cutting(4).rows(films(tmp_path, 30), SHARES)


def test_given_films_are_whole(tmp_path):
    rows = films(tmp_path, 10, values={"label": "walk"})
    assert Cutting(4).rows(rows, None) == rows
    item = Reading(FIT).read(rows[0].file, rows[0].values)
    assert item.data.shape[0] == 10
    assert item.cond == {"label": "walk"}
    long = films(tmp_path, 200, fps=1.0)[0]
    with pytest.raises(BadItem, match=r"has 6,000 frames: of a film that is given at most 4,096 are read"):
        Reading(FIT, fps=30.0).read(long.file, {})


def test_told_are_labels_and_the_columns_that_are_asked_for(tmp_path):
    (row,) = films(tmp_path, 4, values={"label": 3, "caption": "a ball", "speed": 1.5})
    assert Reading(FIT).read(row.file, row.values).cond == {"label": "3"}
    told = Reading(FIT, labels=False, conditions=("caption", "speed", "wind")).read(row.file, row.values).cond
    assert told == {"caption": "a ball", "speed": 1.5}


def test_windows_of_an_encoded_film_are_its_frames(tmp_path):
    path = write_film(tmp_path / "a.mp4", counted(56))
    rows = Cutting(6, stride=2).rows([Row(file_at(path)), Row(file_at(path))], SHARES)
    assert len(rows) == 10
    for row in rows:
        found = read(path, row.values, stride=2)
        assert numbers(found.frames) == list(range(row.values[FIRST], row.values[STOP], 2))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"frames": 0}, "modality.frames=0: at least 1"),
        ({"stride": 0}, "modality.stride=0: at least 1"),
        ({"hop": 9}, r"modality.hop=9 is longer than a clip, 8 frames"),
        ({"hop": 2, "long": "crop"}, "hop=2 is for windows"),
        ({"fps": 0.0}, "modality.fps=0.0: a positive number"),
        ({"long": "cut"}, "modality.long='cut'; choose|choose from windows, crop, refuse"),
    ],
)
def test_options_are_checked(options, why):
    with pytest.raises(ValueError, match=why):
        Cutting(**{"frames": 8, **options})
