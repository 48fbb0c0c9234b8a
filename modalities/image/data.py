"""Data sets that come with the modality: the digits that need no download."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from ornstein.core.sources import File, Memory, Row, Source


class Digits(Source):
    """The 1,797 handwritten digits of scikit-learn, 8 x 8, levels 0..16 scaled to 0..255, as PNG files in memory.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), test part.
    """

    def rows(self) -> list[Row]:
        """`digits#0` to `digits#1796`, each with its label 0..9."""
        return list(_digits())

    def about(self) -> str:
        """One line for a person."""
        return "1,797 handwritten digits of scikit-learn, 8 x 8, 10 classes"


@lru_cache(maxsize=1)
def _digits() -> tuple[Row, ...]:
    from PIL import Image
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    files = {}
    for i, pixels in enumerate(np.rint(levels.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files[f"digits#{i}"] = buffer.getvalue()
    store = Memory("scikit-learn", files)
    return tuple(Row(File(name, store), {"label": int(label)}) for name, label in zip(files, labels, strict=True))
