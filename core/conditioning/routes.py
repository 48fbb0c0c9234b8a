"""The four ways of a condition into a network: global, cross, prepend, concat."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..state import Conditions, Layout
from .embedders import ConditionEmbedder
from .spec import ConditionSpec, Route


class Context(NamedTuple):
    """Tokens (B, L, W) to look at; visible (B, L) bool, None: all of them."""

    tokens: Tensor
    visible: Tensor | None


@dataclass(frozen=True)
class Routed:
    """What the conditions of a batch contribute by each route; None where no condition takes it.

    Args:
        globals: (B, W), added to the embedding of time.
        cross: tokens to attend to.
        prepend: tokens that join those of the state.
        concat: (B, N, W), or (W,) for all alike, added to the embedding of the tokens of the state: a linear map of
            joined channels is the sum of linear maps.
    """

    globals: Tensor | None
    cross: Context | None
    prepend: Context | None
    concat: Tensor | None


class Router(nn.Module):
    """The embedders of all declared conditions.

    Args:
        specs: the declarations.
        width: W.
    """

    def __init__(self, specs: Sequence[ConditionSpec], width: int) -> None:
        super().__init__()
        self.embedders = nn.ModuleList(ConditionEmbedder(spec, width) for spec in specs)

    def has(self, route: Route) -> bool:
        """Whether some condition takes the route."""
        return any(e.spec.route == route for e in self._all())

    def forward(self, cond: Conditions, layout: Layout) -> Routed:
        """Embed the conditions of a batch.

        Raises:
            ValueError: a name that is not declared.
        """
        names = [e.spec.name for e in self._all()]
        for name in cond:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"; nearest: {near[0]!r}" if near else ""
                raise ValueError(f"condition {name!r} is not declared; declared are {names}{hint}")
        batch = layout.mask.shape[0]
        real = layout.mask if layout.grid is None else None
        globals_ = [e.vector(cond.get(e.spec.name), batch) for e in self._all() if e.spec.route == "global"]
        concat = [e.dense(cond.get(e.spec.name), real) for e in self._all() if e.spec.route == "concat"]
        return Routed(
            reduce(add, globals_) if globals_ else None,
            self._context(cond, batch, "cross"),
            self._context(cond, batch, "prepend"),
            reduce(add, concat) if concat else None,
        )

    def _context(self, cond: Conditions, batch: int, route: Route) -> Context | None:
        parts = [e.tokens(cond.get(e.spec.name), batch) for e in self._all() if e.spec.route == route]
        if not parts:
            return None
        tokens = torch.cat([tokens for tokens, _ in parts], dim=1)
        if all(visible is None for _, visible in parts):
            return Context(tokens, None)
        every = [t.new_ones(t.shape[:2], dtype=torch.bool) if visible is None else visible for t, visible in parts]
        return Context(tokens, torch.cat(every, dim=1))

    def _all(self) -> list[ConditionEmbedder]:
        return [e for e in self.embedders if isinstance(e, ConditionEmbedder)]
