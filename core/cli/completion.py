"""`ornstein completion SHELL`: a script that completes commands, options, recipes, words and folders."""

from __future__ import annotations

import argparse
from typing import Any

from . import providers

SHELLS = ("bash", "zsh", "tcsh")
_FOLDERS = {"run", "out"}
_FILES = {"given", "mask"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `completion`."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from .main import build

    parser = build()
    _prepare(parser, shtab)
    print(shtab.complete(parser, shell=args.shell))
    return 0


def _prepare(parser: argparse.ArgumentParser, shtab: Any) -> None:
    """Give each argument what completes it; only the script sees these choices, no command line is checked by them."""
    choices = {
        "recipe": list(providers.recipes()),
        "words": [f"{group}={name}" for group, names in providers.parts().items() for name in names],
    }
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _prepare(sub, shtab)
        elif action.dest in choices:
            action.choices = choices[action.dest]
        elif action.dest in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
