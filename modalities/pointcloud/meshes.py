"""Files of triangles: the meshes of a scene where they stand, each fit to be sampled."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from . import headers

if TYPE_CHECKING:
    from trimesh import Trimesh

EXTENSIONS = (".ply", ".off", ".obj", ".stl", ".glb", ".gltf", ".3mf")


@dataclass(frozen=True)
class Scene:
    """What a file of meshes holds.

    Args:
        meshes: each with area, in the coordinates of the scene; an instance that stands twice is there twice.
        unit: of length, where the format says it, else None.
        notes: what was left out or is missing.
    """

    meshes: list[Trimesh]
    unit: str | None
    notes: tuple[str, ...]


def load(file: File) -> Scene:
    """The meshes of a file, moved and turned as its scene says; polygons are cut into triangles.

    Raises:
        BadItem: empty, damaged, without faces or area, with coordinates that are no finite numbers, or with another number of
            vertices or faces than it says.
    """
    import trimesh

    content = file.read()
    if not content:
        raise BadItem(file.location, "is empty (0 bytes)")
    ending = PurePosixPath(file.name).suffix.lower()
    beside = Beside(file)
    log = logging.getLogger("trimesh")
    level = log.level
    try:
        headers.check(ending, content)
        log.setLevel(logging.CRITICAL)  # it prints whole traces of what is said here in a line
        scene = trimesh.load_scene(
            io.BytesIO(content),
            file_type=ending[1:],
            resolver=beside,
            process=False,  # which would drop vertices that are no numbers
        )
        found = [_placed(scene, node) for node in sorted(scene.graph.nodes_geometry)]
    except BadItem:
        raise
    except Exception as error:  # its readers raise whatever their parsers do
        raise BadItem(file.location, _reason(error, ending)) from error
    finally:
        log.setLevel(level)
    notes = [f"{name}, which it names, is not there: without it there is no colour of it" for name in beside.missing]
    meshes = []
    for geometry in found:
        if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
            _check(file, geometry)
            visual: Any = geometry.visual
            if beside.missing and visual.kind == "texture" and getattr(visual.material, "image", None) is None:
                geometry.visual = trimesh.visual.ColorVisuals()
            meshes.append(geometry)
        else:
            notes.append(f"a {type(geometry).__name__} without faces is left out")
    flat = [mesh for mesh in meshes if not mesh.area > 0]
    if not meshes:
        vertices = sum(len(geometry.vertices) for geometry in found)
        raise BadItem(file.location, f"has {vertices:,} vertices and no faces: save points alone as PLY, XYZ or NPZ")
    if len(flat) == len(meshes):
        raise BadItem(file.location, "has faces of no area: there is nothing to sample")
    if flat:
        notes.append(f"{len(flat)} of {len(meshes)} meshes have no area and get no points")
    unit = scene.units if ending in (".glb", ".gltf", ".3mf") else None
    return Scene([mesh for mesh in meshes if mesh.area > 0], unit, tuple(notes))


def _placed(scene: Any, node: str) -> Any:
    """The geometry of a node in the coordinates of the scene; `Scene.dump` would copy its texture too."""
    import trimesh

    matrix, name = scene.graph[node]
    geometry = scene.geometry[name]
    if not isinstance(geometry, trimesh.Trimesh) or np.array_equal(matrix, np.eye(4)):
        return geometry
    mirrored = np.linalg.det(matrix[:3, :3]) < 0
    return trimesh.Trimesh(
        trimesh.transform_points(geometry.vertices, matrix),
        geometry.faces[:, ::-1] if mirrored else geometry.faces,  # so that normals still point outwards
        visual=geometry.visual,
        process=False,
    )


def _check(file: File, mesh: Trimesh) -> None:
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    bad = np.flatnonzero(~np.isfinite(vertices).all(1))
    if len(bad):
        raise BadItem(
            file.location,
            f"has {len(bad):,} vertices that are no finite numbers, the first is {vertices[bad[0]].tolist()} "
            f"(vertex {bad[0] + 1:,}): repair the mesh",
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = int(np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(1))[0])
        raise BadItem(
            file.location, f"has {len(vertices):,} vertices, and face {wrong + 1:,} names {faces[wrong].tolist()}"
        )


def _reason(error: Exception, ending: str) -> str:
    text = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
    return (
        text
        if isinstance(error, ValueError) and text.startswith(("has ", "says ", "is ", "begins "))
        else (f"is damaged or cut short, or no {ending[1:].upper()} file ({text})")
    )


@dataclass(eq=False)
class Beside(Mapping[str, bytes]):
    """The files that a file names, such as materials and textures, which lie beside it in its own store.

    Args:
        file: the one that names others.
        missing: the names of those that were asked for and are not there.
    """

    file: File
    missing: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> bytes:
        for word in dict.fromkeys((name, unquote(name))):  # the names of glTF are percent-encoded
            path = PurePosixPath(word.strip().replace("\\", "/"))
            for place in dict.fromkeys((path, PurePosixPath(path.name))):  # other people's folders are not here
                inside = _within(PurePosixPath(self.file.name).parent, place)
                if inside is not None and (content := self._content(inside)) is not None:
                    return content
        if name not in self.missing:
            self.missing.append(name)
        raise KeyError(name)

    def _content(self, name: str) -> bytes | None:
        try:
            return File(name, self.file.store).read()
        except (BadItem, KeyError):
            return None

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: Any) -> bool:
        try:
            self[name]
        except KeyError:
            return False
        return True


def _within(folder: PurePosixPath, path: PurePosixPath) -> str | None:
    """The path from the root of the store; None where it leads out of it."""
    parts: list[str] = []
    if path.is_absolute():
        return None
    for part in (*folder.parts, *path.parts):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
