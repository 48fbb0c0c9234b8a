"""The one place that turns a recipe's names into class paths, and back.

    {name: ddim, steps: 20}   <->   {class_path: ornstein.core.samplers.DDIM, init_args: {steps: 20}}

The group of a name is the key it stands under (`sampler`, `schedule`, `grid`, ...) or, in a mapping of fields, the key
above (`process: {pixels: {name: gaussian}}`). A name with a dot is a class path of the user's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from ..registry import TABLE, Entry, modality_entries
from .words import choose

Tree = dict[str, Any]
_T = "ornstein.core.training"
# The registry's groups, and what only training knows.
GROUPS = {
    **TABLE,
    "ema": {
        "constant": Entry(f"{_T}.ema.ConstantEMA", "constant decay with a warm-up"),
        "power": Entry(f"{_T}.ema.PowerEMA", "a length that is a share of the training so far"),
    },
}
# Parts that have one class: no name is asked for.
FIXED = {"objective": "ornstein.core.objective.Objective", "optimizer": f"{_T}.optimizer.AdamW"}
# What a class of each group must be.
BASES = {
    "modality": "ornstein.core.modality.Modality",
    "backbone": "ornstein.core.backbones.backbone.Backbone",
    "schedule": "ornstein.core.schedules.Schedule",
    "parametrization": "ornstein.core.parametrization.Parametrization",
    "process": "ornstein.core.processes.Process",
    "times": "ornstein.core.objective.TimeDensity",
    "weight": "ornstein.core.objective.Weight",
    "coupling": "ornstein.core.objective.Coupling",
    "sampler": "ornstein.core.samplers.Sampler",
    "grid": "ornstein.core.samplers.Grid",
    "move": "ornstein.core.samplers.Move",
    "tokens": "ornstein.core.samplers.TokenGrid",
    "guidance": "ornstein.core.guidance.Guidance",
    "ema": f"{_T}.ema.EMA",
    **FIXED,
}


def to_classes(tree: Any, path: tuple[str, ...] = (), above: str | None = None) -> Any:
    """Replace every name by its class path, at any depth; `above` is the group of a mapping of fields.

    Raises:
        LookupError: a name that its group does not have, or a part without a name.
    """
    group, where = _group(path) or above, ".".join(path)
    if isinstance(tree, list):
        return [to_classes(item, path, above) for item in tree]
    if isinstance(tree, str) and group is not None:
        tree = {"name": tree}  # `objective.times=uniform`
    if not isinstance(tree, dict) or "class_path" in tree:
        return tree
    if where not in FIXED and (group is None or "name" not in tree):
        if group is not None and (above is not None or not all(isinstance(v, str | dict) for v in tree.values())):
            raise LookupError(f"{where} has no name; choices: {', '.join(sorted(_names(group)))}")
        return {key: to_classes(value, (*path, key), group) for key, value in tree.items()}
    given = {key: value for key, value in tree.items() if key != "name"}
    if where not in FIXED:
        given = {**_options(str(group), tree["name"]), **given}
    args = {key: to_classes(value, (*path, key)) for key, value in given.items()}
    return {"class_path": FIXED.get(where) or class_path(str(group), tree["name"], where), "init_args": args}


def to_names(tree: Any, path: tuple[str, ...] = (), above: str | None = None) -> Any:
    """The inverse of `to_classes`; a class that no group lists keeps its class path as its name."""
    group, where = _group(path) or above, ".".join(path)
    if isinstance(tree, list):
        return [to_names(item, path, above) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "class_path" not in tree:
        return {key: to_names(value, (*path, key), group) for key, value in tree.items()}
    args = {key: to_names(value, (*path, key)) for key, value in tree.get("init_args", {}).items()}
    if FIXED.get(where) == tree["class_path"]:
        return args
    if group is None:
        return tree
    named = [n for n, p in _names(group).items() if p == tree["class_path"]]
    fitting = [n for n in named if all(args.get(key) == value for key, value in _options(group, n).items())]
    if not fitting:
        return {"name": tree["class_path"], **args}
    name = max(fitting, key=lambda n: _says(group, n))  # of several the one that says most, of equals the first
    return {"name": name, **{key: value for key, value in args.items() if key not in _options(group, name)}}


def without_nulls(tree: Any, called: Callable[..., Any] | None = None) -> Any:
    """Leave out every null that is the default of the class or function whose argument it is."""
    if not isinstance(tree, dict):
        return tree
    if "class_path" in tree:
        args = without_nulls(tree.get("init_args") or {}, load_class(tree["class_path"], "recipe"))
        return {**tree, "init_args": args}
    defaults = inspect.signature(called).parameters if called is not None else {}
    nulls = {key for key, value in tree.items() if value is None and key in defaults and defaults[key].default is None}
    return {key: without_nulls(value) for key, value in tree.items() if key not in nulls}


def class_path(group: str, name: str, where: str) -> str:
    """The class path of a name in its group.

    Raises:
        LookupError: with the nearest names.
    """
    names = _names(group)
    if name in names:
        return names[name]
    if isinstance(name, str) and "." in name:
        return name
    raise LookupError(f"{where}: {choose(group, str(name), names)}")


def load_class(path: str, where: str) -> type:
    """Import a class.

    Raises:
        LookupError: the module or the class does not exist.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"{where}: {path} cannot be imported: {error}") from error


def check_keys(tree: Any, path: tuple[str, ...] = (), above: str | None = None) -> None:
    """Compare every class with what its group asks for, and every key under it with the constructor's arguments.

    Raises:
        LookupError: a class of another kind, or an argument that the class does not take; the nearest are listed.
    """
    group, base = base_of(path, above)
    if isinstance(tree, list):
        for item in tree:
            check_keys(item, path, above)
    if not isinstance(tree, dict):
        return
    if "class_path" in tree:
        where, group = ".".join(path), None
        cls = load_class(tree["class_path"], where)
        if base is not None and not (inspect.isclass(cls) and issubclass(cls, load_class(base, where))):
            raise LookupError(f"{where}: {tree['class_path']} is no {base.rpartition('.')[2]}")
        check_arguments(cls, tree.get("init_args", {}), where)
        tree = tree.get("init_args", {})
    for key, value in tree.items():
        check_keys(value, (*path, key), group)


def base_of(path: tuple[str, ...], above: str | None = None) -> tuple[str | None, str | None]:
    """The group of a key (`above`: of the mapping of fields it stands in), and the class path of what it must be."""
    group = _group(path) or above
    return group, BASES.get(group or ".".join(path))


def check_arguments(called: Callable[..., Any], given: Mapping[str, Any], where: str) -> None:
    """Refuse keys that a class or function does not take, naming the nearest."""
    parameters = inspect.signature(called).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in given:
        if key not in parameters:
            raise LookupError(f"{where}: {choose(f'key of {called.__name__}', key, parameters)}")


def _group(path: tuple[str, ...]) -> str | None:
    return path[-1] if path and (path[-1] in GROUPS or path[-1] == "modality") else None


def _options(group: str, name: str) -> Mapping[str, Any]:
    """The arguments that a name stands for beside its class."""
    entry = GROUPS.get(group, {}).get(name)
    return entry.options if entry is not None else {}


@cache
def _says(group: str, name: str) -> int:
    """How many of a name's arguments are not the defaults of its class."""
    parameters = inspect.signature(load_class(_names(group)[name], group)).parameters
    return sum(parameters[key].default != value for key, value in _options(group, name).items())


@cache
def _names(group: str) -> dict[str, str]:
    if group == "modality":
        return {name: point.value.replace(":", ".") for name, point in modality_entries().items()}
    return {name: entry.path for name, entry in GROUPS[group].items()}
