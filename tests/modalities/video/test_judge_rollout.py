"""A roll-out that obeys the law scores as its films do; one that leaves its path does not."""

from dataclasses import replace

import numpy as np
import pytest
from ornstein.core.evaluation.protocol import Subject
from ornstein.core.modality import Item
from ornstein.modalities.video import Video, world
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.rollout import Rollout

LAWS = [world.drawn(np.random.default_rng(i)) for i in range(8)]
DIGIT = np.zeros((8, 8))
DIGIT[1:7, 2:6] = 200.0
FILMS = [world.filmed(DIGIT, law, 64) for law in LAWS]


def subject(change=lambda frames: frames):
    items = [Item(Clip(film[:16], 8.0), key=str(i)) for i, film in enumerate(FILMS)]

    def draw(n, task, given, known):
        assert (n, task) == (1, "prediction")
        assert [item.data.shape[0] for item in given] == [64] * len(given)
        for item, bits in zip(given, known, strict=True):
            assert bits[:4].all()
            assert not bits[4:].any()
            assert not item.data.frames[4:].any()  # the truth is not handed out
        return [replace(item.data, frames=change(FILMS[int(item.key)].copy())) for item in given]

    return Subject(Video(channels=1), draw, lambda part: items)


def measured(change):
    table = Rollout(n=8).run(subject(change), 0, lambda words: None)
    return {name: [score.mean for score in column.values()] for name, column in table.columns.items()}


def test_films_of_the_world_obey_to_the_end_and_motion_that_goes_straight_on_does_not():
    found = measured(lambda frames: frames)
    mean, last, empty, speed = found["ours"]
    assert mean < 0.1
    assert last < 0.2
    assert empty == 0
    assert speed == pytest.approx(np.median([law.speed for law in LAWS]), abs=0.3)
    assert found["linear motion"][2] > 0.3  # it leaves the picture


def test_a_path_that_is_left_and_a_digit_that_goes_out_are_seen():
    def left(frames):
        frames[60:] = np.roll(frames[60:], 6, axis=2)
        return frames

    def gone(frames):
        frames[32:] = 0
        return frames

    good, bad = measured(lambda frames: frames)["ours"], measured(left)["ours"]
    assert bad[1] > good[1] + 3
    mean, last, empty, _ = measured(gone)["ours"]
    assert (mean, last, empty) == (np.inf, np.inf, 0.5)


def test_other_films_and_settings_without_a_motion_are_refused():
    noise = [
        Item(Clip(np.random.default_rng(i).integers(0, 256, (16, 32, 32, 1), dtype=np.uint8), 8.0)) for i in range(8)
    ]
    with pytest.raises(ValueError, match="do not obey it"):
        Rollout(n=8).run(replace(subject(), items=lambda part: noise), 0, print)
    with pytest.raises(ValueError, match="n=9 asks for more"):
        Rollout(n=9).run(subject(), 0, print)
    with pytest.raises(ValueError, match="context=20, and the held-out clips have 16 frames"):
        Rollout(n=8, context=20).run(subject(), 0, print)
    with pytest.raises(ValueError, match="at least 1 clip"):
        Rollout(n=0)
    with pytest.raises(ValueError, match="2 frames or more"):
        Rollout(context=1)
    with pytest.raises(ValueError, match="a roll-out is a prediction"):
        Rollout(task="inpaint")
