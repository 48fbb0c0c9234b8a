"""`ornstein check MODALITY`: the conformance kit, for anybody's modality."""

from __future__ import annotations

import argparse

from ..registry import modality_class
from .names import load_class


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `check`."""
    parser.add_argument("modality", help="a registered name, or the class path of one that is being written")


def run(args: argparse.Namespace) -> int:
    """Run every rule and print the table; 1 where a rule is broken."""
    word = args.modality
    cls = load_class(word, "check") if "." in word else modality_class(word)

    from ..conformance import check_modality

    results = check_modality(cls())
    width = max(len(r.name) for r in results) + 2
    for result in results:
        print(f"{result.status:<8}{result.name:<{width}}{result.message}".rstrip())
    broken = sum(r.status == "failed" for r in results)
    print(f"\n{args.modality}: {len(results) - broken} of {len(results)} rules hold")
    return 1 if broken else 0
