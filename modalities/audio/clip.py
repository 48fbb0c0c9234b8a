"""A stretch of sound: what is read from a file, and what a sample decodes to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Clip:
    """Samples at one rate, and where in a recording they lie.

    Args:
        samples: (T, C) float32, full scale +-1. Values beyond it are kept as they are.
        rate: samples a second, Hz.
        start: seconds from the beginning of the recording to the first sample.
        seconds: length of the whole recording; not given: up to the end of this clip.
        name: of the file, for messages and pictures.

    Raises:
        ValueError: samples of another shape or type, or a rate below 1 Hz.
    """

    samples: np.ndarray
    rate: int
    start: float = 0.0
    seconds: float = math.nan
    name: str = ""

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            found = f"{self.samples.dtype} {self.samples.shape}"
            raise ValueError(f"clip {self.name!r}: samples are float32 (T, C), here {found}")
        if self.rate < 1:
            raise ValueError(f"clip {self.name!r}: a rate is at least 1 Hz, here {self.rate}")
        if math.isnan(self.seconds):
            object.__setattr__(self, "seconds", self.start + self.duration)

    @property
    def duration(self) -> float:
        """Seconds of this clip alone."""
        return len(self.samples) / self.rate

    @property
    def channels(self) -> int:
        """1: mono, 2: stereo."""
        return self.samples.shape[1]
