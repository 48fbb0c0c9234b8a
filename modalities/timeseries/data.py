"""Series that need no download."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from ornstein.core import rng
from ornstein.core.sources import File, Memory, Row, Source

_SERIES, _STEPS, _CHANNELS = 10_000, 24, 5


class Sines(Source):
    """10,000 series of 24 steps and 5 channels, each channel a sine of its own frequency and phase, in [0, 1].

        x_j = (sin(a j + b) + 1) / 2,  j = 0..23,  a, b ~ U(0, 0.1), drawn for each channel of each series

    Source: Yoon, Jarrett, van der Schaar 2019, Time-series Generative Adversarial Networks, its data set Sines.
    """

    def rows(self) -> list[Row]:
        """One file of all series."""
        return list(_sines())

    def about(self) -> str:
        """One line for a person."""
        return "10,000 generated series of 24 steps, 5 sines each"


@lru_cache(maxsize=1)
def _sines() -> tuple[Row, ...]:
    draw = rng.generator(0, "sines")
    a, b = draw.uniform(0, 0.1, (2, _SERIES, 1, _CHANNELS))
    values = (np.sin(a * np.arange(_STEPS)[:, None] + b) + 1) / 2
    content = io.BytesIO()
    np.save(content, values)
    return (Row(File("sines.npy", Memory("sines", {"sines.npy": content.getvalue()}))),)
