"""Clouds for people: points as small shaded spheres, many shapes in a grid, and a shape that turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ornstein.core.checkpoint import write_aside

from .cloud import Cloud

_SKY = np.array([255.0, 255.0, 255.0])
_NEAR, _FAR = np.array([58.0, 116.0, 180.0]), np.array([168.0, 200.0, 222.0])  # of points without colour, by depth
_GIVEN_NEAR, _GIVEN_FAR = np.array([226.0, 110.0, 34.0]), np.array([240.0, 190.0, 140.0])  # of those that were given
_LIGHT = np.array([-0.45, 0.8, 0.4]) / np.linalg.norm([-0.45, 0.8, 0.4])  # to the right, up, towards the eye
_NEIGHBOURS = 12  # of a point, whose plane is taken for its surface
_SMOOTH = 2  # pixels drawn for each side of a pixel shown
_TITLE = 18  # height of the line below a shape, pixels
_SMALLEST, _LARGEST = 0.005, 0.035  # radius of a sphere, of a panel's side
_CLOSING = 0.75  # radius of a sphere, of the distance to a neighbour: what lies behind a surface is hidden
_MARGIN = 0.04  # of a panel's side
AZIMUTH, ELEVATION = 35.0, 22.0  # degrees


def view(
    cloud: Cloud,
    size: int = 200,
    known: np.ndarray | None = None,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
) -> np.ndarray:
    """One cloud from a corner above, (size, size, 3) uint8: orthographic, the nearest point of each pixel seen.

    Points are spheres, large enough to close a surface, and lit from the upper left by the normal of the surface at each: the
    cloud's own, else that of the plane through its neighbours. Colour is that of the points, else pale where far.

    Args:
        cloud: y up.
        size: side of the picture, pixels.
        known: (N,) bool, given points, which are orange.
        azimuth: turn about the vertical, degrees; 0 looks along -z.
        elevation: of the eye above the horizontal, degrees.
    """
    camera = _camera(azimuth, elevation)
    centred = _centred(cloud.points, elevation)
    seen = centred @ camera.T
    normals = normals_of(cloud) @ camera.T
    return _splatted(seen, _coloured(cloud, known, seen[:, 2], normals), size, spacing(centred))


def grid(
    clouds: Sequence[Cloud],
    titles: Sequence[str] | None = None,
    known: Sequence[np.ndarray | None] | None = None,
    size: int = 200,
    columns: int | None = None,
) -> np.ndarray:
    """Clouds side by side in reading order, (H, W, 3) uint8, each as large as its panel allows, with a title below.

    Args:
        clouds: what to show, one or more.
        titles: a line each; None: their names, where any has one.
        known: (N,) bool each, which points were given; None: none.
        size: side of a panel, pixels.
        columns: panels in a row; None: about as many as rows.
    """
    titles = [cloud.name for cloud in clouds] if titles is None else titles
    columns = columns or math.ceil(math.sqrt(len(clouds)))
    height = size + (_TITLE if any(titles) else 0)
    canvas = np.full((-(-len(clouds) // columns) * height, columns * size, 3), 255, np.uint8)
    for i, cloud in enumerate(clouds):
        top, left = i // columns * height, i % columns * size
        canvas[top : top + size, left : left + size] = view(cloud, size, None if known is None else known[i])
        if titles[i]:
            canvas[top + size : top + height, left : left + size] = _line(titles[i], size)
    return canvas


def turntable(
    cloud: Cloud, path: Path, known: np.ndarray | None = None, size: int = 240, frames: int = 36, seconds: float = 3.6
) -> Path:
    """A whole turn about the vertical as an animation, GIF or MP4 by the ending of `path`, repeated without end as GIF.

    Raises:
        ValueError: another ending, or MP4 where ffmpeg is not installed.
    """
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}: a turntable is .gif or .mp4")
    angles = np.arange(frames) * 360.0 / frames
    pictures = [view(cloud, size, known, AZIMUTH + angle) for angle in angles.tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write = _gif if path.suffix.lower() == ".gif" else _mp4
    write_aside(path, lambda aside: write(pictures, aside, seconds / frames))
    return path


def normals_of(cloud: Cloud) -> np.ndarray:
    """The cloud's own normals, else those of the planes through the neighbours of each point, (N, 3), of either sign.

    Source: Hoppe, DeRose, Duchamp, McDonald, Stuetzle 1992, "Surface reconstruction from unorganized points", section 3.2.
    """
    from scipy.spatial import cKDTree

    if cloud.normals is not None:
        return cloud.normals
    _, near = cKDTree(cloud.points).query(cloud.points, k=min(_NEIGHBOURS, cloud.size))
    patches = cloud.points[near.reshape(cloud.size, -1)]
    patches = patches - patches.mean(1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", patches, patches))[1][:, :, 0]


def spacing(points: np.ndarray) -> float:
    """How far a point is from its third neighbour, in the mean."""
    from scipy.spatial import cKDTree

    return float(cKDTree(points).query(points, k=min(4, len(points)))[0].reshape(len(points), -1)[:, -1].mean())


def _camera(azimuth: float, elevation: float) -> np.ndarray:
    """The directions right, up and towards the eye, a row each, (3, 3)."""
    a, e = math.radians(azimuth), math.radians(elevation)
    turn = np.array([[math.cos(a), 0.0, -math.sin(a)], [0.0, 1.0, 0.0], [math.sin(a), 0.0, math.cos(a)]])
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, math.cos(e), -math.sin(e)], [0.0, math.sin(e), math.cos(e)]])
    return tilt @ turn


def _centred(points: np.ndarray, elevation: float) -> np.ndarray:
    """About the middle of the box, and so large that it fills the picture and no turn about the vertical leaves it."""
    points = points - (points.min(0) + points.max(0)) / 2
    around, e = np.hypot(points[:, 0], points[:, 2]).max(), math.radians(abs(elevation))
    over = np.abs(points[:, 1]).max() * math.cos(e) + around * math.sin(e)
    return points / (max(around, over) or 1.0)


def _coloured(cloud: Cloud, known: np.ndarray | None, depth: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The colour of each point, (N, 3): paler where far, darker where its surface is turned from the light."""
    if cloud.colours is not None:
        near = cloud.colours.astype(float)
        far = 0.8 * near + 0.2 * _SKY
    else:
        near, far = np.tile(_NEAR, (cloud.size, 1)), np.tile(_FAR, (cloud.size, 1))
    if known is not None:
        near[known], far[known] = _GIVEN_NEAR, _GIVEN_FAR
    closeness = 1.0 - ((depth.max() - depth) / (np.ptp(depth) or 1.0))[:, None]
    facing = normals * np.where(normals[:, 2:] < 0, -1.0, 1.0)  # what is seen of a surface faces the eye
    light = 0.6 + 0.55 * np.clip(facing @ _LIGHT, 0.0, 1.0)[:, None]
    return ((closeness * near + (1 - closeness) * far) * light).clip(0, 255)


def _splatted(seen: np.ndarray, colours: np.ndarray, size: int, apart: float) -> np.ndarray:
    """Spheres by a depth buffer: what is far is written first, so that the last at a pixel is what is seen."""
    side = size * _SMOOTH
    radius = side * min(_LARGEST, max(_SMALLEST, _CLOSING * apart / 2))
    reach = side * (0.5 - _MARGIN) - radius
    offset = np.arange(-math.ceil(radius), math.ceil(radius) + 1)
    dx, dy = (values.ravel() for values in np.meshgrid(offset, offset))
    inside = dx**2 + dy**2 <= radius**2
    dx, dy = dx[inside], dy[inside]
    dz = np.sqrt(1.0 - (dx**2 + dy**2) / radius**2)  # the sphere's height towards the eye, in radii
    heights = (seen[:, 2, None] * reach + dz * radius).ravel()
    column = (np.rint(side / 2 + seen[:, 0] * reach)[:, None] + dx).astype(np.int64)
    row = (np.rint(side / 2 - seen[:, 1] * reach)[:, None] + dy).astype(np.int64)
    order = np.argsort(heights)
    shaded = (colours[:, None] * (0.75 + 0.25 * dz)[:, None]).reshape(-1, 3)  # rims darker: single points stay apart
    canvas = np.tile(_SKY, (side * side, 1))
    canvas[(row * side + column).ravel()[order]] = shaded[order]
    return np.rint(canvas.reshape(size, _SMOOTH, size, _SMOOTH, 3).mean((1, 3))).astype(np.uint8)


def _line(text: str, width: int) -> np.ndarray:
    """A line of text in the middle, (_TITLE, width, 3); too long a one keeps its end, which tells files of a folder apart."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=12)
    picture = Image.new("RGB", (width, _TITLE), "white")
    pen = ImageDraw.Draw(picture)
    while pen.textlength(text, font) > width - 6 and len(text) > 4:
        text = "..." + text.removeprefix("...")[1:]
    pen.text(((width - pen.textlength(text, font)) / 2, 1), text, (60, 60, 60), font)
    return np.asarray(picture)


def _gif(pictures: Sequence[np.ndarray], path: Path, seconds: float) -> None:
    from PIL import Image

    first, *rest = [Image.fromarray(picture).quantize(128) for picture in pictures]
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0)


def _mp4(pictures: Sequence[np.ndarray], path: Path, seconds: float) -> None:
    import shutil
    import subprocess

    program = shutil.which("ffmpeg")
    if program is None:
        raise ValueError("an MP4 needs the program ffmpeg, which is not installed: write a .gif")
    height, width = pictures[0].shape[:2]
    shape = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{1 / seconds:g}"]
    coded = ["-f", "mp4", "-pix_fmt", "yuv420p", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    command = [program, "-loglevel", "error", "-y", *shape, "-i", "-", *coded, str(path)]
    done = subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"ffmpeg could not write {path}: {done.stderr.decode(errors='replace').strip()[:200]}")
