"""What the rules ask of tensors: is this batch well formed, are these two states the same, what does noise look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..conditioning.spec import ConditionSpec
from ..modality import Modality
from ..processes import Gaussian
from ..state import Condition, Encoded, Field, Isotropic, Known, State, field_mask
from .rule import Broken, require

SHAPES = {("token", "continuous"): "(B, N, C)", ("token", "categorical"): "(B, N)"}
SHAPES |= {("pair", "continuous"): "(B, N, N, C)", ("pair", "categorical"): "(B, N, N)"}
RANKS = {"class": (1,), "scalar": (1, 2), "vector": (2,), "tokens": (3,), "text": (2,), "dense": (3,)}


def field_shape(f: Field, batch: int, tokens: int) -> tuple[int, ...]:
    """The shape of a field's tensor."""
    shape = (batch, tokens, tokens) if f.axes == "pair" else (batch, tokens)
    return (*shape, f.channels) if f.kind == "continuous" else shape


def well_formed(modality: Modality, encoded: Encoded, batch: int, what: str) -> None:
    """Break the rule unless state, mask, layout, conditions and aux fit each other and the declared fields."""
    fields, mask = modality.fields, encoded.mask
    require(mask.dtype == torch.bool and mask.ndim == 2, f"{what}: mask is {_kind(mask)}; bool (B, N) is needed")
    require(mask.shape[0] == batch, f"{what}: {mask.shape[0]} rows for {batch} samples")
    require(bool(mask.any(1).all()), f"{what}: sample {int((~mask.any(1)).nonzero()[:1].sum())} has no real token")
    require(
        bool((mask[:, :-1] >= mask[:, 1:]).all()),
        f"{what}: padding must stand at the end of a row, behind all real tokens",
    )
    require(
        set(encoded.state) == {f.name for f in fields},
        f"{what}: state has the keys {sorted(encoded.state)}, the fields are {sorted(f.name for f in fields)}",
    )
    for f in fields:
        x, shape = encoded.state[f.name], field_shape(f, *mask.shape)
        dtype = torch.float32 if f.kind == "continuous" else torch.int64
        require(
            tuple(x.shape) == shape and x.dtype == dtype,
            f"{what}: field {f.name!r} is {_kind(x)}; {dtype} {shape} = {SHAPES[f.axes, f.kind]} is needed",
        )
    _well_placed(modality, encoded, what)
    _well_told(modality, encoded, what)
    for name, value in encoded.aux.items():
        require(
            not isinstance(value, list) or len(value) == batch,
            f"{what}: aux[{name!r}] is a list of {len(value) if isinstance(value, list) else 0} for {batch} samples; "
            "a list in aux has one entry per sample (make it a tuple if it belongs to the batch)",
        )


def well_valued(modality: Modality, encoded: Encoded, what: str) -> None:
    """Break the rule unless values are finite, classes in range, padding zero, pairs symmetric and spaces kept."""
    for f in modality.fields:
        x = encoded.state[f.name]
        real = padded_mask(f, encoded.mask).expand_as(x)
        require(bool(torch.isfinite(x).all()), f"{what}: field {f.name!r} holds NaN or infinity")
        require(not x[~real].any(), f"{what}: field {f.name!r} is not zero at padded entries")
        if f.kind == "categorical":
            low, high = int(x.min()), int(x.max())
            require(
                low >= 0 and high < f.channels,
                f"{what}: field {f.name!r} holds classes {low} to {high}; it has {f.channels} classes, 0 to {f.channels - 1} "
                "(the mask class belongs to the process alone)",
            )
        if f.axes == "pair":
            require(torch.equal(x, x.transpose(1, 2)), f"{what}: the pair field {f.name!r} is not symmetric")
        known = None if encoded.known is None else encoded.known.bits.get(f.name)
        if not isinstance(f.space, Isotropic):
            away = float((f.space.project(x, encoded.mask, known) - x).abs().max())
            require(
                away < 1e-3,
                f"{what}: field {f.name!r} lies {away:.3g} outside its space {type(f.space).__name__}; project it in encode",
            )


def padded_mask(f: Field, mask: Tensor) -> Tensor:
    """Which entries stand at real tokens, the diagonal of pairs among them; broadcastable to the field."""
    if f.axes == "pair":
        mask = mask[:, :, None] & mask[:, None, :]
    return mask[..., None] if f.kind == "continuous" else mask


def same(
    fields: Sequence[Field], mask: Tensor, a: State, b: State, tolerance: float, what: str, entries: State | None = None
) -> None:
    """Break the rule where two states differ at real entries (those of `entries`, bool, where given).

    Padding may differ in length: the shorter state decides how many tokens are compared.
    """
    for f in fields:
        n = min(a[f.name].shape[1], b[f.name].shape[1])
        x, y = cut(f, a[f.name], n), cut(f, b[f.name], n)
        real = field_mask(f, mask[:, :n]).expand_as(x)
        if entries is not None:
            real = real & cut(f, entries[f.name], n)
        difference = torch.where(real, (x.double() - y.double()).abs(), 0.0)
        limit = tolerance if f.kind == "continuous" else 0.5
        bad = ~(difference <= limit)  # NaN is a difference
        if bad.any():
            place = tuple(bad.nonzero()[0].tolist())
            raise Broken(
                f"{what}: field {f.name!r} differs at {int(bad.sum())} of {int(real.sum())} entries, first at (sample, "
                f"token, ...) {place}: {x[place].item():.6g} against {y[place].item():.6g}; "
                f"largest difference {float(difference.detach().max()):.3g}, allowed {limit:g}"
            )


def cut(f: Field, x: Tensor, tokens: int) -> Tensor:
    """The first tokens of a field's tensor."""
    return x[:, :tokens, :tokens] if f.axes == "pair" else x[:, :tokens]


def own_tokens(modality: Modality, encoded: Encoded, i: int) -> Encoded:
    """Sample i alone, without padding where tokens form a set."""
    row = encoded.rows(i, i + 1)
    return row if row.layout.grid is not None else resized(modality, row, int(row.mask.sum()), 0.0)


def resized(modality: Modality, encoded: Encoded, tokens: int, fill: float) -> Encoded:
    """The same batch with fewer or more padded tokens, new ones filled with `fill` (class 0 in categorical fields)."""
    by_name = {f.name: f for f in modality.fields}
    dense = {spec.name for spec in modality.conditions if spec.kind == "dense"}
    more = tokens - encoded.mask.shape[1]

    def each(state: State, value: float) -> State:
        return {name: _resize(by_name[name], x, more, value) for name, x in state.items()}

    layout, known = encoded.layout, encoded.known
    positions = None if layout.positions is None else F.pad(layout.positions, (0, 0, 0, more), value=fill)
    layout = replace(layout, mask=F.pad(layout.mask, (0, more)), positions=positions)
    if known is not None:
        known = Known(each(known.bits, 0), each(known.values, fill))
    cond = {
        name: replace(c, value=F.pad(c.value, (0, 0, 0, more), value=fill)) if name in dense else c
        for name, c in encoded.cond.items()
    }
    return Encoded(each(encoded.state, fill), layout, cond, known, encoded.aux, each(encoded.missing, 0))


def noise_state(fields: Sequence[Field], mask: Tensor, seed: int) -> State:
    """A state at t = 0 that no data made: standard noise in each field's space and scale, classes at random."""
    source, out = torch.Generator().manual_seed(seed), {}
    for f in fields:
        shape = field_shape(f, *mask.shape)
        if f.kind == "categorical":
            x = torch.randint(f.channels, shape, generator=source)
            x = torch.minimum(x, x.transpose(1, 2)) if f.axes == "pair" else x
        else:
            x = torch.randn(shape, generator=source) * (
                f.process.sigma_data if isinstance(f.process, Gaussian) else 1.0
            )
            x = (x + x.transpose(1, 2)) / 2**0.5 if f.axes == "pair" else f.space.project(x, mask)
        out[f.name] = torch.where(padded_mask(f, mask), x, torch.zeros_like(x))
    return out


def _resize(f: Field, x: Tensor, more: int, fill: float) -> Tensor:
    sides = (0, more) * (2 if f.axes == "pair" else 1)
    return F.pad(x, (0, 0, *sides), value=fill) if f.kind == "continuous" else F.pad(x, sides)


def _well_placed(modality: Modality, encoded: Encoded, what: str) -> None:
    """Positions on the declared axes; a grid that its tokens fill."""
    layout = encoded.layout
    found = 0 if layout.positions is None else layout.positions.shape[-1]
    require(
        found == modality.axes,
        f"{what}: layout.positions has {found} axes, the modality declares axes = {modality.axes}",
    )
    if layout.positions is not None:
        shape = (*encoded.mask.shape, found)
        require(
            tuple(layout.positions.shape) == shape,
            f"{what}: positions are {_kind(layout.positions)}; {shape} are needed",
        )
        require(bool(torch.isfinite(layout.positions).all()), f"{what}: positions hold NaN or infinity")
    if layout.grid is not None:
        filled = int(torch.tensor(layout.grid).prod())
        require(
            filled == encoded.mask.shape[1] and bool(encoded.mask.all()) and len(layout.grid) == modality.axes,
            f"{what}: the grid {layout.grid} has {filled} tokens on {len(layout.grid)} axes; the batch has "
            f"{encoded.mask.shape[1]} tokens on {modality.axes}, {int((~encoded.mask).sum())} of them padding",
        )


def _well_told(modality: Modality, encoded: Encoded, what: str) -> None:
    """Conditions that are declared, of the shape of their kind, in range."""
    batch, specs = encoded.batch, {spec.name: spec for spec in modality.conditions}
    for name, c in encoded.cond.items():
        require(name in specs, f"{what}: condition {name!r} is not declared; declared are {', '.join(specs) or 'none'}")
        spec, value, where = specs[name], c.value, f"{what}: condition {name!r} of kind {specs[name].kind}"
        require(
            c.present.dtype == torch.bool and tuple(c.present.shape) == (batch,),
            f"{where}: present is {_kind(c.present)}; bool ({batch},) is needed",
        )
        counted = spec.kind in ("class", "text")
        require(
            value.ndim in RANKS[spec.kind] and value.shape[0] == batch and value.is_floating_point() != counted,
            f"{where} is {_kind(value)} for {batch} samples",
        )
        if spec.kind == "text":
            _well_spelt(spec, c, where)
        seen = value[c.present]
        if counted and seen.numel():
            low, high, count = int(seen.min()), int(seen.max()), 256 if spec.kind == "text" else spec.size
            require(low >= 0 and high < count, f"{where} holds {low} to {high}; 0 to {count - 1} exist")
        require(bool(torch.isfinite(seen).all()), f"{where} holds NaN or infinity")


def _well_spelt(spec: ConditionSpec, c: Condition, where: str) -> None:
    """A text no longer than declared, and which of its bytes are real."""
    length, found = c.value.shape[1], "no mask" if c.mask is None else f"the mask {_kind(c.mask)}"
    require(length <= spec.size, f"{where} holds {length} bytes; it is declared to be cut at {spec.size}")
    require(
        c.mask is not None and c.mask.dtype == torch.bool and c.mask.shape == c.value.shape,
        f"{where} has {found}; bool {tuple(c.value.shape)} is needed, True where a byte is real (encode_bytes gives both)",
    )


def _kind(x: Tensor) -> str:
    return f"{x.dtype} {tuple(x.shape)}"
