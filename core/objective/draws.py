"""All the randomness of a training step, and the noise in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .. import rng
from ..denoiser import Denoiser
from ..processes import Gaussian
from ..state import Encoded, Field, Known, Layout, State


@dataclass(frozen=True)
class Draw:
    """All the randomness of one training step."""

    t: Tensor  # (B,), or (B, N) where tokens have times of their own
    noise: State
    drop: dict[str, Tensor] = field(default_factory=dict)  # condition name -> (B,) bool
    self_condition: bool = False
    weight: Tensor | None = None  # (B,), importance of each sample; None: 1
    place: Tensor | None = None  # (B,), where in the density of times the sample was drawn


def draw_noise(
    denoiser: Denoiser,
    encoded: Encoded,
    seed: int,
    index: Tensor,
    *words: int | str,
    only: Collection[str] | None = None,
) -> State:
    """The counted noise of every field (or `only` of some) for the samples `index` (B,), a tensor on the batch's device."""
    return {
        name: denoiser.processes[name].noise(
            f, rng.keys(seed, index, *words, name), encoded.mask, known_bits(encoded.known, name), encoded.state[name]
        )
        for name, f in denoiser.fields.items()
        if only is None or name in only
    }


def shifted(
    noise: State,
    strength: Mapping[str, float],
    denoiser: Denoiser,
    encoded: Encoded,
    seed: int,
    index: Tensor,
    *words: int | str,
) -> State:
    """Noise with one normal number for each sample and channel added to all its real tokens, times the strength of the field."""
    out = dict(noise)
    for name, size in strength.items():
        keys = rng.keys(seed, index, *words, name, "offset")
        z = rng.normal(keys, denoiser.fields[name], 1, noise[name].dtype)
        out[name] = noise[name] + size * z * encoded.mask[..., None]
    return out


def offsets(denoiser: Denoiser, offset: float | Mapping[str, float]) -> dict[str, float]:
    """The strength of offset noise of each field that has any.

    Raises:
        ValueError: a field that cannot be shifted as a whole, or none that can.
    """
    if not isinstance(offset, Mapping):
        if offset == 0:
            return {}
        offset = {n: offset for n, f in denoiser.fields.items() if _is_gaussian_tokens(denoiser, f)}
        if not offset:
            raise ValueError("offset: no field has Gaussian noise on its tokens; leave objective.offset at 0")
    for name, size in offset.items():
        if name not in denoiser.fields:
            raise ValueError(f"offset of {name}: the fields are {', '.join(denoiser.fields)}")
        f = denoiser.fields[name]
        if not _is_gaussian_tokens(denoiser, f):
            raise ValueError(
                f"offset of {name}: it serves Gaussian fields of tokens; this one is {f.kind}, on {f.axes} axes"
            )
        ones = torch.ones(1, 2, f.channels)
        if size and not torch.equal(f.space.project(ones, torch.ones(1, 2, dtype=torch.bool)), ones):
            raise ValueError(
                f"offset of {name}: its space, {type(f.space).__name__}, holds no shift of all tokens; "
                f"give offset by field, without {name}, or leave it at 0"
            )
    return {name: size for name, size in offset.items() if size}


def places(layout: Layout) -> tuple[Tensor, int]:
    """The number of each token's place on the first axis, (B, N), and how many there are; in a set each token has its own."""
    if layout.positions is None:
        return torch.arange(layout.tokens, device=layout.mask.device).expand(layout.mask.shape), layout.tokens
    found, number = torch.unique(layout.positions[..., 0], return_inverse=True)
    return number, len(found)


def gaussian_fields(denoiser: Denoiser) -> tuple[str, ...]:
    """Names of the fields with Gaussian noise."""
    return tuple(name for name, process in denoiser.processes.items() if isinstance(process, Gaussian))


def counted_entries(f: Field, encoded: Encoded) -> Tensor:
    """Entries that carry loss: real, unknown, of known truth, each pair once."""
    counted, missing = encoded.open(f), encoded.missing.get(f.name)
    if f.axes == "pair":
        n = encoded.mask.shape[1]
        upper = torch.ones(n, n, dtype=torch.bool, device=encoded.mask.device).triu(1)
        counted = counted & (upper[..., None] if f.kind == "continuous" else upper)
    return counted if missing is None else counted & ~missing


def known_bits(known: Known | None, name: str) -> Tensor | None:
    """Which entries of a field are given; None: none."""
    return None if known is None else known.bits.get(name)


def _is_gaussian_tokens(denoiser: Denoiser, f: Field) -> bool:
    return f.axes == "token" and isinstance(denoiser.processes[f.name], Gaussian)
