"""Furniture that needs no download: chairs, tables, lamps and aeroplanes, put together from drawn measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ornstein.core import rng
from ornstein.core.sources import Cache, File, Memory, Row, Source, track

from . import aeroplanes, chairs, lamps, tables
from .solids import Solid

COUNT = 2000
_CACHE = Cache("pointcloud")
POINTS = 2048
MAKERS: dict[str, Callable[[np.random.Generator], list[Solid]]] = {
    "aeroplane": aeroplanes.aeroplane,
    "chair": chairs.chair,
    "lamp": lamps.lamp,
    "table": tables.table,
}
PARTS = {"aeroplane": aeroplanes.PARTS, "chair": chairs.PARTS, "lamp": lamps.PARTS, "table": tables.PARTS}
_SPARE = 3  # points drawn for each that is kept: those inside of other solids are not
_VERSION = 3  # of the makers: with another one the shapes are made anew
_RECORD = np.dtype([("points", "<f4", 3), ("normals", "<f4", 3), ("colours", "u1", 3), ("part", "u1")])


class Furniture(Source):
    """2,000 shapes, 500 of each class, always the same, as binary PLY files of 2,048 points with normals, colours and parts.

    Metres, y up, fronts to +z, the lowest point at y = 0. Shape k is a pure function of its class and k: a kind is drawn (a
    swivel chair, a trestle table, a pendant, a biplane), then its measures; points are drawn by area from the surfaces that no
    other part covers. Made once and kept with the caches.
    """

    def rows(self) -> list[Row]:
        """`aeroplane/000.ply` to `table/499.ply`, each with its class as label and a caption."""
        return list(_rows())

    def about(self) -> str:
        """One line for a person."""
        return f"{COUNT:,} pieces of furniture and aeroplanes in {len(MAKERS)} classes, made with trimesh"


def shape(label: str, number: int) -> list[Solid]:
    """The solids of one shape, which stands on the floor."""
    solids = MAKERS[label](rng.generator(0, "furniture", label, number))
    low = min(float(solid.vertices[:, 1].min()) for solid in solids)
    return [solid.moved((0, -low, 0)) for solid in solids]


def sampled(solids: Sequence[Solid], count: int, seed: int) -> np.ndarray:
    """`count` points of what is seen of solids, uniform by area: records of points, normals, colours and part."""
    import trimesh

    starts = np.cumsum([0, *(len(solid.vertices) for solid in solids)])
    faces = np.concatenate([solid.faces + start for solid, start in zip(solids, starts, strict=False)])
    mesh = trimesh.Trimesh(np.concatenate([solid.vertices for solid in solids]), faces, process=False)
    owners = np.repeat(np.arange(len(solids)), [len(solid.faces) for solid in solids])
    points, face = trimesh.sample.sample_surface(mesh, _SPARE * count, seed=np.random.default_rng(seed))
    owner = owners[face]
    hidden = np.stack([solid.holds(points) & (owner != i) for i, solid in enumerate(solids)]).any(0)
    seen = np.flatnonzero(~hidden)[:count]
    points, face, owner = points[seen], face[seen], owner[seen]
    out = np.empty(count, _RECORD)
    out["points"], out["normals"] = points, mesh.face_normals[face]
    out["colours"] = np.array([solid.colour for solid in solids])[owner]
    out["part"] = np.array([solid.part for solid in solids])[owner]
    return out


@lru_cache(maxsize=1)
def _rows() -> tuple[Row, ...]:
    import trimesh

    name = f"furniture-{_VERSION}-{trimesh.__version__}-{COUNT}-{POINTS}"
    each = COUNT // len(MAKERS)
    names = [(label, number) for label in MAKERS for number in range(each)]
    kept = _CACHE.load(name)
    if kept is None:
        bar = track(names, "making furniture", len(names))
        made = [sampled(shape(*one), POINTS, rng.key(0, "furniture points", *one)) for one in bar]
        kept = {"records": np.frombuffer(np.stack(made).tobytes(), np.uint8)}
        _CACHE.save(name, kept)
    records = kept["records"].view(_RECORD).reshape(len(names), POINTS)
    files = _Files({f"{label}/{number:03d}.ply": row for (label, number), row in zip(names, records, strict=True)})
    store = Memory("furniture", files)
    return tuple(
        Row(File(file, store), {"label": label, "caption": f"{'an' if label[0] in 'aeiou' else 'a'} {label}"})
        for file, (label, _) in zip(files, names, strict=True)
    )


@dataclass(frozen=True)
class _Files(Mapping[str, bytes]):
    """Records as PLY files, written when they are opened: all at once would be as large again."""

    records: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> bytes:
        rows = self.records[name]
        kinds = [("float", axis) for axis in ("x", "y", "z", "nx", "ny", "nz")]
        kinds += [("uchar", value) for value in ("red", "green", "blue", "part")]
        properties = "".join(f"property {kind} {value}\n" for kind, value in kinds)
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{properties}end_header\n"
        return head.encode() + rows.tobytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)
