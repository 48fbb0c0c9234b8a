"""Whether a file of a mesh keeps what its header says: readers of meshes take what is there, and say nothing."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

_ELEMENT = re.compile(rb"^element\s+(\S+)\s+(\d+)", re.MULTILINE)
_END = re.compile(rb"^end_header[^\n]*\n", re.MULTILINE)
_STL_HEAD, _STL_FACET = 84, 50  # bytes before the facets of a binary STL, and of each of them


def check(ending: str, content: bytes) -> None:
    """Compare the counts that a header declares with the content; formats without counts pass.

    Args:
        ending: of the file's name, with the dot.
        content: the whole file.

    Raises:
        ValueError: other counts, or a file that ends too early.
    """
    if ending in _CHECKS:
        _CHECKS[ending](content)


def _ply(content: bytes) -> None:
    """Of an ascii PLY every element is a line; the length of a binary one is checked where it is read."""
    head = _END.search(content)
    if head is None:
        raise ValueError("has no line end_header: it is no PLY file, or cut short")
    if re.search(rb"^format\s+ascii", content[: head.end()], re.MULTILINE):
        counts = {name.decode(): int(count) for name, count in _ELEMENT.findall(content[: head.end()])}
        _compare(counts, len(_lines(content[head.end() :])))


def _off(content: bytes) -> None:
    """The word OFF (or COFF, NOFF, ...), then the counts of vertices, faces and edges, then a line for each vertex and face."""
    first, *lines = _lines(content) or [b""]
    word = re.match(rb"(ST)?(C)?(N)?(4)?OFF", first)
    if word is None:
        raise ValueError(f"begins with {first[:20]!r}: it is no OFF file")
    rest = first[word.end() :].strip()  # some files have the counts on the first line
    counts, lines = (rest, lines) if rest else (lines[0] if lines else b"", lines[1:])
    numbers = counts.split()
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers):
        raise ValueError(f"has {counts[:40]!r} where an OFF file has its counts of vertices, faces and edges")
    _compare({"vertex": int(numbers[0]), "face": int(numbers[1])}, len(lines))


def _stl(content: bytes) -> None:
    """A binary STL is as long as its count of facets says; each facet of an ascii one is closed."""
    if content.lstrip()[:5].lower() == b"solid" and b"facet" in content[:2000].lower():
        opened = len(re.findall(rb"^\s*facet\b", content, re.MULTILINE | re.IGNORECASE))
        closed = len(re.findall(rb"^\s*endfacet\b", content, re.MULTILINE | re.IGNORECASE))
        if opened != closed:
            raise ValueError(f"is cut short: it opens {opened:,} facets and closes {closed:,}")
    elif len(content) < _STL_HEAD:
        raise ValueError(f"has {len(content):,} bytes, a binary STL file {_STL_HEAD} or more: it is cut short")
    else:
        (declared,) = struct.unpack_from("<I", content, _STL_HEAD - 4)
        found, rest = divmod(len(content) - _STL_HEAD, _STL_FACET)
        if (found, rest) != (declared, 0):
            raise ValueError(f"says that it has {declared:,} facets, and holds {found:,}")


def _compare(counts: dict[str, int], found: int) -> None:
    if sum(counts.values()) != found:
        told = " and ".join(f"{count:,} of {name}" for name, count in counts.items())
        raise ValueError(f"says that it has {told}, {sum(counts.values()):,} lines, and holds {found:,}")


def _lines(content: bytes) -> list[bytes]:
    """The lines that say something: not blank, no comment."""
    return [line for line in map(bytes.strip, content.splitlines()) if line and not line.startswith(b"#")]


_CHECKS: dict[str, Callable[[bytes], None]] = {".ply": _ply, ".off": _off, ".stl": _stl}
