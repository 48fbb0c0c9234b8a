"""Where files lie: a folder, a zip, a tar, or memory. Archives are read in place and never unpacked to disk.

Stores hold no open handle: each process opens an archive once, on its first read, so that stores, files and rows can be
pickled and used by several workers at the same time.
"""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..modality import BadItem

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGED = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)
_CHUNK = 1 << 20


class Store(ABC):
    """Something that holds files by POSIX names relative to it."""

    path: Path

    @abstractmethod
    def names(self) -> list[str]:
        """Every file, sorted; hidden files (`.x`, `__MACOSX`) and folders are left out."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open one file for reading."""

    def location(self, name: str) -> str:
        """The file for a person: `faces.zip!cats/1.png`."""
        return f"{self.path}!{name}"

    def position(self, name: str) -> int:
        """Where the file stands in its store; readers that can choose go in this order."""
        return 0

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Time and size of the file, or of the archive that holds it; see `File.stamp`."""
        return _changed(str(self.path))

    def checksums(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Size in bytes and CRC-32 of the content of each file."""
        return {name: self._checksum(name) for name in sorted(names, key=self.position)}

    def _checksum(self, name: str) -> tuple[int, int]:
        size, crc = 0, 0
        with self.open(name) as handle:
            while chunk := handle.read(_CHUNK):
                size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        return size, crc


@dataclass(frozen=True)
class File:
    """One file of a store.

    Args:
        name: its POSIX path relative to the store, unique there.
        store: what holds it.
    """

    name: str
    store: Store

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        return self.store.location(self.name)

    @property
    def stamp(self) -> tuple[int, int] | None:
        """What changes with its content, quick to ask for: time in ns and size in bytes of the file, or of its archive.

        None: it lies in memory, or is gone, which opening it will say.
        """
        return self.store.stamp(self.name)

    def open(self) -> BinaryIO:
        """Open it for reading."""
        return self.store.open(self.name)

    def read(self) -> bytes:
        """Its content.

        Raises:
            BadItem: the file or its archive is damaged there.
        """
        try:
            with self.open() as handle:
                return handle.read()
        except _DAMAGED as error:
            raise BadItem(self.location, f"cannot be read ({error})") from error


@dataclass(frozen=True)
class Folder(Store):
    """A folder with all its subfolders. Links are followed, each folder once."""

    path: Path

    def names(self) -> list[str]:
        """Every file below the folder."""
        found, seen = [], set()
        for folder, subfolders, files in os.walk(self.path, followlinks=True, onerror=_raise):
            real = os.path.realpath(folder)
            if real in seen:
                subfolders.clear()
                continue
            seen.add(real)
            relative = Path(folder).relative_to(self.path)
            subfolders[:] = sorted(name for name in subfolders if not _hidden(name))
            found += [(relative / name).as_posix() for name in files if not _hidden(name)]
        return sorted(found)

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading."""
        return (self.path / name).open("rb")

    def location(self, name: str) -> str:
        """The path of the file."""
        return str(self.path / name)

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Time and size of the file."""
        return _changed(f"{self.path}/{name}")  # pathlib would take most of the time of reading what is kept


@dataclass(frozen=True)
class Zip(Store):
    """A zip archive."""

    path: Path

    def names(self) -> list[str]:
        """Every file of the archive."""
        members = (info.filename for info in _zip(*_stamp(self.path)).infolist() if not info.is_dir())
        return _unique(members, self.path)

    def open(self, name: str) -> BinaryIO:
        """Open one member for reading; it seeks, and several can be open at once."""
        return _zip(*_stamp(self.path)).open(name)  # type: ignore[return-value]

    def position(self, name: str) -> int:
        """Offset in the archive."""
        return _zip(*_stamp(self.path)).getinfo(name).header_offset

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Time and size of the file, or of the archive that holds it; see `File.stamp`."""
        return _changed(str(self.path))

    def checksums(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """From the directory of the archive, without reading the members."""
        archive = _zip(*_stamp(self.path))
        return {name: (archive.getinfo(name).file_size, archive.getinfo(name).CRC) for name in names}


@dataclass(frozen=True)
class Tar(Store):
    """A tar archive, plain or compressed. A compressed one is quick in order of `position` only: it cannot seek."""

    path: Path

    def names(self) -> list[str]:
        """Every file of the archive."""
        return _unique(_tar(*_stamp(self.path)).members, self.path)

    def open(self, name: str) -> BinaryIO:
        """The content of one member."""
        return io.BytesIO(_tar(*_stamp(self.path)).read(name))

    def position(self, name: str) -> int:
        """Offset in the archive."""
        return _tar(*_stamp(self.path)).members[name].offset


@dataclass(frozen=True, eq=False)
class Memory(Store):
    """Files held in memory, for data sets that come with a library.

    Args:
        label: what messages call the store.
        files: name -> content.
    """

    label: str
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def path(self) -> Path:  # type: ignore[override]
        """The label."""
        return Path(self.label)

    def stamp(self, name: str) -> tuple[int, int] | None:
        """None: what lies in memory does not change."""
        return None

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted(self.files)

    def open(self, name: str) -> BinaryIO:
        """The content of one file."""
        return io.BytesIO(self.files[name])


def archive(path: Path) -> Store | None:
    """The store of an archive, chosen by the file's name; None where it is not one."""
    if not path.name.lower().endswith(ARCHIVES):
        return None
    store: Store = Zip(path) if path.name.lower().endswith(".zip") else Tar(path)
    store.names()  # raises for an archive that is cut short
    return store


class _TarHandle:
    """An open tar archive with its members by name."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._tar = tarfile.open(path, "r:*")  # noqa: SIM115 - open for as long as this handle lives
            members = self._tar.getmembers()
            self._tar.fileobj.seek(self._tar.offset)
            ended = len(self._tar.fileobj.read(512)) == 512  # a whole archive ends in blocks of zeros
            while self._tar.fileobj.read(_CHUNK):  # a compressed one says at its very end whether it is whole
                pass
        except _DAMAGED as error:
            raise ValueError(_not_whole(path, "tar", error)) from error
        if not ended:
            raise ValueError(_not_whole(path, "tar", "its end is missing"))
        self.members = {str(PurePosixPath(m.name)): m for m in members if m.isfile()}

    def __del__(self) -> None:
        if hasattr(self, "_tar"):
            self._tar.close()

    def read(self, name: str) -> bytes:
        with self._lock:
            handle = self._tar.extractfile(self.members[name])
            content = b"" if handle is None else handle.read()
        if len(content) != self.members[name].size:
            raise EOFError(f"{len(content)} bytes of {self.members[name].size}")
        return content


def _changed(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _stamp(path: Path) -> tuple[Path, int, int, int]:
    """What names an open handle: the file, its time and size, and this process."""
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size, os.getpid()


@lru_cache(maxsize=32)
def _zip(path: Path, time: int, size: int, process: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise ValueError(_not_whole(path, "zip", error)) from error


@lru_cache(maxsize=32)
def _tar(path: Path, time: int, size: int, process: int) -> _TarHandle:
    return _TarHandle(path)


def _not_whole(path: Path, kind: str, error: object) -> str:
    why = "it is empty" if not path.stat().st_size else str(error).split("\n")[0].rstrip(":")
    return f"{path} is not a whole {kind} archive ({why}); it may be cut short: copy or download it again"


def _unique(members: Iterable[str], path: Path) -> list[str]:
    members = list(members)
    leaving = sorted(name for name in members if name.startswith("/") or ".." in name.split("/"))
    if leaving:
        raise ValueError(
            f"{path} holds {len(leaving)} names that lead out of it: {', '.join(leaving[:3])}; nothing is unpacked here, but an "
            "archive made so is not to be trusted: make it anew from its files"
        )
    names = sorted(name for name in members if not any(_hidden(part) for part in name.split("/")))
    twice = [a for a, b in pairwise(names) if a == b]
    if twice:
        raise ValueError(f"{path} holds {len(twice)} names more than once: {', '.join(twice[:3])}")
    return names


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _raise(error: OSError) -> None:
    raise error
