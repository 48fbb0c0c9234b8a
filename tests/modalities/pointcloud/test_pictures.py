"""Pictures of clouds: what is near hides what is far, light comes from above, turns are whole."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.pictures import grid, normals_of, turntable, view
from PIL import Image


def sphere(count: int = 2000) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def hue(picture: np.ndarray) -> np.ndarray:
    """The pixels that are drawn, by which of red, green and blue is most."""
    drawn = picture[np.ptp(picture.astype(int), axis=-1) > 40]
    return np.bincount(drawn.argmax(-1), minlength=3) / max(len(drawn), 1)


def test_near_points_hide_far_ones() -> None:
    """Two squares, red in front of green: from the front red alone is seen, from behind green alone."""
    across = np.stack(np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 30), [0.0]), -1).reshape(-1, 3)
    ahead = np.array([0.0, 0.0, 0.4])
    points = np.concatenate([across + ahead, across - ahead])
    colours = np.repeat(np.uint8([[255, 0, 0], [0, 255, 0]]), len(across), axis=0)
    cloud = Cloud(points, colours=colours)
    assert hue(view(cloud, azimuth=0.0, elevation=0.0))[0] > 0.97
    assert hue(view(cloud, azimuth=180.0, elevation=0.0))[1] > 0.97


def test_axes_are_right_up_and_towards_the_eye() -> None:
    """A red point at +x is to the right, a green one at +y above, seen from +z; from +x a point at -z is to the right."""
    points = np.array([[1.0, 0, 0], [0, 1, 0], [-1, -1, 0], [0, 0, -1.0]])
    colours = np.uint8([[255, 0, 0], [0, 255, 0], [90, 90, 90], [0, 0, 255]])
    picture = view(Cloud(points, np.tile([0.0, 0, 1], (4, 1)), colours), 100, azimuth=0.0, elevation=0.0).astype(int)
    red, green = (np.argwhere(picture[..., k] - picture.min(-1) > 60).mean(0) for k in (0, 1))
    assert red[1] > 80
    assert green[0] < 40
    side = view(Cloud(points, np.tile([1.0, 0, 0], (4, 1)), colours), 100, azimuth=90.0, elevation=0.0).astype(int)
    assert np.argwhere(side[..., 2] - side.min(-1) > 60).mean(0)[1] > 60


def test_light_comes_from_above() -> None:
    picture = view(Cloud(sphere(), sphere()), 120, elevation=0.0).astype(float)
    drawn = picture.min(-1) < 250
    upper, lower = picture[:60][drawn[:60]], picture[60:][drawn[60:]]
    assert upper.mean() > 1.2 * lower.mean()


def test_normals_that_are_not_given_are_found() -> None:
    """Of a sphere they are its radii, up to sign."""
    points = sphere()
    assert np.abs((normals_of(Cloud(points)) * points).sum(1)).min() > 0.9
    assert normals_of(Cloud(points[:1])).shape == (1, 3)


def test_every_turn_stays_in_the_picture_and_given_points_are_orange() -> None:
    bar = np.array([[2.0, 0.1, 0.1]]) * np.random.default_rng(0).uniform(-1, 1, (300, 3))
    for angle in range(0, 360, 30):
        picture = view(Cloud(bar), 100, azimuth=angle)
        assert (picture[[0, -1]] == 255).all()
        assert (picture[:, [0, -1]] == 255).all()
    given = bar[:, 0] > 0
    picture = view(Cloud(bar), 100, given, azimuth=0.0)
    assert hue(picture[:, 55:])[0] > 0.9
    assert hue(picture[:, :45])[2] > 0.9


def test_grid_has_a_panel_and_a_title_for_each() -> None:
    clouds = [Cloud(sphere(100), name="") for _ in range(5)]
    assert grid(clouds, size=60).shape == (120, 180, 3)
    titled = grid(clouds, ["chair", "", "a name that is much too long for its panel", "x", "y"], size=60)
    assert titled.shape == (156, 180, 3)
    assert (titled[60:78, :60] < 200).any()
    assert (titled[60:78, 60:120] == 255).all()
    assert (titled[138:, 120:] == 255).all()
    degenerate = grid([Cloud(np.zeros((1, 3))), Cloud(np.zeros((4, 3)))], size=60)
    assert degenerate[20:40, 20:40].min() < 230
    assert degenerate[20:40, 80:100].min() < 230


def test_turntable_is_a_whole_turn(tmp_path: Path) -> None:
    cloud = Cloud(np.array([[1.0, 0.5, 0], [-1, 0, 0], [0, -1, 0.2]]))
    path = turntable(cloud, tmp_path / "new" / "t.gif", size=60, frames=6)
    with Image.open(path) as film:
        frames = []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("RGB")).astype(float))
        assert film.info["loop"] == 0
    assert len(frames) == 6
    first = view(cloud, 60).astype(float)
    assert np.abs(frames[0] - first).mean() < 2
    assert min(np.abs(frame - first).mean() for frame in frames[1:]) > 2
    with pytest.raises(ValueError, match=r"a turntable is \.gif or \.mp4"):
        turntable(cloud, tmp_path / "t.webp")


def test_turntable_as_mp4_or_the_reason(tmp_path: Path) -> None:
    cloud = Cloud(sphere(50))
    if shutil.which("ffmpeg") is None:
        with pytest.raises(ValueError, match="ffmpeg"):
            turntable(cloud, tmp_path / "t.mp4", size=60, frames=2)
    else:
        assert turntable(cloud, tmp_path / "t.mp4", size=60, frames=4).read_bytes()[4:8] == b"ftyp"
    assert len(list(tmp_path.iterdir())) <= 1
