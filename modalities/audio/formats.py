"""Files of sound to samples as they are: WAV of 8 to 32 bits and float, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, by libsndfile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Folder

from .headers import says_length, shortfall
from .libraries import soundfile

EXTENSIONS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc")
LOUDEST = 10.0  # +20 dB beyond full scale; what lossy formats overshoot by is far less
_LOSSY = ("OGG", "MP3")  # names of libsndfile
_HELD = 2**26  # values of a file that are held at once: 256 MB, some 25 minutes of stereo at 22 kHz


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Args:
        rate: samples a second, Hz.
        channels: 1 mono, 2 stereo, 6 for 5.1, ...
        frames: samples of each channel.
        direct: whether parts of the file are read alone: it is long, and they are exact without what stands before them.
    """

    rate: int
    channels: int
    frames: int
    direct: bool


def header(file: File) -> Header:
    """Rate, channels and length; an MP3 that does not say its length is decoded to find it.

    Raises:
        BadItem: empty, not a file of sound, of fewer than two samples, or holding more or less than its header says.
    """
    return _header(file, file.stamp)


def samples(file: File, start: int = 0, stop: int | None = None) -> np.ndarray:
    """The samples `start` to `stop` as (T, C) float32, full scale +-1, at the file's own rate; None: to the end.

    Of a `direct` file that part alone is read. Others are decoded whole, since libsndfile is slow or not exact after a jump in
    them.

    Raises:
        BadItem: as `header`, or it cannot be decoded, ends too early, or has a value that is not finite or far beyond full scale.
    """
    about = header(file)
    stop = about.frames if stop is None else min(stop, about.frames)
    if about.direct:
        with _sound(file) as sound:
            sound.seek(start)
            found = sound.read(stop - start, dtype="float32", always_2d=True)
    else:
        found = _decoded(file, file.stamp)[start:stop]
        if stop == about.frames:
            _decoded.cache_clear()
            _unpacked.cache_clear()
    if len(found) < stop - start:
        there = f"{start + len(found):,} of the {about.frames:,} samples that its header promises"
        raise BadItem(file.location, f"holds {there}: it may be cut short")
    _check(file, found, start)
    return found


@lru_cache(maxsize=2**16)
def _header(file: File, stamp: object) -> Header:
    with _raw(file) as raw:
        if (fault := shortfall(raw)) is not None:
            raise BadItem(file.location, fault)
        counted = says_length(raw)
    with _sound(file) as sound:
        large = sound.frames * sound.channels > _HELD
        direct = large and sound.format not in _LOSSY and isinstance(file.store, Folder)
        frames = sound.frames if counted or not sound.frames else len(_decoded(file, stamp))
        if frames < 2:
            raise BadItem(file.location, f"holds {'one sample' if frames else 'no samples'}")
        return Header(sound.samplerate, sound.channels, frames, direct)


@lru_cache(maxsize=1)  # an MP3 whose length had to be found by decoding is not decoded again for its samples
def _decoded(file: File, stamp: object) -> np.ndarray:
    with _sound(file) as sound:
        return sound.read(dtype="float32", always_2d=True)


@lru_cache(maxsize=1)  # nor is a member of an archive unpacked for its header, and again for its samples
def _unpacked(file: File, stamp: object) -> bytes:
    return file.read()


def _raw(file: File) -> BinaryIO:
    """The file's bytes, which can be gone through in any order."""
    if not isinstance(file.store, Folder):
        return io.BytesIO(_unpacked(file, file.stamp))
    try:
        return file.open()
    except OSError as error:
        raise BadItem(file.location, f"cannot be read ({error})") from error


@contextmanager
def _sound(file: File) -> Iterator[Any]:
    """An open soundfile.SoundFile, by its path where there is one, which is the quickest; what goes wrong is the file's fault."""
    library = soundfile()
    content = str(file.store.path / file.name) if isinstance(file.store, Folder) else _raw(file)
    try:
        with library.SoundFile(content) as sound:
            yield sound
    except library.LibsndfileError as error:
        with _raw(file) as raw:
            head = raw.read(12)
        found = f"it begins with {head!r}" if head else "it is empty (0 bytes)"
        raise BadItem(file.location, f"cannot be decoded ({error.error_string.strip(' .')}): {found}") from error


def _check(file: File, found: np.ndarray, start: int) -> None:
    peak = np.abs(found).max(initial=0.0)  # NaN where there is one
    if peak <= LOUDEST:
        return
    if np.isfinite(peak):
        why = f"has values to {peak:g} where full scale is 1: divide the samples by their full scale before saving them"
    else:
        first, channel = np.argwhere(~np.isfinite(found))[0]
        count = int((~np.isfinite(found)).sum())
        why = (
            f"has {count:,} values that are no finite numbers, the first at sample {start + first} of channel {channel}"
        )
    raise BadItem(file.location, why)
