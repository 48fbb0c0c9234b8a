"""The furniture that comes with the package, and what folders of known data sets say."""

import hashlib

import numpy as np
import pytest
from ornstein.core.sources import File, Memory, Row, split
from ornstein.modalities.pointcloud import PointClouds, furniture
from ornstein.modalities.pointcloud.data import shapenet
from ornstein.modalities.pointcloud.furniture.solids import Stuff

LABELS = list(furniture.MAKERS)


@pytest.fixture
def few(monkeypatch, tmp_path):
    """The data set with 3 shapes of each class, and a folder of caches of its own."""
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))
    monkeypatch.setattr(furniture, "COUNT", 12)
    furniture._rows.cache_clear()
    yield furniture.Furniture()
    furniture._rows.cache_clear()


def records(label, number, count=2048):
    return furniture.sampled(furniture.shape(label, number), count, 0)


def test_it_is_made_once_and_the_same_again(few, monkeypatch):
    def sums():
        return {row.file.name: hashlib.sha256(row.file.read()).hexdigest() for row in few.rows()}

    first = sums()
    assert len(set(first.values())) == 12
    furniture._rows.cache_clear()
    monkeypatch.setattr(furniture, "sampled", None)  # now it must come from the cache
    assert sums() == first


def test_its_files_hold_what_was_made(few):
    row = few.rows()[4]
    assert (row.file.name, row.values["label"], row.values["caption"]) == ("chair/001.ply", "chair", "a chair")
    item = PointClouds(normals=True, colours=True).read(row.file, row.values)
    made = furniture.sampled(furniture.shape("chair", 1), 2048, furniture.rng.key(0, "furniture points", "chair", 1))
    order, other = np.lexsort(item.data.points.T), np.lexsort(made["points"].T)
    assert np.allclose(item.data.points[order], made["points"][other])
    assert np.allclose(item.data.normals[order], made["normals"][other], atol=1e-6)
    assert np.array_equal(item.data.colours[order], made["colours"][other])
    assert np.array_equal(item.data.parts[order], made["part"][other])
    assert item.cond == {"label": "chair"}


@pytest.mark.parametrize("label", LABELS)
def test_shapes_stand_on_the_floor_and_have_the_size_of_what_they_are(label):
    tall = {"chair": (0.6, 1.3), "table": (0.35, 1.1), "lamp": (0.3, 1.8), "aeroplane": (0.1, 0.6)}[label]
    for number in range(30):
        corners = np.concatenate([solid.vertices for solid in furniture.shape(label, number)])
        assert np.isfinite(corners).all()
        assert abs(corners[:, 1].min()) < 1e-12
        assert tall[0] < np.ptp(corners[:, 1]) < tall[1]
        assert label != "aeroplane" or abs(corners[:, 0].min() + corners[:, 0].max()) < 1e-9
        assert np.ptp(corners, axis=0).max() < 2.1


@pytest.mark.parametrize("label", LABELS)
def test_shapes_are_of_many_kinds(label):
    """Of 40 shapes no two have the same measures, and numbers of solids differ, as kinds do."""
    shapes = [furniture.shape(label, number) for number in range(40)]
    assert len({round(float(np.concatenate([s.vertices for s in shape]).std()), 9) for shape in shapes}) == 40
    assert len({len(shape) for shape in shapes}) >= 5


@pytest.mark.parametrize("label", LABELS)
def test_solids_are_closed_and_wound_outwards(label):
    import trimesh

    for number in range(8):
        for solid in furniture.shape(label, number):
            mesh = trimesh.Trimesh(solid.vertices, solid.faces)
            assert mesh.is_winding_consistent
            assert mesh.volume > 0, (number, solid.part)


def test_chairs_have_their_parts_where_they_belong():
    for number in range(20):
        made = records("chair", number)
        heights = {part: made["points"][made["part"] == part, 1] for part in np.unique(made["part"])}
        assert {0, 1, 2} <= set(heights)
        assert heights[0].mean() < heights[1].mean() < heights[2].mean()


def test_points_are_uniform_by_area_and_normals_stand_on_their_faces():
    made = furniture.sampled([Stuff(0, (1, 2, 3)).block((0, 0, 0), (1, 2, 3))], 6000, 0)
    area = {0: 2 * 3, 1: 1 * 3, 2: 1 * 2}
    expected = {(axis, sign): 6000 * a / 22 for axis, a in area.items() for sign in (-1, 1)}
    axis = np.abs(made["normals"]).argmax(1)
    sign = np.sign(made["normals"][np.arange(6000), axis])
    found = {key: int(((axis == key[0]) & (sign == key[1])).sum()) for key in expected}
    chi = sum((found[key] - value) ** 2 / value for key, value in expected.items())
    assert chi < 20.5  # 0.999 of chi-square with 5 degrees of freedom
    at = made["points"][np.arange(6000), axis]
    assert np.allclose(at, np.where(sign > 0, np.array([1, 2, 3])[axis], 0), atol=1e-6)


def test_what_another_part_covers_has_no_points():
    stuff = Stuff(0, (0, 0, 0))
    small, large = stuff.block((0.4, 0.4, 0.4), (0.6, 0.6, 1.5)), Stuff(1, (0, 0, 0)).block((0, 0, 0), (1, 1, 1))
    made = furniture.sampled([small, large], 4000, 0)
    inner = made["points"][made["part"] == 0]
    assert len(inner) > 100
    assert inner[:, 2].min() > 1 - 1e-3


def test_a_prism_holds_what_is_inside_of_it_alone():
    beam = Stuff(0, (0, 0, 0)).beam((0, 0, 0), (1, 1, 1), 0.2)
    along = np.linspace(0.1, 0.9, 5)[:, None] * np.ones(3)
    assert beam.holds(along).all()
    assert not beam.holds(along + np.array([0.2, -0.2, 0])).any()
    assert not Stuff(0, (0, 0, 0)).ball((0, 0, 0), 1.0).holds(np.zeros((1, 3))).any()


def test_shapenet_lies_in_classes_with_parts_below():
    names = [f"{c}/{part}/{i}.npy" for c in ("02691156", "99") for part in ("train", "val", "test") for i in range(2)]
    rows = [Row(File(name, Memory("s", dict.fromkeys(names, b""))), {"label": name[:2]}) for name in names]
    rows = [Row(row.file, {"label": row.file.name.split("/")[0]}) for row in rows]
    found = shapenet(rows)
    assert {row.values["label"] for row in found} == {"aeroplane", "99"}
    parts = split(found)
    assert [row.file.name.split("/")[1] for row in parts["validation"]] == ["val"] * 4
    assert len(parts["train"]) == len(parts["test"]) == 4
    assert shapenet([*rows, Row(File("02691156/x.npy", rows[0].file.store))])[0].values == rows[0].values
