"""Films of any length to items: cut to clips that miss nothing, or their beginnings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import Row, track

from .formats import header
from .probing import Header
from .stills import gathered

Long = Literal["windows", "crop", "refuse"]
FIRST, STOP = "first_frame", "end_frame"  # of a clip, in frames of the film at the model's rate
REFUSED = "refused"  # why a row has no item: `read` raises it, so that it is counted and named
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Cutting:
    """How films become items.

    Args:
        frames: T of a clip.
        fps: the rate that films are brought to before they are cut; None: each at its own.
        stride: frames of the film, at that rate, from one frame of a clip to the next.
        hop: frames of the film from the beginning of one clip to that of the next; None: `frames * stride`.
        long: of a longer film `windows`, of which the last is moved back to end with it; `crop`, its beginning alone; or `refuse`
            it. Shorter ones are refused.

    Raises:
        ValueError: an option out of range.
    """

    frames: int
    fps: float | None = None
    stride: int = 1
    hop: int | None = None
    long: Long = "windows"

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "hop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"modality.{name}={value}: at least 1")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"modality.fps={self.fps}: a positive number of frames a second")
        if self.long not in ("windows", "crop", "refuse"):
            raise ValueError(f"modality.long={self.long!r}: choose from windows, crop, refuse")
        if self.hop is not None and self.long != "windows":
            raise ValueError(f"modality.hop={self.hop} is for windows, and modality.long={self.long} makes none")
        if self.hop is not None and self.hop > self.frames * self.stride:
            raise ValueError(
                f"modality.hop={self.hop} is longer than a clip, {self.frames * self.stride} frames of the film: "
                "what lies between is lost"
            )

    @property
    def window(self) -> int:
        """Frames of the film from the first of a clip to behind its last."""
        return (self.frames - 1) * self.stride + 1

    def rows(self, rows: Sequence[Row], shares: Sequence[float] | None) -> list[Row]:
        """A row for each clip, with `first_frame` and `end_frame`; without shares whole films, of which pictures may be one.

        Clips of a film stay in one part. A single film is divided by time, by the shares.

        Raises:
            ValueError: a single film is too short to be divided.
        """
        films = gathered(rows)
        if shares is None:
            return films
        found = [self._found(row) for row in track(films, "looking through films", len(films))]
        self._report(films, found)
        lengths = [each if isinstance(each, str) else each[1] for each in found]
        if (
            len(films) == 1
            and isinstance(lengths[0], int)
            and "split" not in films[0].values
            and self.long == "windows"
        ):
            return self._by_time(films[0], lengths[0], shares)
        out: list[Row] = []
        for row, length in zip(films, lengths, strict=True):
            why = length if isinstance(length, str) else self._refusal(length)
            if why is not None:
                out.append(_with(row, **{REFUSED: why}))
            else:
                out += [self._cut_out(row, *each) for each in self._cut(0, int(length))]
        return out

    def _found(self, row: Row) -> tuple[Header, int] | str:
        """The header of a film and its frames at the model's rate, or what is wrong with it."""
        try:
            about = header(row.file)
        except BadItem as error:
            return error.why
        return about, len(about.grid(self.fps)[1])

    def _refusal(self, length: int) -> str | None:
        lasts = f"has {length} frames{f' at {self.fps:g} a second' if self.fps else ''}, and a clip takes {self.window}"
        if length > self.window and self.long == "refuse":
            return f"{lasts}: longer ones are refused (modality.long=refuse; choose windows or crop)"
        if length < self.window:
            return f"{lasts}: leave it out, or take smaller modality.frames or modality.stride, or another modality.fps"
        return None

    def _cut(self, start: int, stop: int) -> list[tuple[int, int]]:
        """First frame and end of each clip between two frames."""
        if stop - start <= self.window or self.long == "crop":
            return [(start, start + self.window)]
        hop = self.frames * self.stride if self.hop is None else self.hop
        starts = [*range(start, stop - self.window, hop), stop - self.window]
        return [(first, first + self.window) for first in starts]

    def _by_time(self, row: Row, length: int, shares: Sequence[float]) -> list[Row]:
        ends = [0, *(round(length * share) for share in np.cumsum(shares))]
        stretches = [each for each in zip(_PARTS, ends[:-1], ends[1:], strict=True) if each[2] > each[1]]
        if any(stop - start < self.window for _, start, stop in stretches):
            raise ValueError(
                f"{row.file.location} is the only film and has {length} frames: by data.split={list(shares)} some part is "
                f"shorter than a clip, {self.window} frames; give more films or shorter clips"
            )
        warnings.warn(f"{row.file.location} is the only film: its parts are stretches of it", stacklevel=3)
        return [
            _with(self._cut_out(row, *each), split=part)
            for part, start, stop in stretches
            for each in self._cut(start, stop)
        ]

    @staticmethod
    def _cut_out(row: Row, start: int, stop: int) -> Row:
        return _with(row, **{FIRST: start, STOP: stop, "part_of": row.values.get("part_of", row.file.name)})

    def _report(self, films: Sequence[Row], found: Sequence[tuple[Header, int] | str]) -> None:
        """Say what of the films is not used."""
        good = [(row, *each) for row, each in zip(films, found, strict=True) if not isinstance(each, str)]
        several = [row.file.name for row, about, _ in good if about.streams > 1]
        if several:
            warnings.warn(
                f"{len(several):,} of {len(films):,} films have several streams of video, of which the first is used: "
                + ", ".join(several[:3]),
                stacklevel=3,
            )
        left = [length - self.window for _, _, length in good if length > self.window]
        if left and self.long == "crop":
            warnings.warn(
                f"{len(left):,} of {len(films):,} films are longer than a clip: their beginnings are used, and {sum(left):,} "
                "frames are not (modality.long=windows uses all)",
                stacklevel=3,
            )


def _with(row: Row, **values: str | int | float) -> Row:
    return Row(row.file, {**row.values, **values})
