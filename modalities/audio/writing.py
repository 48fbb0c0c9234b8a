"""Clips to WAV files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ornstein.core.checkpoint import write_aside

from .clip import Clip
from .libraries import soundfile


def save(clips: Sequence[Clip], folder: Path) -> list[Path]:
    """Write 0000.wav, 0001.wav, ... at each clip's rate; each aside and renamed.

    Samples are 32-bit floats, so that nothing is rounded or clipped: what was given to a task is in the file bit by bit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(clips) - 1)))
    return [_save(clip, folder / f"{i:0{digits}d}.wav") for i, clip in enumerate(clips)]


def player_bytes(clip: Clip) -> bytes:
    """A WAV file of 16 bits, which every player knows; values beyond full scale are clipped."""
    content = io.BytesIO()
    soundfile().write(content, np.clip(clip.samples, -1, 1), clip.rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def _save(clip: Clip, path: Path) -> Path:
    write_aside(path, lambda aside: soundfile().write(aside, clip.samples, clip.rate, format="WAV", subtype="FLOAT"))
    return path
