"""Tokens as a grid of any number of axes, and the layers that work on one; a mask where sequences are padded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning.routes import Context
from ..state import Layout
from .layers import CrossAttention, SelfAttention, zero_linear

_EPS = 1e-6


@dataclass(frozen=True)
class Grid:
    """The places of one level.

    Args:
        shape: length of each axis.
        periodic: for each axis whether its ends are neighbours.
        real: (B, 1, *shape) bool, which places are real; None: all of them.
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    real: Tensor | None = None

    @staticmethod
    def of(layout: Layout, axes: int) -> Grid:
        """The grid that the tokens fill, or the line that padded sequences lie on.

        Raises:
            ValueError: tokens that fill no grid of so many axes.
        """
        if layout.grid is not None and len(layout.grid) == axes:
            return Grid(layout.grid, layout.periodic or (False,) * axes)
        if layout.grid is None and layout.positions is not None and layout.positions.shape[-1] == axes == 1:
            return Grid((layout.tokens,), (False,), layout.mask[:, None])
        found = "these fill none" if layout.grid is None else f"these fill one of {len(layout.grid)}, {layout.grid}"
        raise ValueError(
            f"tokens that fill a grid of {axes} axes are needed; {found}: take one size at a time, or a DiT"
        )

    def fold(self, x: Tensor) -> Tensor:
        """(B, N, W) -> (B, W, *shape), channels last in memory; what is one for all places, (B, 1, W) -> (B, W, 1, ...)."""
        return x.unflatten(1, self.shape if x.shape[1] > 1 else (1,) * len(self.shape)).movedim(-1, 1)

    def unfold(self, y: Tensor) -> Tensor:
        """(B, W, *shape) -> (B, N, W)."""
        return y.movedim(1, -1).flatten(1, len(self.shape))

    def halved(self) -> Grid:
        """The next coarser level; a place of it is real where one of those it stands for is."""
        shape = tuple((n + 1) // 2 for n in self.shape)
        periodic = tuple(wraps and n % 2 == 0 for wraps, n in zip(self.periodic, self.shape, strict=True))
        return Grid(shape, periodic, None if self.real is None else _pool(self.real.float()) > 0)

    def halve(self, x: Tensor) -> Tensor:
        """Means over the real ones of two places on each axis: values of this level as those of the next."""
        if self.real is None:
            return _pool(x)
        return _pool(x * self.real) / _pool(self.real.to(x.dtype)).clamp(min=0.125)

    def double(self, y: Tensor) -> Tensor:
        """Values of the next coarser level, each on all the places it stands for."""
        for axis, n in enumerate(self.shape, start=2):
            y = y.repeat_interleave(2, dim=axis).narrow(axis, 0, n)
        return y


def _pool(x: Tensor) -> Tensor:
    """Means over pairs of places on each axis; the last of an odd number stands alone."""
    for axis in range(2, x.ndim):
        n = x.shape[axis]
        if n % 2:
            x = torch.cat([x, x.narrow(axis, n - 1, 1)], dim=axis)
        x = x.unflatten(axis, (-1, 2)).mean(axis + 1)
    return x


class GridConv(nn.Module):
    """A convolution over 3 places on each axis that keeps the size; zeros beyond open ends and at padded places."""

    def __init__(self, axes: int, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](inside, outside, 3, padding=1)
        self.convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, C, *shape) -> (B, D, *shape)."""
        if grid.real is not None:
            x = x * grid.real
        if not any(grid.periodic):
            return self.conv(x)
        around = [n for wraps in reversed(grid.periodic) for n in (int(wraps),) * 2]
        beyond = [n for wraps in reversed(grid.periodic) for n in (int(not wraps),) * 2]
        return self.convolve(F.pad(F.pad(x, around, mode="circular"), beyond), self.conv.weight, self.conv.bias)


class GridNorm(nn.Module):
    """Group norm without gains, with the mean and the variance of the real places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = max(g for g in range(1, 33) if channels % g == 0 and (g == 1 or channels // g >= 4))

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, C, *shape) -> the same."""
        if grid.real is None:
            return F.group_norm(x, self.groups, eps=_EPS)
        y = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(1, (self.groups, -1))
        real, axes = grid.real[:, None], tuple(range(2, y.ndim))
        count = real.sum(axes, keepdim=True).clamp(min=1) * y.shape[2]
        centred = y - (y * real).sum(axes, keepdim=True) / count
        variance = (centred * real).square().sum(axes, keepdim=True) / count
        return (centred / (variance + _EPS).sqrt()).flatten(1, 2).to(x.dtype)


class Modulated(nn.Module):
    """Group norm, then shift and scale by c; it also gives the gate, 0 at first, of what is added in the end."""

    def __init__(self, channels: int, modulator: int) -> None:
        super().__init__()
        self.norm = GridNorm(channels)
        self.modulation = zero_linear(modulator, 3 * channels)

    def forward(self, x: Tensor, c: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """x (B, C, *shape), c (B, W, *shape or 1s) -> (B, C, *shape) and the gate, (B, C, *shape or 1s)."""
        shift, scale, gate = self.modulation(c.movedim(1, -1)).to(x.dtype).movedim(-1, 1).chunk(3, dim=1)
        return (1 + scale) * self.norm(x, grid) + shift, gate


class ResBlock(nn.Module):
    """Two convolutions beside a straight way.

        x -> S x + g(c) conv2(dropout(silu((1 + s(c)) norm(conv1(silu(norm(x)))) + b(c))))

    S is the identity, or a linear map where the number of channels changes.

    Source: Dhariwal and Nichol 2021, arXiv:2105.05233, section 3.2 (adaptive group norm).
    """

    def __init__(self, axes: int, inside: int, outside: int, modulator: int, dropout: float) -> None:
        super().__init__()
        self.norm = GridNorm(inside)
        self.first = GridConv(axes, inside, outside)
        self.modulated = Modulated(outside, modulator)
        self.dropout = nn.Dropout(dropout)
        self.second = GridConv(axes, outside, outside)
        self.straight = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](inside, outside, 1) if inside != outside else None

    def forward(self, x: Tensor, c: Tensor, grid: Grid) -> Tensor:
        """x (B, C, *shape), c (B, W, *shape or 1s) -> (B, D, *shape)."""
        h, gate = self.modulated(self.first(F.silu(self.norm(x, grid)), grid), c, grid)
        h = self.second(self.dropout(F.silu(h)), grid)
        return (x if self.straight is None else self.straight(x)) + gate * h


class GridAttention(nn.Module):
    """Attention among the real places of a grid, then to a context where there is one; each gated by c, from zero."""

    def __init__(self, channels: int, modulator: int, heads: int, qk_norm: bool, context_width: int | None) -> None:
        super().__init__()
        self.modulated = Modulated(channels, modulator)
        self.attention = SelfAttention(channels, heads, qk_norm)
        self.reading = None
        if context_width is not None:
            self.reading = Modulated(channels, modulator)
            self.reader = CrossAttention(channels, heads, qk_norm, context_width)

    def forward(self, x: Tensor, c: Tensor, grid: Grid, context: Context | None) -> Tensor:
        """x (B, C, *shape), c (B, W, *shape or 1s), context tokens (B, L, context_width)."""
        h, gate = self.modulated(x, c, grid)
        keys = None if grid.real is None else grid.real.flatten(1)[:, None, None]
        x = x + gate * grid.fold(self.attention(grid.unfold(h), None, keys))
        if self.reading is not None and context is not None:
            h, gate = self.reading(x, c, grid)
            x = x + gate * grid.fold(self.reader(grid.unfold(h), context))
        return x
