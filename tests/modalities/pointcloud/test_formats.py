"""Files of shapes: every format gives the same shape, and what cannot be used is refused with the reason."""

import io
import re
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Folder, Memory, Row, Zip
from ornstein.modalities.pointcloud import blocks, formats, pcd, ply
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.reading import Reading, read, rows
from ornstein.modalities.pointcloud.writing import glb, npz
from ornstein.modalities.pointcloud.writing import ply as as_ply
from PIL import Image

BOX = trimesh.creation.box((1.0, 2.0, 3.0))
POINTS = np.array([[0.0, 0.5, 1.0], [1.0, -2.0, 3.25], [0.125, 4.0, -7.5], [2.0, 2.0, 2.0]])
COLOURS = np.array([[255, 0, 0], [0, 128, 0], [7, 8, 9], [1, 2, 255]], np.uint8)


def file(name: str, content: bytes, **others: bytes) -> File:
    return File(
        name, Memory("test", {name: content, **{key.replace("_DOT_", "."): value for key, value in others.items()}})
    )


def refused(name: str, content: bytes) -> str:
    with pytest.raises(BadItem) as error:
        read(file(name, content), {}, Reading())
    assert name in str(error.value)
    return error.value.why


def sorted_rows(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.T)]


def pcd_file(data: str, width: int = 4, points: np.ndarray = POINTS, declared: int | None = None) -> bytes:
    """A PCD file with a packed colour; `binary_compressed` by runs of plain bytes."""
    packed = (COLOURS.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(1).astype("<u4")
    record = np.zeros(len(points), [("xyz", "<f4", 3), ("rgb", "<u4")])
    record["xyz"], record["rgb"] = points, packed
    head = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH {width}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {declared or width}\nDATA {data}\n"
    ).encode()
    if data == "ascii":
        return head + b"".join(f"{x} {y} {z} {c}\n".encode() for (x, y, z), c in zip(points, packed, strict=True))
    if data == "binary":
        return head + record.tobytes()
    plain = b"".join(record["xyz"][:, k].tobytes() for k in range(3)) + packed.tobytes()
    runs = b"".join(bytes([len(plain[i : i + 32]) - 1]) + plain[i : i + 32] for i in range(0, len(plain), 32))
    return head + struct.pack("<II", len(runs), len(plain)) + runs


MESHES = {
    "box.ply": BOX.export(file_type="ply"),
    "ascii.ply": BOX.export(file_type="ply", encoding="ascii"),
    "box.off": BOX.export(file_type="off").encode(),
    "box.obj": BOX.export(file_type="obj").encode(),
    "box.stl": BOX.export(file_type="stl"),
    "ascii.stl": trimesh.exchange.stl.export_stl_ascii(BOX).encode(),
    "box.glb": BOX.export(file_type="glb"),
    "box.3mf": BOX.export(file_type="3mf"),
}


@pytest.mark.parametrize("name", MESHES)
def test_meshes_of_every_format_are_the_same_box(name: str) -> None:
    """All points lie on the box, with the normal of their face, and every face has its share."""
    item = read(file(name, MESHES[name]), {}, Reading(dense=4000))
    half = np.array([0.5, 1.0, 1.5])
    away = np.abs(item.data.points) / half
    assert np.allclose(away.max(1), 1.0, atol=1e-6)
    axis = np.abs(item.data.normals).argmax(1)
    outward = np.sign(item.data.points[np.arange(4000), axis])
    assert np.allclose(item.data.normals, np.eye(3)[axis] * outward[:, None], atol=1e-6)
    assert np.allclose(np.bincount(axis) / 4000, np.array([6.0, 3.0, 2.0]) / 11.0, atol=0.03)
    assert item.meta == {"points": 0, "notes": ()}


def test_gltf_takes_its_buffers_from_the_files_beside_it() -> None:
    """The same box as of the GLB, its unit is known; without the buffer the file is refused."""
    files = {name: bytes(content) for name, content in trimesh.exchange.gltf.export_gltf(trimesh.Scene(BOX)).items()}
    beside = Memory("test", {f"a b/{name}": content for name, content in files.items()})
    cloud = read(File("a b/model.gltf", beside), {}, Reading(dense=500)).data
    assert np.allclose((np.abs(cloud.points) / [0.5, 1.0, 1.5]).max(1), 1.0, atol=1e-6)
    assert (np.abs(cloud.points).max(0) > [0.45, 0.9, 1.35]).all()
    assert "damaged or cut short" in refused("model.gltf", files["model.gltf"])


def test_points_of_every_format_are_the_same_four() -> None:
    numbers = [f"{x} {y} {z} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(POINTS, COLOURS, strict=True)]
    properties = "property double x\nproperty double y\nproperty double z\n" + "".join(
        f"property uchar {name}\n" for name in ("red", "green", "blue")
    )
    header = f"ply\nformat ascii 1.0\nelement vertex 4\n{properties}end_header\n"
    big = np.zeros(4, [("p", ">f8", 3), ("c", "u1", 3)])
    big["p"], big["c"] = POINTS, COLOURS
    archive = io.BytesIO()
    with h5py.File(archive, "w") as h5:
        h5["shape/data"], h5["shape/colors"] = POINTS, COLOURS
    arrays = io.BytesIO()
    np.savez(arrays, points=POINTS, colors=COLOURS / 255.0)
    files = {
        "a.ply": (header + "\n".join(numbers)).encode(),
        "big.ply": header.replace("ascii", "binary_big_endian").encode() + big.tobytes(),
        "a.xyz": "\n".join(numbers).encode(),
        "counted.pts": ("4\r\n" + "\r\n".join(numbers)).encode(),
        "commas.txt": b"# made by hand\n" + "\n".join(numbers).replace(" ", ", ").encode(),
        "named.asc": ("//X Y Z R G B\n" + "\n".join(numbers)).encode(),
        "a.pcd": pcd_file("ascii"),
        "b.pcd": pcd_file("binary"),
        "c.pcd": pcd_file("binary_compressed"),
        "a.h5": archive.getvalue(),
        "a.npz": arrays.getvalue(),
    }
    for name, content in files.items():
        item = read(file(name, content), {}, Reading())
        order = np.lexsort(item.data.points.T)
        wanted = np.lexsort(POINTS.T)
        assert np.array_equal(item.data.points[order], POINTS[wanted]), name
        assert np.array_equal(item.data.colours[order], COLOURS[wanted]), name
        assert item.meta["points"] == 4


def test_las_has_its_scale_and_offset() -> None:
    laspy = pytest.importorskip("laspy")
    las = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    las.header.offsets, las.header.scales = np.array([1000.0, 0.0, 0.0]), np.full(3, 0.125)
    las.x, las.y, las.z = POINTS.T + np.array([[1000.0], [0.0], [0.0]])
    las.red, las.green, las.blue = COLOURS.T.astype(np.uint16) * 257
    buffer = io.BytesIO()
    las.write(buffer)
    item = read(file("a.las", buffer.getvalue()), {}, Reading())
    assert np.allclose(sorted_rows(item.data.points), sorted_rows(POINTS + np.array([1000.0, 0.0, 0.0])))
    assert np.array_equal(sorted_rows(item.data.colours), sorted_rows(COLOURS))
    assert "damaged" in refused("b.las", b"LASF" + bytes(50))


def test_lzf_copies_that_reach_into_themselves() -> None:
    """`abc` and then 9 bytes from 3 back, and a long copy, whose length has a byte of its own."""
    assert pcd.lzf(b"\x02abc\xe0\x00\x02", 12) == b"abcabcabcabc"
    assert pcd.lzf(b"\x00a\xe0\x64\x00", 110) == b"a" * 110
    for damaged in (b"\x02abc\xe0\x00\x09", b"\x00a\xe0"):
        with pytest.raises(ValueError, match="compressed points"):
            pcd.lzf(damaged, 12)


def test_texts_without_names_know_colours_normals_and_parts() -> None:
    """The columns of ShapeNetPart, and numbers that are neither colours nor normals, which are named."""
    lines = b"0 0 0 0 0 1 3\n1 0 0 0 1 0 4\n2 0 0 0.6 0.8 0 3"
    item = read(file("a.txt", lines), {}, Reading())
    order = np.argsort(item.data.points[:, 0])
    assert item.data.parts[order].tolist() == [3, 4, 3]
    assert np.allclose(item.data.normals[order], [[0, 0, 1], [0, 1, 0], [0.6, 0.8, 0]])
    with pytest.warns(UserWarning, match=r"a\.txt: columns 4, 5, 6 are not used"):
        other = read(file("a.txt", b"0 0 0 0.5 7 9\n1 1 1 2 3 4.5"), {}, Reading())
    assert other.data.columns.keys() == {"points"}


def test_textures_materials_and_scenes_have_their_colours_and_places() -> None:
    """A square whose left half is red in its texture; two boxes of a scene, the second moved and mirrored."""
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8).repeat(2, 0))
    png = io.BytesIO()
    image.save(png, "PNG")
    square = b"mtllib s.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"
    material = b"newmtl m\nKd 1 1 1\nmap_Kd textures\\t.png\n"
    beside = {"a/s.obj": square, "a/s.mtl": material, "a/t.png": png.getvalue()}
    item = read(File("a/s.obj", Memory("test", beside)), {}, Reading(dense=500))
    left = item.data.points[:, 0] < 0.5
    assert (item.data.colours[left] == [255, 0, 0]).all()
    assert (item.data.colours[~left] == [0, 0, 255]).all()
    del beside["a/t.png"]
    with pytest.warns(UserWarning, match=r"t\.png, which it names, is not there"):
        assert read(File("a/s.obj", Memory("test", beside)), {}, Reading()).data.colours is None

    scene = trimesh.Scene(BOX.copy())
    matrix = np.diag([-1.0, 1.0, 1.0, 1.0])
    matrix[:3, 3] = [10.0, 0.0, 0.0]
    scene.add_geometry(BOX.copy(), transform=matrix)
    item = read(file("two.glb", scene.export(file_type="glb")), {}, Reading(dense=1000))
    moved = item.data.points[:, 0] > 5.0
    assert len(set(item.data.parts[moved])) == len(set(item.data.parts[~moved])) == 1
    centre = moved[:, None] * np.array([10.0, 0.0, 0.0])
    assert np.allclose((np.abs(item.data.points - centre) / [0.5, 1.0, 1.5]).max(1), 1.0, atol=1e-5)
    assert ((item.data.points - centre) * item.data.normals).sum(1).min() > 0.4  # also of the mirrored box outwards
    assert 400 < moved.sum() < 600


def test_reading_is_a_function_of_the_content(tmp_path: Path) -> None:
    """The same points from a folder, a zip and memory, in any process; others from another file."""
    (tmp_path / "box.stl").write_bytes(MESHES["box.stl"])
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/box.stl", MESHES["box.stl"])
    places = [
        File("box.stl", Folder(tmp_path)),
        File("in/box.stl", Zip(tmp_path / "z.zip")),
        file("b.stl", MESHES["box.stl"]),
    ]
    first, *others = [read(place, {}, Reading(dense=64)).data.points for place in places]
    assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(first, read(file("box.off", MESHES["box.off"]), {}, Reading(dense=64)).data.points)


def test_axes_and_units_are_those_declared() -> None:
    """z up becomes y up as a rotation; 3MF says its unit itself, the others have the one that is told."""
    lines = b"1 2 3 0 0 1\n4 5 6 0 1 0"
    cloud = read(file("a.xyz", lines.replace(b" 0 0 1", b" 0.0 0.0 1.0")), {}, Reading(up="z", unit="mm")).data
    order = np.argsort(cloud.points[:, 0])
    assert np.allclose(cloud.points[order], [[0.001, 0.003, -0.002], [0.004, 0.006, -0.005]])
    box = read(file("box.3mf", MESHES["box.3mf"]), {}, Reading(unit="m"))
    assert np.isclose(np.ptp(box.data.points[:, 2]), 0.003)  # millimetres unless the file says otherwise
    normals = read(file("box.stl", MESHES["box.stl"]), {}, Reading(up="z")).data
    assert np.isclose(np.ptp(normals.points[:, 1]), 3.0, atol=1e-3)
    assert ((normals.points * normals.normals).sum(1) > 0.4).all()
    for wrong in ({"up": "x"}, {"unit": "parsec"}, {"dense": 0}):
        with pytest.raises(ValueError, match=f"modality.{next(iter(wrong))}="):
            Reading(**wrong)


def test_files_of_many_clouds_have_a_row_for_each() -> None:
    """The layout of a stack: points of a unit ball by their scale and centre, labels by name, names, captions."""
    buffer = io.BytesIO()
    points = np.stack([POINTS, POINTS[::-1] * 2])
    np.savez(
        buffer,
        points=points.astype(np.float16),
        normals=np.tile(np.int8([0, 0, 127]), (2, 4, 1)),
        colors=np.stack([COLOURS, COLOURS]),
        center=np.array([[1.0, 0, 0], [0, 0, 0]]),
        scale=np.array([2.0, 1.0]),
        label=np.array([1, 0], np.int16),
        classes=np.array(["chair", "lamp"]),
        name=np.array(["first", "second"]),
    )
    many = file("many.npz", buffer.getvalue())
    found = rows([Row(many, {"split": "train"})])
    assert [dict(row.values) for row in found] == [
        {"name": "first", "label": "lamp", "split": "train", "cloud": 0, "part_of": "many.npz#0"},
        {"name": "second", "label": "chair", "split": "train", "cloud": 1, "part_of": "many.npz#1"},
    ]
    item = read(many, found[0].values, Reading())
    assert (item.key, item.data.name, item.cond) == ("many.npz#0", "first", {"label": "lamp"})
    assert np.allclose(sorted_rows(item.data.points), sorted_rows(POINTS * 2 + [1.0, 0, 0]))
    assert np.array_equal(item.data.normals, np.tile([0.0, 0, 1], (4, 1)))
    with pytest.raises(BadItem, match="holds 2 clouds"):
        read(many, {}, Reading())
    mesh = Row(file("a.obj", b""), {"label": "x"})
    assert rows([mesh]) == [mesh]


def test_own_files_are_read_again() -> None:
    """PLY, NPZ of two sizes and GLB of points alone, which has no surface, as written."""
    a = Cloud(POINTS, np.tile([0.0, 1.0, 0.0], (4, 1)), COLOURS, np.array([0, 1, 1, 2]), "a")
    b = a.take(slice(2))
    item = read(file("a.ply", as_ply(a)), {}, Reading())
    order, wanted = np.lexsort(item.data.points.T), np.lexsort(POINTS.T)
    for column, values in a.columns.items():
        assert np.array_equal(item.data.columns[column][order], values[wanted]), column
    many = file("s.npz", npz([a, b]))
    assert [read(many, row.values, Reading()).data.size for row in rows([Row(many)])] == [4, 2]
    assert "4 vertices and no faces" in refused("a.glb", glb([a]))


FAULTS = {
    "empty.stl": (b"", r"is empty \(0 bytes\)"),
    "empty.npz": (b"", r"is empty \(0 bytes\)"),
    "empty.xyz": (b"", "is empty"),
    "none.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "has 3 vertices and no faces"),
    "none.off": (b"OFF\n2 0 0\n0 0 0\n1 0 0\n", "has 2 vertices and no faces"),
    "nan.off": (b"OFF\n3 1 0\n0 0 0\n1 nan 0\n0 1 0\n3 0 1 2\n", r"1 vertices that are no finite numbers.*vertex 2"),
    "inf.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 inf 0\n3 0 1 2\n", r"vertex 3"),
    "flat.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "faces of no area"),
    "out.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "face index outside the range"),
    "out.ply": (MESHES["ascii.ply"].replace(b"\n3 ", b"\n3 9", 1), r"has 8 vertices, and face 1 names \[9"),
    "nan.xyz": (b"0 0 0\nnan 1 1\n", r"point 2 is \[nan, 1.0, 1.0\]"),
    "no.ply": (b"plywood\n", "does not begin with ply"),
    "wide.xyz": (b"0 0 0\n1 1\n", "has '1 1' at line 2, where 3 numbers are needed"),
    "words.xyz": (b"0 0 0\n1 1 one\n", "has '1 1 one' at line 2, where 3 numbers"),
    "count.xyz": (b"3\n0 0 0\n1 1 1\n", "says that it has 3 points and holds 2"),
    "more.off": (MESHES["box.off"].replace(b"8 12", b"9 12", 1), r"9 of vertex and 12 of face, 21 lines, and holds 20"),
    "fewer.off": (MESHES["box.off"].replace(b"8 12", b"8 11", 1), "19 lines, and holds 20"),
    "more.ply": (MESHES["ascii.ply"].replace(b"vertex 8", b"vertex 9"), "9 of vertex and 12 of face"),
    "faces.ply": (MESHES["box.ply"].replace(b"face 12", b"face 13"), "damaged or cut short"),
    "more.stl": (MESHES["box.stl"][:80] + struct.pack("<I", 13) + MESHES["box.stl"][84:], "13 facets, and holds 12"),
    "cut.stl": (MESHES["ascii.stl"][:1000], "is cut short: it opens"),
    "cut.glb": (MESHES["box.glb"][:700], "damaged or cut short"),
    "cut.3mf": (MESHES["box.3mf"][:200], "damaged or cut short"),
    "cut.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "damaged or cut short|names"),
    "cut.npz": (b"PK\x03\x04", "damaged or cut short"),
    "more.pcd": (pcd_file("binary", width=5), "says that it has 5 points and ends after 4"),
    "ascii.pcd": (pcd_file("ascii", width=3), "3 points, and 1 lines follow"),
    "packed.pcd": (pcd_file("binary_compressed", width=5), "5 points, and 4 where they begin"),
    "shape.unknown": (b"?", r"ends in \.unknown: \.ply, "),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_files_are_refused_with_the_reason(name: str) -> None:
    content, why = FAULTS[name]
    assert re.search(why, refused(name, content)), refused(name, content)


def test_point_ply_that_lies_is_refused() -> None:
    whole = as_ply(Cloud(POINTS))
    assert "says that it has 5 points and ends after 4" in refused("a.ply", whole.replace(b"vertex 4", b"vertex 5"))
    assert "says that it has 3 points and goes on" in refused("a.ply", whole.replace(b"vertex 4", b"vertex 3"))


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"points": POINTS, "colors": COLOURS[:3]}, r"colours \(1, 3, 3\): they must belong together"),
        ({"points": POINTS, "normals": COLOURS[:, :2]}, "they must belong together"),
        ({"other": POINTS}, "one named points"),
        ({"points": POINTS[:0]}, "holds no points"),
        ({"points": np.where(POINTS == 2.0, np.inf, POINTS)}, r"no finite numbers: point 4"),
        ({"points": POINTS, "colors": -1.0 * COLOURS}, "has colours from -255"),
        (
            {"points": np.stack([POINTS] * 2), "label": np.array([0, 2]), "classes": np.array(["a"])},
            "labels 0 to 2 and 1 cl",
        ),
    ],
)
def test_bad_arrays_are_refused(arrays: dict[str, np.ndarray], why: str) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(BadItem, match=why):
        read(file("a.npz", buffer.getvalue()), {"cloud": 0}, Reading())


def test_organised_scans_say_how_many_places_are_empty() -> None:
    holes = POINTS.copy()
    holes[1] = np.nan
    with pytest.warns(UserWarning, match="1 places of the scan without a point are left out"):
        item = read(file("a.pcd", pcd_file("binary", points=holes)), {}, Reading())
    assert item.data.size == item.meta["points"] == 3


def scan(count: int) -> File:
    """A binary PLY of points in a row, x = 0, 1, ..."""
    points = np.zeros((count, 3), "<f4")
    points[:, 0] = np.arange(count)
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{axes}end_header\n"
    return file("scan.ply", header.encode() + points.tobytes())


def test_large_scans_are_thinned_evenly_with_a_note() -> None:
    """Every tenth of the points in their order has its share of those kept, which are in random order."""
    kept = 5_000
    with pytest.warns(UserWarning, match=r"is a scan of 300,000 points: 5,000 are kept"):
        cloud = read(scan(300_000), {}, Reading(dense=kept)).data
    tenths = np.bincount((cloud.points[:, 0] // 30_000).astype(int), minlength=10)
    assert ((tenths - kept / 10) ** 2 / (kept / 10)).sum() < 27.9  # chi-square, 9 degrees, 0.1 %
    assert len(np.unique(cloud.points[:, 0])) == cloud.size == kept
    assert abs(np.corrcoef(cloud.points[:, 0], np.arange(kept))[0, 1]) < 0.06


def test_memory_does_not_grow_with_the_scan() -> None:
    peaks = []
    for blocks_of_it in (2, 6):
        big = scan(blocks_of_it * blocks.ROWS)
        tracemalloc.start()
        with pytest.warns(UserWarning, match="is a scan of"):
            read(big, {}, Reading(dense=1000))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_ply_with_faces_is_left_to_the_meshes() -> None:
    assert ply.points(io.BytesIO(MESHES["box.ply"])) is None


def test_all_real_files_are_read(shared_data: Path) -> None:
    """Surfaces with as many points as asked and unit normals, files of points with all they have."""
    store = Folder(shared_data / "pointclouds" / "mesh_formats")
    names = [name for name in store.names() if name.lower().endswith(formats.EXTENSIONS)]
    assert len(names) == 38
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            item = read(File(name, store), {}, Reading(dense=256))
        few = name.startswith("points_")
        assert item.data.size == (item.meta["points"] if few else 256) > 0, name
        assert few or np.allclose(np.linalg.norm(item.data.normals, axis=1), 1.0), name
        assert np.isfinite(item.data.points).all()


def test_real_textures_agree_with_the_published_points(shared_data: Path) -> None:
    """Mean colour, mean height and extent of a mesh against the points that were sampled from it elsewhere."""
    folder = Folder(shared_data / "pointclouds" / "kaykit")
    published = File("kaykit_points_2048.npz", folder)
    meshes = Zip(shared_data / "pointclouds" / "kaykit" / "kaykit_meshes.zip")
    for row in rows([Row(published)])[:200:50]:
        theirs = read(published, row.values, Reading()).data
        ours = read(File(f"{theirs.name}.obj", meshes), {}, Reading()).data
        assert np.allclose(ours.colours.mean(0), theirs.colours.mean(0), atol=5), theirs.name
        extent = np.ptp(theirs.points, axis=0)
        assert np.allclose(ours.points.mean(0), theirs.points.mean(0), atol=0.03 * extent.max())
        assert np.allclose(np.ptp(ours.points, axis=0), extent, atol=0.03 * extent.max())
        assert np.allclose((ours.normals**2).mean(0), (theirs.normals**2).mean(0), atol=0.04)
