"""Clouds written: read back by other programs' readers with the same numbers."""

import io
from pathlib import Path

import numpy as np
import trimesh
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.writing import glb, npz, ply, save

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(50, 3))
COLOURS = RNG.integers(0, 256, (50, 3), dtype=np.uint8)
CLOUD = Cloud(
    POINTS, POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True), COLOURS, np.arange(50) % 3, "a name\nof two lines"
)


def test_ply_is_read_by_trimesh_in_full_precision() -> None:
    found = trimesh.load(io.BytesIO(ply(CLOUD)), file_type="ply")
    assert np.array_equal(found.vertices, POINTS)
    assert np.array_equal(found.colors[:, :3], COLOURS)
    raw = found.metadata["_ply_raw"]["vertex"]["data"]
    assert np.array_equal(raw["part"].ravel(), CLOUD.parts)
    assert np.allclose(np.stack([raw[f"n{axis}"].ravel() for axis in "xyz"], 1), CLOUD.normals, atol=1e-7)


def test_npz_pads_smaller_clouds_and_keeps_columns_that_all_have() -> None:
    small = Cloud(POINTS[:20], colours=COLOURS[:20])
    with np.load(io.BytesIO(npz([CLOUD, small]))) as arrays:
        assert set(arrays.files) == {"points", "colours", "size", "name"}
        assert arrays["size"].tolist() == [50, 20]
        assert np.array_equal(arrays["points"][1, :20], POINTS[:20])
        assert np.isnan(arrays["points"][1, 20:]).all()


def test_glb_shows_the_clouds_side_by_side() -> None:
    """Each keeps its size and colours, and no two overlap."""
    scene = trimesh.load_scene(io.BytesIO(glb([CLOUD, CLOUD, CLOUD])), file_type="glb")
    found = [scene.geometry[name] for name in sorted(scene.geometry)]
    boxes = [geometry.bounds for geometry in found]
    assert len(found) == 3
    for geometry in found:
        assert np.allclose(np.ptp(geometry.vertices, axis=0), np.ptp(POINTS, axis=0), atol=1e-5)
        assert np.array_equal(geometry.colors[:, :3], COLOURS)
    for i in range(3):
        for j in range(i):
            assert (boxes[i][0] > boxes[j][1]).any() or (boxes[j][0] > boxes[i][1]).any()


def test_folder_has_a_file_for_each_sample_and_nothing_else(tmp_path: Path) -> None:
    paths = save([CLOUD, CLOUD.take(slice(10))], tmp_path / "out")
    assert [path.name for path in paths] == ["0000.ply", "0001.ply", "samples.npz", "samples.glb"]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert save([], tmp_path / "none") == []
