"""`ornstein evaluate RUN`: the table ours | real against real | floor, on the run's own data or on data that moved."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import how
from .words import UsageError, choose

if TYPE_CHECKING:
    from ..denoiser import Denoiser
    from ..modality import Item, Modality
    from ..training.data import OrnsteinDataModule

_MOST = 1000
_OF_TRAINING = ("trainer", "run", "optimizer", "ema", "sampler", "guidance")  # of a recipe; the data do not need it


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder, as runs/MODALITY/latest")
    add(
        "words",
        nargs="*",
        default=[],
        metavar="key=value",
        help="words that change its recipe: data.root=PATH sampler.steps=50",
    )
    add("-n", type=int, help=f"samples (as many as held-out items, at most {_MOST:,})")
    add("--task", default="unconditional", metavar="NAME", help="a task of the modality, posed on held-out items")
    add("--seed", type=int, default=0, help="of samples, poses and every choice of the report (0)")
    add("--batch-size", type=int, default=64, help="samples made at a time; changes nothing else (64)")
    how.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Sample, measure, print the table, and write report.json and report.html: in RUN/evaluation, or RUN/evaluation/TASK."""
    from rich.console import Console

    from .. import checkpoint
    from ..evaluation import evaluate
    from ..sampling import sample
    from . import runs

    folder = runs.find(args.run)
    device = how.device(args.device)
    denoiser = checkpoint.load(folder, device=device)
    modality = how.need_modality(denoiser, folder)
    data_words, how_words = sorted_words(args.words)
    guided, sampler = how.build(denoiser, how.recipe_under(folder, args, how_words, denoiser.conditions))
    data = data_of(folder, data_words, modality)
    train, held_out = data.read("train"), data.read("test")
    n = min(_MOST, len(held_out)) if args.n is None else args.n
    if args.task == "unconditional":
        asked, cond, posed = _classes(denoiser, train, n, args.seed)
    else:
        asked, cond, posed = _posed(denoiser, modality, held_out, n, args.task, args.seed)
    common = {"seed": args.seed, "batch_size": args.batch_size, "precision": args.precision, "progress": True}
    samples = sample(guided, sampler, **asked, **common)
    report = evaluate(modality, samples, cond, train, held_out, task=args.task, seed=args.seed, device=device, **posed)
    Console().print(report.table())
    out = folder / "evaluation" / ("" if args.task == "unconditional" else args.task)
    with runs.named_in_errors(out):
        print(*report.write(out), sep="\n")
    return 0


def sorted_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words of the data, and words of how samples are made."""
    data: list[str] = []
    others: list[str] = []
    for word in words:
        group = word.lstrip("+~").partition("=")[0].partition(".")[0]
        if group not in ("data", "sampler", "guidance"):
            raise UsageError(
                f"{word!r}: the words of `evaluate` change data, sampler or guidance; the model is trained already"
            )
        (data if group == "data" else others).append(word)
    return data, others


def data_of(folder: Path, words: Sequence[str], modality: Modality) -> OrnsteinDataModule:
    """The run's data, read by the modality as it was trained."""
    from . import bridge, compose, runs, trust

    recipe = compose.compose(runs.config(folder), words)
    recipe = {key: value for key, value in recipe.items() if key not in _OF_TRAINING}
    trust.check(recipe, words)
    tool = bridge.Tool(recipe, [], resumed=True)
    options = {key: value for key, value in tool.config["data"].items() if key != "modality"}
    return bridge.OrnsteinDataModule(modality, **options)


# For `sample`; the conditions of each sample; what else for `evaluate`.
Asked = tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]


def _classes(denoiser: Denoiser, train: Sequence[Item], n: int, seed: int) -> Asked:
    """n samples with the conditions of training items in a seeded order, so that classes come in their proportion."""
    from ..rng import generator

    order = generator(seed, "evaluation", "conditions").permutation(len(train))
    cond = [_named(denoiser, train[int(order[i % len(train)])]) for i in range(n)]
    names = [spec.name for spec in denoiser.conditions]
    return {"n": n, "cond": {name: [row.get(name) for row in cond] for name in names}}, cond, {}


def _posed(denoiser: Denoiser, modality: Modality, held_out: Sequence[Item], n: int, task: str, seed: int) -> Asked:
    """One sample for each of n held-out items, posed by the task."""
    from ..rng import generator

    if task not in modality.tasks():
        raise LookupError(choose("task", task, modality.tasks()))
    order = generator(seed, "evaluation", "posed").permutation(len(held_out))[:n]
    pairs = [modality.tasks()[task].pose(held_out[i], generator(seed, "evaluation", "pose", int(i))) for i in order]
    given, known = [item for item, _ in pairs], [bits for _, bits in pairs]
    posed = {"given": given, "known": known}
    return {"n": 1, "task": task, **posed}, [_named(denoiser, item) for item in given], posed


def _named(denoiser: Denoiser, item: Item) -> dict[str, Any]:
    """An item's conditions; a label that reads as a class name is the name, never a number."""
    names = {spec.name: spec.names for spec in denoiser.conditions}
    return {k: str(v) if str(v) in names[k] else v for k, v in item.cond.items() if k in names}
