"""Rotary positions on any number of axes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..state import Layout


class Rotary(nn.Module):
    """The angles by which pairs of head channels turn with a token's position.

        open axis:      angle_k = p base^(-k / n),            k = 0 .. n - 1
        periodic axis:  angle_k = 2 pi m_k (p mod L) / L,     m_k whole numbers, geometric from L / 2 down to 1

    The pairs are split evenly over the axes; a remainder goes to the first ones. A whole m_k makes position L the same
    as position 0, so that the two ends of a periodic axis of L tokens are neighbours; L is the grid's length there.

    Args:
        axes: A, at least 1.
        pairs: number of channel pairs, half the head's width.
        base: the slowest pair of an open axis turns about once in 2 pi base tokens.

    Raises:
        ValueError: fewer pairs than axes, or a base of at most 1.

    Source: Su et al. 2021, arXiv:2104.09864, eq. 15; axes as in Heo et al. 2024, arXiv:2403.13298, section 3.1.
    """

    def __init__(self, axes: int, pairs: int, base: float) -> None:
        super().__init__()
        if pairs < axes:
            raise ValueError(
                f"{axes} axes need heads of at least {2 * axes} channels, not {2 * pairs}; use fewer heads"
            )
        if base <= 1:
            raise ValueError(f"rope_base is {base}; it must be above 1")
        self.axes, self.base = axes, base
        self.pairs = [pairs // axes + (a < pairs % axes) for a in range(axes)]

    def forward(self, layout: Layout, dtype: torch.dtype) -> Tensor:
        """Cosines and sines of the angles, (B, N, pairs, 2).

        Raises:
            ValueError: no positions, another number of axes, or a periodic axis without a grid.
        """
        positions = self._positions(layout).to(dtype)
        periodic = layout.periodic or (False,) * self.axes
        angles = []
        for a, n in enumerate(self.pairs):
            p, k = positions[..., a, None], torch.arange(n, device=positions.device, dtype=dtype)
            if periodic[a] and layout.grid is not None:
                length = layout.grid[a]
                m = torch.exp(math.log(max(1.0, length / 2)) * (1 - k / max(1, n - 1))).round()
                angles.append(torch.remainder(p, length) * (m * (2 * math.pi / length)))
            else:
                angles.append(p * torch.exp(k * (-math.log(self.base) / n)))
        angle = torch.cat(angles, dim=-1)
        return torch.stack([angle.cos(), angle.sin()], dim=-1)

    def _positions(self, layout: Layout) -> Tensor:
        positions = layout.positions
        if positions is None or positions.shape[-1] != self.axes:
            found = "no positions" if positions is None else f"positions on {positions.shape[-1]} axes"
            raise ValueError(f"the backbone was built for {self.axes} axes; the layout has {found}")
        if layout.grid is None:
            if any(layout.periodic):
                raise ValueError("a periodic axis needs Layout.grid, which tells its length")
            return positions.masked_fill(~layout.mask[..., None], 0)
        return positions


def prefix(rotation: Tensor, count: int) -> Tensor:
    """A rotation (B, N, pairs, 2) behind `count` tokens that do not turn: they have no position."""
    cos, sin = rotation.unbind(-1)
    return torch.stack([F.pad(cos, (0, 0, count, 0), value=1.0), F.pad(sin, (0, 0, count, 0))], dim=-1)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn neighbouring channels of x (B, S, T, H, D) by the rotation (B, S, D / 2, 2).

    Eager code multiplies complex numbers, which is one pass over memory; compiled code fuses the real form by itself.
    """
    pairs, rotation = x.unflatten(-1, (-1, 2)), rotation[:, :, None, None]
    if torch.compiler.is_compiling():
        (a, b), (cos, sin) = pairs.unbind(-1), rotation.unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    return torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(rotation)).flatten(-2)
