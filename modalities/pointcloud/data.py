"""What the folders of known data sets say: ShapeNet's parts of train, val and test stand below the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ornstein.core.sources import Row

_PARTS = {"train": "train", "val": "validation", "test": "test"}
_CLASSES = {"02691156": "aeroplane", "02958343": "car", "03001627": "chair"}  # those of the published tables


def shapenet(rows: Sequence[Row]) -> list[Row]:
    """Rows with their official part, and classes by their words, where all files lie as `CLASS/train/NAME`; else as they are.

    That is how ShapeNetCore.v2.PC15k (Yang et al. 2019, arXiv:1906.12320) lies; with the folder of one class as the root its
    parts are on top, which any source finds.
    """
    paths = [PurePosixPath(row.file.name).parts for row in rows]
    named = any("split" in row.values for row in rows)
    if named or not all(len(path) >= 3 and path[-2] in _PARTS for path in paths):
        return list(rows)
    out = []
    for path, row in zip(paths, rows, strict=True):
        label = str(row.values.get("label", path[-3]))
        out.append(replace(row, values={**row.values, "label": _CLASSES.get(label, label), "split": _PARTS[path[-2]]}))
    return out
