"""Which row of a plan each token is at: times per token.

A per-token plan is the scalar table and an integer matrix (frames, N) of its row numbers. Each token visits the rows 0, 1, ...,
R - 1 in order, one at a time; at -1 it rests, and neither its state nor its memory moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ..state import Layout


class TokenGrid(ABC):
    """A matrix of row numbers for the tokens of a layout."""

    @abstractmethod
    def starts(self, rows: int, groups: int) -> list[int]:
        """The frame at which each of the groups 0, 1, ... visits row 0."""

    def matrix(self, rows: int, layout: Layout) -> Tensor:
        """(frames, N) row numbers for a plan of so many rows, -1 where a token rests, on the host."""
        group = self._groups(layout)
        start = torch.tensor(self.starts(rows, int(group.max()) + 1))[group]
        frames = torch.arange(int(start.max()) + rows)[:, None] - start
        return torch.where((frames >= 0) & (frames < rows), frames, -1)

    def _groups(self, layout: Layout) -> Tensor:
        """The group of each token, (N,): tokens of one place on the first axis move together; in a set, each alone."""
        if layout.positions is None:
            return torch.arange(layout.tokens)
        first = layout.positions[..., 0].cpu()
        if not (first == first[:1]).all():
            raise ValueError(f"{type(self).__name__}: the samples of a batch have tokens at different places")
        return torch.unique(first[0], return_inverse=True)[1]


@dataclass(frozen=True)
class FullSequence(TokenGrid):
    """All tokens together: the plan without a token grid, for those who want to name it."""

    def starts(self, rows: int, groups: int) -> list[int]:
        """All at once."""
        return [0] * groups


@dataclass(frozen=True)
class Autoregressive(TokenGrid):
    """Block after block along the first axis: one begins when the one before is clean.

    Args:
        block: places on the first axis (frames, steps in time) that move together.

    Source: Chen et al. 2024, arXiv:2407.01392, section 3.3.
    """

    block: int = 1

    def __post_init__(self) -> None:
        _at_least_one("Autoregressive", block=self.block)

    def starts(self, rows: int, groups: int) -> list[int]:
        """Block k begins after k whole plans."""
        return [(g // self.block) * rows for g in range(groups)]


@dataclass(frozen=True)
class Pyramid(TokenGrid):
    """Block after block along the first axis, each `lag` rows behind the one before: the future is always noisier.

    Args:
        lag: rows between the starts of neighbouring blocks.
        block: places on the first axis that move together.

    Source: Chen et al. 2024, arXiv:2407.01392, section 3.3.
    """

    lag: int = 1
    block: int = 1

    def __post_init__(self) -> None:
        _at_least_one("Pyramid", lag=self.lag, block=self.block)

    def starts(self, rows: int, groups: int) -> list[int]:
        """Block k begins after k lags."""
        return [(g // self.block) * self.lag for g in range(groups)]


def _at_least_one(name: str, **values: int) -> None:
    for argument, value in values.items():
        if not value >= 1 or value != int(value):
            raise ValueError(f"{name}: {argument} must be at least 1, found {value} (a whole number)")
