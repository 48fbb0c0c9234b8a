"""`ornstein fit`: train a recipe in a run folder of its own, or go on with one."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import compose, providers, runs
from .words import UsageError, split, take, take_flag

if TYPE_CHECKING:
    from .bridge import Tool

_EPILOG = """words
  key=value     any key of the recipe: data.batch_size=32  optimizer.lr=1e-3  modality.patch=4
  group=name    another option of a group, as `ornstein list GROUP` names it: sampler=ddim  trainer=cpu
  process.FIELD=name   another process of a field: process.pixels=edm
  init=RUN      start from the weights of a run
  runs=DIR      where run folders go (ORNSTEIN_RUNS, else `runs`)

flags, after the words
  --print_config          print the composed recipe, which `--config` or its path runs again, and stop
  --config FILE           a flat recipe: on its own, or laid over the named one, below the words
  --ckpt_path last|FILE   go on with the newest run of the recipe, or with the run of a checkpoint, in its own folder
  --trainer.max_steps 100 and every other flag of Lightning's trainer; `ornstein fit RECIPE --help` lists them

examples
  ornstein fit MODALITY/RECIPE
  ornstein fit MODALITY/RECIPE data.root=mine init=runs/MODALITY/latest --trainer.max_steps 20000
  ornstein fit my/recipe.yaml data.batch_size=32 trainer=ddp
  ornstein fit MODALITY/RECIPE --ckpt_path last
"""
_OF_THE_RUN = ("--model", "--modality", "--run", "--seed_everything")  # flags that no resumed run takes
_HELD = ("model.safetensors", "model.yaml", "config.yaml", "checkpoints", "metrics.csv", "tensorboard", "pictures")


@dataclass(frozen=True)
class Plan:
    """What one command line asks for.

    Args:
        recipe: the flat recipe under the words.
        name: of the recipe, without its modality.
        flags: left for Lightning.
        root: where run folders go.
        folder: of the run that goes on; None for a new one.
        checkpoint: to go on from.
    """

    recipe: compose.Flat
    name: str
    flags: list[str]
    root: Path
    folder: Path | None = None
    checkpoint: Path | None = None


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `--help` and completion know of `fit`; the line itself is read by `plan`."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="its name, a modality (its default), or your own YAML file",
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="words that change the recipe")


def run_words(command: str, argv: list[str], parser: argparse.ArgumentParser) -> int:
    """Train."""
    if not argv or argv[0] in ("-h", "--help"):
        parser.print_help(sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    asked = plan(argv)
    flags = [f for f in asked.flags if f != "--print_config"]
    if flags != asked.flags:
        from . import bridge

        print(bridge.dump(bridge.Tool(asked.recipe, flags).flat()), end="")
    else:
        train(asked)
    return 0


def plan(argv: list[str]) -> Plan:
    """Read the command line of `fit`.

    Raises:
        UsageError, LookupError, ValueError: what cannot be read, with what to do.
    """
    words, flags = split(argv)
    overlay, flags = take_flag(flags, "--config")
    checkpoint, flags = take_flag(flags, "--ckpt_path")
    place, words = take(words, "runs")
    root = runs.root(place)
    named = words[0] if words and "=" not in words[0] else None
    words = words[1:] if named else words
    if named is None and overlay is None:
        raise UsageError(
            "name a recipe first, as in `ornstein fit MODALITY/RECIPE`; `ornstein list recipes` shows them"
        )
    path, name, folder = _recipe(named or str(overlay))
    over = Path(overlay) if named and overlay else None
    if checkpoint is None:
        recipe = compose.compose(path, words, over)
        if recipe.get("init"):  # its folder now: `latest` moves
            recipe["init"] = str(runs.weights(str(recipe["init"])))
        guidance = recipe.get("guidance")
        if isinstance(guidance, dict) and guidance.get("weak"):
            raise UsageError("guidance.weak guides a trained model: leave it to `sample`, `evaluate` and `tune`")
        return Plan(recipe, name, flags, root)
    if over is not None:
        raise UsageError("a run goes on with its own recipe: leave out --config")
    return _resumed(path, name, folder, checkpoint, words, flags, root)


def _recipe(word: str) -> tuple[Path, str, Path | None]:
    """File and name of a recipe, and its run folder where a run is named."""
    if Path(word).suffix not in (".yaml", ".yml") and (Path(word).is_dir() or Path(word).name == "latest"):
        folder = runs.find(word)
        return folder / runs.CONFIG, runs.recipe_of(folder), folder
    found = providers.recipe(word)
    return found.path, found.path.stem, None


def _resumed(
    path: Path, name: str, folder: Path | None, checkpoint: str, words: list[str], flags: list[str], root: Path
) -> Plan:
    """The plan of a run that goes on: its own recipe, in its own folder."""
    typed = [(w, w.lstrip("+~").partition("=")[0].partition(".")[0] in ("trainer", "data")) for w in words]
    typed += [(f, not f.startswith(_OF_THE_RUN)) for f in flags]
    for text, may_change in typed:
        if not may_change:
            raise UsageError(
                f"{text!r}: a run goes on with its own recipe; only trainer and data may change. "
                "To start a new run from its weights, say init=RUN instead of --ckpt_path"
            )
    if checkpoint != "last":
        file = Path(checkpoint).resolve()
        folder = file.parent.parent if (file.parent.parent / runs.CONFIG).is_file() else None
        if folder is None:
            raise FileNotFoundError(f"--ckpt_path {checkpoint}: no checkpoint in a run folder; or say last")
    else:
        folder = folder or runs.newest(root, compose.load(path)["modality"]["name"], name)
        file = folder / runs.LAST
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: the run {folder.name} saved no checkpoint to go on from")
    recipe = compose.compose(folder / runs.CONFIG, words)
    return Plan(recipe, runs.recipe_of(folder), flags, root, folder, file)


def train(asked: Plan) -> Path:
    """Build and train; the run folder is made once the recipe has proved whole.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the trainer has saved what it can.
    """
    from . import bridge

    tool = bridge.Tool(asked.recipe, asked.flags, resumed=asked.checkpoint is not None)
    tool.build()
    folder = asked.folder or runs.create(asked.root, tool.flat()["modality"]["name"], asked.name)
    runs.claim(folder)
    try:
        with runs.named_in_errors(folder):
            _fit(tool, folder, asked)
    except BaseException:
        if runs.is_first() and asked.folder is None and not tool.steps:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was trained: a bad path, a wrong size
        raise
    finally:
        runs.release()
    if runs.is_first():
        print(_farewell(folder))
    return folder


def _fit(tool: Tool, folder: Path, asked: Plan) -> None:
    if runs.is_first():
        runs.probe(folder)
        print(f"{'going on with' if asked.folder else 'run'} {_short(folder)}", flush=True)
    tool.equip(folder)
    tool.fit(asked.checkpoint)


def _short(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def _farewell(folder: Path) -> str:
    run = _short(folder)
    latest = _short(folder.parent / "latest")
    held = [f"{name}/" if (folder / name).is_dir() else name for name in _HELD if (folder / name).exists()]
    return (
        f"\n{run} holds {', '.join(held)}\n"
        f"next: ornstein sample {latest} -n 16 --out out\n"
        f"      ornstein evaluate {latest}\n"
        f"      tensorboard --logdir {run}"
    )
