"""Clips on a page that needs nothing else: the browser's player for each, the film inside the page."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from dataclasses import replace

from .clip import Clip
from .writing import film

LONGEST = 512  # frames of a clip that go into the page
_SIDE = 160  # pixels of the shorter side on the page, to which smaller frames are enlarged before they are encoded
_STYLE = "display:inline-block;margin:4px;text-align:center;font:12px sans-serif"


def view(clips: Sequence[Clip]) -> str:
    """A part of an HTML page with a player for each clip, which repeats it; of a longer one the first 512 frames."""
    return f'<div class="clips">{"".join(_figure(k, clip) for k, clip in enumerate(clips))}</div>'


def player_bytes(clip: Clip) -> bytes:
    """An MP4 of the clip, enlarged by a whole factor, since H.264, which halves the resolution of colour, blurs small frames."""
    zoom = max(1, math.ceil(_SIDE / min(clip.shape[1:3])))
    content = io.BytesIO()
    film(replace(clip, frames=clip.frames.repeat(zoom, axis=1).repeat(zoom, axis=2)), content, "mp4")
    return content.getvalue()


def _figure(k: int, clip: Clip) -> str:
    played = replace(clip, frames=clip.frames[:LONGEST])
    title = f"{clip.name or f'sample {k}'}, {clip.shape[0]} frames at {clip.fps:.4g}/s"
    if clip.shape[0] > LONGEST:
        title += f" (the first {LONGEST})"
    source = base64.b64encode(player_bytes(played)).decode()
    player = f'<video controls loop muted autoplay playsinline src="data:video/mp4;base64,{source}"></video>'
    return f'<figure style="{_STYLE}">{player}<figcaption>{html.escape(title)}</figcaption></figure>'
