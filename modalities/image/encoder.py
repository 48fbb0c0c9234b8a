"""Pixels and tokens: H x W pixels are a grid of (H / p) x (W / p) patches, each one token of p p C values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from einops import rearrange
from ornstein.core.state import Condition, Encoded, Known, Layout, State
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .basis import Basis
from .channels import clear
from .parts import Grey, Means, Part

FIELD = "pixels"
_TOKENS = "b (h p) (w q) c -> b (h w) (p q c)"
_PIXELS = "(h w) (p q c) -> (h p) (w q) c"


def encode(
    pixels: Sequence[np.ndarray],
    known: Sequence[np.ndarray | Part | None] | None,
    missing: Sequence[np.ndarray | None] | None,
    patch: int,
    basis: Basis | None = None,
) -> Encoded:
    """Pixels to model space: x = v / 127.5 - 1. Pictures of several sizes are padded to the most patches, and fill no grid.

    Args:
        pixels: for each image uint8 (H, W, C), C the same for all.
        known: for each image (H, W) bool, True where a pixel is given, a part of the basis, or None: nothing is; None: for none.
        missing: for each image bool (H, W) or (H, W, C), True where nobody knows a value, or None. Such values are 0 in model
            space, which tells the least of what is around them, and carry no loss.
        patch: side of a patch, a divisor of each H and W.
        basis: of the values of a token; None: the pixels themselves. A coefficient is missing where one of its pixels is,
            and given where all of them are.
    """
    shapes = [image.shape[:2] for image in pixels]
    where = layout(shapes, patch)
    values = torch.where(where.mask[..., None], _cut(pixels, patch).float() / 127.5 - 1, 0.0)
    gaps = _bits(missing, pixels, patch)
    if gaps is not None:
        values = values.masked_fill(gaps, 0)
    if basis is not None:
        values = basis.forward(values)
        gaps = None if gaps is None else ~basis.whole(~gaps)
    encoded = Encoded({FIELD: values}, where, aux={"size": shapes})
    if gaps is not None:
        encoded = replace(encoded, state={FIELD: values.masked_fill(gaps, 0)}, missing={FIELD: gaps})
    bits = _given(known, pixels, patch, basis)
    if bits is not None:
        given = encoded.state[FIELD] * bits  # zero where unknown: no value leaks
        encoded = replace(encoded, known=Known({FIELD: bits}, {FIELD: given}))
    return encoded


def blank(shapes: Sequence[tuple[int, int]], channels: int, patch: int) -> Encoded:
    """Images of these heights and widths to be made: a state of zeros."""
    where = layout(shapes, patch)
    zeros = torch.zeros(len(shapes), where.tokens, patch * patch * channels)
    return Encoded({FIELD: zeros}, where, aux={"size": list(shapes)})


def told(images: Sequence[np.ndarray | None], tokens: int, size: int, patch: int) -> Condition:
    """Pictures that the model is told, uint8 (H, W, C) or None, as rows of `size` values for each of the N tokens, -1 to 1."""
    values = torch.zeros(len(images), tokens, size)
    for row, image in zip(values, images, strict=True):
        if image is not None:
            cut = _cut([image], patch)[0].float() / 127.5 - 1
            row[: len(cut)] = cut
    return Condition(values, torch.tensor([image is not None for image in images]))


def decode(state: State, sizes: Sequence[tuple[int, int]], patch: int, basis: Basis | None = None) -> list[np.ndarray]:
    """Model space to pixels: v = round(127.5 (x + 1)), clipped to 0..255; the exact inverse of `encode` on its values.

    Of four channels the last is alpha, and the colour of what is not seen at all is 0.

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
    x = x if basis is None else basis.inverse(x)
    levels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    images = []
    for tokens, (height, width) in zip(levels, sizes, strict=True):
        h, w = height // patch, width // patch
        images.append(clear(rearrange(tokens[: h * w], _PIXELS, h=h, p=patch, q=patch).numpy()))
    return images


def layout(shapes: Sequence[tuple[int, int]], patch: int) -> Layout:
    """The grid of patches of images of these heights and widths; of several sizes their places, without a grid.

    Raises:
        ValueError: the patch does not divide an image.
    """
    for height, width in set(shapes):
        if height < 1 or width < 1 or height % patch or width % patch:
            raise ValueError(
                f"an image of {height} x {width} pixels has no whole patches of {patch} x {patch}: "
                f"choose a height and width that {patch} divides, or another modality.patch"
            )
    grids = [(height // patch, width // patch) for height, width in shapes]
    if len(set(grids)) == 1:
        return Layout.of_grid(len(grids), grids[0])
    places = [of_one for grid in grids if (of_one := Layout.of_grid(1, grid).positions) is not None]
    sizes = torch.tensor([h * w for h, w in grids])
    mask = torch.arange(int(sizes.max())) < sizes[:, None]
    return Layout(mask, pad_sequence([each[0] for each in places], batch_first=True), None, (False, False))


def _given(
    known: Sequence[np.ndarray | Part | None] | None, images: Sequence[np.ndarray], patch: int, basis: Basis | None
) -> Tensor | None:
    """What is given of each image as bits (B, N, p p C); None where nothing is of any."""
    masks = None if known is None else [mark if isinstance(mark, np.ndarray) else None for mark in known]
    bits = _bits(masks, images, patch)
    parts = {i: mark for i, mark in enumerate(known or ()) if isinstance(mark, Means | Grey)}
    if basis is None or (bits is None and not parts):
        return bits
    bits = torch.zeros_like(_cut(images, patch), dtype=torch.bool) if bits is None else basis.whole(bits)
    for i, part in parts.items():
        bits[i, : math.prod(images[i].shape[:2]) // patch**2] = part.bits(basis)
    return bits


def _bits(marks: Sequence[np.ndarray | None] | None, images: Sequence[np.ndarray], patch: int) -> Tensor | None:
    """For each image bool (H, W) or (H, W, C), or None, as (B, N, p p C); None where there are none at all."""
    if marks is None or all(mark is None for mark in marks):
        return None
    whole = []
    for mark, image in zip(marks, images, strict=True):
        bits = np.zeros(image.shape, bool)
        if mark is not None:
            bits |= mark if mark.ndim == 3 else mark[..., None]
        whole.append(bits)
    return _cut(whole, patch)


def _cut(images: Sequence[np.ndarray], patch: int) -> Tensor:
    """Images (H, W, C) -> (B, N, p p C), patches in row-major order, padded with zeros to the most."""
    if len({image.shape for image in images}) == 1:
        return rearrange(torch.from_numpy(np.stack(images)), _TOKENS, p=patch, q=patch)
    cut = [rearrange(torch.from_numpy(image)[None], _TOKENS, p=patch, q=patch)[0] for image in images]
    return pad_sequence(cut, batch_first=True)
