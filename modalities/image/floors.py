"""The floors: images of a Gaussian fitted to the training pixels, and what a given lesser picture shows without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ornstein.core.modality import Item, Rng

from .buckets import draw
from .channels import clear, to_channels
from .enlarging import LOW, enlarged
from .guides import GUIDE
from .parts import Grey

LABEL = "label"


def gaussian_floor(
    items: Sequence[Item],
    cond: Sequence[Mapping[str, Any]],
    rng: Rng,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> list[np.ndarray]:
    """Images drawn from a Gaussian with the mean and full covariance of the training pixels, of each class where asked.

        x = mean + (A' z) / sqrt(n - 1),  z standard normal (n,),  A (n, H W C) the centred training images of a size

    The covariance is never formed, so that the size of the images does not matter. Values are rounded and clipped.

    Args:
        items: data uint8 (H, W, C), all of one C; `cond["label"]` a class number, or missing.
        cond: what each image to be drawn was asked for; one without a class comes from all items.
        shapes: of the images; None: as often as in the items, whatever the class. Of a class without an item of that size,
            all items of the size serve.

    Raises:
        ValueError: a class, or a size, without training images.
    """
    labels = np.array([-1 if item.cond.get(LABEL) is None else int(item.cond[LABEL]) for item in items])
    asked = np.array([-1 if c.get(LABEL) is None else int(c[LABEL]) for c in cond])
    unknown = set(asked.tolist()) - set(labels.tolist()) - {-1}
    if unknown:
        raise ValueError(f"no training image has the class {min(unknown)} that was asked for")
    sizes = [item.data.shape for item in items]
    wanted = _sizes(sizes, len(cond), rng) if shapes is None else list(shapes)
    out: dict[int, np.ndarray] = {}
    for shape, label in sorted(set(zip(wanted, asked.tolist(), strict=True))):
        here = [i for i in range(len(cond)) if wanted[i] == shape and asked[i] == label]
        fitting = np.array([size == shape for size in sizes])
        rows = np.flatnonzero(fitting & (labels == label)) if label >= 0 else np.flatnonzero(fitting)
        rows = rows if len(rows) else np.flatnonzero(fitting)
        if not len(rows):
            raise ValueError(f"no training image has the size {shape} that is to be drawn")
        out |= dict(
            zip(
                here,
                _gaussian(np.stack([np.asarray(items[i].data) for i in rows.tolist()]), len(here), rng),
                strict=True,
            )
        )
    return [out[i] for i in range(len(cond))]


def shown(given: Item, known: Any, drawn: np.ndarray) -> np.ndarray:
    """What is told of a given item, as an image: the smaller one enlarged (Lanczos), the grey or the blurred one as it is.

    Args:
        drawn: the image where nothing of that kind is told.
    """
    if given.cond.get(LOW) is not None:
        low = to_channels(np.asarray(given.cond[LOW], np.uint8), drawn.shape[-1])
        return clear(enlarged(low, drawn.shape[:2], "Lanczos"))
    if given.cond.get(GUIDE) is not None:
        return to_channels(np.asarray(given.cond[GUIDE], np.uint8), drawn.shape[-1])
    if isinstance(known, Grey):
        pixels = to_channels(given.data, drawn.shape[-1])
        grey = np.rint(pixels[..., :3].mean(-1, keepdims=True)).astype(np.uint8).repeat(3, axis=-1)
        return np.concatenate([grey, pixels[..., 3:]], axis=-1)
    return drawn


def _sizes(sizes: Sequence[tuple[int, ...]], n: int, rng: Rng) -> list[tuple[int, ...]]:
    """n sizes (H, W, C) in the proportions of the items."""
    counted = Counter(sizes)
    if len(counted) == 1:
        return [sizes[0]] * n
    histogram = sorted((height, width, count) for (height, width, _), count in counted.items())
    return [(*shape, sizes[0][2]) for shape in draw(histogram, n, rng)]


def _gaussian(pixels: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    """n images (n, H, W, C) from images (m, H, W, C)."""
    rows = pixels.reshape(len(pixels), -1).astype(np.float32)
    mean, z = rows.mean(0), rng.standard_normal((n, len(rows)), dtype=np.float32)
    values = mean + z @ (rows - mean) / np.float32(max(len(rows) - 1, 1)) ** 0.5
    drawn = values.round().clip(0, 255).astype(np.uint8).reshape(n, *pixels.shape[1:])
    return clear(drawn)
