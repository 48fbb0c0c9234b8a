"""Clips on a page that needs nothing else: a player with its waveform for each, the sound inside the page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import replace

from .clip import Clip
from .pictures import extremes
from .writing import player_bytes

LONGEST = 30.0  # seconds of a clip that go into the page: at 16 kHz in mono some 1.3 MB
_WIDTH, _HEIGHT = 260, 48  # of a waveform, pixels
_STYLE = "display:inline-block;margin:4px;text-align:center;font:12px sans-serif"


def view(clips: Sequence[Clip]) -> str:
    """A part of an HTML page with a waveform and the browser's player for each clip; of a longer one the first 30 s."""
    return f'<div class="clips">{"".join(_figure(k, clip) for k, clip in enumerate(clips))}</div>'


def _figure(k: int, clip: Clip) -> str:
    played = replace(clip, samples=clip.samples[: round(LONGEST * clip.rate)])
    title = f"{clip.name or f'sample {k}'}, {clip.duration:.3g} s"
    if len(played.samples) < len(clip.samples):
        title += f" (the first {LONGEST:g} s)"
    source = base64.b64encode(player_bytes(played)).decode()
    sound = f'<audio controls preload="none" style="width:{_WIDTH}px" src="data:audio/wav;base64,{source}"></audio>'
    return (
        f'<figure style="{_STYLE}">{_waveform(played)}<br>{sound}<figcaption>{html.escape(title)}</figcaption></figure>'
    )


def _waveform(clip: Clip) -> str:
    """A closed line along the largest values and back along the least, in SVG."""
    low, high = extremes(clip.samples, _WIDTH)
    step = _WIDTH / len(low)
    along = [(i * step, y) for i, y in enumerate(high)] + [(i * step, y) for i, y in reversed(list(enumerate(low)))]
    points = " ".join(f"{x:.1f},{_HEIGHT / 2 * (1 - min(1.0, max(-1.0, float(y)))):.1f}" for x, y in along)
    box = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg {box}><polygon points="{points}" fill="#1f77b4" stroke="#1f77b4" stroke-width="0.5"/></svg>'
