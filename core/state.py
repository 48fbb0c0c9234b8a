"""What is diffused: fields over one set of tokens, where they live, and which of their entries are given.

A *state* is a dict of tensors over the same N tokens, one per `Field`:

    continuous  (B, N, C)      categorical  (B, N)  integer classes 0..K-1, K is the mask class of a masked process
    pair fields (B, N, N, C)   and          (B, N, N)

Padding is part of the contract: `Layout.mask` says which tokens are real, and nothing that is computed for a real token
depends on a padded one. `Known` holds the given values and one bool for each of their entries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .processes import Process

State = dict[str, Tensor]


class Space(ABC):
    """The subspace of R^(N x C) in which the noise of a continuous field lives."""

    @abstractmethod
    def project(self, x: Tensor, mask: Tensor, known: Tensor | None = None) -> Tensor:
        """Project x (B, N, C) onto the space; padded entries become 0, known entries (bool, as x) do not move."""

    @abstractmethod
    def dof(self, mask: Tensor, channels: int) -> Tensor:
        """Degrees of freedom per sample, (B,): the trace of the projection."""


@dataclass(frozen=True)
class Isotropic(Space):
    """All of R^(N x C)."""

    def project(self, x: Tensor, mask: Tensor, known: Tensor | None = None) -> Tensor:
        """Set padded entries to zero, whatever they hold."""
        return torch.where(entry_mask(mask, x), x, 0.0)

    def dof(self, mask: Tensor, channels: int) -> Tensor:
        """N C per sample."""
        return mask.sum(1) * channels


@dataclass(frozen=True)
class CentreFree(Space):
    """Clouds whose mean over the real tokens is zero: (N - 1) C degrees of freedom.

    Where tokens are known the cloud is already placed by them, so nothing is projected in those samples: moving a given
    scaffold is the fault that this rule prevents (Igashov et al. 2022, arXiv:2210.05274, centre on the given fragments).
    """

    def project(self, x: Tensor, mask: Tensor, known: Tensor | None = None) -> Tensor:
        """Subtract each sample's mean over its real tokens."""
        real = entry_mask(mask, x)
        x = torch.where(real, x, 0.0)
        mean = x.sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
        if known is not None:
            mean = mean * ~known.flatten(1).any(1).view(-1, 1, 1)
        return torch.where(real, x - mean, 0.0)

    def dof(self, mask: Tensor, channels: int) -> Tensor:
        """(N - 1) C per sample."""
        return (mask.sum(1) - 1).clamp(min=0) * channels


@dataclass(frozen=True)
class Field:
    """One part of the state.

    Args:
        name: key in the state.
        kind: `continuous` or `categorical`.
        channels: C of a continuous field, number of classes K of a categorical one.
        process: how it is noised, unless the recipe says otherwise.
        axes: `token`, (B, N[, C]), or `pair`, symmetric (B, N, N[, C]).
        space: subspace of the noise of a continuous token field.
        weight: factor of its loss.
    """

    name: str
    kind: Literal["continuous", "categorical"]
    channels: int
    process: Process
    axes: Literal["token", "pair"] = "token"
    space: Space = field(default_factory=Isotropic)
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("continuous", "categorical") or self.axes not in ("token", "pair"):
            raise ValueError(
                f"field {self.name!r}: kind {self.kind!r}, axes {self.axes!r}; choose continuous|categorical, token|pair"
            )
        if self.channels < 1:
            raise ValueError(f"field {self.name!r} has {self.channels} channels; at least 1 is needed")
        if self.axes == "pair" and not isinstance(self.space, Isotropic):
            raise ValueError(f"field {self.name!r}: pair fields live in the isotropic space")
        if self.process.kind != self.kind:
            raise ValueError(
                f"field {self.name!r} is {self.kind}, its process {type(self.process).__name__} {self.process.kind}"
            )

    @property
    def outputs(self) -> int:
        """Channels of the network's output: more than `channels` where the process learns more than a mean."""
        return self.process.outputs(self)


@dataclass(frozen=True)
class Layout:
    """What a backbone may know of geometry.

    Args:
        mask: (B, N) bool, True for real tokens. Padding stands at the end of a row.
        positions: (B, N, A) coordinates of the tokens on A axes, in units of one token; None for a set.
        grid: the shape of the grid the tokens fill in row-major order, one for the whole batch; None where there is none.
        periodic: for each axis whether its ends meet.
    """

    mask: Tensor
    positions: Tensor | None = None
    grid: tuple[int, ...] | None = None
    periodic: tuple[bool, ...] = ()

    @staticmethod
    def of_grid(batch: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Layout:
        """Tokens that fill a grid, all real, positions 0, 1, 2, ... on each axis."""
        axes = torch.meshgrid(*(torch.arange(s, device=device, dtype=torch.float32) for s in shape), indexing="ij")
        positions = torch.stack([axis.flatten() for axis in axes], dim=-1).expand(batch, -1, -1)
        mask = torch.ones(positions.shape[:2], dtype=torch.bool, device=device)
        return Layout(mask, positions, tuple(shape), (False,) * len(shape))

    @staticmethod
    def of_sizes(sizes: Tensor, tokens: int | None = None) -> Layout:
        """A set of sizes[b] tokens per sample, padded to the largest (or to `tokens`)."""
        n = int(sizes.max()) if tokens is None else tokens
        return Layout(torch.arange(n, device=sizes.device)[None] < sizes[:, None])

    @property
    def tokens(self) -> int:
        """N, padding included."""
        return self.mask.shape[1]

    def rows(self, start: int, stop: int) -> Layout:
        """Samples start..stop-1."""
        positions = None if self.positions is None else self.positions[start:stop]
        return replace(self, mask=self.mask[start:stop], positions=positions)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Layout:
        """The same layout on another device; `dtype` applies to the positions."""
        positions = None if self.positions is None else self.positions.to(device, dtype or self.positions.dtype)
        return replace(self, mask=self.mask.to(device), positions=positions)


@dataclass(frozen=True)
class Known:
    """The given part of a state: `bits[name]` is bool, shaped as the field, True where `values[name]` holds.

    A field that is absent from `bits` is unknown throughout.
    """

    bits: State
    values: State

    def whole(self, fields: Mapping[str, Field], mask: Tensor) -> Tensor:
        """(B, N) bool: real tokens of which every entry of every token field is given."""
        bits = [self._all_given(f, mask) for f in fields.values() if f.axes == "token"]
        return torch.stack(bits).all(0) & mask if bits else torch.zeros_like(mask)

    def whole_entries(self, f: Field, fields: Mapping[str, Field], mask: Tensor) -> Tensor:
        """Entries of the field f that stand still at t = 0, broadcastable to it: given ones of tokens known whole."""
        whole = self.whole(fields, mask)
        if f.axes == "pair":
            whole = whole[:, :, None] & whole[:, None, :]
        whole = whole & self._all_given(f, whole)
        return whole[..., None] if f.kind == "continuous" else whole

    def _all_given(self, f: Field, like: Tensor) -> Tensor:
        """Of each token or pair, whether all channels of f are given."""
        bits = self.bits.get(f.name)
        if bits is None:
            return torch.zeros_like(like)
        return bits.all(-1) if f.kind == "continuous" else bits

    def rows(self, start: int, stop: int) -> Known:
        """Samples start..stop-1."""
        return Known(_rows(self.bits, start, stop), _rows(self.values, start, stop))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Known:
        """The same on another device; `dtype` applies to continuous values."""
        return Known({k: v.to(device) for k, v in self.bits.items()}, state_to(self.values, device, dtype))


@dataclass(frozen=True)
class Condition:
    """The value of one condition for a batch.

    Args:
        value: (B,) integer classes, (B,) or (B, D) numbers, (B, L, D) tokens, or (B, N, D) dense values.
        present: (B,) bool; where False the network sees its learnt "no value" instead.
        mask: (B, L) bool, which condition tokens are real; None: all.
    """

    value: Tensor
    present: Tensor
    mask: Tensor | None = None

    def expand(self, n: int) -> Condition:
        """One row for n samples."""
        mask = None if self.mask is None else self.mask.expand(n, -1)
        return Condition(self.value.expand(n, *self.value.shape[1:]), self.present.expand(n), mask)

    def dropped(self, drop: Tensor) -> Condition:
        """The condition with the samples of `drop`, (B,) bool, left without a value."""
        return replace(self, present=self.present & ~drop)

    def take(self, index: Tensor) -> Condition:
        """The samples of an index, (n,) integers."""
        return Condition(self.value[index], self.present[index], None if self.mask is None else self.mask[index])

    def rows(self, start: int, stop: int) -> Condition:
        """Samples start..stop-1."""
        mask = None if self.mask is None else self.mask[start:stop]
        return Condition(self.value[start:stop], self.present[start:stop], mask)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Condition:
        """The same on another device; `dtype` applies to floating values."""
        value = self.value.to(device, dtype if self.value.is_floating_point() else None)
        return Condition(value, self.present.to(device), None if self.mask is None else self.mask.to(device))


Conditions = dict[str, Condition]


@dataclass(frozen=True)
class Encoded:
    """A batch in model space: what `Modality.encode` and `Modality.blank` return.

    `aux` holds what decoding needs beside the state (scale, rate, original size, ...); a list in it has one entry per sample.
    `missing[name]` is bool, shaped as the field, True where nobody knows the truth (a gap in a series, a transparent pixel):
    such entries carry no loss. A field that is absent from it is complete.
    """

    state: State
    layout: Layout
    cond: Conditions = field(default_factory=dict)
    known: Known | None = None
    aux: dict[str, Any] = field(default_factory=dict)
    missing: State = field(default_factory=dict)

    @property
    def mask(self) -> Tensor:
        """(B, N) bool, True for real tokens."""
        return self.layout.mask

    @property
    def batch(self) -> int:
        """B."""
        return self.layout.mask.shape[0]

    def open(self, f: Field) -> Tensor:
        """Which entries of f are real and unknown, broadcastable to it."""
        real = field_mask(f, self.mask)
        bits = None if self.known is None else self.known.bits.get(f.name)
        return real if bits is None else real & ~bits

    def rows(self, start: int, stop: int) -> Encoded:
        """Samples start..stop-1; lists in `aux` are cut alike."""
        return Encoded(
            _rows(self.state, start, stop),
            self.layout.rows(start, stop),
            {name: c.rows(start, stop) for name, c in self.cond.items()},
            None if self.known is None else self.known.rows(start, stop),
            {k: v[start:stop] if isinstance(v, list) else v for k, v in self.aux.items()},
            _rows(self.missing, start, stop),
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Encoded:
        """The same batch on another device; `dtype` applies to everything continuous. `aux` stays where it is."""
        return Encoded(
            state_to(self.state, device, dtype),
            self.layout.to(device, dtype),
            {name: c.to(device, dtype) for name, c in self.cond.items()},
            None if self.known is None else self.known.to(device, dtype),
            self.aux,
            {k: v.to(device) for k, v in self.missing.items()},
        )


def _rows(state: State, start: int, stop: int) -> State:
    return {k: v[start:stop] for k, v in state.items()}


def state_to(state: State, device: torch.device | str, dtype: torch.dtype | None = None) -> State:
    """Move a state; `dtype` applies to floating tensors only."""
    return {k: v.to(device, dtype if v.is_floating_point() else None) for k, v in state.items()}


def entry_mask(mask: Tensor, x: Tensor) -> Tensor:
    """The token mask (B, N) shaped to broadcast with x: (B, N, C)."""
    return mask.view(*mask.shape, *(1,) * (x.ndim - 2))


def field_mask(f: Field, mask: Tensor) -> Tensor:
    """Which entries of f are real, broadcastable to the field; the diagonal of a pair field is not an entry."""
    if f.axes == "pair":
        off = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        mask = mask[:, :, None] & mask[:, None, :] & off
    return mask[..., None] if f.kind == "continuous" else mask


def expand_time(t: Tensor, f: Field) -> Tensor:
    """Shape a time (B,) or (B, N) for the entries of f; a pair stands at the larger of its two times."""
    if t.ndim == 1:
        return t.view(-1, *(1,) * ((2 if f.axes == "pair" else 1) + (f.kind == "continuous")))
    if f.axes == "pair":
        t = torch.maximum(t[:, :, None], t[:, None, :])
    return t[..., None] if f.kind == "continuous" else t
