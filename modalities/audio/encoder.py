"""Items to batches in model space, room for new clips, and samples back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ornstein.core.modality import Item
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor

from . import loudness as levels
from .clip import Clip
from .frames import Frames
from .known import Given, bits, heard
from .tasks import GAIN
from .tokens import Tokens

FIELD = "sound"


def encode(
    items: Sequence[Item],
    known: Sequence[Given | None] | None,
    gains: Sequence[float],
    tokens: Tokens,
    fade: int,
) -> Encoded:
    """A batch of clips of any lengths, each multiplied with its gain."""
    clips: list[Clip] = [item.data for item in items]
    state, counts = tokens.encode([clip.samples * np.float32(gain) for clip, gain in zip(clips, gains, strict=True)])
    steps = [len(clip.samples) for clip in clips]
    aux: dict[str, Any] = {
        "steps": steps,
        "gain": list(gains),
        "place": [(clip.start, clip.seconds, clip.name) for clip in clips],
    }
    encoded = Encoded({FIELD: state}, layout(counts), aux=aux)
    if known is None or all(given is None for given in known):
        return encoded
    given = bits(known, steps, tokens.frames, clips[0].channels, fade)
    return replace(encoded, known=Known({FIELD: given}, {FIELD: torch.where(given, state, 0.0)}))


def gains(
    items: Sequence[Item],
    known: Sequence[Given | None],
    rate: int,
    channels: int,
    loudness: levels.Loudness,
    frames: Frames,
) -> list[float]:
    """What each clip is multiplied with to be as loud as is asked for, by what is known of it alone.

    Raises:
        ValueError: a clip of another rate or other channels.
    """
    for item in items:
        if (item.data.rate, item.data.channels) != (rate, channels):
            raise ValueError(
                f"{item.key} has {item.data.rate} Hz and {item.data.channels} channels, the model {rate} and {channels}: "
                "read it with this modality"
            )
    if loudness is None:
        return [1.0] * len(items)
    return [
        float(item.meta.get(GAIN) or levels.gain(heard(item.data.samples, given, frames), rate, loudness))
        for item, given in zip(items, known, strict=True)
    ]


def blank(steps: Sequence[int], gains: Sequence[float], rate: int, channels: int, tokens: Tokens) -> Encoded:
    """Room for clips of so many samples."""
    where = layout(torch.tensor([tokens.frames.count(t) for t in steps]))
    place = [(0.0, t / rate, "") for t in steps]
    aux = {"steps": list(steps), "gain": list(gains), "place": place}
    return Encoded({FIELD: torch.zeros(*where.mask.shape, channels * tokens.frames.size)}, where, aux=aux)


def decode(state: State, mask: Tensor, aux: dict[str, Any], rate: int, tokens: Tokens) -> list[Clip]:
    """Clips at the model's rate, as loud as they were before their gain.

    Raises:
        ValueError: NaN or infinity.
    """
    sound = tokens.decode(state[FIELD].float(), mask.sum(1)).transpose(1, 2).numpy()
    clips = []
    for samples, t, gain, (start, seconds, name) in zip(sound, aux["steps"], aux["gain"], aux["place"], strict=True):
        clips.append(Clip(np.ascontiguousarray(samples[:t]) / np.float32(gain), rate, start, seconds, name))
    broken = sum(not np.isfinite(clip.samples).all() for clip in clips)
    if broken:
        raise ValueError(
            f"{broken} of {len(clips)} samples hold NaN or infinity: the network or the sampler diverged; "
            "try more steps, a smaller guidance scale, or float32"
        )
    return clips


def layout(counts: Tensor) -> Layout:
    """Places in time; a grid where all clips have as many tokens."""
    grid = Layout.of_grid(len(counts), (int(counts.max()),))
    if int(counts.min()) == int(counts.max()):
        return grid
    return replace(grid, mask=torch.arange(grid.tokens) < counts[:, None], grid=None)
