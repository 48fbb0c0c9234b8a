"""What a file of sound promises, beside what it holds: files that were cut short are found before they are used."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_OGG_PAGE = 65_307  # the longest, bytes
_UNKNOWN = (0, 0xFFFFFFFF)  # sizes in WAV files that were written to a pipe


def shortfall(handle: BinaryIO) -> str | None:
    """What is missing from, or stands behind, the samples that the header promises; None where both agree.

    Sizes are compared for RIFF (WAV) and FORM (AIFF), whole last pages for Ogg. FLAC and MP3 are found out by decoding them.
    """
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    head = handle.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _chunks(handle, size, b"data", "<I")
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _chunks(handle, size, b"SSND", ">I")
    if head[:4] == b"OggS":
        return _last_page(handle, size)
    return None


def says_length(handle: BinaryIO) -> bool:
    """False for an MP3 without a table of its length (Xing, Info, VBRI) in its first frame, whose length is a guess then."""
    handle.seek(0)
    head = handle.read(10)
    tags = 0
    if head[:3] == b"ID3":
        a, b, c, d = head[6:10]  # seven bits of the length each
        tags = 10 + (a << 21 | b << 14 | c << 7 | d)
    handle.seek(tags)
    frame = handle.read(200)
    is_mp3 = len(frame) > 1 and frame[0] == 0xFF and frame[1] & 0xE0 == 0xE0
    return not is_mp3 or any(word in frame for word in (b"Xing", b"Info", b"VBRI"))


def _chunks(handle: BinaryIO, size: int, wanted: bytes, order: str) -> str | None:
    """Walk a RIFF or FORM file up to the chunk of samples, and look at what follows it."""
    at = 12
    while at + 8 <= size:
        handle.seek(at)
        name, (length,) = handle.read(4), struct.unpack(order, handle.read(4))
        at += 8
        if name != wanted:
            at += length + length % 2
        elif length in _UNKNOWN and order == "<I":
            return None
        elif at + length > size:
            return f"its header promises {length:,} bytes of samples, and {size - at:,} are there: it may be cut short"
        else:
            return _rest(handle, at + length, size, length)
    return f"it ends before its samples begin: there is no chunk {wanted.decode()!r}"


def _rest(handle: BinaryIO, end: int, size: int, length: int) -> str | None:
    """Behind the samples stand named chunks, zeros or nothing; else the header has lost count of them."""
    handle.seek(end)
    follows = handle.read(9)
    names = (follows[:4], follows[1:5])  # an odd chunk is followed by a byte, which some writers forget
    if len(follows) < 9 or not any(follows) or any(name.isascii() and name.decode().isprintable() for name in names):
        return None
    return f"its header promises {length:,} bytes of samples, and {size - end:,} bytes that are no chunk follow them"


def _last_page(handle: BinaryIO, size: int) -> str | None:
    handle.seek(max(0, size - 2 * _OGG_PAGE))
    tail = handle.read()
    page = tail[tail.rfind(b"OggS") :]
    table = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = len(page) > 26 and len(table) == page[26] and len(page) >= 27 + len(table) + sum(table)
    return None if whole else "its last page is not whole: it may be cut short"
