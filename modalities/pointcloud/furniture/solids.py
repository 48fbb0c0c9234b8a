"""The solids that furniture is put together from: meshes with a part and a colour, made with trimesh."""

# ruff: noqa: RUF005 - vectors are added, not joined

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

Place = Sequence[float] | np.ndarray  # x, y, z in metres

_SIDES = 12  # of a round solid
_FACES = (
    np.array(  # of a hexahedron whose corners are a lower and an upper quadrilateral, both anticlockwise from above
        [
            *([0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]),
            *(face for i in range(4) for face in ([i, (i + 1) % 4, 4 + (i + 1) % 4], [i, 4 + (i + 1) % 4, 4 + i])),
        ]
    )
)


@dataclass(frozen=True)
class Solid:
    """One mesh.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) corners, anticlockwise from outside.
        part: number of the part that it belongs to.
        colour: sRGB, 0 to 255.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: int
    colour: tuple[int, int, int]

    def moved(self, by: Place) -> Solid:
        """Shifted by a vector."""
        return replace(self, vertices=self.vertices + np.asarray(by))

    def scaled(self, by: Place) -> Solid:
        """Stretched along the axes; factors are above 0."""
        return replace(self, vertices=self.vertices * np.asarray(by))

    def holds(self, points: np.ndarray, margin: float = 1e-4) -> np.ndarray:
        """(N,) bool: which points (N, 3) lie inside, deeper than the margin in metres. Only prisms hold any."""
        low, high = self.vertices.min(0), self.vertices.max(0)
        inside = ((points > low + margin) & (points < high - margin)).all(1) & (len(self.vertices) == 8)
        near = np.flatnonzero(inside)
        if len(near):
            a, b, c = self.vertices[self.faces].transpose(1, 0, 2)
            normal = np.cross(b - a, c - a)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            inside[near] = ((points[near, None] - a) * normal).sum(2).max(1) < -margin
        return inside

    def mirrored(self) -> Solid:
        """Its image at the plane x = 0."""
        return replace(self, vertices=self.vertices * [-1, 1, 1], faces=self.faces[:, ::-1])


@dataclass(frozen=True)
class Stuff:
    """What solids are made of: makes them with its part and colour."""

    part: int
    colour: tuple[int, int, int]

    def prism(self, lower: Any, upper: Any) -> Solid:
        """Between two quadrilaterals (4, 3), both anticlockwise seen from `upper`'s side."""
        return Solid(np.concatenate([lower, upper]).astype(float), _FACES, self.part, self.colour)

    def block(self, low: Place, high: Place) -> Solid:
        """A box between two corners."""
        (x, y, z), (X, Y, Z) = low, high
        lower, upper = ([(x, h, Z), (X, h, Z), (X, h, z), (x, h, z)] for h in (y, Y))
        return self.prism(lower, upper)

    def beam(self, start: Place, end: Place, side: float, at_end: float | None = None) -> Solid:
        """A square beam along a line, of one thickness or of another at its end."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        u, v = _across(b - a)
        square = np.array([-u - v, u - v, u + v, v - u]) / 2
        return self.prism(a + side * square, b + (side if at_end is None else at_end) * square)

    def rod(self, start: Place, end: Place, radius: float, at_end: float | None = None) -> Solid:
        """A round rod along a line, of one radius or of another at its end."""
        return self.turned([(radius, 0.0), (radius if at_end is None else at_end, 1.0)], start, end)

    def turned(self, profile: Sequence[tuple[float, float]], start: Place, end: Place,
               sides: int = _SIDES) -> Solid:  # fmt: skip
        """A body of revolution about a line.

        Args:
            profile: (radius, place), from 0 at `start` to 1 at `end`; ends that are not on the axis are closed.
        """
        from trimesh.creation import revolve

        a, b = np.asarray(start, float), np.asarray(end, float)
        closed = [(0.0, profile[0][1]), *profile, (0.0, profile[-1][1])]
        line = [point for i, point in enumerate(closed) if i == 0 or point != closed[i - 1]]
        mesh = revolve(np.array(line, float), sections=sides)
        u, v = _across(b - a)
        vertices = a + mesh.vertices @ np.stack([u, v, b - a])
        return Solid(vertices, np.asarray(mesh.faces), self.part, self.colour)

    def disc(self, centre: Place, radius: float, height: float, sides: int = 24) -> Solid:
        """A flat round slab with a vertical axis; `centre` is that of its lower face."""
        top = np.asarray(centre, float) + [0, height, 0]
        return self.turned([(radius, 0.0), (radius, 1.0)], centre, top.tolist(), sides)

    def ball(self, centre: Place, radius: float) -> Solid:
        """A ball."""
        angle = np.linspace(0, np.pi, 9)
        profile = [(radius * float(np.sin(t)), float(1 - np.cos(t)) / 2) for t in angle]
        profile[0], profile[-1] = (0.0, 0.0), (0.0, 1.0)
        up = np.array([0, radius, 0])
        return self.turned(profile, np.asarray(centre) - up, np.asarray(centre) + up)

    def path(self, points: Iterable[Place], radius: float) -> list[Solid]:
        """A bent tube: rods from point to point."""
        return [self.rod(a, b, radius) for a, b in pairwise(points)]

    def shell(self, low: float, high: float, height: float, centre: Place, wall: float = 0.004) -> Solid:
        """An open shade with a vertical axis: radius `low` below and `high` above, a thin wall; `centre` is of its lower rim."""
        from trimesh.creation import revolve

        line = [(low - wall, 0.0), (low, 0.0), (high, height), (high - wall, height), (low - wall, 0.0)]
        mesh = revolve(np.array(line, float), sections=24)
        vertices = np.asarray(centre) + mesh.vertices[:, [0, 2, 1]]
        return Solid(vertices, np.asarray(mesh.faces)[:, ::-1], self.part, self.colour)


def _across(along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that stand on a direction and on each other, right-handed with it."""
    along = along / np.linalg.norm(along)
    other = np.eye(3)[0 if abs(along[0]) < 0.9 else 2]
    u = np.cross(other, along) if abs(along[1]) < 0.99 else np.array([1.0, 0, 0])
    u = u - (u @ along) * along
    u /= np.linalg.norm(u)
    return u, np.cross(along, u)
