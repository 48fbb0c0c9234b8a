"""`ornstein show GROUP NAME`: what a choice is, its arguments, and for a sampler, a grid or a schedule its numbers."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import providers
from .words import UsageError, choose

if TYPE_CHECKING:
    from ..schedules import Schedule

STEPS = 10
# The groups whose choices are numbers, and the parts of a recipe that their words may change.
CHANGED = {"sampler": ("sampler", "schedule"), "grid": ("grid", "schedule"), "schedule": ("schedule",)}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `show`."""
    parser.add_argument("group", metavar="GROUP", help="sampler, grid, schedule, ...: as `ornstein list` names it")
    parser.add_argument("name", metavar="NAME", help="as `ornstein list GROUP` names it, or a class path")
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="key=value",
        help="as in sampler.eta=0.5 sampler.grid=karras schedule=cosine",
    )
    parser.add_argument("--steps", type=int, help=f"steps of a sampler, a grid or a schedule's table ({STEPS})")


def run(args: argparse.Namespace) -> int:
    """Print the choice."""
    from .names import GROUPS

    files = providers.parts()
    group = args.group if {args.group} & {*GROUPS, *files} else args.group.removesuffix("s")
    if group in ("modality", "modalitie", "recipe"):
        raise LookupError("`ornstein fit RECIPE --print_config` shows a recipe, `ornstein check MODALITY` a modality")
    if group not in {*GROUPS, *files}:
        raise LookupError(choose("group", args.group, {*GROUPS, *files}))
    names = {**files.get(group, {}), **GROUPS.get(group, {})}
    if args.name not in names and "." not in args.name:
        raise LookupError(choose(group, args.name, names))
    _check(group, args)
    if group in CHANGED or args.name in GROUPS.get(group, {}) or "." in args.name:
        print(_class(group, args))
    else:
        print(files[group][args.name].read_text(encoding="utf-8").rstrip())
    return 0


def _check(group: str, args: argparse.Namespace) -> None:
    """Refuse words and steps that would change nothing here.

    Raises:
        UsageError: with what can be said.
    """
    changed = CHANGED.get(group, ())
    for word in args.words:
        key = word.lstrip("+~").partition("=")[0]
        if key == group or key.partition(".")[0] not in changed:
            can = ", ".join([f"{group}.ARGUMENT=VALUE", *(f"{other}=NAME" for other in changed[1:])])
            raise UsageError(
                f"{word!r} changes nothing of a {group}; " + (f"words are {can}" if changed else "leave it out")
            )
    if args.steps is None:
        return
    if not changed:
        raise UsageError(f"--steps {args.steps}: a {group} has no steps")
    if args.steps < 1:
        raise UsageError(f"--steps {args.steps}: at least 1 is needed")
    if _sets_steps(args.words):
        raise UsageError(f"--steps {args.steps} and sampler.steps both say how many; leave one out")


def _sets_steps(words: Sequence[str]) -> bool:
    return any(word.lstrip("+").startswith("sampler.steps=") for word in words)


def _class(group: str, args: argparse.Namespace) -> str:
    """The sentences of a class, its facts, and its numbers or its arguments."""
    from . import compose
    from .names import GROUPS, check_keys, class_path, load_class

    file = providers.parts().get(group, {}).get(args.name)
    part = compose.read_yaml(file) if file is not None and group in CHANGED else {"name": args.name}
    path = class_path(group, part["name"], group)
    check_keys({"class_path": path}, (group,))
    cls, entry = load_class(path, group), GROUPS[group].get(args.name)
    blocks = [inspect.getdoc(cls) or args.name]
    if entry is not None and entry.facts:
        blocks.append("   ".join(f"{key}: {value}" for key, value in entry.facts.items()))
    if group in CHANGED:
        recipe = {"schedule": {"name": "vp"}, group: part}
        numbers = {"sampler": _sampler, "grid": _grid, "schedule": _schedule}[group]
        blocks.append(numbers(compose.apply(recipe, args.words), args))
    else:
        blocks.append(_signature(cls, dict(entry.options) if entry is not None else {}))
    return "\n\n".join(blocks)


def _sampler(recipe: dict[str, Any], args: argparse.Namespace) -> str:
    """The table of a sampler for one Gaussian field, and a masked one where its move is for such."""
    from ..parametrization import V
    from ..processes import Gaussian, Masked, Process
    from ..samplers import Ancestral, Sampler, TableSampler
    from . import objects

    sampler = objects.build(Sampler, "sampler", recipe["sampler"])
    if not isinstance(sampler, TableSampler):
        if args.steps is not None:
            raise UsageError(
                f"--steps {args.steps}: {args.name} is no table, so there is nothing to show of it by steps"
            )
        return f"{sampler.describe()}\nno table: its coefficients depend on the state"
    if args.steps is not None or not _sets_steps(args.words):
        recipe["sampler"]["steps"] = args.steps or STEPS
        sampler = objects.build(Sampler, "sampler", recipe["sampler"])
    schedule = _built(recipe)
    processes: dict[str, Process] = {"x": Gaussian(schedule, V())}
    if sampler.move != Ancestral():
        processes["classes"] = Masked()
    return f"schedule {schedule}\n{sampler.plan(processes)}"


def _grid(recipe: dict[str, Any], args: argparse.Namespace) -> str:
    """The times of a grid, and sigma / alpha there."""
    from ..samplers import Curve, Grid
    from . import objects

    grid, schedule = objects.build(Grid, "grid", recipe["grid"]), _built(recipe)
    curve = Curve.of(schedule, grid.checked(args.steps or STEPS, schedule).tolist())
    lines = [f"{i:3d}  {t:.6f}  {rho:12.6g}" for i, (t, rho) in enumerate(zip(curve.t, curve.rho, strict=True))]
    return "\n".join([f"{grid} on {schedule}", "  i         t   sigma / alpha", *lines])


def _schedule(recipe: dict[str, Any], args: argparse.Namespace) -> str:
    """Alpha, sigma and the log-SNR at equal steps of t."""
    import torch

    schedule = _built(recipe)
    t = torch.linspace(0, 1, (args.steps or STEPS) + 1, dtype=torch.float64)
    columns = [t, schedule.alpha(t), schedule.sigma(t), schedule.log_snr(t)]
    lines = ["  ".join(f"{x:10.6g}" for x in row) for row in torch.stack(columns, dim=1).tolist()]
    return "\n".join([str(schedule), "  ".join(f"{name:>10}" for name in ("t", "alpha", "sigma", "log SNR")), *lines])


def _built(recipe: dict[str, Any]) -> Schedule:
    from ..schedules import Schedule
    from . import objects

    return objects.build(Schedule, "schedule", recipe["schedule"])


def _signature(cls: type, options: dict[str, Any]) -> str:
    """The constructor's arguments and their defaults."""
    lines = []
    for name, p in inspect.signature(cls).parameters.items():
        default = options.get(name, p.default)
        shown = "needed" if default is inspect.Parameter.empty else f"{default!r}"
        lines.append(f"  {name}: {shown}")
    return "\n".join(["arguments", *lines]) if lines else "no arguments"
