"""Points drawn from surfaces, with the colours that are there; clouds turned and scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .cloud import Cloud

if TYPE_CHECKING:
    from trimesh import Trimesh


def by_area(meshes: Sequence[Trimesh], count: int, rng: np.random.Generator) -> Cloud:
    """`count` points of the surface of all meshes together, uniform by area and independent; so is any run of them.

    The triangle is drawn by its share of the area, the place in it uniformly. Normals are those of the triangle, by its
    winding. A colour is that of the texture, of the vertices (interpolated) or of the material at the point, as it is stored;
    white where only other meshes have one. `parts` says which mesh a point lies on, where there are several.

    Raises:
        ValueError: no area.

    Source: Osada, Funkhouser, Chazelle, Dobkin 2002, "Shape distributions", section 4.1.
    """
    import trimesh

    areas = np.array([mesh.area for mesh in meshes])
    if not areas.sum() > 0:
        raise ValueError("surfaces without area have no points to draw")
    shares = rng.multinomial(count, areas / areas.sum())
    points, normals, colours = [], [], []
    for mesh, share in zip(meshes, shares.tolist(), strict=True):
        drawn, face, barycentric = trimesh.sample.sample_surface(mesh, share, return_barycentric=True, seed=rng)
        points.append(drawn)
        normals.append(mesh.face_normals[face])
        colours.append(_colours(mesh, face, barycentric))
    coloured = None
    if any(colour is not None for colour in colours):
        blanks = (np.full((share, 3), 255, np.uint8) for share in shares)
        coloured = np.concatenate([b if c is None else c for c, b in zip(colours, blanks, strict=True)])
    parts = np.repeat(np.arange(len(meshes)), shares) if len(meshes) > 1 else None
    return Cloud(np.concatenate(points), np.concatenate(normals), coloured, parts).take(rng.permutation(count))


def turned(cloud: Cloud, matrix: np.ndarray, scale: float = 1.0) -> Cloud:
    """Points by `scale` times a rotation (3, 3), normals by the rotation alone."""
    normals = None if cloud.normals is None else cloud.normals @ matrix.T
    return replace(cloud, points=cloud.points @ matrix.T * scale, normals=normals)


def _colours(mesh: Trimesh, face: np.ndarray, barycentric: np.ndarray) -> np.ndarray | None:
    """The colours (n, 3) uint8 of points of triangles; None where the mesh says none."""
    visual: Any = mesh.visual
    if visual.kind == "face":
        return np.asarray(visual.face_colors)[face, :3].astype(np.uint8)
    if visual.kind == "vertex":
        corners = np.asarray(visual.vertex_colors, float)[mesh.faces[face], :3]  # (n, 3 corners, 3)
        return np.rint(np.einsum("nc,ncd->nd", barycentric, corners)).astype(np.uint8)
    if visual.kind != "texture":
        return None
    material = visual.material
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is not None and _is_stand_in(material):
        return None
    if image is None or visual.uv is None:
        return np.tile(np.asarray(material.main_color)[:3].astype(np.uint8), (len(face), 1))
    uv = np.einsum("nc,ncd->nd", barycentric, np.asarray(visual.uv, float)[mesh.faces[face]])
    return _looked_up(np.asarray(image.convert("RGB")), uv)


def _is_stand_in(material: Any) -> bool:
    """Whether it is what trimesh puts where there are coordinates of a texture and no texture."""
    import trimesh

    empty = trimesh.visual.material.empty_material()
    return getattr(material, "image", None) is not None and (
        material.image.size == empty.image.size and hash(material) == hash(empty)
    )


def _looked_up(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """The nearest texel; u to the right, v upwards, both repeated beyond 0..1."""
    height, width = image.shape[:2]
    column = np.floor(uv[:, 0] % 1.0 * width).astype(np.int64) % width
    row = np.floor((1.0 - uv[:, 1]) % 1.0 * height).astype(np.int64) % height
    return image[row, column]
