"""`ornstein show GROUP NAME`: what a choice is, its arguments, and for a sampler, a grid or a schedule its numbers."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .words import choose

if TYPE_CHECKING:
    from ..schedules import Schedule


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `show`."""
    parser.add_argument("group", help="sampler, grid, schedule, ...: as `ornstein list` names it")
    parser.add_argument("name", help="as `ornstein list GROUP` names it")
    parser.add_argument("words", nargs="*", help="arguments, as in sampler.eta=0.5 sampler.grid=karras schedule=cosine")
    parser.add_argument("--steps", type=int, default=10, help="steps of a sampler or a grid (10)")


def run(args: argparse.Namespace) -> int:
    """Print the choice."""
    from .names import GROUPS, class_path, load_class

    group = args.group if args.group in GROUPS else args.group.removesuffix("s")
    if group not in GROUPS:
        raise LookupError(choose("group", args.group, GROUPS))
    cls = load_class(class_path(group, args.name, group), group)
    print(inspect.getdoc(cls) or args.name)
    entry = GROUPS[group].get(args.name)
    if entry is not None and entry.facts:
        print("\n" + "   ".join(f"{key}: {value}" for key, value in entry.facts.items()))
    part = {"name": args.name}
    tables = {"sampler": _sampler, "grid": _grid, "schedule": _schedule}
    if group in tables:
        print("\n" + tables[group](part, args.words, args.steps))
    else:
        print("\n" + _signature(cls, dict(entry.options) if entry is not None else {}))
    return 0


def _parts(parts: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Parts of a recipe under words."""
    from . import compose

    return compose.apply(parts, words)


def _sampler(part: dict[str, Any], words: Sequence[str], steps: int) -> str:
    """The table of a sampler for one Gaussian field."""
    from ..parametrization import V
    from ..processes import Gaussian
    from ..samplers import Sampler, TableSampler
    from . import objects

    recipe = _parts({"sampler": {**part}, "schedule": {"name": "vp"}}, words)
    sampler = objects.build(Sampler, "sampler", recipe["sampler"])
    if not isinstance(sampler, TableSampler):
        return f"{sampler.describe()}\nno table: its coefficients depend on the state"
    recipe["sampler"]["steps"] = steps
    sampler = objects.build(Sampler, "sampler", recipe["sampler"])
    schedule = _built_schedule(recipe["schedule"])
    return f"schedule {schedule}\n{sampler.plan({'x': Gaussian(schedule, V())})}"


def _grid(part: dict[str, Any], words: Sequence[str], steps: int) -> str:
    """The times of a grid, and sigma / alpha there."""
    from ..samplers import Curve, Grid
    from . import objects

    recipe = _parts({"grid": {**part}, "schedule": {"name": "vp"}}, words)
    grid, schedule = objects.build(Grid, "grid", recipe["grid"]), _built_schedule(recipe["schedule"])
    curve = Curve.of(schedule, grid.checked(steps, schedule).tolist())
    lines = [f"{i:3d}  {t:.6f}  {rho:12.6g}" for i, (t, rho) in enumerate(zip(curve.t, curve.rho, strict=True))]
    return "\n".join([f"{grid} on {schedule}", "  i         t   sigma / alpha", *lines])


def _schedule(part: dict[str, Any], words: Sequence[str], steps: int) -> str:
    """Alpha, sigma and the log-SNR at equal steps of t."""
    import torch

    schedule = _built_schedule(_parts({"schedule": {**part}}, words)["schedule"])
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    columns = [t, schedule.alpha(t), schedule.sigma(t), schedule.log_snr(t)]
    lines = ["  ".join(f"{x:10.6g}" for x in row) for row in torch.stack(columns, dim=1).tolist()]
    return "\n".join([str(schedule), "  ".join(f"{name:>10}" for name in ("t", "alpha", "sigma", "log SNR")), *lines])


def _built_schedule(part: Any) -> Schedule:
    from ..schedules import Schedule
    from . import objects

    return objects.build(Schedule, "schedule", part)


def _signature(cls: type, options: dict[str, Any]) -> str:
    """The constructor's arguments and their defaults."""
    lines = []
    for name, p in inspect.signature(cls).parameters.items():
        default = options.get(name, p.default)
        shown = "needed" if default is inspect.Parameter.empty else f"{default!r}"
        lines.append(f"  {name}: {shown}")
    return "\n".join(["arguments", *lines]) if lines else "no arguments"
