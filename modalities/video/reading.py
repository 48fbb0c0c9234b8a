"""One clip of a film, or a whole one, as an item at the model's size, channels and rate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File

from .clip import Clip
from .fitting import Fit
from .formats import frames, header
from .windows import FIRST, REFUSED, STOP

KEPT = 2**29  # bytes of decoded frames that a process keeps: 2,700 clips of 16 x 64 x 64 in colour
_MOST = 4096  # frames of a film that is read whole


@dataclass(frozen=True)
class Reading:
    """What of a file becomes an item.

    Args:
        fit: the model's size and channels.
        fps: the rate that films are brought to; None: each at its own.
        stride: frames of the film, at that rate, from one frame of a clip to the next.
        labels: whether the row's label becomes a condition.
        conditions: further columns that do.
        timing: whether `fps`, frames a second of the clip, and `start`, seconds from the film's beginning, do.
    """

    fit: Fit
    fps: float | None = None
    stride: int = 1
    labels: bool = True
    conditions: Sequence[str] = ()
    timing: bool = False

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """The frames that the row names, or all.

        They are decoded here, so that what is wrong with them is known before training, and then again in the process that
        asks for them, unless it has kept them: what is held in memory does not grow with the data.

        Raises:
            BadItem: a file that cannot be used, or a row that says why it has no item.
        """
        if REFUSED in row:
            raise BadItem(file.location, str(row[REFUSED]))
        rate, grid = header(file).grid(self.fps)
        first, stop = int(row.get(FIRST, 0)), int(row.get(STOP, len(grid)))
        wanted = grid[first : stop : self.stride]
        if FIRST not in row and len(wanted) > _MOST:
            raise BadItem(
                file.location, f"has {len(wanted):,} frames: of a film that is given at most {_MOST:,} are read"
            )
        key = file.name if stop - first == len(grid) else f"{file.name}[{first}:{stop}]"
        clip = Clip(OnFile(file, wanted, self.fit), rate / self.stride, first / rate, key)
        clip.frames  # noqa: B018 - raises what is wrong with them
        return Item(clip, self._told(row, clip), key)

    def _told(self, row: Mapping[str, Any], clip: Clip) -> dict[str, Any]:
        told = {name: row[name] for name in self.conditions if name in row}
        told |= {"label": str(row["label"])} if self.labels and "label" in row else {}
        return told | ({"fps": clip.fps, "start": clip.start} if self.timing else {})


@dataclass(frozen=True, eq=False)
class OnFile:
    """Frames on file, decoded when they are called for.

    Args:
        file: the film.
        wanted: (T,) their numbers in it.
        fit: the model's size and channels.
    """

    file: File
    wanted: np.ndarray
    fit: Fit

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, C)."""
        return len(self.wanted), self.fit.height, self.fit.width, self.fit.channels

    def __call__(self) -> np.ndarray:
        """Decode them, or copy what was kept of them.

        Raises:
            BadItem: the file cannot be used any more.
        """
        key = (self.file, self.file.stamp, self.wanted.tobytes(), self.fit)
        found = _kept.get(key)
        if found is None:
            found = frames(self.file, self.wanted, self.fit)
            _kept.put(key, found)
        return found.copy()


class _Kept:
    """The decoded frames that were asked for last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self.held: OrderedDict[object, np.ndarray] = OrderedDict()

    def get(self, key: object) -> np.ndarray | None:
        if key in self.held:
            self.held.move_to_end(key)
        return self.held.get(key)

    def put(self, key: object, found: np.ndarray) -> None:
        if found.nbytes > self.limit:
            return
        self.held[key] = found
        self.size += found.nbytes
        while self.size > self.limit:
            self.size -= self.held.popitem(last=False)[1].nbytes


_kept = _Kept(KEPT)
