"""Raw values of conditions, as people type them, to tensors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..state import Condition, Conditions
from .spec import ConditionSpec


def conditions(specs: Sequence[ConditionSpec], cond: Mapping[str, Any] | None, n: int) -> Conditions:
    """Conditions for n samples from raw values: one value for all, or a list of n; None is "no value".

    Classes may be given by number or by name. Conditions without a value are left out.

    Raises:
        ValueError: an unknown condition or class (the nearest are named), a number of values that is not n, a wrong shape.
    """
    by_name = {spec.name: spec for spec in specs}
    out: Conditions = {}
    for name, raw in (cond or {}).items():
        if name not in by_name:
            raise ValueError(f"unknown condition {name!r}; the model takes {_nearest(name, list(by_name))}")
        spec = by_name[name]
        values = _spread(spec, raw, n)
        out[name] = _stack(spec, values)
    return out


def class_number(spec: ConditionSpec, value: Any) -> int:
    """The number of a class given by name (a string) or by number.

    A string of digits is a name where the classes have names of digits, and a number where they have other names or none.

    Raises:
        ValueError: it does not exist.
    """
    if isinstance(value, str) and value in spec.names:
        return spec.names.index(value)
    if isinstance(value, str) and any(name.isdigit() for name in spec.names):
        raise ValueError(
            f"{spec.name}={value} does not exist or is out of range; choose {_nearest(value, list(spec.names))}"
        )
    if isinstance(value, (int, np.integer)) or (isinstance(value, str) and value.isdigit()):
        if 0 <= int(value) < spec.size:
            return int(value)
        raise ValueError(f"{spec.name}={value} is out of range: the classes are 0 to {spec.size - 1}")
    raise ValueError(
        f"{spec.name}={value!r} does not exist; choose {_nearest(str(value), list(spec.names) or [f'0 to {spec.size - 1}'])}"
    )


def _spread(spec: ConditionSpec, raw: Any, n: int) -> list[Any]:
    """One raw value for each of n samples."""
    raw, rank = _plain(raw), {"vector": 1, "tokens": 2, "dense": 2}.get(spec.kind, 0)
    depth = _rank(raw, rank)
    if depth < rank:
        raise ValueError(
            f"condition {spec.name!r} of kind {spec.kind} takes lists of {spec.size} numbers, found {raw!r}"
        )
    values = [raw] * n if depth == rank else list(raw)
    if len(values) != n:
        raise ValueError(f"condition {spec.name!r} has {len(values)} values for {n} samples; give one, or {n}")
    return values


def _plain(raw: Any) -> Any:
    """Arrays and tensors, also in lists, as lists."""
    if isinstance(raw, (Tensor, np.ndarray)):
        return raw.tolist()
    return [_plain(v) for v in raw] if isinstance(raw, (list, tuple, range)) else raw


def _rank(raw: Any, rank: int) -> int:
    """How deep values lie in lists; None stands for a whole value, which has `rank`."""
    if raw is None:
        return rank
    return 1 + max((_rank(v, rank) for v in raw), default=rank) if isinstance(raw, list) else 0


def _stack(spec: ConditionSpec, values: list[Any]) -> Condition:
    present = torch.tensor([v is not None for v in values])
    if spec.kind == "class":
        return Condition(torch.tensor([0 if v is None else class_number(spec, v) for v in values]), present)
    if spec.kind == "text":
        value, mask = encode_bytes(["" if v is None else str(v) for v in values], spec.size)
        return Condition(value, present, mask)
    if spec.kind in ("tokens", "dense"):
        return _ragged(spec, values, present)
    empty: Any = [0.0] * spec.size if spec.kind == "vector" else 0.0
    try:
        numbers = torch.tensor([empty if v is None else v for v in values], dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"condition {spec.name!r} takes numbers, found {values[0]!r}") from error
    if numbers.shape[1:] != ((spec.size,) if spec.kind == "vector" else ()):
        raise ValueError(f"condition {spec.name!r} takes {spec.size} numbers, found {tuple(numbers.shape[1:])}")
    if not torch.isfinite(numbers).all():
        raise ValueError(f"condition {spec.name!r} holds a number that is not finite")
    return Condition(numbers.float(), present)


def _ragged(spec: ConditionSpec, values: list[Any], present: Tensor) -> Condition:
    """(L, size) arrays of different length, padded with a mask."""
    arrays = [torch.zeros(1, spec.size) if v is None else torch.as_tensor(v, dtype=torch.float32) for v in values]
    for a in arrays:
        if a.ndim != 2 or a.shape[1] != spec.size:
            raise ValueError(f"condition {spec.name!r} takes arrays (L, {spec.size}), found {tuple(a.shape)}")
    value = torch.nn.utils.rnn.pad_sequence(arrays, batch_first=True)
    lengths = torch.tensor([len(a) for a in arrays])
    mask = torch.arange(value.shape[1])[None] < lengths[:, None]
    return Condition(value, present, mask if spec.kind == "tokens" else None)


def encode_bytes(texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Texts as bytes: integers (B, length), 0 behind the end, and which of them are real, (B, length) bool.

    A longer text is cut behind its last whole character.

    Raises:
        ValueError: a length below 1.
    """
    if length < 1:
        raise ValueError(f"a text needs at least 1 byte, not {length}")
    rows = [text.encode()[:length].decode(errors="ignore").encode() for text in texts]
    values = torch.tensor([list(row.ljust(length, bytes(1))) for row in rows], dtype=torch.long).view(-1, length)
    return values, torch.arange(length) < torch.tensor([len(row) for row in rows], dtype=torch.long)[:, None]


def _nearest(word: str, choices: list[str]) -> str:
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    rest = [c for c in choices if c not in near]
    return ", ".join([*near, *rest][:12]) or "none"
