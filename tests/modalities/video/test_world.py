"""The embedded world: what is drawn obeys its law, and what does not obey it is seen."""

import numpy as np
import pytest
from ornstein.core.sources import split
from ornstein.modalities.video import Video, world
from ornstein.modalities.video.data import FRAMES, Bounce
from ornstein.modalities.video.physics import obeyed


def digit(number=0):
    from sklearn.datasets import load_digits

    return load_digits().images[number] * 255 / 16


def laws(count):
    rng = np.random.default_rng(0)
    return [world.drawn(rng) for _ in range(count)]


def test_a_path_is_straight_and_turns_back_at_the_walls():
    law = world.Law((0.0, 14.0), (2.0, 2.0))
    y, x = law.at(np.arange(5)).T
    assert y.tolist() == [8, 10, 12, 14, 16]
    assert x.tolist() == [22, 22, 20, 18, 16]  # 23 is the wall: 24 is 22 again
    assert law.speed == pytest.approx(8**0.5)


def test_drawn_paths_stay_in_the_box_at_the_named_speeds():
    for law in laws(50):
        centres = law.at(np.arange(200))
        assert centres.min() >= world.LOW
        assert centres.max() <= world.HIGH
        assert world.SPEEDS[0] <= law.speed <= world.SPEEDS[1]
        steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
        assert np.median(steps) == pytest.approx(law.speed)


def test_the_digit_is_where_the_law_says():
    for number, law in enumerate(laws(20)):
        frames = world.filmed(digit(number), law, 32)
        assert frames.shape == (32, 32, 32, 1)
        assert frames.dtype == np.uint8
        apart = np.linalg.norm(world.track(frames) - law.at(np.arange(32)), axis=1)
        assert np.median(apart) < 0.15
        assert apart.max() < 0.4
        assert max(frames[:, edge].max() for edge in (0, -1)) <= 40  # nothing is cut off


def test_the_fit_finds_the_path():
    for law in laws(10):
        found = world.fitted(law.at(np.arange(16)))
        assert np.allclose(found.at(np.arange(64)), law.at(np.arange(64)), atol=1e-3)
        assert found.speed == pytest.approx(law.speed, abs=1e-4)


def test_a_film_of_the_world_has_no_residual_and_a_wrong_one_has():
    law = laws(1)[0]
    true = world.track(world.filmed(digit(), law, 32))
    assert world.residual(true).max() < 0.5
    rng = np.random.default_rng(0)
    assert np.median(world.residual(rng.uniform(world.LOW, world.HIGH, (32, 2)))) > 3
    bent = true.copy()
    bent[16:] += np.arange(16)[:, None] * [1.0, -1.0]  # it leaves its path in the middle
    assert world.residual(bent).max() > 1
    shaken = true + rng.normal(0, 1, true.shape)
    assert 0.5 < np.median(world.residual(shaken)) < 2


def test_frames_without_a_digit_count_as_lost():
    frames = world.filmed(digit(), laws(1)[0], 8)
    frames[3] = 20  # haze alone
    centres = world.track(frames)
    assert np.isnan(centres[3]).all()
    residual = world.residual(centres)
    assert np.isinf(residual[3])
    assert np.delete(residual, 3).max() < 0.5
    assert np.isinf(world.residual(np.full((8, 2), np.nan))).all()
    with pytest.raises(ValueError, match="0 of 8"):
        world.fitted(np.full((8, 2), np.nan))


def test_haze_does_not_move_the_centre():
    frames = world.filmed(digit(), laws(1)[0], 8)
    assert np.abs(world.track(np.maximum(frames, 25)) - world.track(frames)).max() < 0.05


def test_the_films_are_real_digits_with_their_class_the_same_each_time():
    rows = Bounce().rows()
    assert len(rows) == 1797
    assert sorted({row.values["label"] for row in rows}) == list("0123456789")
    modality = Video(channels=1, fps=8.0)
    cut = modality.rows(rows[:3], None)
    item = modality.read(cut[1].file, cut[1].values)
    assert item.data.shape == (FRAMES, 32, 32, 1)
    assert item.data.fps == 8.0
    assert np.array_equal(item.data.frames, modality.read(rows[1].file, rows[1].values).data.frames)
    centres = world.track(item.data.frames)
    assert world.residual(centres).max() < 0.5
    assert world.fitted(centres).speed == pytest.approx(rows[1].values["speed"], abs=0.02)
    assert obeyed([item.data])


def test_clips_of_a_film_stay_in_one_part():
    modality = Video(channels=1, fps=8.0)
    clips = modality.rows(Bounce().rows()[:60], (0.6, 0.2, 0.2))
    assert len(clips) == 60 * FRAMES // 16
    parts = split(clips, 0, (0.6, 0.2, 0.2))
    names = [{row.file.name for row in rows} for rows in parts.values()]
    assert all(names)
    assert sum(map(len, names)) == 60
