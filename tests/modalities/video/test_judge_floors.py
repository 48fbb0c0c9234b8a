"""Baselines: copies, held frames, motion gone on with, straight lines."""

import numpy as np
import pytest
from ornstein.core.evaluation.paired import psnr
from ornstein.core.modality import Item
from ornstein.modalities.video import floors, world
from ornstein.modalities.video.clip import Clip


def blob(y, x, side=32):
    """A smooth spot on black, exactly anywhere."""
    rows, columns = np.mgrid[:side, :side]
    return np.rint(230 * np.exp(-((rows - y) ** 2 + 2 * (columns - x) ** 2) / 18))[..., None].astype(np.uint8)


def first(count, shape):
    known = np.zeros(shape, bool)
    known[:count] = True
    return known


@pytest.mark.parametrize("move", [(0.0, 0.0), (1.3, -0.7), (-2.4, 0.3), (0.0, 3.0), (6.5, -5.25)])
def test_a_motion_between_two_frames_is_found_to_a_twentieth_of_a_pixel(move):
    found = floors.translation(blob(15.2, 16.1), blob(15.2 + move[0], 16.1 + move[1]))
    assert found == pytest.approx(move, abs=0.05)


def test_frames_that_tell_nothing_do_not_move():
    plain = np.full((8, 8, 1), 9, np.uint8)
    assert floors.translation(plain, plain).tolist() == [0, 0]
    assert floors.translation(plain, blob(4, 4, 8)).tolist() == [0, 0]


def test_linear_motion_goes_on_as_it_was_and_beats_holding_the_last_frame():
    true = np.stack([blob(8 + 1.2 * t, 20 - 0.8 * t) for t in range(12)])
    known = first(4, true.shape[:3])
    moved, held = floors.linear_motion(true, known), floors.copy_last(true, known)
    assert np.array_equal(moved[:4], true[:4])
    assert np.array_equal(held[4:], np.repeat(true[3:4], 8, 0))
    assert psnr(moved, true, ~known).min() > 35
    assert psnr(held, true, ~known)[-1] < 20
    one = floors.linear_motion(true, first(1, true.shape[:3]))
    assert np.array_equal(one, np.repeat(true[:1], 12, 0))


def test_a_wall_is_not_foreseen():
    path = world.Law((10.0, 5.0), (2.0, 0.0))  # reaches the wall at frame 2 or 3
    digit = np.pad(np.full((4, 4), 200.0), 2)
    true = world.filmed(digit, path, 10)
    known = first(2, true.shape[:3])
    assert psnr(floors.linear_motion(true, known), true, ~known)[-1] < 20


def test_between_two_times_pixels_lie_on_a_line_and_outside_they_are_held():
    frames = np.zeros((7, 2, 2, 1), np.uint8)
    frames[1], frames[5] = 40, 80
    known = np.zeros((7, 2, 2), bool)
    known[[1, 5]] = True
    assert floors.interpolated(frames, known)[:, 0, 0, 0].tolist() == [40, 40, 50, 60, 70, 80, 80]
    assert floors.copy_last(frames, known)[:, 0, 0, 0].tolist() == [40, 40, 40, 40, 40, 80, 80]


def test_a_box_that_is_never_known_is_filled_from_beside():
    y, x = np.mgrid[:9, :9]
    plane = (10 * y + 5 * x).astype(np.uint8)
    frames = np.stack([plane, plane + 20])[..., None]
    known = np.ones((2, 9, 9), bool)
    known[:, 3:6, 2:7] = False
    damaged = np.where(known[..., None], frames, 255).astype(np.uint8)
    assert np.array_equal(floors.interpolated(damaged, known), frames)  # a plane is on lines in both directions
    corner = np.ones((1, 3, 3), bool)
    corner[0] = False
    assert (floors.interpolated(np.zeros((1, 3, 3, 1), np.uint8), corner) == 128).all()


def test_the_floor_fits_what_is_given():
    true = np.stack([blob(8 + t, 16) for t in range(6)])
    item = Item(Clip(true, 8.0), {}, "film")
    ends = first(1, true.shape[:3])
    ends[-1] = True
    start = first(2, true.shape[:3])
    made = floors.video_floor([item], [{}] * 2, np.random.default_rng(0), [item, item], [start, ends])
    assert np.array_equal(made[0].frames, floors.linear_motion(true, start))
    assert np.array_equal(made[1].frames, floors.interpolated(true, ends))


def test_noisy_copies_are_of_what_was_asked_for():
    items = [
        Item(Clip(np.full((3, 8, 8, 1), 100 + 50 * k, np.uint8), 8.0), {"label": k, "speed": 1.0}, "") for k in (0, 1)
    ]
    rng = np.random.default_rng(0)
    made = floors.video_floor(items, [{"label": 1}] * 8 + [{"label": 0, "speed": None}] * 8, rng)
    means = [float(clip.frames.mean()) for clip in made]
    assert means[:8] == pytest.approx([150] * 8, abs=5)
    assert means[8:] == pytest.approx([100] * 8, abs=5)
    assert float(np.std(made[-1].frames)) == pytest.approx(floors.NOISE, rel=0.2)
    assert not np.array_equal(made[0].frames, made[1].frames)
    with pytest.raises(ValueError, match="needs training clips"):
        floors.video_floor([], [{}], rng)
