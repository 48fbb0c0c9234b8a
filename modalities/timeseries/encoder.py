"""Model space: steps, or patches of steps, as tokens; a batch of series of any lengths at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from ornstein.core.modality import Item
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor

from .scaling import Scaling
from .series import Series

FIELD = "series"
_VALUES = attrgetter(
    "data.values"
)  # with `map` a third of the time of a comprehension, of which there would be several
_PLACE = attrgetter("data.index", "data.freq", "data.zone", "data.name")


def encode(items: Sequence[Item], known: Sequence[np.ndarray | None] | None, scaling: Scaling, patch: int) -> Encoded:
    """A batch; `known[i]` is (T, K) bool or None.

    What was not observed is 0 in model space and `missing`, also where a task calls it known. Scales of instances come from
    the known entries alone, or from all that is observed of an item of which nothing is given.
    """
    arrays = list(map(_VALUES, items))
    steps = list(map(len, arrays))
    values = stack(arrays, np.nan)
    observed = np.isfinite(values)
    posed = [] if known is None else [bits is not None for bits in known]
    given = None
    if known is not None and any(posed):
        plain = [np.zeros(a.shape, bool) if b is None else b for a, b in zip(arrays, known, strict=True)]
        given = stack(plain, False) & observed
    g = scaling.apply(values)
    aux: dict[str, Any] = {"steps": steps, "place": list(map(_PLACE, items))}
    aux["missing"] = [None] * len(items)
    if scaling.of_instance:
        seen = observed if given is None else np.where(np.array(posed)[:, None, None], given, observed)
        offset, scale = scaling.instance(g, seen)
        aux |= {"offset": list(offset), "scale": list(scale)}
        x = scaled(g, offset[:, None], scale[:, None])
    else:
        x = scaled(g, scaling.arrays["offset"], scaling.arrays["scale"])
    complete = bool(observed.all())
    if not complete:
        x = x.where(torch.from_numpy(observed), 0.0)
        aux["missing"] = [None if o[:t].all() else ~o[:t] for o, t in zip(observed, steps, strict=True)]
    layout = layout_of(steps, patch)
    state = tokens(x, patch)
    encoded = Encoded({FIELD: state}, layout, aux=aux)
    if given is not None:
        bits = tokens(torch.from_numpy(given), patch)
        encoded = replace(encoded, known=Known({FIELD: bits}, {FIELD: torch.where(bits, state, 0.0)}))
    if not complete or values.shape[1] % patch:
        there = tokens(torch.from_numpy(observed), patch)
        encoded = replace(encoded, missing={FIELD: ~there & layout.mask[..., None]})
    return encoded


def scaled(g: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> Tensor:
    """(g - offset) / scale in float64, given as float32; by torch, since NumPy is slow where the last axis is short."""
    return torch.from_numpy(g).sub(torch.from_numpy(offset)).mul_(torch.from_numpy(1 / scale)).float()


def blank(steps: Sequence[int], channels: int, patch: int) -> Encoded:
    """Room for series of so many steps."""
    layout = layout_of(steps, patch)
    n = len(steps)
    aux = {"steps": list(steps), "place": [(None, None, None, "")] * n, "missing": [None] * n}
    return Encoded({FIELD: torch.zeros(n, layout.tokens, patch * channels)}, layout, aux=aux)


def decode(state: State, aux: dict[str, Any], scaling: Scaling, columns: tuple[str, ...], patch: int) -> list[Series]:
    """Series in physical units; an unobserved entry that is still 0, as `encode` left it, stays unobserved.

    Raises:
        ValueError: NaN or infinity.
    """
    x = untokens(state[FIELD], patch).double().numpy()
    steps = aux["steps"]
    if "offset" in aux:
        g = x * np.stack(aux["scale"])[:, None] + np.stack(aux["offset"])[:, None]
    else:
        g = x * scaling.arrays["scale"] + scaling.arrays["offset"]
    values = scaling.undo(g)
    broken = (
        sum(not np.isfinite(v[:t]).all() for v, t in zip(values, steps, strict=True))
        if not np.isfinite(values).all()
        else 0
    )
    if broken:
        raise ValueError(
            f"{broken} of {len(x)} samples hold NaN or infinity: the network or the sampler diverged; "
            "try more steps, a smaller guidance scale, or float32"
        )
    samples = []
    for i, (t, (index, freq, zone, name), missing) in enumerate(zip(steps, aux["place"], aux["missing"], strict=True)):
        own = values[i, :t]
        if missing is not None:
            own = np.where(missing & (x[i, :t] == 0), np.nan, own)
        samples.append(Series(own, columns, index, freq, zone, name))
    return samples


def layout_of(steps: Sequence[int], patch: int) -> Layout:
    """Tokens at 0, 1, 2, ...; a grid where all series fill as many."""
    most = -(-max(steps) // patch)
    sizes = [-(-t // patch) for t in set(steps)]
    if min(sizes) == most:
        return Layout.of_grid(len(steps), (most,))
    sizes = [-(-t // patch) for t in steps]
    mask = torch.arange(most)[None] < torch.tensor(sizes)[:, None]
    return Layout(mask, torch.arange(most, dtype=torch.float32)[None, :, None].repeat(len(sizes), 1, 1), None, (False,))


def stack(arrays: Sequence[np.ndarray], fill: Any) -> np.ndarray:
    """(B, T, ...) of arrays (T_i, ...), filled at the end."""
    lengths = set(map(len, arrays))
    if len(lengths) == 1:
        return np.array(arrays)
    longest = max(lengths)
    out = np.full((len(arrays), longest, *arrays[0].shape[1:]), fill, arrays[0].dtype)
    for row, a in zip(out, arrays, strict=True):
        row[: len(a)] = a
    return out


def tokens(x: Tensor, patch: int) -> Tensor:
    """(B, T, K) -> (B, N, p K), N = ceil(T / p), zeros behind the end."""
    short = -x.shape[1] % patch
    if short:
        x = torch.nn.functional.pad(x, (0, 0, 0, short))
    return x.reshape(len(x), -1, patch * x.shape[-1])


def untokens(x: Tensor, patch: int) -> Tensor:
    """(B, N, p K) -> (B, N p, K)."""
    return x.reshape(len(x), x.shape[1] * patch, -1)
