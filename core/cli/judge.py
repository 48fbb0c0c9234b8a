"""`ornstein validate RUN` and `ornstein test RUN`: the held-out loss of a run."""

from __future__ import annotations

import argparse
import sys

from . import compose, runs, trust
from .words import UsageError, split, take_flag


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `--help` and completion know of `validate` and `test`."""
    parser.epilog = (
        "`--ckpt_path FILE` takes another checkpoint than the last; the trainer's flags stand after the words."
    )
    parser.add_argument("run", metavar="RUN", help="a run folder, as runs/MODALITY/latest")
    parser.add_argument(
        "words", nargs="*", metavar="key=value", help="words that change its recipe: data.root=PATH trainer=cpu"
    )


def run_words(command: str, argv: list[str], parser: argparse.ArgumentParser) -> int:
    """Print the loss of the averaged weights on the validation or test part."""
    if not argv or {"-h", "--help"} & set(argv):
        parser.print_help(sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    words, flags = split(argv)
    if not words or "=" in words[0]:
        raise UsageError(f"name a run first, as in `ornstein {command} runs/MODALITY/latest`")
    checkpoint, flags = take_flag(flags, "--ckpt_path")
    folder = runs.find(words[0])
    recipe = compose.compose(runs.config(folder), words[1:])
    trust.check(recipe, words[1:])

    from . import bridge

    tool = bridge.Tool(recipe, flags, resumed=True)
    tool.build()
    tool.equip(None)
    judged = getattr(tool.trainer, command)
    last = checkpoint or folder / runs.LAST
    tool.datamodule.resume(last)
    losses = judged(tool.model, tool.datamodule, ckpt_path=last, weights_only=True, verbose=False)
    if not losses:
        raise ValueError(f"{folder}: there is nothing to {command} with, that part of its data is empty")
    if runs.is_first():
        print(last)
        for name, value in losses[0].items():
            if name != "step":  # of the trainer, which has trained nothing here
                print(f"  {name:<24}{value:.5f}")
    return 0
