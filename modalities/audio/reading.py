"""One window of a recording, or a whole one, as an item at the model's rate and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File

from .clip import Clip
from .formats import header, samples
from .resampling import Mix, length, mixed, resample, span
from .windows import REFUSED, START, STOP


@dataclass(frozen=True)
class Reading:
    """What of a file becomes an item.

    Args:
        rate: of the model, Hz.
        channels: of the model, 1 or 2.
        mix: how one channel is made of several: their mean, the first or the second.
        labels: whether the row's label becomes a condition.
        conditions: further columns that do.
    """

    rate: int
    channels: int = 1
    mix: Mix = "mean"
    labels: bool = True
    conditions: Sequence[str] = ()

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """The samples that the row names, or all. At the file's own rate and channels they are the file's, bit by bit.

        Raises:
            BadItem: a file that cannot be used, or a row that says why it has no item.
        """
        if REFUSED in row:
            raise BadItem(file.location, str(row[REFUSED]))
        about = header(file)
        if about.channels > 2 == self.channels:
            raise BadItem(
                file.location,
                f"has {about.channels} channels, of which no two are a stereo pair for sure: take modality.channels=1",
            )
        total = length(about.frames, about.rate, self.rate)
        start, stop = int(row.get(START, 0)), min(int(row.get(STOP, total)), total)
        found = self._part(file, start, stop) if about.direct else self._kept(file, start, stop, total)
        key = file.name if stop - start == total else f"{file.name}[{start}:{stop}]"
        clip = Clip(found, self.rate, start / self.rate, about.frames / about.rate, key)
        return Item(clip, self._told(row), key)

    def _part(self, file: File, start: int, stop: int) -> np.ndarray:
        """Samples at the model's rate from what of the file they depend on."""
        source = header(file).rate
        first, last, skip = span(start, stop, source, self.rate)
        found = mixed(samples(file, first, last), self.channels, self.mix)
        return np.ascontiguousarray(resample(found, source, self.rate)[skip : skip + stop - start])

    def _kept(self, file: File, start: int, stop: int, total: int) -> np.ndarray:
        """Samples from the whole recording, which is kept until its end has been asked for: its windows cost one decoding."""
        whole = _converted(file, file.stamp, self.rate, self.channels, self.mix)
        if stop == total:
            _converted.cache_clear()
        return whole[start:stop].copy()

    def _told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: row[name] for name in self.conditions if name in row}
        return told | ({"label": str(row["label"])} if self.labels and "label" in row else {})


@lru_cache(maxsize=1)
def _converted(file: File, stamp: object, rate: int, channels: int, mix: Mix) -> np.ndarray:
    return np.ascontiguousarray(resample(mixed(samples(file), channels, mix), header(file).rate, rate))
