"""`ornstein verify GROUP NAME`: the exact tests of a schedule, parametrisation, sampler or guidance, built in or one's own."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from inspect import signature
from typing import Any

from .words import choose

GROUPS = ("schedule", "parametrization", "sampler", "guidance")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `verify`."""
    parser.add_argument("group", help=", ".join(GROUPS))
    parser.add_argument("name", help="a registered name, or the class path of one that is being written")


def run(args: argparse.Namespace) -> int:
    """Run the exact tests and say what each found; 1 where one failed."""
    group = args.group if args.group in GROUPS else args.group.removesuffix("s")
    if group not in GROUPS:
        raise LookupError(choose("group", args.group, GROUPS))
    if "." in args.name:
        sys.path.insert(0, os.getcwd())  # one that is being written stands in the current folder

    from ..verification import verify

    report = verify(_subject(group, args.name))
    print(report)
    return 0 if report.passed else 1


def _subject(group: str, name: str) -> Any:
    """What is verified: the class of guidance, else an object.

    Raises:
        LookupError: an unknown name, or a class of another kind.
        ValueError: a class that needs arguments.
    """
    from ..registry import TABLE
    from . import compose, providers
    from .names import check_keys, class_path, load_class

    file = providers.parts().get(group, {}).get(name)
    if file is not None and name not in TABLE[group]:
        made_of = compose.read_yaml(file)["name"]
        raise LookupError(f"{name} is {made_of} with arguments of its own ({file.name}); verify {group} {made_of}")
    path = class_path(group, name, group)
    check_keys({"class_path": path}, (group,))
    cls, entry = load_class(path, group), TABLE[group].get(name)
    options = {} if entry is None else dict(entry.options)
    if group == "guidance":
        return partial(cls, **options) if options else cls
    parameters = signature(cls).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if needed:
        raise ValueError(
            f"{name} needs {', '.join(needed)}; give its arguments defaults, or verify an object of it in Python: "
            "ornstein.core.verify"
        )
    return cls(**options)
