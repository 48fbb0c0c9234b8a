"""Pixels of one number of channels as those of another: 1 grey, 3 colour, 4 colour and alpha."""

from __future__ import annotations

from typing import Any

import numpy as np

CHANNELS = (1, 3, 4)
_LUMA = (19595, 38470, 7471)  # / 65536 = 0.299, 0.587, 0.114


def to_channels(pixels: Any, channels: int) -> np.ndarray:
    """Pixels (H, W, 1, 3 or 4), in memory or on file, as (H, W, channels).

    What has no alpha is opaque. Where alpha is lost the colours are laid on white. Colour becomes grey by ITU-R 601 luma, as
    Pillow's mode L.
    """
    pixels = np.asarray(pixels)
    if pixels.shape[-1] == channels:
        return pixels
    if pixels.shape[-1] == 4:
        return to_channels(on_white(pixels), channels)
    if channels == 4:
        return np.concatenate([to_channels(pixels, 3), np.full_like(pixels[..., :1], 255)], axis=-1)
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    luma = pixels.astype(np.uint32) @ np.asarray(_LUMA, np.uint32)
    return ((luma + 0x8000) >> 16).astype(np.uint8)[..., None]


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Colour and alpha, uint8 (..., 4), as colour alone: c a + 255 (1 - a), rounded."""
    colour, alpha = pixels[..., :3].astype(np.uint32), pixels[..., 3:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def clear(pixels: np.ndarray) -> np.ndarray:
    """The same pixels, in place, with colour 0 where alpha is 0; nothing changes where there is no alpha."""
    if pixels.shape[-1] == 4:
        pixels[pixels[..., 3] == 0] = 0
    return pixels
