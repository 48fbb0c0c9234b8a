"""Rules about symmetries: what a modality claims holds, and what its fields imply is claimed.

Coordinates are found in an item by their shape: arrays of floating numbers (n, C), one row for each token, C the channels of
the field that they become. Where an item holds none, only model space is looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..modality import Item
from ..objective import draw_noise
from ..posterior import Categorical, Posterior
from ..processes import Gaussian
from ..samplers import DDPM
from ..samplers.run import Progress, run
from ..state import Encoded, Field, Known, State, expand_time
from .rule import Skipped, doing, require
from .states import noise_state, same
from .subject import BATCH, Subject, generator

Move = Callable[[np.ndarray], np.ndarray]


def symmetry_permutation(subject: Subject) -> None:
    """A network that is built for the modality answers permuted tokens with the permuted answer."""
    _claimed(subject, "permutation")
    denoiser, fields, encoded = subject.denoiser, subject.fitted.fields, subject.posed.to("cpu", torch.float64)
    values = tuple(replace(f, kind="continuous", process=Gaussian()) for f in fields)
    order = _orders(encoded.mask)
    state = _noised(subject, encoded)
    turned = _permuted(subject, encoded, order)
    answer = denoiser(state, 0.6, encoded.layout, encoded.cond, encoded.known)
    other = denoiser(_permute(fields, state, order), 0.6, turned.layout, turned.cond, turned.known)
    same(
        values,
        encoded.mask,
        _permute(fields, _answers(subject, answer), order),
        _answers(subject, other),
        1e-6,
        "permutation is claimed, but the answer to permuted tokens is not the permuted answer (positions tell tokens apart: a "
        "set has axes = 0)",
    )


def symmetry_translation(subject: Subject) -> str | None:
    """Moved items encode alike, and samples stay where the space of their field keeps them: around zero."""
    modality = subject.fitted
    fixed = [f for f in modality.fields if _shift_free(f, subject.encoded.mask)]
    if "translation" not in modality.symmetries:
        require(
            not fixed,
            f"the space of {', '.join(f.name for f in fixed)} forgets where a sample lies: claim 'translation' in symmetries",
        )
        raise Skipped("not claimed")
    require(
        bool(fixed),
        "translation is claimed, but no field lives in a space without shifts: give the field that holds coordinates "
        "space=CentreFree(), or noise and samples wander",
    )
    encoded = subject.posed.to("cpu", torch.float64)
    encoded = replace(encoded, known=None, state={n: torch.zeros_like(x) for n, x in encoded.state.items()})

    def watch(at: Progress) -> None:
        for f in fixed:
            away = float((f.space.project(at.state[f.name], encoded.mask) - at.state[f.name]).abs().max())
            require(away < 1e-6, f"row {at.row} of a sampler: {f.name!r} lies {away:.3g} outside its space")

    run(subject.denoiser, DDPM(4).plan(subject.denoiser.processes), encoded, seed=0, hooks=[watch])
    shift = generator("shift").normal(size=16)
    return _moved_items(subject, fixed, lambda x: x + 3 * shift[: x.shape[1]], None, "moved by a common shift")


def symmetry_rotation(subject: Subject) -> str | None:
    """Turned items encode to the turned state."""
    _claimed(subject, "rotation")
    return _turned_items(subject, 1.0, "turned")


def symmetry_reflection(subject: Subject) -> str | None:
    """Mirrored items encode to the mirrored state."""
    _claimed(subject, "reflection")
    return _turned_items(subject, -1.0, "mirrored")


def _claimed(subject: Subject, name: str) -> None:
    if name not in subject.fitted.symmetries:
        raise Skipped("not claimed")


def _shift_free(f: Field, mask: Tensor) -> bool:
    """Whether the field's space takes a common shift away."""
    if f.kind != "continuous" or f.axes != "token":
        return False
    return float(f.space.project(torch.ones(*mask.shape, f.channels), mask).abs().max()) < 1e-6


def _turned_items(subject: Subject, sign: float, how: str) -> str | None:
    """Encode items whose coordinates are turned, in each field of coordinates."""
    mask = subject.encoded.mask
    vectors = [
        f for f in subject.fitted.fields if f.kind == "continuous" and f.axes == "token" and f.channels in (2, 3)
    ]
    vectors = [f for f in vectors if _shift_free(f, mask)] or vectors
    require(bool(vectors), f"no field can be {how}: none is continuous with 2 or 3 channels")
    channels = vectors[0].channels
    q, _ = np.linalg.qr(generator("turn").normal(size=(channels, channels)))
    q[:, 0] *= sign * np.sign(np.linalg.det(q))
    turn = torch.from_numpy(q).float()
    for f in (f for f in vectors if f.channels == channels):
        x = torch.randn(*mask.shape, channels, generator=torch.Generator().manual_seed(0))
        commutes = torch.allclose(f.space.project(x @ turn.T, mask), f.space.project(x, mask) @ turn.T, atol=1e-5)
        require(commutes, f"the space {type(f.space).__name__} of {f.name!r} does not keep what is {how}")
    return _moved_items(subject, vectors, lambda x: x @ q.T if x.shape[1] == channels else x, turn, how)


def _moved_items(subject: Subject, fields: list[Field], move: Move, turn: Tensor | None, how: str) -> str | None:
    """Encode items with moved coordinates and compare with the state, turned in `fields`."""
    pairs, wanted = [], {f.channels for f in fields}
    for i, item in enumerate(subject.items[:BATCH]):
        found: list[str] = []
        data = _move(copy.deepcopy(item.data), int(subject.encoded.mask[i].sum()), wanted, move, found)
        if found:
            pairs.append((item, replace(item, data=data)))
    if not pairs:
        return "items hold no array (n, C) of coordinates: only model space was looked at"
    items: list[Item] = [item for item, _ in pairs]
    with doing(f"encode of items that are {how}"):
        before, after = subject.encode(items), subject.encode([item for _, item in pairs])
    names = {f.name for f in fields}
    state = {n: x @ turn.T if turn is not None and n in names else x for n, x in before.state.items()}
    scale = max(float(before.state[n].abs().max()) for n in names)
    same(
        subject.fitted.fields,
        before.mask,
        after.state,
        state,
        1e-4 * max(1.0, scale),
        f"encode of items that are {how}",
    )
    return None


def _move(data: Any, tokens: int, channels: set[int], move: Move, found: list[str]) -> Any:
    """The data with every array of coordinates in it moved; `found` gets a word for each."""
    if isinstance(data, Tensor):
        moved = _move(data.numpy(), tokens, channels, move, found)
        return torch.from_numpy(np.ascontiguousarray(moved)).to(data.dtype)
    if isinstance(data, np.ndarray):
        if data.dtype.kind == "f" and data.ndim == 2 and data.shape[0] == tokens and data.shape[1] in channels:
            found.append("array")
            return move(data.astype(np.float64)).astype(data.dtype)
        return data
    if isinstance(data, dict):
        return {name: _move(x, tokens, channels, move, found) for name, x in data.items()}
    if is_dataclass(data) and not isinstance(data, type):
        parts = {f.name: getattr(data, f.name) for f in dataclass_fields(data) if f.init}
        return replace(data, **{name: _move(x, tokens, channels, move, found) for name, x in parts.items()})
    return data


def _noised(subject: Subject, encoded: Encoded) -> State:
    """Noise of any kind, with every other class masked where the process has a mask."""
    denoiser, mask = subject.denoiser, encoded.mask
    noise = draw_noise(denoiser, encoded, 0, torch.arange(encoded.batch), "conformance")
    x0 = noise_state(subject.fitted.fields, mask, 3)
    half = torch.full((encoded.batch,), 0.5, dtype=torch.float64)
    return {
        name: denoiser.processes[name].corrupt(
            f, x0[name].to(encoded.state[name].dtype), expand_time(half, f), noise[name]
        )
        for name, f in denoiser.fields.items()
    }


def _answers(subject: Subject, posterior: Posterior) -> State:
    """What the posterior holds of each field: x0, or log-probabilities as channels."""
    views = {f.name: posterior[f.name] for f in subject.fitted.fields}
    return {n: v.log_probs if isinstance(v, Categorical) else v.x0 for n, v in views.items()}


def _orders(mask: Tensor) -> Tensor:
    """(B, N) a permutation of the real tokens of each sample; padding stays."""
    rng, order = generator("order"), torch.arange(mask.shape[1]).repeat(mask.shape[0], 1)
    for i, n in enumerate(mask.sum(1).tolist()):
        order[i, :n] = torch.from_numpy(rng.permutation(n))
    return order


def _permute(fields: tuple[Field, ...], state: State, order: Tensor) -> State:
    rows, by_name = torch.arange(len(order))[:, None], {f.name: f for f in fields}
    return {
        name: x[rows[:, None], order[:, :, None], order[:, None, :]] if by_name[name].axes == "pair" else x[rows, order]
        for name, x in state.items()
    }


def _permuted(subject: Subject, encoded: Encoded, order: Tensor) -> Encoded:
    """The batch with what is known and told of each token permuted; the layout stays, for a set has none."""
    known, rows = encoded.known, torch.arange(len(order))[:, None]
    fields = subject.fitted.fields
    if known is not None:
        known = Known(_permute(fields, known.bits, order), _permute(fields, known.values, order))
    dense = {spec.name for spec in subject.fitted.conditions if spec.kind == "dense"}
    cond = {n: replace(c, value=c.value[rows, order]) if n in dense else c for n, c in encoded.cond.items()}
    return replace(encoded, known=known, cond=cond)
