"""The two libraries of sound, imported when they are first used; what is wrong with them is said in one line."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

_FIT = (
    "torchaudio 2.11 fits torch 2.11 to 2.14 of the same CUDA version: "
    'pip install "torchaudio>=2.11,<2.12" "torch>=2.11,<2.15"'
)


@cache
def soundfile() -> ModuleType:
    """The module soundfile, which reads and writes files.

    Raises:
        ImportError: it is not installed, or has no libsndfile.
    """
    try:
        return import_module("soundfile")
    except (ImportError, OSError) as error:
        raise ImportError(f'soundfile cannot be used ({_line(error)}): pip install "ornstein[audio]"') from error


@cache
def torchaudio() -> ModuleType:
    """The module torchaudio, which resamples and makes spectrograms.

    Raises:
        ImportError: it is not installed, or does not fit the installed torch.
    """
    try:
        return import_module("torchaudio")
    except ModuleNotFoundError as error:
        raise ImportError(f'{_line(error)}: pip install "ornstein[audio]"; {_FIT}') from error
    except Exception as error:  # one that was built for another torch fails to load its library in one of many ways
        found = f"torchaudio {_version('torchaudio')} does not load with torch {_version('torch')}"
        raise ImportError(f"{found} ({_line(error)}); {_FIT}") from error


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"
