"""Tasks pose what they say, and long clips are made window by window without a change to what was given."""

from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File, Memory
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.known import read_mask
from ornstein.modalities.video.tasks import OPEN, Inpaint, Interpolate, Keyframes, Predict
from ornstein.modalities.video.unrolling import unroll


def item(frames=16, seed=0, cond=None, **meta):
    pixels = np.random.default_rng(seed).integers(1, 256, (frames, 8, 6, 1), dtype=np.uint8)
    return Item(Clip(pixels, 10.0, 2.0, "x"), cond or {}, "x.mp4", meta)


def given_frames(known):
    """Numbers of the frames that are given, all of each or nothing."""
    whole = known.all((1, 2))
    assert np.array_equal(whole, known.any((1, 2)))
    return np.flatnonzero(whole).tolist()


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_first_frames_are_given():
    posed, known = Predict(16, 4).pose(item(), rng())
    assert posed.data.shape == (16, 8, 6, 1)
    assert given_frames(known) == [0, 1, 2, 3]
    drawn = {len(given_frames(Predict(16).pose(item(), rng(seed))[1])) for seed in range(200)}
    assert drawn == set(range(1, 16))
    assert given_frames(Predict(16, 4).sized(6).pose(item(), rng())[1]) == list(range(10))
    with pytest.raises(ValueError, match="has 4 frames"):
        Predict(16, 4).pose(item(4), rng())


def test_an_open_clip_is_extended_by_the_asked_frames():
    given = item(4, **{OPEN: True})
    posed, known = Predict(16, 2).pose(given, rng())
    assert posed.data.shape[0] == 16
    assert given_frames(known) == [0, 1, 2, 3]
    assert np.array_equal(posed.data.frames[:4], given.data.frames)
    assert not posed.data.frames[4:].any()
    assert Predict(16, 2).sized(60).pose(given, rng())[0].data.shape[0] == 64
    assert Predict(16).pose(item(20, **{OPEN: True}), rng())[0].data.shape[0] == 28
    for bad in (0, -3, 2.5, (3, 4)):
        with pytest.raises(ValueError, match="frames to make"):
            Predict(16).sized(bad)


def test_both_ends_are_given():
    assert given_frames(Interpolate(16).pose(item(), rng())[1]) == [0, 15]
    two = item(5, **{OPEN: True})
    posed, known = Interpolate(16).sized(9).pose(two, rng())
    assert given_frames(known) == [0, 8]
    assert np.array_equal(posed.data.frames[[0, 8]], two.data.frames[[0, 4]])
    assert not posed.data.frames[1:8].any()
    assert Interpolate(16).pose(two, rng())[0].data.shape[0] == 16
    with pytest.raises(ValueError, match="one frame"):
        Interpolate(16).pose(item(1, **{OPEN: True}), rng())
    with pytest.raises(ValueError, match="nothing lies between"):
        Interpolate(16).pose(item(2), rng())
    with pytest.raises(ValueError, match="size 2"):
        Interpolate(16).sized(2)


def test_key_frames_stand_at_equal_distances():
    for seed in range(50):
        given = given_frames(Keyframes().pose(item(), rng(seed))[1])
        steps = set(np.diff(given))
        assert given[0] == 0
        assert len(steps) <= 1
        assert steps <= set(range(2, 9))
    few = item(3, **{OPEN: True})
    posed, known = Keyframes().sized(4).pose(few, rng())
    assert given_frames(known) == [0, 5, 10]
    assert np.array_equal(posed.data.frames[::5], few.data.frames)
    assert posed.data.shape[0] == 11
    with pytest.raises(ValueError, match="one frame"):
        Keyframes().pose(item(1), rng())


def test_a_box_is_the_same_in_all_frames():
    for seed in range(20):
        _, known = Inpaint().pose(item(), rng(seed))
        assert (known == known[:1]).all()
        rows, columns = np.flatnonzero(~known[0].all(1)), np.flatnonzero(~known[0].all(0))
        assert not known[0][np.ix_(rows, columns)].any()
        assert 2 <= len(rows) <= 6
        assert len(columns) <= 5


def painted(posed, known, window, step=2, value=7):
    """Unroll with a stand-in for the model that paints everything, and list what it was asked for."""
    roll, asked = unroll(posed, known, window, step), []
    piece, bits = next(roll)
    while True:
        asked.append((piece, bits))
        made = replace(piece.data, frames=np.full(piece.data.shape, value, np.uint8))
        try:
            piece, bits = roll.send(made)
        except StopIteration as end:
            return end.value, asked


def test_a_roll_out_goes_on_from_half_of_the_window_before():
    posed, known = Predict(16, 4).sized(60).pose(item(4, **{OPEN: True}, cond={"start": 2.0, "label": "a"}), rng())
    whole, asked = painted(posed, known, 16)
    assert [round((piece.data.start - 2.0) * 10) for piece, _ in asked] == [0, 8, 16, 24, 32, 40, 48]
    assert all(piece.data.shape[0] == 16 for piece, _ in asked)
    assert [len(given_frames(bits)) for _, bits in asked] == [4] + [8] * 6
    assert np.array_equal(whole.frames[:4], posed.data.frames[:4])
    assert (whole.frames[4:] == 7).all()
    assert (asked[1][0].data.frames[:8] == 7).all()  # what was made before is what is given next
    assert [piece.cond["start"] for piece, _ in asked[:2]] == [2.0, pytest.approx(2.8)]


def test_windows_in_which_nothing_is_to_be_made_are_passed_over():
    posed = item(100)
    known = np.ones((100, 8, 6), bool)
    known[70:72, 2:4] = False
    whole, asked = painted(posed, known, 16)
    assert len(asked) == 1
    assert (~asked[0][1]).sum() == 2 * 2 * 6
    assert np.array_equal(whole.frames[known], posed.data.frames[known])
    assert (whole.frames[~known] == 7).all()


def test_the_last_window_ends_with_the_clip():
    posed = item(21)
    whole, asked = painted(posed, None, 16)
    assert [piece.data.shape[0] for piece, _ in asked] == [16, 16]
    assert [bits if bits is None else len(given_frames(bits)) for _, bits in asked] == [None, 11]
    assert (whole.frames == 7).all()


def test_a_picture_or_an_array_says_what_stays(tmp_path):
    from PIL import Image

    keep = np.zeros((8, 6), bool)
    keep[:, :3] = True
    Image.fromarray((keep * 255).astype(np.uint8)).save(tmp_path / "m.png")
    np.save(tmp_path / "m.npy", np.broadcast_to(keep, (16, 8, 6)))
    np.save(tmp_path / "small.npy", keep[:4])
    np.save(tmp_path / "all.npy", np.ones((8, 6), bool))
    (tmp_path / "bad.npy").write_bytes(b"no array")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    files = {name: File(name, Memory("m", content)) for name in content}
    for name in ("m.png", "m.npy"):
        assert np.array_equal(read_mask(files[name], item()), np.broadcast_to(keep, (16, 8, 6)))
    for name, why in {
        "small.npy": "has shape",
        "all.npy": "every pixel",
        "bad.npy": "NumPy",
        "bad.png": "picture",
    }.items():
        with pytest.raises(BadItem, match=why):
            read_mask(files[name], item())
