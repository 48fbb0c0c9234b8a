"""Points of surfaces: uniform by area, coloured as the surface is there, the same from the same seed."""

import numpy as np
import pytest
import trimesh
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.sampling import by_area, turned
from scipy.stats import chisquare


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_faces_get_points_by_their_area() -> None:
    """A chi-square test over 20 triangles between the axis and a line, whose areas differ by a factor of 400."""
    edges = np.concatenate([[0.0], np.geomspace(0.0025, 1.0, 20)]).cumsum()
    vertices = [[0.0, 1.0, 0.0], *([x, 0.0, 0.0] for x in edges)]
    fan = trimesh.Trimesh(vertices, [[0, i + 1, i + 2] for i in range(20)], process=False)
    areas = fan.area_faces
    assert np.isclose(areas.max() / areas.min(), 400.0)
    x, y, _ = by_area([fan], 100_000, generator()).points.T
    faces = np.searchsorted(edges, x / (1.0 - y)) - 1  # where the ray from the common corner meets the line
    assert chisquare(np.bincount(faces, minlength=20), 100_000 * areas / areas.sum()).pvalue > 1e-3


def test_points_are_uniform_within_a_face() -> None:
    """The four triangles between the middles of the edges have a quarter each."""
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    x, y, z = by_area([triangle], 8000, generator()).points.T
    which = np.select([x > 0.5, y > 0.5, x + y < 0.5], [0, 1, 2], 3)
    assert chisquare(np.bincount(which)).pvalue > 1e-3
    assert (z == 0).all()


def test_meshes_share_the_points_by_area_in_any_run_of_them() -> None:
    """Two spheres of radius 1 and 2: one part in five lies on the first, also among the first points."""
    small, large = trimesh.creation.icosphere(3, 1.0), trimesh.creation.icosphere(3, 2.0)
    cloud = by_area([small, large], 20_000, generator())
    for run in (cloud.take(slice(4000)), cloud):
        assert chisquare(np.bincount(run.parts), run.size * np.array([0.2, 0.8])).pvalue > 1e-3
    radius = np.linalg.norm(cloud.points, axis=1)
    assert np.allclose(radius, 1.0 + cloud.parts, rtol=0.01)
    assert ((cloud.normals * cloud.points).sum(1) / radius > 0.98).all()


def test_seed_decides_and_counts_are_exact() -> None:
    box = trimesh.creation.box()
    same = [by_area([box], 100, generator(3)).points for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], by_area([box], 100, generator(4)).points)
    assert [by_area([box, box], count, generator()).size for count in (1, 7, 1000)] == [1, 7, 1000]


def test_colours_of_vertices_are_interpolated_and_of_faces_are_not() -> None:
    """Red runs from 0 at x = 0 to 255 at x = 1; faces keep their own; of two meshes the bare one is white."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    ramp = trimesh.Trimesh(corners, [[0, 1, 2]], vertex_colors=[[0, 0, 0], [255, 0, 0], [0, 0, 0]], process=False)
    cloud = by_area([ramp], 200, generator())
    assert np.abs(cloud.colours[:, 0] - 255 * cloud.points[:, 0]).max() <= 0.5
    assert (cloud.colours[:, 1:] == 0).all()
    plain = trimesh.Trimesh(corners + np.array([5.0, 0, 0]), [[0, 1, 2]], process=False)
    faces = trimesh.Trimesh(corners, [[0, 1, 2]], face_colors=[[9, 8, 7]], process=False)
    both = by_area([faces, plain], 50, generator())
    assert (both.colours == np.where(both.parts[:, None] == 0, [9, 8, 7], 255)).all()
    assert by_area([plain], 5, generator()).colours is None


def test_surfaces_without_area_have_no_points() -> None:
    line = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    with pytest.raises(ValueError, match="without area"):
        by_area([line], 10, generator())


def test_turning_scales_points_and_keeps_normals_of_length_one() -> None:
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    cloud = turned(Cloud(np.array([[1.0, 2, 3]]), np.array([[1.0, 0, 0]])), quarter, 10.0)
    assert np.array_equal(cloud.points, [[-20.0, 10, 30]])
    assert np.array_equal(cloud.normals, [[0.0, 1, 0]])


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 points but colours of shape \(3, 3\)"):
        Cloud(np.zeros((2, 3)), colours=np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match=r"points must be \(N, 3\)"):
        Cloud(np.zeros((2, 2)))
