"""Frames and tokens: T x H x W pixels are a grid of tubelets, each one token of t h w C values, in order of time first.

Sizes that a tubelet does not divide are filled up with the pixels at the edge; decoding cuts them off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .clip import Clip

FIELD = "video"
_TOKENS = "(t a) (h p) (w q) c -> (t h w) (a p q c)"
_FRAMES = "b (t h w) (a p q c) -> b (t a) (h p) (w q) c"


@dataclass(frozen=True)
class Tubelets:
    """How clips are cut.

    Args:
        time, height, width: of a tubelet, in frames and pixels.
        channels: of the clips, 1 or 3.

    Raises:
        ValueError: a side below 1.
    """

    time: int
    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        if min(self.sides) < 1:
            raise ValueError(f"modality.patch={list(self.sides)}: each side is at least 1")

    @property
    def sides(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a tubelet."""
        return self.time, self.height, self.width

    @property
    def size(self) -> int:
        """Values of a token."""
        return self.time * self.height * self.width * self.channels

    def grid(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Tubelets along time, height and width of a clip of shape (T, H, W[, C])."""
        t, h, w = (-(-n // side) for n, side in zip(shape, self.sides, strict=False))
        return t, h, w

    def encode(self, clips: Sequence[Clip], known: Sequence[np.ndarray | None] | None) -> Encoded:
        """Clips of one height and width, of any lengths, to model space: x = v / 127.5 - 1.

        Args:
            clips: the clips.
            known: for each (T, H, W) bool, True where a pixel is given; None: nothing is.

        Raises:
            ValueError: clips of several sizes, or of other channels.
        """
        shapes = {clip.shape[1:] for clip in clips}
        if len(shapes) > 1 or next(iter(shapes))[-1] != self.channels:
            named = ", ".join(f"{h} x {w} x {c}" for h, w, c in sorted(shapes))
            raise ValueError(f"clips of {named}: a batch has one height and width, and {self.channels} channels")
        where = self._layout([clip.shape for clip in clips])
        levels = pad_sequence([self._cut(clip.frames) for clip in clips], batch_first=True)
        values = torch.where(where.mask[..., None], levels.float() / 127.5 - 1, 0.0)
        encoded = Encoded({FIELD: values}, where, aux=_aux(clips))
        if known is None or all(given is None for given in known):
            return encoded
        bits = pad_sequence(
            [self._cut(_bits(given, clip)) for given, clip in zip(known, clips, strict=True)], batch_first=True
        ).bool()
        return replace(encoded, known=Known({FIELD: bits}, {FIELD: torch.where(bits, values, 0.0)}))

    def blank(self, n: int, shape: tuple[int, int, int], fps: Sequence[float]) -> Encoded:
        """Room for n clips of T frames, H rows and W columns."""
        nothing = np.zeros((*shape, self.channels), np.uint8)
        where = self._layout([shape] * n)
        aux = _aux([Clip(nothing, rate) for rate in fps])
        return Encoded({FIELD: torch.zeros(n, where.tokens, self.size)}, where, aux=aux)

    def decode(self, state: State, aux: dict[str, Any]) -> list[Clip]:
        """Model space to clips: v = round(127.5 (x + 1)), clipped to 0..255; the exact inverse of `encode` on its values.

        Raises:
            ValueError: values are not finite.
        """
        x = state[FIELD].detach().to("cpu", torch.float32)
        broken = int((~x.isfinite()).flatten(1).any(1).sum())
        if broken:
            raise ValueError(
                f"{broken} of {len(x)} samples hold NaN or infinity: the network or the sampler diverged; "
                "try more steps, a smaller guidance scale, or float32"
            )
        levels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        _, h, w = self.grid(aux["size"][0])
        a, p, q = self.sides
        frames = rearrange(levels, _FRAMES, h=h, w=w, a=a, p=p, q=q).numpy()
        return [
            Clip(np.ascontiguousarray(each[:t, :height, :width]), fps, start, name)
            for each, (t, height, width), (fps, start, name) in zip(frames, aux["size"], aux["place"], strict=True)
        ]

    def _layout(self, shapes: Sequence[Sequence[int]]) -> Layout:
        """Places in time, height and width; a grid where all clips have as many tokens."""
        grids = [self.grid(shape) for shape in shapes]
        longest = max(t for t, _, _ in grids)
        grid = Layout.of_grid(len(grids), (longest, *grids[0][1:]))
        if all(t == longest for t, _, _ in grids):
            return grid
        counts = torch.tensor([t * h * w for t, h, w in grids])
        return replace(grid, mask=torch.arange(grid.tokens) < counts[:, None], grid=None)

    def _cut(self, pixels: np.ndarray) -> Tensor:
        """(T, H, W, C) -> (N, t h w C)."""
        more = [(0, -n % side) for n, side in zip(pixels.shape, self.sides, strict=False)]
        if any(after for _, after in more):
            pixels = np.pad(pixels, [*more, (0, 0)], mode="edge")
        a, p, q = self.sides
        return rearrange(torch.from_numpy(np.ascontiguousarray(pixels)), _TOKENS, a=a, p=p, q=q)


def _bits(given: np.ndarray | None, clip: Clip) -> np.ndarray:
    """Which values of a clip are given, as its frames."""
    if given is None:
        return np.zeros(clip.shape, bool)
    if given.shape != clip.shape[:3]:
        raise ValueError(f"{clip.name or 'a clip'} has (T, H, W) {clip.shape[:3]}, its mask {given.shape}")
    return np.repeat(given[..., None], clip.shape[-1], axis=-1)


def _aux(clips: Sequence[Clip]) -> dict[str, Any]:
    """What decoding needs: size, and rate, place and name, of each."""
    return {
        "size": [clip.shape[:3] for clip in clips],
        "place": [(clip.fps, clip.start, clip.name) for clip in clips],
    }
