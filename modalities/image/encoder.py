"""Pixels and tokens: H x W pixels are a grid of (H / p) x (W / p) patches, each one token of p p C values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor

FIELD = "pixels"
_TOKENS = "b (h p) (w q) c -> b (h w) (p q c)"


def encode(pixels: np.ndarray, known: Sequence[np.ndarray | None], patch: int) -> Encoded:
    """Pixels to model space: x = v / 127.5 - 1.

    Args:
        pixels: uint8 (B, H, W, C).
        known: for each image (H, W) bool, True where a pixel is given; None: nothing is.
        patch: side of a patch, a divisor of H and W.
    """
    batch, height, width, channels = pixels.shape
    values = _tokens(torch.from_numpy(pixels).to(torch.float32) / 127.5 - 1, patch)
    given = None
    if any(image is not None for image in known):
        nothing = np.zeros((height, width), bool)
        bits = torch.from_numpy(np.stack([nothing if image is None else image for image in known]))
        bits = _tokens(bits[..., None].expand(-1, -1, -1, channels), patch)
        given = Known({FIELD: bits}, {FIELD: values * bits})  # zero where unknown: no value leaks
    return Encoded({FIELD: values}, layout(batch, height, width, patch), known=given, aux=aux(batch, height, width))


def blank(batch: int, height: int, width: int, channels: int, patch: int) -> Encoded:
    """Images to be made: a state of zeros."""
    grid = layout(batch, height, width, patch)
    return Encoded(
        {FIELD: torch.zeros(batch, grid.tokens, patch * patch * channels)}, grid, aux=aux(batch, height, width)
    )


def decode(state: State, sizes: Sequence[tuple[int, int]], patch: int) -> list[np.ndarray]:
    """Model space to pixels: v = round(127.5 (x + 1)), clipped to 0..255; the exact inverse of `encode` on its values.

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
    height = sizes[0][0]
    levels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pixels = rearrange(levels, "b (h w) (p q c) -> b (h p) (w q) c", h=height // patch, p=patch, q=patch)
    return list(pixels.numpy())


def layout(batch: int, height: int, width: int, patch: int) -> Layout:
    """The grid of patches.

    Raises:
        ValueError: the patch does not divide the image.
    """
    if height < 1 or width < 1 or height % patch or width % patch:
        raise ValueError(
            f"an image of {height} x {width} pixels has no whole patches of {patch} x {patch}: "
            f"choose a height and width that {patch} divides, or another modality.patch"
        )
    return Layout.of_grid(batch, (height // patch, width // patch))


def aux(batch: int, height: int, width: int) -> dict[str, Any]:
    """What decoding needs: the height and width of each image."""
    return {"size": [(height, width)] * batch}


def _tokens(x: Tensor, patch: int) -> Tensor:
    """(B, H, W, C) -> (B, N, p p C), patches in row-major order."""
    return rearrange(x, _TOKENS, p=patch, q=patch)
