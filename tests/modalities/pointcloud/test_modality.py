"""The plugin as a whole: what is drawn in training, what counts, what is given back, what it can be told."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core import rng as seeded
from ornstein.core.backbones.dit import DiT
from ornstein.core.backbones.perceiver import Perceiver
from ornstein.core.conditioning.values import conditions
from ornstein.core.conformance import check_modality
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import BadItem, Item
from ornstein.core.samplers import DPMpp
from ornstein.core.sources import File, Memory, Row
from ornstein.modalities.pointcloud import Cloud, PointClouds, floors
from ornstein.modalities.pointcloud.tasks import OPEN
from scipy.spatial import KDTree


def shapes(count=12, size=300, seed=0, columns=False):
    """Flat and tall boxes of points by class, symmetric at x = 1."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        points = rng.uniform(-1, 1, (size, 3)) * ([1.0, 0.1, 0.5] if i % 2 else [0.2, 1.5, 0.2]) * rng.uniform(0.8, 1.2)
        more = (
            {"normals": np.tile([0.0, 1, 0], (size, 1)), "colours": np.full((size, 3), i, np.uint8)} if columns else {}
        )
        cloud = Cloud(points + np.array([1, 0, 0]), **more, name=f"s{i}")
        out.append(Item(cloud, {"label": "flat" if i % 2 else "tall", "caption": "a" * (i + 1)}, f"s{i}"))
    return out


def fitted(items=None, **options):
    modality = PointClouds(**{"points": 64, **options})
    modality.fit(shapes() if items is None else items)
    return modality


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.slow
def test_it_conforms():
    assert {r.name: r.message for r in check_modality(PointClouds(points=64)) if r.status == "failed"} == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"normals": True, "colours": True, "normalise": "box"}, {"normalise": "ball", "captions": True}]
)
def test_it_conforms_with_other_options(options):
    found = check_modality(PointClouds(points=64, **options))
    assert {r.name: r.message for r in found if r.status == "failed"} == {}


def test_training_takes_other_points_each_time_and_evaluation_the_first():
    modality, item = fitted(), shapes()[0]
    first, second = (modality.augment(item, rng(seed)).data.points for seed in (0, 1))
    assert len(first) == len(second) == 64
    assert len({tuple(p) for p in first} | {tuple(p) for p in second}) > 100
    assert {tuple(p) for p in first} <= {tuple(p) for p in item.data.points}
    encoded = modality.encode([item], None, rng())
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)[0]
    assert np.allclose(back.points, item.data.points[:64], atol=1e-5)


def test_numbers_of_points_vary_log_uniformly_where_asked():
    modality, item = fitted(vary=(16, 256)), shapes()[0]
    stream = rng()
    drawn = [modality.augment(item, stream).data.size for _ in range(400)]
    assert 16 <= min(drawn) < 20
    assert 230 < max(drawn) <= 256
    assert np.median(drawn) == pytest.approx(64, rel=0.2)
    encoded = modality.encode([modality.augment(item, rng(seed)) for seed in (0, 1)], None, rng())
    assert encoded.mask.sum(1).tolist() == [modality.augment(item, rng(seed)).data.size for seed in (0, 1)]


def test_small_shapes_keep_their_points_and_given_ones_all_of_theirs():
    modality = fitted()
    small, large = shapes(1, 20)[0], shapes(1, 200)[0]
    given = Item(large.data, meta={OPEN: True})
    assert modality.encode([small, large, given], None, rng()).mask.sum(1).tolist() == [20, 64, 200]


def test_shapes_of_fewer_points_than_a_step_takes_are_said_once():
    with pytest.warns(UserWarning, match="fewer than 64 points") as said:
        fitted([*shapes(3, 64), *shapes(2, 20)])
    assert [str(each.message)[:78] for each in said] == [
        "2 of 5 training shapes have fewer than 64 points, the smallest 20: they keep t"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted([*shapes(3, 40), *shapes(2, 20)], vary=(20, 64))


def test_turns_are_about_the_upright_axis():
    modality, item = fitted(rotate=True), shapes(columns=True)[1]
    turned = modality.augment(item, rng(3)).data
    plain = fitted().augment(item, rng(3)).data
    assert np.allclose(turned.points[:, 1], plain.points[:, 1])
    assert np.allclose(np.linalg.norm(turned.points[:, ::2], axis=1), np.linalg.norm(plain.points[:, ::2], axis=1))
    assert not np.allclose(turned.points, plain.points)
    inner = np.cross(plain.points[0], plain.points[1]), np.cross(turned.points[0], turned.points[1])
    assert inner[0][1] == pytest.approx(inner[1][1])  # a turn, not a mirror image


def test_any_number_of_points_can_be_asked_for():
    modality = fitted()
    assert modality.blank(3, {}, rng()).mask.sum(1).tolist() == [64] * 3
    assert modality.blank(2, {}, rng(), 1024).mask.sum(1).tolist() == [1024] * 2
    for size in (0, 2.5, (3, 4)):
        with pytest.raises(ValueError, match="give a number of points"):
            modality.blank(1, {}, rng(), size)


@pytest.mark.parametrize("network", [DiT, Perceiver])
@pytest.mark.parametrize("size", [16, 64])
def test_permuted_noise_makes_the_permuted_shape(network, size):
    """Of any number of points: a whole trajectory of a network with every weight moved off zero."""
    torch.manual_seed(0)
    modality = fitted()
    net = network(modality.fields, modality.conditions, 0, width=24, depth=2, heads=2).double().eval()
    for p in net.parameters():
        p.data += 0.2 * torch.randn_like(p)
    denoiser = NeuralDenoiser(net, modality.fields, modality.conditions, modality=modality)
    blank = modality.blank(2, conditions(modality.conditions, {"label": "flat"}, 2), rng(), size)
    noise, order = torch.randn(2, size, 3, dtype=torch.float64), torch.randperm(size)
    with torch.no_grad():
        one, other = (
            DPMpp(5).run(denoiser, blank.to("cpu", torch.float64), seed=0, prior={"points": x})["points"]
            for x in (noise, noise[:, order])
        )
    assert torch.allclose(one[:, order], other, atol=1e-9)
    assert not torch.allclose(one, other, atol=0.1)


def test_new_shapes_are_as_large_as_those_of_the_class_that_is_asked_for():
    items = shapes()
    modality = fitted(items, normalise="box")
    asked = conditions(modality.conditions, {"label": ["tall", "flat", None]}, 3)
    scales = {"tall": [], "flat": []}
    for item in items:
        frame = modality._frames.of_shape(item.data.points)
        scales[item.cond["label"]].append(frame.scale)
    for seed in range(8):
        tall, flat, _ = modality.blank(3, asked, rng(seed)).aux["scale"]
        assert min(scales["tall"]) <= tall <= max(scales["tall"])
        assert min(scales["flat"]) <= flat <= max(scales["flat"])


@pytest.mark.parametrize("normalise", ["dataset", "box", "ball"])
def test_a_checkpoint_alone_can_decode(normalise):
    modality = fitted(normalise=normalise, captions=True)
    other = PointClouds(points=64, normalise=normalise, captions=True)
    other.load_state(*modality.state())
    assert other.conditions == modality.conditions
    first, second = (m.blank(4, {}, rng(1)) for m in (modality, other))
    state = {"points": torch.randn(4, 64, 3)}
    for a, b in zip(
        modality.decode(state, first.mask, first.aux), other.decode(state, second.mask, second.aux), strict=True
    ):
        assert np.array_equal(a.points, b.points)


def test_classes_and_captions_are_told():
    modality = fitted(captions=True)
    label, caption = modality.conditions
    assert (label.names, caption.kind, caption.size) == (("flat", "tall"), "text", 12)
    cond = modality.encode([shapes()[1], Item(shapes()[0].data)], None, rng()).cond
    assert cond["label"].value.tolist()[0] == 0
    assert cond["label"].present.tolist() == cond["caption"].present.tolist() == [True, False]
    assert cond["caption"].mask[0].sum() == 2
    assert fitted(labels=False).conditions == ()
    with pytest.raises(ValueError, match=r"label 'tal'.*none of the 2 classes.*did you mean 'tall'"):
        modality.encode([Item(shapes()[0].data, {"label": "tal"})], None, rng())


def test_given_points_are_exact_and_in_place():
    modality = fitted(shapes(columns=True), normals=True, colours=True)
    item = shapes(columns=True)[3]
    posed, known = modality.tasks()["completion"].pose(item, rng())
    encoded = modality.encode([posed], [known], rng())
    noise = {name: torch.randn_like(x) for name, x in encoded.state.items()}
    sample = modality.decode(noise, encoded.mask, encoded.aux)[0]
    pasted = modality.paste(sample, posed, known)
    for name, column in pasted.columns.items():
        assert np.array_equal(column[known], getattr(posed.data, name)[known])
        assert np.array_equal(column[~known], getattr(sample, name)[~known])
        assert column.dtype == getattr(sample, name).dtype
    bare = Item(Cloud(posed.data.points), key="bare")  # a scan without normals: they are made for given points too
    pasted = modality.paste(sample, bare, known)
    assert np.array_equal(pasted.normals, sample.normals)
    assert np.array_equal(pasted.points[known], bare.data.points[known])


def test_parts_are_pasted_and_never_those_of_a_floor():
    items, modality = shapes(), fitted()
    cloud = items[3].data
    told = Item(replace(cloud, parts=np.arange(cloud.size)), items[3].cond)
    known = np.arange(cloud.size) % 2 == 0
    made = floors.cloud_floor(items, [items[3].cond], rng(), [told], [known])[0]
    assert list(made.columns) == ["points"]  # what the truth says of its other points is not given
    assert np.array_equal(modality.paste(made, told, known).points[known], cloud.points[known])
    pasted = modality.paste(replace(cloud, parts=np.full(cloud.size, -1)), told, known)
    assert np.array_equal(pasted.parts, np.where(known, np.arange(cloud.size), -1))


def test_files_of_fewer_columns_are_refused_in_training_and_taken_when_given():
    file = File("a.xyz", Memory("m", {"a.xyz": b"0 0 0\n1 0 0\n0 1 0\n0 0 1\n"}))
    with pytest.raises(BadItem, match=r"has no normals and no colours, which modality\.normals=true needs"):
        PointClouds(normals=True, colours=True).read(file, {})
    modality = fitted(shapes(columns=True), normals=True)
    row = modality.rows([Row(file)], None)[0]
    assert modality.read(row.file, row.values).meta[OPEN]
    assert OPEN not in modality.read(file, {}).meta
    with pytest.raises(ValueError, match="no training shape has normals"):
        fitted(normals=True)


def test_options_that_contradict_are_refused():
    for options, why in {
        "points=1": ({"points": 1}, "at least 2"),
        "vary": ({"vary": (5, 4)}, "vary="),
        "dense": ({"points": 512, "dense": 100}, "takes up to 512 points"),
        "normalise": ({"normalise": "cube"}, "choose dataset, box, ball"),
        "up": ({"up": "x"}, "choose y or z"),
        "unit": ({"unit": "mile"}, "choose um"),
    }.values():
        with pytest.raises(ValueError, match=why):
            PointClouds(**options)
    with pytest.raises(ValueError, match="no training shape"):
        PointClouds().fit([])


def test_the_floor_copies_shapes_of_the_class_and_jitters_them_a_little():
    modality, items = fitted(), shapes()
    made = modality.floor(items, [{"label": 0}, {"label": "tall"}], rng())
    for cloud, label in zip(made, ("flat", "tall"), strict=True):
        same = [
            KDTree(item.data.points[:64]).query(cloud.points)[0].mean() for item in items if item.cond["label"] == label
        ]
        other = [
            KDTree(item.data.points[:64]).query(cloud.points)[0].mean() for item in items if item.cond["label"] != label
        ]
        assert 0 < min(same) < 0.05
        assert min(other) > 3 * min(same)


def test_the_floor_finds_the_class_where_items_tell_it_by_number_too():
    """As in an evaluation: numbers in the training items and in what is asked."""
    items = shapes()
    modality = fitted(items)
    numbered = [Item(item.data, {"label": np.int64(item.cond["label"] == "tall")}, item.key) for item in items]
    made = modality.floor(numbered, [{"label": k} for k in (0, 1, np.int64(0), np.int64(1))] * 5, rng())
    flat = [np.ptp(cloud.points[:, 1]) < np.ptp(cloud.points[:, 0]) for cloud in made]
    assert flat == [True, False, True, False] * 5


def test_the_gaussian_floor_has_the_moments_of_its_class():
    items = shapes(size=2000)
    flat = [item for item in items if item.cond["label"] == "flat"]
    points = np.concatenate([floors.gaussian(flat, rng(seed)).points for seed in range(10)])
    every = np.concatenate([item.data.points for item in flat])
    assert np.allclose(points.mean(0), every.mean(0), atol=0.02)
    assert np.allclose(np.cov(points.T), np.cov(every.T), atol=0.02)


def test_the_mirror_image_is_at_the_plane_of_symmetry():
    points = seeded.generator(0).uniform(0, 1, (500, 3)) ** [1, 1, 2]  # even in x and uneven in z
    half = points * [1, 1, 1] + [3, 0, 0]
    whole = np.concatenate([half, half * [-1, 1, 1] + [6, 0, 0]])
    items = [Item(Cloud(whole))] * 3
    axis, place = floors.plane([whole])
    assert (axis, place) == (0, pytest.approx(3, abs=1e-9))
    image = floors.mirrored(items, half[:100], 100, rng())
    assert np.allclose(image, half[:100] * [-1, 1, 1] + [6, 0, 0])
    assert len(floors.mirrored(items, half[:100], 250, rng())) == 250


def test_floors_of_parts_keep_what_is_given():
    modality, items = fitted(), shapes()
    posed, known = modality.tasks()["completion"].pose(items[1], rng())
    for name in (None, *floors.PARTLY):
        made = floors.cloud_floor(items, [{"label": "flat"}], rng(), [posed], [known], name)[0]
        assert np.array_equal(made.points[known], posed.data.points[known])
        assert not np.isclose(made.points[~known], posed.data.points[~known]).all(1).any()
    with pytest.raises(LookupError, match="choose mirror image, mean shape"):
        floors.cloud_floor(items, [{}], rng(), [posed], [known], "mirror")
