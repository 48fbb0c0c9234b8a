"""`ornstein tune RUN`: the sampler, its order and its grid for a budget, by errors measured on the run's own network."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from . import how, runs
from .asked import conditions
from .words import UsageError

TUNED = "tuned.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tune`."""
    parser.add_argument("run", help="folder of a run, or of an exported model")
    parser.add_argument("words", nargs="*", metavar="WORD", default=[], help="words of the recipe: guidance.scale=3")
    add = parser.add_argument
    add("--evaluations", type=int, help="calls of the network for a batch of samples")
    add("--seconds", type=float, help="instead: seconds for a batch of n samples")
    add("-n", type=int, default=64, help="samples to measure with, for each value of --cond (64)")
    add("--cond", action="append", default=[], metavar="NAME=VALUE", help="label=7, or label=all; n of each")
    add("--seed", type=int, default=0, help="of the noise that is measured with (0)")
    add("--size", type=int, nargs="+", help="size of the samples, in the modality's own unit (as in training)")
    how.guiding(parser)
    parser.set_defaults(sampler=None, steps=None, tuned=False, task=None)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, and write the choice into the run for `sample --tuned`."""
    if (args.evaluations is None) == (args.seconds is None):
        raise UsageError("a budget is needed, and one alone: --evaluations 10, or --seconds 2")
    if args.n < 1:
        raise UsageError(f"-n {args.n}: at least 1 sample is needed")
    for word in args.words:
        if how.group_of(word) == "sampler":
            raise UsageError(f"{word!r}: the sampler is what is chosen; words of guidance alone can be given")

    from .. import checkpoint, rng
    from ..autopilot import autopilot
    from ..conditioning import values

    folder = runs.find(args.run)
    denoiser = checkpoint.load(folder, device=how.device(args.device))
    modality = how.need_modality(denoiser, folder)
    guided, _ = how.build(denoiser, how.recipe_under(folder, args, args.words, denoiser.conditions))
    asked, n = conditions(denoiser.conditions, args.cond, args.n)
    size = None if args.size is None else args.size[0] if len(args.size) == 1 else tuple(args.size)
    cond = values.conditions(denoiser.conditions, asked, n)
    encoded = modality.blank(n, cond, rng.generator(args.seed, "blank"), size).to(how.device(args.device))
    choice = autopilot(guided, encoded, args.evaluations, args.seconds, seed=args.seed)
    print(choice)
    part = recipe_of(choice.sampler)
    text = f"# {choice.why}\n{_yaml({'sampler': part})}"
    checkpoint.write_aside(folder / TUNED, lambda path: path.write_text(text, encoding="utf-8"))
    print(f"\nwritten to {folder / TUNED}; `ornstein sample {args.run} --tuned` takes it")
    return 0


def recipe_of(sampler: Any) -> dict[str, Any]:
    """A sampler as the part of a recipe that builds it."""
    from .names import to_names

    return to_names({"sampler": _tree(sampler)})["sampler"]


def _tree(value: Any) -> Any:
    """An object by its class and the arguments that are not defaults."""
    if isinstance(value, list | tuple):
        return [_tree(v) for v in value]
    if not is_dataclass(value):
        return value
    cls = type(value)
    args = {f.name: getattr(value, f.name) for f in fields(value)}
    defaults = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(value)}
    given = {name: _tree(x) for name, x in args.items() if name == "steps" or x != defaults[name]}
    return {"class_path": _path(cls), "init_args": given}


def _path(cls: type) -> str:
    """The class path by which the registry knows a class, or its own."""
    from ..registry import TABLE, class_of

    groups = ("sampler", "grid", "move", "tokens")
    known = (e.path for group in groups for name, e in TABLE[group].items() if class_of(group, name) is cls)
    return next(known, f"{cls.__module__}.{cls.__qualname__}")


def _yaml(tree: Any) -> str:
    import yaml

    return yaml.safe_dump(tree, sort_keys=False)
