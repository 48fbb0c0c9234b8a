"""Recordings of any length to items: whole, cut to windows that miss nothing, or their beginnings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import Row

from .formats import header
from .resampling import length

Long = Literal["windows", "crop", "refuse"]
Short = Literal["pad", "refuse"]
START, STOP = "first_sample", "end_sample"  # of a window, at the model's rate
REFUSED = "refused"  # why a row has no item: `read` raises it, so that it is counted and named
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Cutting:
    """How recordings become items.

    Args:
        rate: of the model, Hz.
        seconds: length of a window.
        hop: seconds from one window to the next; None: `seconds`.
        long: of a longer recording `windows`, of which the last is moved back to end with it; `crop`, its beginning alone; or
            `refuse` it.
        short: a shorter one is an item of its own length, to be padded and masked, or is refused.

    Raises:
        ValueError: an option out of range.
    """

    rate: int
    seconds: float
    hop: float | None = None
    long: Long = "windows"
    short: Short = "pad"

    def __post_init__(self) -> None:
        if self.rate < 1:
            raise ValueError(f"modality.rate={self.rate}: at least 1 Hz")
        for name in ("seconds", "hop"):
            value = getattr(self, name)
            if value is not None and not 0.5 < value * self.rate < math.inf:
                raise ValueError(f"modality.{name}={value}: at least one sample, {1 / self.rate:g} s")
        if self.hop is not None and self.hop > self.seconds:
            raise ValueError(
                f"modality.hop={self.hop} is longer than modality.seconds={self.seconds}: what lies between is lost"
            )
        if self.hop is not None and self.long != "windows":
            raise ValueError(f"modality.hop={self.hop} is for windows, and modality.long={self.long} makes none")

    @property
    def window(self) -> int:
        """Samples of a window."""
        return round(self.seconds * self.rate)

    def rows(self, rows: Sequence[Row], shares: Sequence[float] | None) -> list[Row]:
        """A row for each item, with `first_sample` and `end_sample`; without shares the rows as they are: whole recordings.

        Windows of a recording stay in one part. A single recording is divided by time, by the shares.

        Raises:
            ValueError: a single recording is too short to be divided.
        """
        if shares is None:
            return list(rows)
        lengths = [self._length(row) for row in rows]
        if len(rows) == 1 and isinstance(lengths[0], int) and "split" not in rows[0].values and self.long == "windows":
            return self._by_time(rows[0], lengths[0], shares)
        out: list[Row] = []
        for row, found in zip(rows, lengths, strict=True):
            why = found if isinstance(found, str) else self._refusal(found)
            if why is not None:
                out.append(_with(row, **{REFUSED: why}))
            else:
                out += [self._cut_out(row, *each) for each in self._cut(0, int(found))]
        if self.long == "crop":
            self._report([found for found in lengths if isinstance(found, int)])
        return out

    def _length(self, row: Row) -> int | str:
        """Samples of the recording at the model's rate, or what is wrong with it."""
        try:
            about = header(row.file)
        except BadItem as error:
            return error.why
        return length(about.frames, about.rate, self.rate)

    def _refusal(self, found: int) -> str | None:
        lasts = f"lasts {found / self.rate:.3g} s, and a window {self.seconds:g} s"
        if found > self.window and self.long == "refuse":
            return f"{lasts}: longer ones are refused (modality.long=refuse; choose windows or crop)"
        if found < self.window and self.short == "refuse":
            return f"{lasts}: shorter ones are refused (modality.short=refuse; choose pad)"
        return None

    def _cut(self, start: int, stop: int) -> list[tuple[int, int]]:
        """First sample and end of each window between two samples."""
        if stop - start <= self.window or self.long == "crop":
            return [(start, min(stop, start + self.window))]
        hop = self.window if self.hop is None else round(self.hop * self.rate)
        starts = [*range(start, stop - self.window, hop), stop - self.window]
        return [(first, first + self.window) for first in starts]

    def _by_time(self, row: Row, found: int, shares: Sequence[float]) -> list[Row]:
        ends = [0, *(round(found * share) for share in np.cumsum(shares))]
        stretches = [each for each in zip(_PARTS, ends[:-1], ends[1:], strict=True) if each[2] > each[1]]
        if any(stop - start < self.window for _, start, stop in stretches):
            raise ValueError(
                f"{row.file.location} is the only recording and lasts {found / self.rate:.3g} s: by data.split={list(shares)} "
                f"some part is shorter than modality.seconds={self.seconds:g}; give more recordings or shorter windows"
            )
        warnings.warn(f"{row.file.location} is the only recording: its parts are stretches of it", stacklevel=3)
        return [
            _with(self._cut_out(row, *each), split=part)
            for part, start, stop in stretches
            for each in self._cut(start, stop)
        ]

    @staticmethod
    def _cut_out(row: Row, start: int, stop: int) -> Row:
        return _with(row, **{START: start, STOP: stop, "part_of": row.values.get("part_of", row.file.name)})

    def _report(self, lengths: Sequence[int]) -> None:
        left = [found - self.window for found in lengths if found > self.window]
        if left:
            warnings.warn(
                f"{len(left):,} of {len(lengths):,} recordings are longer than modality.seconds={self.seconds:g}: their "
                f"beginnings are used, and {sum(left) / self.rate / 60:.3g} minutes are not (modality.long=windows uses all)",
                stacklevel=3,
            )


def _with(row: Row, **values: str | int | float) -> Row:
    return Row(row.file, {**row.values, **values})
