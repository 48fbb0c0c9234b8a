"""Shapes to tokens and back: scales, frames, further columns, gaps, any number of points."""

import numpy as np
import pytest
import torch
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.encoder import Space
from ornstein.modalities.pointcloud.normalise import Frames


def clouds(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [Cloud(rng.normal(size=(n, 3)) * [1.0, 3.0, 0.5] + [5, -2, 1]) for n in sizes]


def fitted(kind, shapes, labels=None):
    return Frames.of(kind, [shape.points for shape in shapes], [-1] * len(shapes) if labels is None else labels)


def whitened(kind):
    shapes = clouds(400, 300, 500)
    encoded = Space(fitted(kind, shapes)).encode(shapes, None)
    return encoded.state["points"][encoded.mask]


def test_a_data_set_has_one_mean_on_each_axis_and_one_standard_deviation():
    shapes = clouds(300, 100)
    every = np.concatenate([shape.points for shape in shapes])
    frames = fitted("dataset", shapes)
    assert np.allclose(frames.one.centre, every.mean(0))
    assert frames.one.scale == pytest.approx(np.sqrt(((every - every.mean(0)) ** 2).mean()))
    x = whitened("dataset").double()
    assert np.allclose(x.mean(0), 0, atol=1e-5)
    assert float((x**2).mean()) == pytest.approx(1, abs=1e-5)
    assert x.std(0)[1] / x.std(0)[2] == pytest.approx(6, rel=0.1)  # one scale for all axes: proportions stay


@pytest.mark.parametrize("kind", ["box", "ball"])
def test_frames_of_single_shapes_give_unit_variance_too(kind):
    x = whitened(kind).double()
    assert 0.9 < float((x**2).mean()) < 1.1


def test_box_and_ball_are_what_they_are_called():
    points = np.array([[0.0, 0, 0], [2, 0, 0], [0, 6, 0], [2, 6, 1]])
    box = fitted("box", [Cloud(points)])
    model = box.of_shape(points).into(points) * box.one.scale
    assert np.allclose(np.abs(model).max(0), [1 / 3, 1, 1 / 6])
    assert np.allclose(model.max(0) + model.min(0), 0)
    ball = fitted("ball", [Cloud(points)])
    model = ball.of_shape(points).into(points) * ball.one.scale
    assert np.allclose(model.mean(0), 0)
    assert np.linalg.norm(model, axis=1).max() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["dataset", "box", "ball"])
def test_shapes_come_back_in_their_order_and_unit(kind):
    shapes = clouds(7, 40, 25)
    space = Space(fitted(kind, shapes))
    encoded = space.encode(shapes, None)
    assert encoded.mask.sum(1).tolist() == [7, 40, 25]
    assert not encoded.state["points"][~encoded.mask].any()
    for shape, back in zip(shapes, space.decode(encoded.state, encoded.mask, encoded.aux), strict=True):
        assert np.allclose(back.points, shape.points, atol=1e-5)


def test_what_is_not_known_does_not_move_the_frame():
    shape = clouds(50)[0]
    known = np.arange(50) < 20
    other = Cloud(np.where(known[:, None], shape.points, 100.0))
    space = Space(fitted("box", clouds(60, 60)))
    first, second = (space.encode([cloud], [known]) for cloud in (shape, other))
    assert torch.equal(first.known.values["points"], second.known.values["points"])
    assert torch.equal(first.known.bits["points"][0, :, 0], torch.from_numpy(known))
    one = space.encode([shape], [np.arange(50) == 3])  # a single point has no extent: the median scale of training
    assert one.aux["scale"][0] == np.median(space.frames.bank[:, 3])


def test_normals_and_colours_are_exact_after_a_round_trip():
    rng = np.random.default_rng(1)
    normals = rng.normal(size=(64, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    shape = Cloud(rng.normal(size=(64, 3)), normals, rng.integers(0, 256, (64, 3)).astype(np.uint8))
    space = Space(fitted("dataset", [shape]), normals=True, colours=True)
    encoded = space.encode([shape], None)
    assert float((encoded.state["normals"] ** 2).mean()) == pytest.approx(1, abs=1e-5)
    back = space.decode(encoded.state, encoded.mask, encoded.aux)[0]
    assert np.allclose(back.normals, normals, atol=1e-6)
    assert np.array_equal(back.colours, shape.colours)
    loud = {**encoded.state, "colours": encoded.state["colours"] + 100}
    assert set(np.unique(space.decode(loud, encoded.mask, encoded.aux)[0].colours)) == {255}


def test_a_column_that_a_cloud_lacks_is_a_gap_and_is_not_given():
    rng = np.random.default_rng(2)
    bare, full = Cloud(rng.normal(size=(9, 3))), Cloud(rng.normal(size=(9, 3)), np.tile([0.0, 1, 0], (9, 1)))
    space = Space(fitted("dataset", [bare, full]), normals=True)
    encoded = space.encode([bare, full], [np.ones(9, bool)] * 2)
    assert encoded.missing["normals"][0].all()
    assert not encoded.missing["normals"][1].any()
    assert "points" not in encoded.missing
    assert not encoded.known.bits["normals"][0].any()
    assert encoded.known.bits["normals"][1].all()
    assert encoded.known.bits["points"].all()


def test_points_to_be_made_are_gaps():
    shape = Cloud(np.array([[0.0, 0, 0], [1, 1, 1], [np.nan] * 3]))
    encoded = Space(fitted("dataset", clouds(30))).encode([shape], [np.array([True, True, False])])
    assert encoded.missing["points"][0, :, 0].tolist() == [False, False, True]
    assert encoded.state["points"].isfinite().all()


def test_frames_of_new_shapes_are_those_of_their_class():
    shapes = [Cloud(points.points * size) for points, size in zip(clouds(30, 30, 30, 30), (1, 1, 50, 50), strict=True)]
    frames = fitted("ball", shapes, [0, 0, 1, 1])
    drawn = [frames.drawn(u, 1).scale for u in np.linspace(0, 0.999, 20)]
    assert set(drawn) == set(frames.bank[2:, 3])
    assert {frames.drawn(u).scale for u in np.linspace(0, 0.999, 20)} == set(frames.bank[:, 3])


def test_masks_of_another_length_and_points_that_are_all_one_are_refused():
    space = Space(fitted("dataset", clouds(30)))
    with pytest.raises(ValueError, match="has 30 points, what is known of it is \\(29,\\)"):
        space.encode(clouds(30), [np.ones(29, bool)])
    for kind in ("dataset", "box", "ball"):
        with pytest.raises(ValueError, match=r"no extent|no training shape"):
            fitted(kind, [Cloud(np.ones((5, 3)))])
