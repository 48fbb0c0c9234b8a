"""Points in arrays: NPY, NPZ and H5 files that hold one cloud or many."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .blocks import bytes_of, unit
from .cloud import Cloud

EXTENSIONS = (".npy", ".npz", ".h5", ".hdf5")
_SPELLINGS = {  # the first is ours; then those of ModelNet40, ShapeNetPart, ScanObjectNN and others
    "points": ("points", "data", "xyz", "pc", "vertices", "arr_0", "pointcloud"),
    "normals": ("normals", "normal"),
    "colours": ("colours", "colors", "color", "rgb"),
    "parts": ("parts", "part", "pid", "seg", "part_label"),
    "label": ("label", "labels", "class"),
    "classes": ("classes", "class_names"),
    "name": ("name", "names"),
    "size": ("size",),
    "known": ("known",),
    "center": ("center", "centre", "centers"),
    "scale": ("scale", "scales"),
    "caption": ("caption", "captions"),
}
_PER_POINT = ("normals", "colours", "parts")


@dataclass(frozen=True, eq=False)
class Stack:
    """Clouds of one file.

    Args:
        columns: `points` (n, N, 3), and of `_SPELLINGS` what else there is, each with n rows.
        classes: names of the labels, where the labels are numbers and the file has them.
        notes: what is there and not used.
    """

    columns: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of clouds, n."""
        return len(self.columns["points"])

    def cloud(self, i: int) -> Cloud:
        """Cloud `i` in physical units: the points by its scale and centre, where the file has them.

        Raises:
            ValueError: coordinates or normals that are no finite numbers, or colours that are none.
        """
        columns = {key: values[i] for key, values in self.columns.items()}
        real = slice(columns.get("size"))  # of a stack of several sizes the rows behind it are padding
        columns |= {key: columns[key][real] for key in ("points", *_PER_POINT) if key in columns}
        points = columns["points"].astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(points).all(1))
        if len(wrong):
            raise ValueError(
                f"has coordinates that are no finite numbers: point {wrong[0] + 1:,} is {points[wrong[0]].tolist()}"
            )
        if "center" in columns or "scale" in columns:
            points = points * columns.get("scale", 1.0) + columns.get("center", 0.0)
        colours = columns.get("colours")
        if colours is not None and colours.dtype != np.uint8:
            colours = bytes_of(colours.astype(np.float64), None)
        return Cloud(
            points,
            unit(columns["normals"].astype(np.float64)) if "normals" in columns else None,
            colours,
            columns["parts"].astype(np.int64) if "parts" in columns else None,
            self.text(i, "name") or "",
        )

    def text(self, i: int, column: str) -> str | None:
        """The `name`, `label` or `caption` of cloud `i`; a label by its class name where the file has those."""
        if column not in self.columns:
            return None
        value = self.columns[column][i]
        numbered = column == "label" and self.classes and value.dtype.kind in "iu"
        return self.classes[int(value)] if numbered else _text(value)


def stack(file: File) -> Stack:
    """The clouds of a file; it is kept while nothing else is read, as its clouds are asked for one by one.

    Raises:
        BadItem: empty, damaged, without an array of points, or with columns of other lengths.
    """
    return _stack(file, file.stamp)


@lru_cache(maxsize=2)
def _stack(file: File, stamp: object) -> Stack:
    content = file.read()
    if not content:
        raise BadItem(file.location, "is empty (0 bytes)")
    try:
        arrays = _arrays(PurePosixPath(file.name).suffix.lower(), content)
    except Exception as error:  # NumPy and h5py raise what they meet
        raise BadItem(file.location, f"is damaged or cut short ({error})") from error
    try:
        return _stacked(arrays)
    except ValueError as error:
        raise BadItem(file.location, str(error)) from error


def _arrays(ending: str, content: bytes) -> dict[str, np.ndarray]:
    if ending == ".npy":
        return {"points": np.load(io.BytesIO(content), allow_pickle=False)}
    if ending == ".npz":
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    import h5py

    arrays: dict[str, np.ndarray] = {}

    def keep(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            last = name.rsplit("/", 1)[-1]
            if last in arrays:
                raise ValueError(f"it holds several arrays named {last}")
            arrays[last] = np.asarray(node[()])

    with h5py.File(io.BytesIO(content), "r") as archive:
        archive.visititems(keep)
    return arrays


def _stacked(arrays: Mapping[str, np.ndarray]) -> Stack:
    lower = {name.lower(): name for name in arrays}
    named = {
        key: next((lower[spelling] for spelling in spellings if spelling in lower), None)
        for key, spellings in _SPELLINGS.items()
    }
    found = {key: arrays[name] for key, name in named.items() if name is not None}
    left = [name for name in arrays if name not in named.values()]
    if "points" not in found:
        raise ValueError(f"has the arrays {', '.join(arrays)}: one named points, (N, 3) or (n, N, 3), is needed")
    points = found["points"]
    if points.ndim not in (2, 3) or points.shape[-1] < 3 or points.dtype.kind not in "fiu":
        raise ValueError(f"has points {points.dtype} {points.shape}: numbers (N, 3) or (n, N, 3) are needed")
    if 0 in points.shape:
        raise ValueError("holds no points")
    classes = tuple(_text(word) for word in found.pop("classes", np.zeros(0)).tolist())
    if points.ndim == 2:
        found = {key: values[None] for key, values in found.items()}
    if points.shape[-1] == 6 and "normals" not in found:
        found["normals"] = found["points"][..., 3:]
        if not np.allclose(np.linalg.norm(found["normals"][0].astype(float), axis=-1), 1.0, atol=0.02):
            raise ValueError(
                "has points of 6 columns whose last three are no normals: give colours an array of their own"
            )
    elif points.shape[-1] > 3:
        left.append(f"columns 4 to {points.shape[-1]} of the points")
    found["points"] = found["points"][..., :3]
    for key, values in found.items():
        _fits(key, values, found["points"])
    if "label" in found:
        labels = found["label"] = found["label"].reshape(len(found["label"]), -1)[:, 0]  # (n, 1) in ModelNet40
        if classes and labels.dtype.kind in "iu" and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(f"has labels {labels.min()} to {labels.max()} and {len(classes)} classes")
    return Stack(found, classes, (f"{', '.join(left)}: not used",) if left else ())


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _fits(key: str, values: np.ndarray, points: np.ndarray) -> None:
    wanted = points.shape[: 2 if key in _PER_POINT else 1]
    wanted += (3,) if key in ("normals", "colours") else ()
    if values.shape[: len(wanted)] != wanted or (key in _PER_POINT and values.ndim != len(wanted)):
        raise ValueError(f"has points {points.shape} and {key} {values.shape}: they must belong together")
