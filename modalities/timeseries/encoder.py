"""Model space: patches of steps, of all channels or of one, as tokens; a batch of series of any lengths at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal, get_args

import numpy as np
import torch
from ornstein.core.modality import Item
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor

from .scaling import Scaling
from .series import Series

FIELD = "series"
LINE = "line"
Channels = Literal["together", "apart"]

# With `map` a third of the time of comprehensions, of which there would be several.
_VALUES = attrgetter("data.values")
_PLACE = attrgetter("data.index", "data.freq", "data.zone", "data.name")


@dataclass(frozen=True)
class Tokens:
    """How (T, K) steps are cut into tokens.

    Args:
        patch: p, steps of a token; zeros stand behind the end of the last.
        channels: `together`: a token holds p steps of all K channels, and there are N = ceil(T / p), in order of time; `apart`: p
            steps of one channel, N = K ceil(T / p), the channels of one time beside each other.

    Raises:
        ValueError: another word for `channels`.
    """

    patch: int = 1
    channels: Channels = "together"

    def __post_init__(self) -> None:
        if self.channels not in get_args(Channels):
            raise ValueError(f"modality.channels={self.channels!r}; choose from {', '.join(get_args(Channels))}")

    @property
    def apart(self) -> bool:
        """Whether a token holds one channel."""
        return self.channels == "apart"

    def size(self, channels: int) -> int:
        """C, the numbers in a token."""
        return self.patch if self.apart else self.patch * channels

    def cut(self, x: Tensor) -> Tensor:
        """(B, T, K) -> (B, N, C)."""
        batch, steps, channels = x.shape
        if steps % self.patch:
            x = torch.nn.functional.pad(x, (0, 0, 0, -steps % self.patch))
        if not self.apart:
            return x.reshape(batch, -1, self.patch * channels)
        return x.reshape(batch, -1, self.patch, channels).transpose(2, 3).reshape(batch, -1, self.patch)

    def join(self, x: Tensor, channels: int) -> Tensor:
        """(B, N, C) -> (B, T + padding, K)."""
        if self.apart:
            x = x.reshape(len(x), -1, channels, self.patch).transpose(2, 3)
        return x.reshape(len(x), -1, channels)

    def layout(self, steps: Sequence[int], channels: int) -> Layout:
        """Places in time, or in time and channel; a grid where all series fill as many."""
        patches = [-(-t // self.patch) for t in steps]
        shape = (max(patches), channels) if self.apart else (max(patches),)
        grid = Layout.of_grid(len(patches), shape)
        if min(patches) == max(patches):
            return grid
        counts = torch.tensor(patches) * (channels if self.apart else 1)
        return replace(grid, mask=torch.arange(grid.tokens)[None] < counts[:, None], grid=None)

    def spread(self, x: Tensor, channels: int) -> Tensor:
        """What belongs to each patch of steps, (B, ceil(T / p), ...), for every token."""
        return x.repeat_interleave(channels, 1) if self.apart else x


def encode(items: Sequence[Item], known: Sequence[np.ndarray | None] | None, scaling: Scaling, how: Tokens) -> Encoded:
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
    aux: dict[str, Any] = {"steps": steps, "place": list(map(_PLACE, items))}
    aux["missing"] = [None] * len(items)
    if scaling.of_instance:
        unposed = np.zeros_like(observed) if scaling.along else observed
        seen = unposed if given is None else np.where(np.array(posed)[:, None, None], given, unposed)
        g = values if scaling.along else scaling.apply(values)
        offset, scale = scaling.instance(g, seen)
        aux |= {"offset": list(offset), "scale": list(scale)}
        x = scaled(scaling.apply(g - offset), np.zeros(()), scale) if scaling.along else scaled(g, offset, scale)
    else:
        x = scaled(scaling.apply(values), scaling.arrays["offset"], scaling.arrays["scale"])
    complete = bool(observed.all())
    if not complete:
        x = x.where(torch.from_numpy(observed), 0.0)
        aux["missing"] = [None if o[:t].all() else ~o[:t] for o, t in zip(observed, steps, strict=True)]
    channels = x.shape[2]
    layout = how.layout(steps, channels)
    state = how.cut(x)
    encoded = Encoded({FIELD: state}, layout, aux=aux)
    if given is not None:
        bits = how.cut(torch.from_numpy(given))
        encoded = replace(encoded, known=Known({FIELD: bits}, {FIELD: torch.where(bits, state, 0.0)}))
    if not complete or values.shape[1] % how.patch:
        there = how.cut(torch.from_numpy(observed))
        encoded = replace(encoded, missing={FIELD: ~there & layout.mask[..., None]})
    return encoded


def ahead(offset: Sequence[np.ndarray], steps: int) -> np.ndarray:
    """Offsets of (1, K) or (T, K) each as (B, 1, K) or (B, steps, K): steps behind the end of a line are padding."""
    lines = stack(offset, 0.0)
    return lines if lines.shape[1] == 1 else np.pad(lines, ((0, 0), (0, steps - lines.shape[1]), (0, 0)))


def scaled(g: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> Tensor:
    """(g - offset) / scale in float64, given as float32; by torch, since NumPy is slow where the last axis is short."""
    return torch.from_numpy(g).sub(torch.from_numpy(offset)).mul_(torch.from_numpy(1 / scale)).float()


def blank(steps: Sequence[int], channels: int, how: Tokens) -> Encoded:
    """Room for series of so many steps."""
    layout = how.layout(steps, channels)
    n = len(steps)
    aux = {"steps": list(steps), "place": [(None, None, None, "")] * n, "missing": [None] * n}
    return Encoded({FIELD: torch.zeros(n, layout.tokens, how.size(channels))}, layout, aux=aux)


def decode(state: State, aux: dict[str, Any], scaling: Scaling, columns: tuple[str, ...], how: Tokens) -> list[Series]:
    """Series in physical units; an unobserved entry that is still 0, as `encode` left it, stays unobserved.

    Raises:
        ValueError: NaN or infinity.
    """
    x = how.join(state[FIELD], len(columns)).double().numpy()
    steps = aux["steps"]
    if scaling.along:
        values = scaling.undo(x * np.stack(aux["scale"])) + ahead(aux["offset"], x.shape[1])
    elif scaling.of_instance:
        values = scaling.undo(x * np.stack(aux["scale"]) + np.stack(aux["offset"]))
    else:
        values = scaling.undo(x * scaling.arrays["scale"] + scaling.arrays["offset"])
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
