"""Pairs of tokens as a list: symmetric features are computed once, and on a CPU for real tokens only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..state import Field, Known, State


@dataclass(frozen=True)
class Pairing:
    """The pairs i < j of a batch as M rows, and the ways there and back.

    Args:
        mask: (B, N) bool, real tokens.
        i, j: (M,) the two tokens of each pair, counted through the batch: b N + n.
        cells: (2 M,) where (i, j), and then (j, i), stand in a flattened (B, N, N).
        real: (M,) bool, whether both tokens are; None: all.
        partners: (B, 1, 1), how many partners a real token has.
    """

    mask: Tensor
    i: Tensor
    j: Tensor
    cells: Tensor
    real: Tensor | None
    partners: Tensor

    @staticmethod
    def of(mask: Tensor) -> Pairing:
        """The real pairs on a CPU; elsewhere, and in compiled code, all: there it costs more to find them."""
        batch, n = mask.shape
        upper = torch.ones(n, n, dtype=torch.bool, device=mask.device).triu(1)
        both = mask[:, :, None] & mask[:, None, :]
        if mask.device.type == "cpu" and not torch.compiler.is_compiling():
            b, i, j = (both & upper).nonzero().unbind(1)
            start, real = b * n, None
        else:
            i, j = torch.triu_indices(n, n, 1, device=mask.device)
            start, real = torch.arange(batch, device=mask.device).repeat_interleave(len(i)) * n, both[:, i, j].flatten()
            i, j = i.repeat(batch), j.repeat(batch)
        cells = torch.cat([(start + i) * n + j, (start + j) * n + i])
        return Pairing(mask, start + i, start + j, cells, real, (mask.sum(1) - 1).clamp(min=0)[:, None, None])

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, C) at both tokens of each pair, (M, C) twice."""
        rows = x.expand(*self.mask.shape, -1).reshape(-1, x.shape[-1])
        return F.embedding(self.i, rows), F.embedding(
            self.j, rows
        )  # whose gradient is the same at every run, on a GPU too

    def entries(self, x: Tensor) -> Tensor:
        """x (B, N, N, ...), symmetric, as (M, ...)."""
        return x.flatten(0, 2)[self.cells[: len(self.i)]]

    def square(self, y: Tensor, odd: bool = False) -> Tensor:
        """y (M, C) as (B, N, N, C), symmetric or, where odd, antisymmetric; 0 where there is no pair."""
        batch, n = self.mask.shape
        y = y if self.real is None else y * self.real[:, None]
        rows = y.new_zeros(batch * n * n, y.shape[-1])
        return rows.index_copy(0, self.cells, torch.cat([y, -y if odd else y])).view(batch, n, n, -1)

    def total(self, y: Tensor, odd: bool = False) -> Tensor:
        """The sum over the partners of each token, (B, N, C); where odd, y is that of (i, j) and -y that of (j, i)."""
        return self.square(y, odd).sum(2)

    def state(self, f: Field, inputs: State, known: Known | None, previous: State | None) -> _Entries:
        """All there is of a pair field, entry by entry."""
        name = f.name

        def part(state: State | None) -> State:
            return {} if state is None or name not in state else {name: self.entries(state[name])}

        given = known is not None and name in known.bits
        real = self.real if self.real is None or f.kind == "categorical" else self.real[:, None]
        return (
            part(inputs),
            real,
            Known(part(known.bits), part(known.values)) if known is not None and given else None,
            None if previous is None else part(previous),
        )


_Entries = tuple[State, Tensor | None, Known | None, State | None]
