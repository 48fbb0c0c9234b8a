"""`ornstein evaluate RUN`: the table ours | real against real | floor, or that of a paper, on the run's data or on moved ones."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import how, protocols
from .words import UsageError, choose

if TYPE_CHECKING:
    from ..denoiser import Denoiser
    from ..evaluation import Report
    from ..modality import Item, Modality, Sample
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
        help="words that change its recipe, or a protocol: data.root=PATH sampler.steps=50 protocol.KEY=VALUE, and what its "
        "modality takes anew",
    )
    add("-n", type=int, help=f"samples, or held-out items to pose (as many as held-out items, at most {_MOST:,})")
    add("--task", metavar="NAME", help="a task of the modality, posed on held-out items (unconditional)")
    add(
        "--part",
        choices=("test", "validation"),
        help="the held-out part that is judged against and posed (test); validation: where it was not used for choosing",
    )
    add("--members", type=int, metavar="M", help="samples for each posed item, judged as an ensemble (1)")
    add("--seed", type=int, default=0, help="of samples, poses and every choice of the report (0)")
    add("--batch-size", type=int, default=64, help="samples made at a time; changes nothing else (64)")
    how.arguments(parser)
    group = parser.add_argument_group("the table of a paper, in place of the report")
    group.add_argument("--protocol", metavar="NAME", help="one of the modality's; a wrong name lists them")
    group.add_argument("--repeats", type=int, help="evaluations of each score (the protocol's)")
    parser.epilog = protocols.EPILOG


def run(args: argparse.Namespace) -> int:
    """Sample, measure, print the table and write it: report.json and report.html, or the JSON of a protocol."""
    from ..evaluation import Subject
    from ..sampling import sample
    from . import runs

    folder = runs.find(args.run)
    words = sorted_words(args.words)
    _check(args, words)
    denoiser, anew, _ = how.loaded(folder, args.device, words.modality)
    modality = how.need_modality(denoiser, folder)
    protocol = None if args.protocol is None else protocols.chosen(modality, args, words.protocol)
    args.task = (args.task if protocol is None else protocol.settings().get("task")) or "unconditional"
    recipe = how.recipe_under(folder, args, words.how, denoiser.conditions)
    guided, sampler = how.build(denoiser, recipe)
    made = {"seed": args.seed, "precision": args.precision}
    changed = {f"modality.{name}": value for name, value in anew.items()}
    draw = partial(sample, guided, sampler, **made, batch_size=args.batch_size, progress=True)
    data = data_of(folder, words.data, modality)
    out = folder / "evaluation"

    def drawn(n: int = 1, **asked: Any) -> list[Sample]:
        if not {"given", "cond"} & set(asked):
            asked |= _classes(denoiser, data.read("train"), n, args.seed)[0]
        return draw(**{**asked, "n": n})

    with runs.named_in_errors(out):
        if protocol is not None:
            subject = Subject(modality, drawn, data.read)
            files = [protocols.table(args.protocol, protocol, subject, out, made | recipe | changed)]
        else:
            report = _report(denoiser, modality, data, draw, args)
            report.facts["part"] = part = args.part or "test"
            report.facts |= changed
            out = out if args.task == "unconditional" else out / args.task
            files = report.write(out if part == "test" else out / part)
    print(*files, sep="\n")
    return 0


def _report(
    denoiser: Denoiser,
    modality: Modality,
    data: OrnsteinDataModule,
    draw: Callable[..., list[Sample]],
    args: argparse.Namespace,
) -> Report:
    """Sample, measure what the modality declares, and print it."""
    from rich.console import Console

    from ..evaluation import evaluate
    from ..evaluation.kept import FEATURES

    train, held_out = data.read("train"), data.read(args.part or "test")
    n = min(_MOST, len(held_out)) if args.n is None else args.n
    if args.task == "unconditional":
        asked, cond, posed = _classes(denoiser, train, n, args.seed)
    else:
        asked, cond, posed = _posed(denoiser, modality, held_out, n, args.task, args.seed, args.members or 1)
    modality.metrics(args.task)  # what cannot be measured is refused before anything is sampled
    samples, device = draw(**asked), how.device(args.device)
    how_to = {"task": args.task, "seed": args.seed, "device": device, "cache": FEATURES}
    report = evaluate(modality, samples, cond, train, held_out, **how_to, **posed)
    Console().print(report.table())
    return report


@dataclass(frozen=True)
class Words:
    """Words of the command line: of the data, of how samples are made, of the protocol, and of what judges."""

    data: list[str]
    how: list[str]
    protocol: list[str]
    modality: list[str]


def sorted_words(words: Sequence[str]) -> Words:
    """The words by what they change.

    Raises:
        UsageError: a word of anything else.
    """
    found = Words([], [], [], [])
    lists = {"data": found.data, "sampler": found.how, "guidance": found.how, "protocol": found.protocol}
    lists["modality"] = found.modality
    for word in words:
        if how.group_of(word) not in lists:
            raise UsageError(
                f"{word!r}: the words of `evaluate` change data, sampler, guidance, modality or protocol; the model is trained "
                "already"
            )
        lists[how.group_of(word)].append(word)
    return found


def _check(args: argparse.Namespace, words: Words) -> None:
    """Refuse counts below 1, and what a report has no use for.

    Raises:
        UsageError: with the option or word.
    """
    for option, value in (("-n", args.n), ("--members", args.members), ("--repeats", args.repeats)):
        if value is not None and value < 1:
            raise UsageError(f"{option} {value}: at least 1 is needed")
    if args.protocol is not None:
        if args.part is not None:
            raise UsageError(f"--part {args.part}: a report takes it; where a protocol has a part, it is protocol.part")
        return
    if args.repeats is not None:
        raise UsageError("--repeats: a report measures once, with its spread; it is a --protocol that repeats")
    if words.protocol:
        raise UsageError(f"{words.protocol[0]}: name the protocol, as in --protocol NAME")
    if args.members is not None and args.task in (None, "unconditional"):
        raise UsageError("--members: ensembles are of given items; name the --task that gives something")


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


def _posed(
    denoiser: Denoiser,
    modality: Modality,
    held_out: Sequence[Item],
    n: int,
    task: str,
    seed: int,
    members: int = 1,
) -> Asked:
    """So many samples for each of n held-out items, posed by the task."""
    from ..rng import generator

    if task not in modality.tasks():
        raise LookupError(choose("task", task, modality.tasks()))
    order = generator(seed, "evaluation", "posed").permutation(len(held_out))[:n]
    pairs = [modality.tasks()[task].pose(held_out[i], generator(seed, "evaluation", "pose", int(i))) for i in order]
    given, known = [item for item, _ in pairs], [bits for _, bits in pairs]
    asked: dict[str, Any] = {"n": members, "task": task, "given": given, "known": known}
    each = [i for i in range(len(pairs)) for _ in range(members)]  # samples come item by item
    posed: dict[str, Any] = {"given": [given[i] for i in each], "known": [known[i] for i in each]}
    return asked, [_named(denoiser, item) for item in posed["given"]], posed


def _named(denoiser: Denoiser, item: Item) -> dict[str, Any]:
    """An item's conditions; a label that reads as a class name is the name, never a number."""
    names = {spec.name: spec.names for spec in denoiser.conditions}
    return {k: str(v) if str(v) in names[k] else v for k, v in item.cond.items() if k in names}
