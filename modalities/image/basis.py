"""Patches in an orthonormal basis of means and what differs from them, of which a small or a grey image is a part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_COLOURS = {
    1: ((1.0,),),
    3: ((1 / 3**0.5,) * 3, (1 / 2**0.5, 0.0, -1 / 2**0.5), (1 / 6**0.5, -2 / 6**0.5, 1 / 6**0.5)),
}


@dataclass(frozen=True, eq=False)
class Basis:
    """y = T x for the p p C values x of a patch, in the order (row, column, channel); T is orthonormal.

    Each channel of a patch is split by Haar's means: of 2 x 2 values a b / c d

        (a + b + c + d) / 2,  (a - b + c - d) / 2,  (a + b - c - d) / 2,  (a - b - c + d) / 2,

    and the first ones of all squares again, up to the whole patch. So the means over squares of f x f pixels, f a power of
    2, span the same space as the coefficients with `square` f or more. Colours are split into grey, (R + G + B) / sqrt 3, red
    against blue, and green against both; alpha stands alone. White noise in one basis is white noise in the other, so that a
    model is the same but for what it is told.

    Attributes:
        matrix: T, (D, D) float64, D = p p C.
        square: (D,) side of the squares whose values the coefficient weighs against each other; p for the mean of all.
        grey: (D,) bool, coefficients of grey.

    Source: Haar 1910, Mathematische Annalen 69, 331-371, in two dimensions.
    """

    matrix: Tensor
    square: Tensor
    grey: Tensor

    @staticmethod
    @lru_cache(maxsize=8)
    def of(patch: int, channels: int) -> Basis:
        """The basis of patches of a side, a power of 2, and of 1, 3 or 4 channels.

        Raises:
            ValueError: another side.
        """
        if patch & (patch - 1):
            raise ValueError(f"modality.patch={patch}: modality.basis=means needs a power of 2: 1, 2, 4, 8, ...")
        places, square = _haar(patch)
        colours = torch.block_diag(
            *(torch.tensor(_COLOURS[n], dtype=torch.float64) for n in ((3, 1) if channels == 4 else (channels,)))
        )
        first = torch.arange(channels) == 0
        return Basis(
            torch.kron(places, colours), square.repeat_interleave(channels), first.repeat(patch**2) & (channels >= 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Values of patches (..., D) to coefficients."""
        return (x.double() @ self.matrix.T).to(x.dtype)

    def inverse(self, y: Tensor) -> Tensor:
        """Coefficients (..., D) to values of patches."""
        return (y.double() @ self.matrix).to(y.dtype)

    def whole(self, bits: Tensor) -> Tensor:
        """Which coefficients follow from the values that are marked, bool (..., D)."""
        touched = (self.matrix.abs() > 1e-12).to(torch.float32)
        return (~bits).to(torch.float32) @ touched.T == 0


def _haar(side: int) -> tuple[Tensor, Tensor]:
    """The coefficients of a patch of one channel: rows of an orthonormal (p p, p p), and their squares."""
    means = torch.eye(side * side, dtype=torch.float64).view(-1, side, side)  # what each unit vector gives, (p p, h, w)
    rows, squares, size = [], [], 1
    while means.shape[-1] > 1:
        a, b, c, d = (means[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
        rows += [((a + s * b + r * c + r * s * d) / 2).flatten(1) for s, r in ((-1, 1), (1, -1), (-1, -1))]
        squares += [torch.full((rows[-1].shape[1],), size)] * 3
        means, size = (a + b + c + d) / 2, 2 * size
    order = [means.flatten(1), *reversed(rows)]
    return torch.cat(order, dim=1).T.contiguous(), torch.cat([torch.tensor([side]), *reversed(squares)])


def with_sums(values: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """The nearest levels to `values` whose sums are exactly as given: what is missing is spread evenly, within 0..255.

    Args:
        values: uint8 (..., K).
        sums: integers (...), each from 0 to 255 K.
    """
    levels = values.reshape(-1, values.shape[-1]).astype(np.int64)
    lacking = sums.reshape(-1) - levels.sum(1)
    while lacking.any():
        up = (lacking > 0)[:, None]
        free = np.where(up, levels < 255, levels > 0)
        each, rest = np.divmod(np.abs(lacking), np.maximum(free.sum(1), 1))
        some = free & (np.cumsum(free, axis=1) <= rest[:, None])  # one more, for the first of the free ones
        room = np.where(up, 255 - levels, levels)
        step = np.minimum(each[:, None] * free + some, room)
        levels += np.where(up, step, -step)
        lacking = sums.reshape(-1) - levels.sum(1)
    return levels.astype(np.uint8).reshape(values.shape)


def blocks(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels (H, W, C) as squares of side^2 pixels, (H / side, W / side, C, side^2)."""
    height, width, channels = pixels.shape
    cut = pixels.reshape(height // side, side, width // side, side, channels)
    return cut.transpose(0, 2, 4, 1, 3).reshape(height // side, width // side, channels, side * side)


def unblocked(squares: np.ndarray) -> np.ndarray:
    """The inverse of `blocks`."""
    rows, columns, channels, values = squares.shape
    side = math.isqrt(values)
    cut = squares.reshape(rows, columns, channels, side, side).transpose(0, 3, 1, 4, 2)
    return cut.reshape(rows * side, columns * side, channels)
