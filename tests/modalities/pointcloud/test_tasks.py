"""What each task gives: views by hidden-point removal, halves, points at random, parts, and strays that are found."""

import numpy as np
import pytest
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File, Memory
from ornstein.modalities.pointcloud import PointClouds
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.tasks import (
    DRAWN,
    OPEN,
    Denoise,
    Drop,
    Half,
    Regenerate,
    Upsample,
    View,
    seen_from,
    strays,
)

TASKS = PointClouds(points=200).tasks()
GIVING = [name for name in TASKS if name != "unconditional"]


def rng(seed=0):
    return np.random.default_rng(seed)


def sphere(count=400, seed=0):
    x = rng(seed).normal(size=(count, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def item(count=400, **meta):
    points = sphere(count)
    return Item(Cloud(points, parts=(points[:, 0] > 0.5).astype(int) + 2 * (points[:, 1] > 0.8)), key="ball", meta=meta)


@pytest.mark.parametrize("name", GIVING)
def test_given_points_come_first_and_all_points_stay(name):
    whole = item()
    posed, known = TASKS[name].pose(whole, rng())
    first = whole.data.points[:200]
    assert known.shape == (200,)
    assert 0 < known.sum() < 200
    assert np.array_equal(known, np.sort(known)[::-1])
    order = np.lexsort(posed.data.points.T)
    assert np.array_equal(posed.data.points[order], first[np.lexsort(first.T)])
    rows = [np.flatnonzero((whole.data.points == point).all(1))[0] for point in posed.data.points]
    assert np.array_equal(posed.data.parts, whole.data.parts[rows])


def test_points_that_training_has_drawn_are_all_used():
    assert TASKS["upsample"].pose(item(300, **{DRAWN: True}), rng())[0].data.size == 300


def test_of_a_ball_the_side_that_faces_the_eye_is_seen():
    points = sphere(1500)
    for eye in ([0, 0, 4], [0, 4, 0], [-3, 2, 1]):
        seen = seen_from(points, eye, View(200).exponent)
        facing = points @ eye / np.linalg.norm(eye)
        horizon = 1 / np.linalg.norm(eye)  # tangents from the eye touch the unit ball there
        assert seen[facing > horizon + 0.15].mean() > 0.97
        assert not seen[facing < -0.1].any()


def test_a_wall_hides_what_stands_behind_it():
    side = np.stack(np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 30)), -1).reshape(-1, 2)
    wall, behind = np.c_[side, np.zeros(900)], np.c_[0.4 * side, np.full(900, -1.0)]
    seen = seen_from(np.concatenate([wall, behind]), [0.0, 0, 5], View(200).exponent)
    assert seen[:900].mean() > 0.95
    assert not seen[900:].any()
    assert seen_from(behind, [0.0, 0, 5], View(200).exponent).mean() > 0.95


def test_few_points_hide_nothing():
    assert seen_from(np.eye(3)[:2], [0, 0, 5.0], 1.5).all()


def test_a_half_is_all_on_one_side():
    for seed in range(5):
        posed, known = Half(400).pose(item(), rng(seed))
        inside, outside = posed.data.points[known], posed.data.points[~known]
        apart = inside.mean(0) - outside.mean(0)
        assert 0.28 < known.mean() < 0.72
        # A plane parts them: a line through both middles orders a ball's points up to the direction of that plane.
        assert (inside @ apart).min() > (outside @ apart).min()
        assert (inside @ apart > np.quantile(posed.data.points @ apart, 1 - known.mean())).mean() > 0.9


def test_shares_are_as_said():
    shares = [Drop(200).pose(item(), rng(seed))[1].mean() for seed in range(60)]
    assert 0.09 < min(shares) < 0.2
    assert 0.4 < max(shares) <= 0.5
    assert Upsample(200, factor=4).pose(item(), rng())[1].sum() == 50


def test_a_part_is_made_whole():
    posed, known = Regenerate(400, by="part").pose(item(), rng(3))
    assert len(set(posed.data.parts[~known])) == 1
    assert not set(posed.data.parts[~known]) & set(posed.data.parts[known])
    alone = Item(Cloud(sphere()), key="no parts")
    assert Regenerate(400, by="part").pose(alone, rng())[1] is None
    assert Regenerate(400).pose(alone, rng())[1] is not None


def test_a_box_is_empty_of_given_points():
    for seed in range(5):
        posed, known = Regenerate(400, by="box").pose(item(), rng(seed))
        made = posed.data.points[~known]
        inside = ((posed.data.points >= made.min(0)) & (posed.data.points <= made.max(0))).all(1)
        assert not (inside & known).any()
        assert 0.08 < (~known).mean() < 0.62


def test_an_open_item_is_given_whole_and_extended():
    scan = item(80, **{OPEN: True})
    posed, known = TASKS["completion"].pose(scan, rng())
    assert known.tolist() == [True] * 80 + [False] * 120
    assert np.array_equal(posed.data.points[:80], scan.data.points)
    assert np.isnan(posed.data.points[80:]).all()
    posed, known = TASKS["completion"].sized(1000).pose(item(400, **{OPEN: True}), rng())
    assert (known.sum(), len(known)) == (400, 1000)


def test_what_does_not_fit_is_said():
    with pytest.warns(UserWarning, match="100 of 400 points are given, since 200 are made in all; a larger size"):
        _, known = TASKS["completion"].pose(item(400, **{OPEN: True}), rng())
    assert known.sum() == 100
    with pytest.warns(UserWarning, match="50 of 400"):
        TASKS["upsample"].pose(item(400, **{OPEN: True}), rng())
    for size in (1, 2.5, (3, 4)):
        with pytest.raises(ValueError, match="give a number of points"):
            TASKS["completion"].sized(size)


def test_strays_are_found_and_made_again():
    points = sphere(300)
    points[[5, 17, 101]] *= 3
    found = strays(points, 8, 2.0)
    assert found[[5, 17, 101]].all()
    assert found.sum() < 20
    scan = Item(Cloud(points), key="scan", meta={OPEN: True})
    posed, known = TASKS["denoise"].pose(scan, rng())
    assert posed.data.size == 300
    assert (~known).sum() == found.sum()
    assert np.linalg.norm(posed.data.points[known], axis=1).max() < 2
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), -1).reshape(-1, 3)
    with pytest.raises(ValueError, match="none of its 125 points is a stray"):
        Denoise(200, deviations=10).pose(Item(Cloud(grid), key="grid", meta={OPEN: True}), rng())


def test_a_user_says_what_is_to_be_made_anew():
    modality, shape = PointClouds(), item()

    def mask(text):
        return modality.read_known(File("mask.txt", Memory("test", {"mask.txt": text.encode()})), shape)

    assert np.array_equal(mask("-2 0 -2  2 2 2"), shape.data.points[:, 1] < 0)
    assert np.array_equal(mask("1"), shape.data.parts != 1)
    for text, why in {
        "1 2 3": "holds 3 numbers",
        "a box": "no text of numbers",
        "9": "calls none of ball to be made anew",
        "-2 -2 -2 2 2 2": "calls all of ball",
    }.items():
        with pytest.raises(BadItem, match=why):
            mask(text)
    with pytest.raises(ValueError, match="which part is to be made anew"):
        TASKS["regenerate"].pose(item(**{OPEN: True}), rng())
