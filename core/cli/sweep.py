"""`ornstein sweep`: one recipe over lists of values, by Hydra's multirun; every job is a `fit` of its own."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import compose, providers, runs
from .words import UsageError, split, take

_EPILOG = """Values with commas make the jobs: every combination is one. Flags go to every job.

  ornstein sweep MODALITY/RECIPE optimizer.lr=1e-4,3e-4,1e-3 seed=0,1,2 --trainer.max_steps 2000
  ornstein sweep MODALITY/RECIPE objective=simple,logit_normal hydra/launcher=joblib    (with hydra-joblib-launcher installed)

Steps, order or guidance of a sampler need no training: ornstein evaluate RUN --steps 5, then 10, then 20.
Jobs run one after another, each in its own process and run folder under runs/<modality>/<recipe>-sweep-<date-time>/.
"""
_SHOWN = ("train/loss", "val/loss")
_RESULT = "job.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `--help` and completion know of `sweep`."""
    parser.epilog = _EPILOG
    parser.add_argument("recipe", metavar="RECIPE", help="as for `fit`")
    parser.add_argument("words", nargs="+", metavar="key=value,value", help="words as for `fit`, with several values")


def run_words(command: str, argv: list[str], parser: argparse.ArgumentParser) -> int:
    """Run every job and print what came out; 1 where a job failed."""
    if not argv or {"-h", "--help"} & set(argv):
        parser.print_help(sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    words, flags = split(argv)
    place, words = take(words, "runs")
    if len(words) < 2 or "=" in words[0]:
        raise UsageError("name a recipe and values, as in `ornstein sweep MODALITY/RECIPE seed=0,1,2`")
    recipe = providers.recipe(words[0])
    tree = compose.load(recipe.path)
    with compose.stage({**tree, "sweep_flags": flags}, words[1:]) as (staged, overrides):
        _check_first(staged, overrides)
        folder = runs.create(runs.root(place), tree["modality"]["name"], f"{recipe.path.stem}-sweep").resolve()
        _multirun(staged, overrides, folder)
    return _summary(folder)


def _check_first(staged: Path, overrides: list[str]) -> None:
    """Parse the first job as `fit` will, so that no folder is made for what every job would refuse.

    Raises:
        UsageError: a word that cannot be read.
        ValueError, LookupError: an unknown key, a wrong value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from . import bridge

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        why = str(error).partition("\n")[0]
        raise UsageError(f"the words cannot be read: {why}; close their brackets and quotes") from error
    first = []
    for read in parsed:
        if read.is_sweep_override():
            first.append(f"{read.get_key_element()}={next(read.sweep_string_iterator())}")
        elif not read.is_hydra_override() or read.key_or_group == "hydra.searchpath":
            first.append(str(read.input_line))
    tree = compose.merged(staged, first)
    flags = tree.pop("sweep_flags")
    bridge.Tool(compose.resolve(tree), flags)


def job(config: Any) -> None:
    """One job: `fit` in a process of its own, in the folder that Hydra gives it.

    Raises:
        KeyboardInterrupt: Ctrl-C in the job ends the sweep.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    tree: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    flags, hydra = tree.pop("sweep_flags"), HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.yaml"
    OmegaConf.save(OmegaConf.create(tree), recipe)
    words = [w.lstrip("+") for w in hydra.overrides.task]
    print(f"\njob {hydra.job.num}: {' '.join(words)}", flush=True)
    line = [sys.executable, "-m", "ornstein.core.cli.main", "fit", str(recipe), *flags]
    code = subprocess.run(line, env={**os.environ, "ORNSTEIN_RUN": str(folder)}, check=False).returncode
    folder.mkdir(parents=True, exist_ok=True)  # a job that trained nothing took its folder with it
    (folder / _RESULT).write_text(json.dumps({"words": words, "code": code}), encoding="utf-8")
    if code == 130:
        raise KeyboardInterrupt


def _multirun(staged: Path, overrides: list[str], folder: Path) -> None:
    """Hydra's own main, which reads the command line."""
    import hydra

    logs = ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null"]
    paths = [f"hydra.sweep.dir='{folder}'", "hydra.sweep.subdir=${hydra.job.num}"]
    before, sys.argv = sys.argv, ["ornstein", "--multirun", *overrides, *paths, *logs]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, not to the terminal
    try:
        hydra.main(version_base="1.3", config_path=str(staged), config_name="recipe")(job)()
    finally:
        sys.argv = before


def _summary(folder: Path) -> int:
    """A table of the jobs with their last losses."""
    from rich.console import Console
    from rich.table import Table

    jobs = sorted(folder.glob(f"[0-9]*/{_RESULT}"), key=lambda p: int(p.parent.name))
    results = [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in jobs]
    varied = _varied([result["words"] for _, result in results])
    table = Table(title=str(folder), title_justify="left")
    for column in ("job", *varied, *_SHOWN):
        table.add_column(column)
    for run, result in results:
        last = last_metrics(run) if not result["code"] else {}
        values = dict(word.partition("=")[::2] for word in result["words"])
        shown = [last.get(name, "failed" if result["code"] else "-") for name in _SHOWN]
        table.add_row(run.name, *(values[key] for key in varied), *shown)
    Console().print(table)
    return int(not results or any(result["code"] for _, result in results))


def _varied(jobs: list[list[str]]) -> list[str]:
    """Keys whose values differ between jobs."""
    keys = [word.partition("=")[0] for word in (jobs[0] if jobs else [])]
    return [key for i, key in enumerate(keys) if len({words[i] for words in jobs}) > 1]


def last_metrics(run: Path) -> dict[str, str]:
    """The last value of each column of a run's metrics.csv."""
    path = run / "metrics.csv"
    last: dict[str, str] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                last |= {key: value for key, value in row.items() if value}
    return last
