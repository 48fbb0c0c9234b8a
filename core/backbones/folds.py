"""Attention along some axes of a grid: the others are folded into the batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..state import Layout


@dataclass(frozen=True)
class Fold:
    """Tokens of a grid, (B, N, ...), as rows of those that see each other, (B N / S, S, ...), and back.

    Args:
        grid: shape of the grid that the N tokens fill in row-major order.
        axes: the axes along which tokens see each other; S is the product of their lengths.
    """

    grid: tuple[int, ...]
    axes: tuple[int, ...]

    @staticmethod
    def of(layout: Layout, axes: tuple[int, ...]) -> Fold:
        """The fold for a layout.

        Raises:
            ValueError: tokens that fill no grid, or a grid without those axes.
        """
        if layout.grid is None or max(axes) >= len(layout.grid):
            found = "fill none, as where a batch holds several sizes: take one at a time, or attention_axes=null"
            if layout.grid is not None:
                found = f"fill one of {len(layout.grid)} axes, {layout.grid}"
            raise ValueError(
                f"attention along the axes {list(axes)} needs tokens that fill a grid with them; these {found}"
            )
        return Fold(layout.grid, axes)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, N, ...) -> (B N / S, S, ...)."""
        seen = math.prod(self.grid[a] for a in self.axes)
        y = x.unflatten(1, self.grid)
        y = y.permute(0, *self._order(), *range(len(self.grid) + 1, y.ndim))
        return y.reshape(-1, seen, *x.shape[2:])

    def back(self, y: Tensor) -> Tensor:
        """(B N / S, S, ...) -> (B, N, ...)."""
        order = self._order()
        x = y.reshape(-1, *(self.grid[a - 1] for a in order), *y.shape[2:])
        inverse = sorted(range(len(order)), key=order.__getitem__)
        x = x.permute(0, *(i + 1 for i in inverse), *range(len(order) + 1, x.ndim))
        return x.flatten(1, len(order))

    def _order(self) -> list[int]:
        """Axes of (B, *grid, ...), those that are folded away first."""
        return [a + 1 for a in range(len(self.grid)) if a not in self.axes] + [a + 1 for a in self.axes]
