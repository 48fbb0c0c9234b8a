"""CIFAR-10 in its binary form: batch files of records, each a class and 32 x 32 pixels, colour by colour.

Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, and cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Row
from ornstein.core.sources.manifest import Value

EXTENSION = ".bin"
RECORD = "record"  # the column that says which one
_SIDE = 32
_BYTES = 1 + 3 * _SIDE**2
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar_rows(rows: Sequence[Row], official: bool) -> list[Row]:
    """One row for each record of the batch files among rows, with the name of its class; other rows as they are.

    Args:
        rows: of files.
        official: whether to name the parts of the split: `test_batch.bin` is the test part, all others training.

    Raises:
        BadItem: a batch file that is none.
    """
    return [each for row in rows for each in (_records(row, official) if is_batch(row.file) else [row])]


def is_batch(file: File) -> bool:
    """Whether a file is a batch file, by its name."""
    return file.name.lower().endswith(EXTENSION)


def record(file: File, number: int) -> np.ndarray:
    """The pixels of a record, uint8 (32, 32, 3)."""
    pixels = _batch(file, file.stamp)[number, 1:].reshape(3, _SIDE, _SIDE)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _records(row: Row, official: bool) -> list[Row]:
    labels = _batch(row.file, row.file.stamp)[:, 0]
    name = PurePosixPath(row.file.name).name
    told: dict[str, Value] = {"split": "test" if name.startswith("test") else "train"} if official else {}
    found = []
    for i, label in enumerate(labels):
        values = {**row.values, **told, "label": _CLASSES[label], RECORD: i}
        found.append(
            Row(row.file, {**values, "part_of": f"{row.file.name}#{i}"})
        )  # records of a file have nothing in common
    return found


@lru_cache(maxsize=2)
def _batch(file: File, stamp: tuple[int, int] | None) -> np.ndarray:
    """The records of a batch file, (n, 3073)."""
    content = np.frombuffer(file.read(), np.uint8)
    if not len(content) or len(content) % _BYTES or (content[::_BYTES] >= len(_CLASSES)).any():
        raise BadItem(
            file.location,
            f"is no batch file of CIFAR-10 in its binary form: {len(content):,} bytes are no records of {_BYTES:,}, each of "
            "a class from 0 to 9 and 32 x 32 x 3 pixels",
        )
    return content.reshape(-1, _BYTES)
