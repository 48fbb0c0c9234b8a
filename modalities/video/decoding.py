"""Frames of a film by their numbers: from the nearest place where decoding can begin, and no more of it in memory than that."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .fitting import Fit
from .probing import Header, open_film, probe

if TYPE_CHECKING:
    from av import VideoFrame

_OPEN = 8  # films that are held open in a process: each holds the frames that its codec refers back to


def film_header(file: File) -> Header:
    """The header of a film, kept.

    Raises:
        BadItem: as `probing.probe`.
    """
    return _header(file, file.stamp)


def film_frames(file: File, wanted: Sequence[int] | np.ndarray, fit: Fit) -> np.ndarray:
    """The frames of these numbers, in rising order, as uint8 (len(wanted), H, W, C) of the model.

    The film stays open, and goes on from where it stands where that is the shorter way: its clips in order cost one decoding.

    Raises:
        BadItem: a frame that cannot be decoded, is missing, damaged, or of another size than the first.
    """
    return _film(file, file.stamp, os.getpid()).read(wanted, fit)


@lru_cache(maxsize=2**12)
def _header(file: File, stamp: object) -> Header:
    return probe(file)


@lru_cache(maxsize=_OPEN)
def _film(file: File, stamp: object, process: int) -> Film:  # a worker must not share its place in a file with another
    return Film(file, _header(file, stamp))


class Film:
    """An open film at one place in it.

    Args:
        file: the film.
        header: what `probe` found.
    """

    def __init__(self, file: File, header: Header) -> None:
        self.file = file
        self.header = header
        self._next = 0  # the first frame that can still come
        self._packets: Iterator[Any] = iter(())
        self._ready: deque[VideoFrame] = deque()
        self._open()

    def read(self, wanted: Sequence[int] | np.ndarray, fit: Fit) -> np.ndarray:
        """See `film_frames`."""
        self._wanted = frozenset(self.header.stamps[wanted].tolist())
        self._last = max(self._wanted, default=0)
        out = np.empty((len(wanted), fit.height, fit.width, fit.channels), np.uint8)
        before = -1
        for k, number in enumerate(map(int, wanted)):
            out[k] = out[k - 1] if number == before else fit(self._at(number), self.header.aspect)
            before = number
        return out

    def _at(self, number: int) -> VideoFrame:
        key = int(np.searchsorted(self.header.keys, number, side="right")) - 1
        if not self._first(key) <= self._next <= number:
            self._go(key)
        while (frame := self._decoded()) is not None:
            found = self._number(frame)
            self._next = max(self._next, found + 1)
            if found == number:
                return self._checked(frame, number)
            if found > number:
                break
        raise BadItem(self.file.location, f"lacks frame {number} at {self._time(number)}: it is damaged there")

    def _go(self, key: int) -> None:
        """Stand before a key frame, or an earlier one where the container cannot jump there; from the beginning at worst."""
        import av

        for target in map(self._first, range(key, 0, -1)):
            with contextlib.suppress(av.FFmpegError):
                self._container.seek(int(self.header.stamps[target]), stream=self._stream)
                self._packets, self._next = self._container.demux(self._stream), target
                self._ready.clear()
                first = self._decoded()
                if first is not None and self._number(first) <= target:
                    self._ready.appendleft(first)
                    return
        self._container.close()
        self._open()

    def _open(self) -> None:
        self._container, self._stream = open_film(self.file)
        self._packets, self._next = self._container.demux(self._stream), 0
        self._ready.clear()

    def _first(self, key: int) -> int:
        """The frame that the key of this number is; what stands before the first key is looked for from the beginning."""
        return int(self.header.keys[key]) if key > 0 else 0

    def _decoded(self) -> VideoFrame | None:
        """The next frame; None at the end.

        Frames that are not wanted, and that none refers to, are left out by the decoder: they cost nothing.
        """
        import av

        try:
            while not self._ready:
                packet = next(self._packets, None)
                if packet is None:
                    return None
                needed = packet.pts is None or packet.pts > self._last or packet.pts in self._wanted
                self._stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
                self._ready.extend(packet.decode())
        except (av.FFmpegError, OSError) as error:
            why = f"cannot be decoded at {self._time(self._next)} ({error.strerror}): it is damaged there"
            self._next = len(self.header.times)  # so that what comes next is looked for from a key
            raise BadItem(self.file.location, why) from error
        return self._ready.popleft()

    def _number(self, frame: VideoFrame) -> int:
        """By its time stamp; -1 for a frame that the packets did not announce."""
        if frame.pts is None:
            return -1
        at = int(np.searchsorted(self.header.stamps, frame.pts))
        return at if at < len(self.header.stamps) and self.header.stamps[at] == frame.pts else -1

    def _checked(self, frame: VideoFrame, number: int) -> VideoFrame:
        if frame.is_corrupt:
            raise BadItem(self.file.location, f"has a damaged frame {number} at {self._time(number)}")
        if (frame.height, frame.width) != self.header.size:
            height, width = self.header.size or (0, 0)
            raise BadItem(
                self.file.location,
                f"changes its size: frame {number} at {self._time(number)} is {frame.width} x {frame.height}, "
                f"and the file says {width} x {height}; cut it there into two films",
            )
        return frame

    def _time(self, number: int) -> str:
        return f"{self.header.times[min(number, len(self.header.times) - 1)]:.2f} s"
