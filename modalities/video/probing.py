"""What a film says of itself before it is decoded: when each frame is shown, where decoding can begin, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File

from .opening import handle

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

LONGEST_GAP = 60.0  # seconds for which one frame may be shown; beyond that its time stamps are not believed
UNTOLD = 25.0  # frames a second of files without a clock, where the model has no rate of its own either
_REORDER = 32  # frames by which codecs change the order at most: 16 in H.264 and HEVC


@dataclass(frozen=True, eq=False)
class Header:
    """The frames of a film and their times.

    Args:
        times: (n,) when each is first shown, s from the first; increasing.
        seconds: from the first frame to the end of the last.
        rate: frames a second; None: the file has no clock (pictures, arrays).
        keys: numbers of the frames at which decoding can begin.
        stamps: (n,) the same times in the file's own units, to know a decoded frame by.
        size: height and width as stored; None: not looked at.
        aspect: width over height of a pixel.
        streams: of video in the file; the first is used.
    """

    times: np.ndarray
    seconds: float
    rate: float | None
    keys: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    stamps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    size: tuple[int, int] | None = None
    aspect: float = 1.0
    streams: int = 1

    def grid(self, fps: float | None) -> tuple[float, np.ndarray]:
        """The film at an even rate: (K,) the number of the frame that is shown at each tick, and the rate itself.

            tick k is at k / fps;  its frame is the last with times <= k / fps + h / 2,  h the usual time between two frames

        So a film of an even rate comes at its own rate frame by frame, whatever its time stamps were rounded to; at another rate
        it is the nearest frame; and a frame that is held for long is held. Files without a clock are frame by frame at any rate.

        Args:
            fps: frames a second; None: the film's own.
        """
        if self.rate is None:
            return fps or UNTOLD, np.arange(len(self.times))
        fps = self.rate if fps is None else fps
        usual = float(np.median(np.diff(self.times))) if len(self.times) > 1 else self.seconds
        ticks = max(1, math.floor(self.seconds * fps + 0.05))
        if fps == self.rate and abs(ticks - len(self.times)) <= 1 and self._even():
            return fps, np.arange(len(self.times))
        at = np.arange(ticks) / fps + usual / 2
        return fps, np.searchsorted(self.times, at, side="right") - 1

    def _even(self) -> bool:
        """Whether no frame is half a tick away from its place."""
        off = self.times - np.arange(len(self.times)) / (self.rate or 1)
        return bool(np.ptp(off) < 0.5 / (self.rate or 1))


@contextmanager
def opened(file: File) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first stream of video, for one thread.

    Raises:
        BadItem: not a film, cut short before its index, without video, or of a codec that cannot be decoded.
    """
    container, stream = open_film(file)
    try:
        yield container, stream
    finally:
        container.close()


def open_film(file: File) -> tuple[InputContainer, VideoStream]:
    """As `opened`; the caller closes the container."""
    import av

    try:
        container = av.open(handle(file), "r", metadata_errors="ignore", options={"fflags": "+genpts"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadItem(file.location, _unopened(file, error)) from error
    try:
        return container, _stream(file, container)
    except BadItem:
        container.close()
        raise


def probe(file: File) -> Header:
    """Go through the packets of a film, decoding none.

    Raises:
        BadItem: as `open_film`; no frames, fewer than it promises, or time stamps that cannot be right.
    """
    import av

    with opened(file) as (container, stream):
        promised = max(len(stream.index_entries), stream.frames if container.format.name == "avi" else 0)
        found, ends, error = [], 0.0, ""
        try:
            for packet in container.demux():
                if packet.pts is not None and packet.duration:
                    ends = max(ends, float((packet.pts + packet.duration) * packet.time_base))
                if packet.stream_index == stream.index and packet.size and not packet.is_discard:
                    found.append((packet.pts, packet.is_keyframe, packet.duration or 0))
        except (av.FFmpegError, OSError) as caught:
            error = f" ({_line(caught)})"
        if error or len(found) < promised:
            more = f"{len(found):,} of its {promised:,} frames" if promised else f"{len(found):,} frames"
            raise BadItem(file.location, f"holds {more}{error}: it may be cut short")
        if not found:
            raise BadItem(file.location, "has a stream of video without a frame")
        _whole(file, container, ends)
        return _header(file, container, stream, found)


def _header(file: File, container: Any, stream: Any, found: list[tuple[int | None, bool, int]]) -> Header:
    if any(pts is None for pts, _, _ in found):
        without = sum(pts is None for pts, _, _ in found)
        raise BadItem(file.location, f"has wrong time stamps: {without:,} of {len(found):,} frames have none")
    unit = float(stream.time_base)
    pts = np.array([stamp for stamp, _, _ in found], np.int64)
    order = np.argsort(pts, kind="stable")
    back = np.flatnonzero(np.abs(order - np.arange(len(order))) > _REORDER)
    if len(back):
        raise BadItem(file.location, f"has wrong time stamps: they go back at frame {back[0]}")
    stamps = pts[order]
    context, aspect = stream.codec_context, stream.sample_aspect_ratio
    header = timed(file, (stamps - stamps[0]) * unit, found[order[-1]][2] * unit, stream.average_rate)
    return replace(
        header,
        keys=np.flatnonzero(np.array([key for _, key, _ in found])[order]),
        stamps=stamps,
        size=(context.height, context.width),
        aspect=float(aspect) if aspect else 1.0,
        streams=sum(not _is_cover(each) for each in container.streams.video),
    )


def timed(file: File, times: np.ndarray, last: float, told: Fraction | None = None) -> Header:
    """A header of frames at these times.

    Args:
        file: for messages.
        times: (n,) of the frames, s from the first.
        last: for how long the last is shown, s; 0: unknown.
        told: frames a second as the file says; None: it does not.

    Raises:
        BadItem: two frames at one time, or one that is shown for more than a minute.
    """
    gaps = np.diff(times)
    if len(gaps) and gaps.min() <= 0:
        at = int(gaps.argmin())
        raise BadItem(file.location, f"has wrong time stamps: frames {at} and {at + 1} are both at {times[at]:.3f} s")
    if len(gaps) and gaps.max() > LONGEST_GAP:
        at = int(gaps.argmax())
        both = f"frame {at} is at {times[at]:.3f} s and the next at {times[at + 1]:.3f} s"
        raise BadItem(file.location, f"has wrong time stamps: {both}")
    usual = float(np.median(gaps)) if len(gaps) else last or 1 / UNTOLD
    seconds = float(times[-1]) + (last if 0 < last <= LONGEST_GAP else usual)
    return Header(times, seconds, _rate(times, usual, told))


def _rate(times: np.ndarray, usual: float, told: Fraction | None) -> float:
    """Frames a second: as the file says where its frames keep to that, else their mean where they are even, else the usual."""
    n = np.arange(len(times))
    for rate in (float(told or 0), float(len(times) - 1) / float(times[-1]) if times[-1] > 0 else 0.0):
        if rate > 0 and np.ptp(times - n / rate) < 0.5 / rate:
            return round(rate, 9)
    return round(1 / usual, 9)


def _whole(file: File, container: Any, ends: float) -> None:
    """Matroska promises how long it lasts; a GIF ends in a semicolon."""
    if "matroska" in container.format.name and container.duration:
        promised = container.duration / 1e6
        if ends < promised - 0.5:
            why = f"ends after {ends:.2f} of the {promised:.2f} s that it promises: it may be cut short"
            raise BadItem(file.location, why)
    if container.format.name == "gif":
        with file.open() as raw:
            raw.seek(-min(64, raw.seek(0, 2)), 2)
            tail = raw.read()
        if not tail.rstrip(b"\0").endswith(b";"):
            raise BadItem(file.location, "is a GIF without its end: it may be cut short")


def _stream(file: File, container: Any) -> Any:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        kinds = sorted({stream.type or "unknown" for stream in container.streams})
        there = f"it holds {', '.join(kinds)}" if kinds else "it holds nothing"
        raise BadItem(file.location, f"has no stream of video: {there}")
    stream = streams[0]
    if stream.codec_context is None or not stream.codec_context.name or stream.codec_context.codec is None:
        raise BadItem(file.location, "has video of an unknown codec: write it anew as H.264 or VP9")
    stream.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"err_detect": "explode"}  # damaged frames are errors, not guessed at
    return stream


def _is_cover(stream: Any) -> bool:
    """A picture for a shelf, which stands among the streams of video."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _unopened(file: File, error: Exception) -> str:
    with file.open() as raw:
        head = raw.read(12)
    if not head:
        return "is empty (0 bytes)"
    if head[4:8] == b"ftyp":
        return f"is an MP4 without its index ({_line(error)}): it was cut short, or is still being written"
    return f"cannot be opened as a film ({_line(error)}): it begins with {head!r}"


def _line(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
