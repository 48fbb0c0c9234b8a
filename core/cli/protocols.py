"""`ornstein evaluate RUN --protocol NAME`: the protocol under the options and words of the command line, and its table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import UsageError, choose

if TYPE_CHECKING:
    from ..evaluation import Protocol, Subject
    from ..modality import Modality

OPTIONS = {"n": "-n", "repeats": "--repeats", "members": "--members", "task": "--task"}  # setting -> its option
EPILOG = """A protocol has settings of its own, with defaults. -n, --repeats, --members and --task set those of these names,
a word protocol.KEY=VALUE sets any, as in protocol.season=24 or protocol.scores=[predictive]; what a protocol does
not have is refused, with what it has.

The report is written to RUN/evaluation or RUN/evaluation/TASK, of --part validation to a folder of that name in it; a
protocol to RUN/evaluation/NAME[-TASK].json.
"""


def chosen(modality: Modality, args: argparse.Namespace, words: Sequence[str]) -> Protocol:
    """The protocol of `--protocol` with its settings.

    Raises:
        LookupError: the modality has no such protocol, or the protocol no such setting.
        UsageError: an option for a setting that the protocol does not have, or a setting that is given twice.
        ValueError: a value that the protocol refuses.
    """
    from ..evaluation import Protocol
    from . import compose, objects

    protocols = modality.protocols()
    if args.protocol not in protocols:
        raise LookupError(choose("protocol", args.protocol, protocols))
    protocol = protocols[args.protocol]
    settings, given = protocol.settings(), compose.apply({"protocol": {}}, words)["protocol"]
    if not isinstance(given, dict):
        raise UsageError(f"{words[-1]}: --protocol names the protocol; words read protocol.KEY=VALUE")
    for name, option in OPTIONS.items():
        value = getattr(args, name)
        if value is None:
            continue
        if name not in settings:
            raise UsageError(f"{option}: protocol {args.protocol} has no such setting; it has {', '.join(settings)}")
        if name in given:
            raise UsageError(f"{option} and protocol.{name} are one setting: give one of them")
        given[name] = value
    cls = type(protocol)
    tree = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": {**settings, **given}}
    built: Protocol = objects.build(Protocol, "protocol", tree)
    return built


def table(name: str, protocol: Protocol, subject: Subject, folder: Path, made: Mapping[str, Any]) -> Path:
    """Make the table, print it, and write it under `made`, which says how the samples were made, seed included."""
    from rich.console import Console

    found = protocol.run(subject, made["seed"], partial(print, file=sys.stderr))
    Console().print(found.shown(f"{subject.modality.name}, {name}: {protocol.about}"))
    settings = protocol.settings()
    told = {"modality": subject.modality.name, "protocol": name, "about": protocol.about, "settings": settings}
    file = f"{name}-{settings['task']}.json" if "task" in settings else f"{name}.json"
    return found.write(folder / file, {**told, **made})
