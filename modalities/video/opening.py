"""From a file of any store to what a decoder opens: a path where there is one, else a copy that it can seek in."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from typing import IO

from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Folder

_HELD = 2**26  # bytes of a member of an archive that are unpacked into memory; larger ones into a temporary file


def handle(file: File) -> str | IO[bytes]:
    """What `av.open` takes. A member of an archive is unpacked, since a compressed one cannot be read from its middle.

    Raises:
        BadItem: the file is gone, or its archive is damaged.
    """
    if isinstance(file.store, Folder):
        return f"file:{file.store.path / file.name}"
    copy = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115 - open for as long as its film is
    try:
        with file.open() as member:
            shutil.copyfileobj(member, copy)
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise BadItem(file.location, f"cannot be read ({error})") from error
    copy.seek(0)
    return copy
