"""Mel spectra to sound by another trained model of this modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from ornstein.core.denoiser import Denoiser
from ornstein.core.modality import Item

from .clip import Clip
from .mel import MelScale
from .told import MEL

STEPS = 20


def vocoded(
    run: str, told: Sequence[np.ndarray], forms: Sequence[Clip], gains: Sequence[float], scale: MelScale
) -> list[Clip]:
    """Clips of the given forms that sound as (N, C M) spectra say; always the same ones.

    Args:
        run: folder of the model.
        told: as DiffWave's network reads them; see `mel.MelScale.told`.
        forms: clips whose length, rate and place the results take.
        gains: of the spectra, which are undone.
        scale: of the spectra.

    Raises:
        ValueError: the model takes no spectra, or others.
    """
    from ornstein.core.samplers import DPMpp
    from ornstein.core.sampling import sample

    denoiser = _loaded(run)
    there = denoiser.modality
    wanted = {"guide": MEL, "rate": scale.rate, "frame": scale.hop, "bands": scale.bands, "channels": forms[0].channels}
    for name, value in wanted.items():
        if getattr(there, name, None) != value:
            found = getattr(there, name, None)
            raise ValueError(f"modality.vocoder={run} has {name}={found}, the spectra need {value}")
    blank = [Clip(np.zeros_like(c.samples), c.rate, c.start, c.seconds, c.name) for c in forms]
    items = [Item(clip, {MEL: spectrum}, str(i)) for i, (clip, spectrum) in enumerate(zip(blank, told, strict=True))]
    made = sample(denoiser, DPMpp(order=2, steps=STEPS), given=items, known=[None] * len(items))
    return [replace(clip, samples=clip.samples / np.float32(gain)) for clip, gain in zip(made, gains, strict=True)]


@lru_cache(maxsize=1)
def _loaded(run: str) -> Denoiser:
    from ornstein.core.checkpoint import load

    return load(run)
