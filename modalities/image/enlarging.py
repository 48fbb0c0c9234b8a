"""An image of fewer pixels: how it is made by areas, and how it is enlarged without a model."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

LOW = "low"  # condition that holds the image of fewer pixels, uint8 (h, w, C)


def reduced(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, C) float64 means of the pixels (H, W, C) over areas: of whole pixels where h divides H and w divides W."""
    x = torch.from_numpy(np.asarray(pixels, np.float64)).permute(2, 0, 1)[None]
    return F.adaptive_avg_pool2d(x, size)[0].permute(1, 2, 0).numpy()


def enlarged(pixels: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """An image uint8 (h, w, C) at another size, uint8 (H, W, C), as Pillow makes it.

    Args:
        method: nearest, bilinear, bicubic or Lanczos.
    """
    from PIL import Image

    filters = {name.lower(): value for name, value in Image.Resampling.__members__.items()}
    planes = [
        Image.fromarray(np.ascontiguousarray(pixels[..., c])).resize(size[::-1], filters[method.lower()])
        for c in range(pixels.shape[-1])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)
