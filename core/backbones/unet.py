"""The U-Net over grids of any number of axes: residual blocks, attention at chosen levels, adaptive group norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..conditioning.routes import Context
from ..conditioning.spec import ConditionSpec
from ..state import Conditions, Field, Known, Layout, State
from .grids import Grid, GridAttention, ResBlock
from .tokens import TokenBackbone, check_layers


class UNet(TokenBackbone):
    """Residual convolutions over a grid that is halved level by level and doubled again, with skips; 0 at initialisation.

    The tokens are folded into the grid of `Layout.grid`. On one axis they may also be padded sequences of several lengths: padded
    places are left out of every mean and never looked at. An axis of odd length n is halved to (n + 1) / 2, so that any size
    serves. The ends of a periodic axis are neighbours at every level whose length is even at all finer ones.

    A convolution tells its places apart by the border alone, and attention has no positions: the network serves grids of other
    sizes than those it was trained on. Where each token has its own time, a place of a coarser level is modulated by the mean of
    those it stands for. Contexts of the routes `cross` and `prepend` are attended to.

    Args:
        fields: the fields of the state, of tokens.
        conditions: the declared conditions.
        axes: A, number of position axes, 1 to 3.
        widths: channels at each level, the finest first; so many levels there are.
        depth: residual blocks of each level, on the way down and again on the way up.
        attention: the levels at which each block is followed by attention, 0 being the finest.
        head_width: channels of an attention head; it divides the channels of those levels.
        qk_norm: normalise queries and keys per head.
        dropout: share of the channels dropped inside each residual block, in training.
        self_conditioning: take the previous estimate of x0 as an input.

    Raises:
        ValueError: sizes that do not fit, a set or more than 3 axes, pair fields, or contexts without attention that reads them.

    Source: Ho et al. 2020, arXiv:2006.11239, appendix B; adaptive group norm and attention at several levels: Dhariwal and Nichol
    2021, arXiv:2105.05233, section 3; gates from zero: Peebles and Xie 2022, arXiv:2212.09748, section 3.2.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Sequence[ConditionSpec] = (),
        axes: int = 2,
        widths: Sequence[int] = (128, 256, 256),
        depth: int = 2,
        attention: Sequence[int] = (1, 2),
        head_width: int = 32,
        qk_norm: bool = True,
        dropout: float = 0.0,
        self_conditioning: bool = False,
    ) -> None:
        widths, seen = tuple(widths), tuple(sorted(set(attention)))
        _check(fields, axes, widths, seen, head_width)
        check_layers(1, 1.0, dropout, width=widths[0], depth=depth)
        super().__init__(fields, conditions, axes, widths[0], 0, self_conditioning, False, 0.0)
        read = self.router.has("cross") or self.router.has("prepend")
        if read and not seen:
            raise ValueError("a condition is to be attended to and no level attends: name levels in `attention`")
        self.widths, self.depth, self.attention, self.head_width = widths, depth, seen, head_width
        self.qk_norm, self.dropout = qk_norm, dropout

        def layer(level: int, inside: int) -> Layer:
            heads = widths[level] // head_width if level in seen else 0
            return Layer(axes, inside, widths[level], self.width, heads, qk_norm, dropout, self.width if read else None)

        last = len(widths) - 1
        rising = [*widths[1:], widths[-1]]  # channels that come up to each level
        self.down = nn.ModuleList(
            layer(level, widths[max(level - 1, 0)] if i == 0 else w)
            for level, w in enumerate(widths)
            for i in range(depth)
        )
        self.up = nn.ModuleList(
            layer(level, (rising[level] if i == 0 else widths[level]) + widths[level])
            for level in range(last, -1, -1)
            for i in range(depth)
        )
        self.middle = layer(last, widths[last])
        self._finish()

    def forward(
        self,
        inputs: State,
        c_noise: Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: State | None = None,
    ) -> State:
        """Map a noised state to raw outputs; see `TokenBackbone.forward`.

        Raises:
            ValueError: tokens that fill no grid.
        """
        at = self._enter(inputs, c_noise, layout, cond, known, previous)
        context = _joined(at.routed.cross, at.routed.prepend)
        grids = [Grid.of(layout, self.axes)]
        x, c, skips = grids[0].fold(at.x), [grids[0].fold(at.c)], []
        for i, layer in enumerate(self.down):
            if i and i % self.depth == 0:
                x = grids[-1].halve(x)
                c.append(grids[-1].halve(c[-1]) if c_noise.ndim > 1 else c[-1])
                grids.append(grids[-1].halved())
            x = layer(x, c[-1], grids[-1], context)
            skips.append(x)
        x = self.middle(x, c[-1], grids[-1], context)
        for i, layer in enumerate(self.up, start=1):
            x = layer(torch.cat([x, skips.pop()], dim=1), c[-1], grids[-1], context)
            if i % self.depth == 0 and skips:
                grids.pop()
                c.pop()
                x = grids[-1].double(x)
        out = self._leave(grids[0].unfold(x), at.c)[0]
        return {name: y.to(at.c_noise.dtype) for name, y in out.items()}


class Layer(nn.Module):
    """A residual block and, with heads, attention behind it."""

    def __init__(
        self,
        axes: int,
        inside: int,
        outside: int,
        modulator: int,
        heads: int,
        qk_norm: bool,
        dropout: float,
        context_width: int | None,
    ) -> None:
        super().__init__()
        self.block = ResBlock(axes, inside, outside, modulator, dropout)
        self.attention = GridAttention(outside, modulator, heads, qk_norm, context_width) if heads else None

    def forward(self, x: Tensor, c: Tensor, grid: Grid, context: Context | None) -> Tensor:
        """x (B, C, *shape), c (B, W, *shape or 1s) -> (B, D, *shape)."""
        x = self.block(x, c, grid)
        return x if self.attention is None else self.attention(x, c, grid, context)


def _joined(*contexts: Context | None) -> Context | None:
    """All contexts as one."""
    found = [context for context in contexts if context is not None]
    if len(found) < 2:
        return found[0] if found else None
    every = [k.tokens.new_ones(k.tokens.shape[:2], dtype=torch.bool) if k.visible is None else k.visible for k in found]
    return Context(torch.cat([k.tokens for k in found], dim=1), torch.cat(every, dim=1))


def _check(fields: Sequence[Field], axes: int, widths: Sequence[int], seen: Sequence[int], head_width: int) -> None:
    """Raise a ValueError unless the sizes fit."""
    if not 1 <= axes <= 3:
        raise ValueError(f"axes is {axes}; a U-Net needs tokens that fill a grid of 1 to 3 axes: use a DiT")
    pairs = [f.name for f in fields if f.axes == "pair"]
    if pairs:
        raise ValueError(f"a U-Net serves fields of tokens; {', '.join(pairs)} hold pairs of them: use a DiT")
    if not widths or min(widths) < 1:
        raise ValueError(f"widths is {list(widths)}; it must name the channels of at least one level")
    if seen and not 0 <= seen[0] <= seen[-1] < len(widths):
        raise ValueError(f"attention is {list(seen)}; there are the levels 0 to {len(widths) - 1}")
    bad = [widths[level] for level in seen if head_width < 1 or widths[level] % head_width]
    if bad:
        raise ValueError(f"heads of {head_width} channels do not divide {bad}: choose another head_width or widths")
