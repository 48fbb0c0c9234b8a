"""Arrays kept on disk between runs, by a name that says what they were made from."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Cache:
    """A folder of arrays: `room` under `ORNSTEIN_CACHE`, else under `ornstein` in the user's folder of caches.

    That folder is `XDG_CACHE_HOME`, else ~/.cache. What is kept is never needed: it may be deleted at any time.

    Args:
        room: of one kind of data.
    """

    room: str

    @property
    def folder(self) -> Path:
        """Where the arrays lie."""
        named = os.environ.get("ORNSTEIN_CACHE")
        root = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ornstein"
        return root / self.room

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a name; None where there are none, or where the file is damaged."""
        try:
            with np.load(self.folder / f"{name}.npz", allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays, written aside and renamed; where the folder cannot be written nothing is kept."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=self.folder, suffix=".npz")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
                os.replace(aside, self.folder / f"{name}.npz")
            except OSError:
                os.unlink(aside)
                raise
