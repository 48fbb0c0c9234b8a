"""`ornstein check MODALITY`: the conformance kit, for anybody's modality."""

from __future__ import annotations

import argparse
import os
import sys

from ..registry import modality_class
from .names import load_class


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `check`."""
    parser.add_argument("modality", help="a registered name, or the class path of one that is being written")


def run(args: argparse.Namespace) -> int:
    """Ask for every rule and say what each found; 1 where a rule is broken."""
    word = args.modality
    if "." in word:
        sys.path.insert(0, os.getcwd())  # one that is being written stands in the current folder
    cls = load_class(word, "check") if "." in word else modality_class(word)

    from ..conformance import results

    counts: dict[str, int] = {}
    for result in results(cls):
        counts[result.status] = counts.get(result.status, 0) + 1
        print(f"{result.status:<9}{result.name:<44}{result.message}".rstrip(), flush=True)
    print(f"\n{word}: {', '.join(f'{count} {status}' for status, count in counts.items())}")
    return 1 if "failed" in counts else 0
