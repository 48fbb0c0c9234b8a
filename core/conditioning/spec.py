"""What a model can be told: the declaration of a condition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["class", "scalar", "vector", "tokens", "text", "dense"]
Route = Literal["global", "cross", "prepend", "concat"]

_ROUTES: dict[str, tuple[str, ...]] = {
    "class": ("global", "cross", "prepend"),
    "scalar": ("global", "cross", "prepend"),
    "vector": ("global", "cross", "prepend"),
    "tokens": ("cross", "prepend", "global"),
    "text": ("cross", "prepend", "global"),
    "dense": ("concat",),
}


@dataclass(frozen=True)
class ConditionSpec:
    """One thing a model can be told.

    Args:
        name: key in the conditions, and the word users type: `--cond label=7`.
        kind: `class` (B,) integers 0..size-1; `scalar` (B,) numbers; `vector` (B, size); `tokens` (B, L, size) with a mask;
            `text` (B, L) bytes 0..255 of UTF-8 with a mask, cut at `size`; `dense` (B, N, size), a row for each token.
        size: number of classes, of channels, or of bytes of the longest text. 1 for a scalar.
        route: `global` modulates every layer, `cross` is attended to, `prepend` joins the tokens of the state, `concat` joins
            the channels of each token.
        names: names of the classes, in order; users may type them instead of the number.
        unit: unit of a scalar or vector at the border ("K", "1/s"); "" where it has none.
        offset, scale: of a scalar, vector or dense condition, in its unit: the network reads (value - offset) / scale, which
            should be of order 1.

    Raises:
        ValueError: a route that does not serve the kind, a size below 1, names that do not match the size, a scale that is not
            above 0 or of another kind.
    """

    name: str
    kind: Kind
    size: int = 1
    route: Route = "global"
    names: tuple[str, ...] = ()
    unit: str = ""
    offset: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in _ROUTES:
            raise ValueError(
                f"condition {self.name!r}: kind {self.kind!r} does not exist; choose from {', '.join(_ROUTES)}"
            )
        if self.route not in _ROUTES[self.kind]:
            choices = ", ".join(_ROUTES[self.kind])
            raise ValueError(
                f"condition {self.name!r}: route {self.route!r} does not serve kind {self.kind!r}; choose from {choices}"
            )
        if self.size < 1 or (self.kind == "scalar" and self.size != 1):
            raise ValueError(f"condition {self.name!r} of kind {self.kind} has size {self.size}")
        if self.names and len(self.names) != self.size:
            raise ValueError(f"condition {self.name!r} has {self.size} classes and {len(self.names)} names")
        numbers = self.kind in ("scalar", "vector", "dense")
        if not 0 < self.scale < math.inf or not math.isfinite(self.offset) or (not numbers and self._scaled):
            raise ValueError(
                f"condition {self.name!r} of kind {self.kind}: offset {self.offset}, scale {self.scale}; scalars, vectors "
                "and dense conditions take a finite offset and a scale above 0"
            )

    @property
    def _scaled(self) -> bool:
        return (self.offset, self.scale) != (0.0, 1.0)
