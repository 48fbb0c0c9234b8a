"""What `--cond` and `--negative` ask for: typed text to the values of a model's conditions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .words import UsageError, choose

if TYPE_CHECKING:
    from ..conditioning.spec import ConditionSpec


def pair(text: str, option: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise UsageError(f"{option} {text}: write NAME=VALUE, as in {option} label=7")
    return name, value


def conditions(
    specs: Sequence[ConditionSpec], asked: Sequence[str], n: int, items: int = 1
) -> tuple[dict[str, list[Any]] | None, int]:
    """Values of each condition for every sample, n for each combination in order (and all of them for each given item).

    Returns:
        the values by condition, and how many samples that makes for each given item.

    Raises:
        LookupError: a condition that the model was not trained with.
    """
    if not asked:
        return None, n
    by_name = {spec.name: spec for spec in specs}
    values: dict[str, list[Any]] = {}
    for text in asked:
        name, value = pair(text, "--cond")
        if name in values:
            raise UsageError(f"--cond {name} is given twice; write its values as one: --cond {name}=A,B")
        values[name] = _values(_spec(by_name, name), value)
    combined = [row for row in itertools.product(*values.values()) for _ in range(n)]
    return {name: [row[i] for row in combined] * items for i, name in enumerate(values)}, len(combined)


def negative(specs: Sequence[ConditionSpec], asked: Sequence[str]) -> dict[str, Any]:
    """One value of each condition to guide away from.

    Raises:
        LookupError: a condition that the model was not trained with.
        UsageError: a condition given twice, or with several values.
    """
    by_name = {spec.name: spec for spec in specs}
    values: dict[str, Any] = {}
    for text in asked:
        name, value = pair(text, "--negative")
        found = _values(_spec(by_name, name), value, "--negative")
        if name in values or len(found) > 1:
            raise UsageError(f"--negative {name}: guidance leads away from one value of a condition; give one")
        values[name] = found[0]
    return values


def _spec(by_name: Mapping[str, ConditionSpec], name: str) -> ConditionSpec:
    if name not in by_name:
        raise LookupError(choose("condition", name, by_name))
    return by_name[name]


def _values(spec: ConditionSpec, text: str, option: str = "--cond") -> list[Any]:
    if spec.kind == "class":
        if text == "all":
            return list(spec.names) or list(range(spec.size))
        return list(text.split(","))
    if spec.kind == "text":
        return [text]  # a caption may hold commas
    if spec.kind in ("tokens", "dense"):
        raise UsageError(
            f"{option} {spec.name}={text}: a {spec.kind} condition is an array, which cannot be typed; give it from Python: "
            f"sample(denoiser, sampler, cond={{{spec.name!r}: array}})"
        )
    try:
        numbers = [float(v) for v in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {spec.name}={text}: numbers are needed for a {spec.kind} condition") from None
    return numbers if spec.kind == "scalar" else [numbers]
