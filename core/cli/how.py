"""How samples are made: the sampler, the guidance and the device, as `sample` and `evaluate` are asked for them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .asked import negative
from .words import UsageError

if TYPE_CHECKING:
    from ..conditioning.spec import ConditionSpec
    from ..denoiser import Denoiser, NeuralDenoiser
    from ..modality import Modality
    from ..samplers import Sampler

DEFAULT_SAMPLER = {"name": "dpmpp_2m"}  # where a folder holds a model and no recipe


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how samples are made, shared with `evaluate`."""
    add = guiding(parser).add_argument
    add("--sampler", metavar="NAME", help="as `ornstein list sampler` names it (the recipe's)")
    add("--steps", type=int, help="steps of the sampler")
    add("--tuned", action="store_true", help="the sampler that `ornstein tune` chose for this run")
    add("--precision", choices=("float32", "bf16", "float64"), default="float32", help="(float32)")


def guiding(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options that say what is asked, and where it is computed: shared with `tune`."""
    group = parser.add_argument_group("how")
    add = group.add_argument
    add("--guidance", type=float, metavar="SCALE", help="scale of classifier-free guidance; 1: the conditional model")
    add("--interval", type=float, nargs=2, metavar=("LOW", "HIGH"), help="guide between these times only, in [0, 1]")
    add("--negative", action="append", default=[], metavar="NAME=VALUE", help="guide away from this condition")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    return group


def loaded(folder: Path, on: str, words: Sequence[str]) -> tuple[NeuralDenoiser, dict[str, Any], list[str]]:
    """The model of a run with the options of its modality that words change, these options, and the other words.

    Raises:
        UsageError: a word of the modality that is not of the form modality.KEY=VALUE.
        ValueError: an option that cannot change, or a value of the wrong type.
    """
    from .. import checkpoint
    from ..modality import Modality
    from . import compose, objects

    own = [word for word in words if group_of(word) == "modality"]
    others = [word for word in words if word not in own]
    for word in own:
        if not re.match(r"\+{0,2}modality\.\w+=", word):
            raise UsageError(f"{word!r}: words that change the modality read modality.KEY=VALUE")
    options = compose.apply({"modality": {}}, [f"++{word.lstrip('+')}" for word in own])["modality"]
    denoiser = checkpoint.load(folder, device(on))
    if options and denoiser.modality is not None:
        cls = type(denoiser.modality)
        if set(options) <= set(cls.later):  # what else is refused by `load`
            trained = checkpoint.describe(denoiser.modality)["args"]
            tree = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": trained | options}
            objects.build(Modality, "modality", tree)
        denoiser = checkpoint.load(folder, device(on), options)
    return denoiser, options, others


def group_of(word: str) -> str:
    """`sampler` of `+sampler.steps=5`."""
    return word.lstrip("+~").partition("=")[0].partition(".")[0]


def recipe_under(
    folder: Path, args: argparse.Namespace, words: Sequence[str], specs: Sequence[ConditionSpec]
) -> dict[str, Any]:
    """The recipe's sampler and guidance under the words and options of the command line."""
    from . import compose, runs, trust

    for word in words:
        if group_of(word) not in ("sampler", "guidance"):
            raise UsageError(f"{word!r} cannot change here: the model is trained already; sampler and guidance can")
    words = [*([f"sampler={args.sampler}"] if args.sampler else []), *words]
    words += [f"sampler.steps={args.steps}"] if args.steps is not None else []
    config = folder / runs.CONFIG
    trained = compose.compose(config) if config.is_file() else {}
    _warn_of_task(args.task, trained)
    sampler = _tuned(folder, args) if args.tuned else trained.get("sampler") or DEFAULT_SAMPLER
    parts = {"sampler": sampler, "guidance": trained.get("guidance")}
    recipe = compose.apply(parts, words)
    trust.check(recipe, words)
    return {"sampler": recipe["sampler"], "guidance": _guidance(recipe["guidance"], args, specs)}


def _tuned(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The sampler that was chosen for this run.

    Raises:
        UsageError: another is asked for too, or none was chosen.
    """
    from . import compose, tune

    if args.sampler is not None or args.steps is not None:
        raise UsageError("--tuned brings its sampler and its steps: leave out --sampler and --steps")
    path = folder / tune.TUNED
    if not path.is_file():
        raise UsageError(f"{folder} has no {tune.TUNED}: `ornstein tune {folder} --evaluations 10` writes it")
    return compose.read_yaml(path)["sampler"]


def _warn_of_task(task: str | None, trained: dict[str, Any]) -> None:
    """Say so where a network is asked for a task that it never met."""
    tasks = trained.get("tasks") or {"unconditional": 1.0}
    if trained and task and not tasks.get(task):
        met = ", ".join(name for name, share in tasks.items() if share)
        print(f"note: this run was not trained on {task} (its tasks: {met}); expect little of it", file=sys.stderr)


def _guidance(
    part: dict[str, Any] | None, args: argparse.Namespace, specs: Sequence[ConditionSpec]
) -> dict[str, Any] | None:
    """The guidance of the recipe with the options laid over it; None where none is asked for."""
    over: dict[str, Any] = {}
    if args.guidance is not None:
        over["scale"] = args.guidance
    if args.interval is not None:
        over["interval"] = args.interval
    if args.negative:
        over["negative"] = negative(specs, args.negative)
    if not over:
        return part
    return {"name": "cfg", **(part or {}), **over}


def build(denoiser: Denoiser, recipe: dict[str, Any]) -> tuple[Denoiser, Sampler]:
    """The guided denoiser and the sampler; a run that `guidance.weak` names is loaded to where the denoiser is."""
    from .. import checkpoint
    from ..samplers import Sampler
    from . import objects, runs
    from .names import check_keys, load_class, to_classes

    sampler = objects.build(Sampler, "sampler", recipe["sampler"])
    if recipe["guidance"] is None:
        return denoiser, sampler
    tree = to_classes(recipe["guidance"], ("guidance",))
    check_keys(tree, ("guidance",))
    options = dict(tree["init_args"])
    if options.get("weak") is not None:
        options["weak"] = checkpoint.load(runs.find(options["weak"]), next(denoiser.parameters()).device)
    return load_class(tree["class_path"], "guidance")(denoiser, **options), sampler


def device(name: str) -> str:
    """The device of a name; `auto` takes a GPU where there is one.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    import torch

    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ValueError("--device cuda: no CUDA device is visible; leave the option out to use the CPU")
    return "cuda" if found and name != "cpu" else "cpu"


def need_modality(denoiser: Denoiser, folder: Path) -> Modality:
    """The modality that decodes and writes; refused where the checkpoint holds none."""
    if denoiser.modality is None:
        raise ValueError(
            f"{folder} holds a denoiser without a modality: it can be sampled from Python, not written as files"
        )
    return denoiser.modality
