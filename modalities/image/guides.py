"""What a model can be told for each pixel: a smaller image, a grey one, a blurred one; and the tasks that tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from .channels import to_channels
from .enlarging import LOW, enlarged, reduced
from .reading import OPEN, OWN

Guide = Literal["none", "low", "grey", "blurred"]
GUIDE = "guide"  # condition that holds the picture the model is told, uint8 (H, W, C)
TASKS = {"low": "upscale_told", "grey": "colourise_told", "blurred": "deblur"}
BLUR = (1 / 64, 4 / 64)  # standard deviations of blurs in training, over the shorter side


@dataclass(frozen=True)
class Told(Task):
    """A lesser picture of an image is told as a condition, the image is to be made; no pixel of it is given.

    Args:
        guide: `low`: means over squares of `factor` pixels, enlarged again (bicubic); `grey`: ITU-R 601 luma; `blurred`: by a
            Gaussian of 1/64 to 4/64 of the shorter side. An open picture is taken for blurred as it is, and one whose
            own size is that of the image over `factor` for the smaller one.
        factor: how many pixels of the image one of the smaller picture stands for, on each axis.
    """

    guide: Guide
    factor: int

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, None]:
        """The image with the picture as a condition."""
        pixels = np.asarray(item.data)
        told = {GUIDE: pixels}
        if self.guide == "low":
            low = smaller(item, self.factor)
            told = {LOW: low, GUIDE: enlarged(low, pixels.shape[:2], "bicubic")}
        elif self.guide == "grey":
            told = {GUIDE: to_channels(to_channels(pixels, 1), pixels.shape[-1])}
        elif OPEN not in item.meta:
            told = {GUIDE: blurred(pixels, min(pixels.shape[:2]) * rng.uniform(*BLUR))}
        return replace(item, cond=item.cond | told), None


def smaller(item: Item, factor: int) -> np.ndarray:
    """The image by means over squares of factor x factor pixels, rounded; an open picture of that size is as it is.

    Raises:
        ValueError: the factor does not divide the image.
    """
    pixels = np.asarray(item.data)
    height, width = pixels.shape[:2]
    if height % factor or width % factor:
        raise ValueError(f"{item.key}: {height} x {width} pixels are not whole squares of {factor} x {factor}")
    size = (height // factor, width // factor)
    own = item.meta.get(OWN)
    if own is not None and own.shape[:2] == size:
        return to_channels(own, pixels.shape[-1])
    return np.rint(reduced(pixels, size)).astype(np.uint8)


def with_own(item: Item, factor: int, shapes: Sequence[tuple[int, int]]) -> Item:
    """An open picture, where none is resized, as the smaller image of one of these shapes: each pixel a square of them."""
    own = np.asarray(item.data) if OPEN in item.meta else None
    if own is None or (own.shape[0] * factor, own.shape[1] * factor) not in shapes:
        return item
    return replace(item, data=own.repeat(factor, axis=0).repeat(factor, axis=1), meta={**item.meta, OWN: own})


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Each channel, uint8, under a Gaussian of a standard deviation in pixels; edges are continued."""
    from scipy.ndimage import gaussian_filter

    return np.rint(gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="nearest")).astype(np.uint8)
