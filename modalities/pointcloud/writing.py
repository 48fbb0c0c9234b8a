"""Clouds to files: PLY for every program, NPZ for arrays, GLB to be looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ornstein.core.checkpoint import write_aside

from .cloud import Cloud

_GAP = 1.25  # between shapes side by side, in widths of the widest
_SHOWN = 64  # shapes of samples.glb


def save(samples: Sequence[Cloud], folder: Path) -> list[Path]:
    """Write the samples into a folder; each file aside and renamed.

    `0000.ply`, ... hold one sample each, binary: x y z as float64, normals as float32, colours as uchar, `part` as int.
    `samples.npz` holds all: `points` (n, N, 3) and the columns that every sample has, with NaN, 0 or -1 behind the end of a
    smaller one, `size` (n,) and `name` (n,). `samples.glb` shows the first 64 side by side, as points with their colours.
    """
    if not samples:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(samples) - 1)))
    paths = [_put(folder / f"{i:0{digits}d}.ply", ply(sample)) for i, sample in enumerate(samples)]
    paths.append(_put(folder / "samples.npz", npz(samples)))
    return [*paths, _put(folder / "samples.glb", glb(samples[:_SHOWN]))]


def ply(cloud: Cloud) -> bytes:
    """A binary PLY file of a cloud, little endian; its name is a comment."""
    columns = [(axis, "double", "<f8", cloud.points[:, i]) for i, axis in enumerate("xyz")]
    if cloud.normals is not None:
        columns += [(f"n{axis}", "float", "<f4", cloud.normals[:, i]) for i, axis in enumerate("xyz")]
    if cloud.colours is not None:
        columns += [(name, "uchar", "u1", cloud.colours[:, i]) for i, name in enumerate(("red", "green", "blue"))]
    if cloud.parts is not None:
        columns.append(("part", "int", "<i4", cloud.parts))
    record = np.empty(cloud.size, [(name, kind) for name, _, kind, _ in columns])
    for name, _, _, values in columns:
        record[name] = values
    named = [f"comment {' '.join(cloud.name.split())}"] if cloud.name else []
    properties = [f"property {word} {name}" for name, word, _, _ in columns]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *named,
        f"element vertex {cloud.size}",
        *properties,
        "end_header",
    ]
    return ("\n".join(header) + "\n").encode("utf-8") + record.tobytes()


def npz(samples: Sequence[Cloud]) -> bytes:
    """The arrays of all clouds in one file; see `save`."""
    fill: dict[str, float] = {"points": np.nan, "normals": np.nan, "colours": 0, "parts": -1}
    most = max(sample.size for sample in samples)
    arrays: dict[str, Any] = {}
    for column, value in fill.items():
        have = [sample.columns[column] for sample in samples if column in sample.columns]
        if len(have) == len(samples):
            arrays[column] = np.stack([_longer(values, most, value) for values in have])
    arrays["size"] = np.array([sample.size for sample in samples])
    arrays["name"] = np.array([sample.name for sample in samples])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def glb(samples: Sequence[Cloud]) -> bytes:
    """A glTF scene with the clouds side by side in rows, seen from the front; without colours they are grey."""
    import trimesh

    scene = trimesh.Scene()
    columns = int(np.ceil(np.sqrt(len(samples))))
    step = _GAP * max(float(np.ptp(sample.points, axis=0).max(initial=0.0)) for sample in samples)
    for i, sample in enumerate(samples):
        middle = (sample.points.min(0) + sample.points.max(0)) / 2
        place = np.array([i % columns, -(i // columns), 0.0]) * step
        colours = np.full((sample.size, 3), 150, np.uint8) if sample.colours is None else sample.colours
        scene.add_geometry(
            trimesh.PointCloud(sample.points - middle + place, colours), f"{i:04d} {sample.name}".strip()
        )
    return scene.export(file_type="glb")


def _longer(values: np.ndarray, most: int, fill: float) -> np.ndarray:
    rest = np.full((most - len(values), *values.shape[1:]), fill, values.dtype)
    return np.concatenate([values, rest])


def _put(path: Path, content: bytes) -> Path:
    write_aside(path, lambda aside: aside.write_bytes(content))
    return path
