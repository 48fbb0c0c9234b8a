"""Arrays kept on disk between runs, by a name that says what they were made from."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def folder() -> Path:
    """Where they are kept: `ORNSTEIN_CACHE`, else `ornstein` in the user's folder of caches (`XDG_CACHE_HOME`, else ~/.cache)."""
    named = os.environ.get("ORNSTEIN_CACHE")
    root = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ornstein"
    return root / "molecule"


def load(name: str) -> dict[str, np.ndarray] | None:
    """The arrays of a name; None where there are none, or where the file is damaged."""
    try:
        with np.load(folder() / f"{name}.npz", allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def save(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays, written aside and renamed; where the folder cannot be written nothing is kept."""
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=folder(), suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(aside, folder() / f"{name}.npz")
        except OSError:
            os.unlink(aside)
            raise
