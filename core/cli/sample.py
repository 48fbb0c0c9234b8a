"""`ornstein sample RUN`: new samples as native files, a picture, and a record of how they were made."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import UsageError, choose

if TYPE_CHECKING:
    from ..conditioning.spec import ConditionSpec
    from ..denoiser import Denoiser
    from ..modality import Item, Modality, Sample
    from ..samplers import Sampler

DEFAULT_SAMPLER = {"name": "dpmpp_2m"}  # where a folder holds a model and no recipe


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `sample`."""
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder, as runs/MODALITY/latest, or a folder that `ornstein export` wrote")
    add(
        "words",
        nargs="*",
        metavar="key=value",
        help="words of the recipe: sampler=ddim sampler.eta=0.5 guidance.scale=3",
    )
    add("-n", type=int, default=16, help="samples, for each value of --cond and each given item (16)")
    add(
        "--cond", action="append", default=[], metavar="NAME=VALUE", help="label=7, label=0,1,2 or label=all; n of each"
    )
    add("--seed", type=int, default=0, help="sample k depends on the seed and on k alone (0)")
    add("--out", type=Path, metavar="FOLDER", help="where files go (RUN/samples)")
    add("--size", type=int, nargs="+", help="size of new samples, in the modality's own unit (as in training)")
    add("--batch-size", type=int, default=64, help="samples made at a time; changes nothing else (64)")
    add_how(parser)
    task = parser.add_argument_group("something given")
    task.add_argument("--task", metavar="NAME", help="a task of the modality: inpaint, ...")
    task.add_argument("--given", type=Path, metavar="PATH", help="file, folder, zip or table of the given items")
    task.add_argument(
        "--mask", type=Path, metavar="FILE", help="which entries are known, instead of the task's own draw"
    )


def add_how(parser: argparse.ArgumentParser) -> None:
    """The options that say how samples are made, shared with `evaluate`."""
    group = parser.add_argument_group("how")
    add = group.add_argument
    add("--sampler", metavar="NAME", help="as `ornstein list sampler` names it (the recipe's)")
    add("--steps", type=int, help="steps of the sampler")
    add("--guidance", type=float, metavar="SCALE", help="scale of classifier-free guidance; 1: the conditional model")
    add("--interval", type=float, nargs=2, metavar=("LOW", "HIGH"), help="guide between these times only, in [0, 1]")
    add("--negative", action="append", default=[], metavar="NAME=VALUE", help="guide away from this condition")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    add("--precision", choices=("float32", "bf16", "float64"), default="float32", help="(float32)")


def run(args: argparse.Namespace) -> int:
    """Make the samples and write them."""
    from .. import checkpoint
    from ..sampling import sample
    from . import runs

    folder = runs.find(args.run)
    if args.n < 1:
        raise UsageError(f"-n {args.n}: at least 1 sample is needed")
    denoiser = checkpoint.load(folder, device=device(args.device))
    modality = need_modality(denoiser, folder)
    recipe = how(folder, args, args.words)
    guided, sampler = build_how(denoiser, recipe)
    given = read_given(modality, args.given, args.task)
    known = read_known(modality, args.mask, given)
    cond, n = conditions(denoiser.conditions, args.cond, args.n, len(given or [0]))
    samples = sample(
        guided,
        sampler,
        n,
        cond,
        args.seed,
        task=args.task or "unconditional",
        given=given,
        known=known,
        size=None if args.size is None else args.size[0] if len(args.size) == 1 else tuple(args.size),
        batch_size=args.batch_size,
        progress=True,
        precision=args.precision,
    )
    out = args.out or folder / "samples"
    files = write(modality, samples, out)
    asked = {
        "cond": args.cond,
        "n": args.n,
        "task": args.task,
        "given": args.given,
        "mask": args.mask,
        "size": args.size,
    }
    made = {"seed": args.seed, "precision": args.precision, **recipe, "table": sampler.plan(denoiser.processes)}
    record(out, {"run": folder, **asked, **made}, folder, files)
    print(f"{len(samples)} samples in {out}: {', '.join(f.name for f in files[:3])}{', ...' if len(files) > 3 else ''}")
    return 0


def how(folder: Path, args: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    """The recipe's sampler and guidance under the words and options of the command line."""
    from . import compose, runs, trust

    for word in words:
        if word.lstrip("+~").partition("=")[0].partition(".")[0] not in ("sampler", "guidance"):
            raise UsageError(f"{word!r}: only sampler and guidance can change here; the model is trained already")
    words = [*([f"sampler={args.sampler}"] if args.sampler else []), *words]
    words += [f"sampler.steps={args.steps}"] if args.steps is not None else []
    config = folder / runs.CONFIG
    trained = compose.compose(config) if config.is_file() else {}
    _warn_of_task(args.task, trained)
    parts = {"sampler": trained.get("sampler") or DEFAULT_SAMPLER, "guidance": trained.get("guidance")}
    recipe = compose.apply(parts, words)
    trust.check(recipe, words)
    return {"sampler": recipe["sampler"], "guidance": guidance(recipe["guidance"], args)}


def _warn_of_task(task: str | None, trained: dict[str, Any]) -> None:
    """Say so where a network is asked for a task that it never met."""
    tasks = trained.get("tasks") or {"unconditional": 1.0}
    if trained and task and not tasks.get(task):
        met = ", ".join(name for name, share in tasks.items() if share)
        print(f"note: this run was not trained on {task} (its tasks: {met}); expect little of it", file=sys.stderr)


def guidance(part: dict[str, Any] | None, args: argparse.Namespace) -> dict[str, Any] | None:
    """The guidance of the recipe with the options laid over it; None where none is asked for."""
    over: dict[str, Any] = {}
    if args.guidance is not None:
        over["scale"] = args.guidance
    if args.interval is not None:
        over["interval"] = args.interval
    if args.negative:
        over["negative"] = dict(pair(text, "--negative") for text in args.negative)
    if not over:
        return part
    return {"name": "cfg", **(part or {}), **over}


def build_how(denoiser: Denoiser, recipe: dict[str, Any]) -> tuple[Denoiser, Sampler]:
    """The guided denoiser and the sampler."""
    from ..samplers import Sampler
    from .names import check_keys, load_class, to_classes
    from .objects import build

    sampler = build(Sampler, "sampler", recipe["sampler"])
    if recipe["guidance"] is None:
        return denoiser, sampler
    tree = to_classes(recipe["guidance"], ("guidance",))
    check_keys(tree, ("guidance",))
    return load_class(tree["class_path"], "guidance")(denoiser, **tree["init_args"]), sampler


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


def pair(text: str, option: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise UsageError(f"{option} {text}: write NAME=VALUE, as in {option} label=7")
    return name, value


def conditions(
    specs: Sequence[ConditionSpec], asked: Sequence[str], n: int, items: int = 1
) -> tuple[dict[str, list[Any]] | None, int]:
    """Values of each condition for every sample, n for each combination in order (and all of them for each given item).

    Returns:
        the values by condition, and how many samples that makes for each given item.

    Raises:
        LookupError: a condition that the model was not trained with.
    """
    if not asked:
        return None, n
    by_name = {spec.name: spec for spec in specs}
    values: dict[str, list[Any]] = {}
    for text in asked:
        name, value = pair(text, "--cond")
        if name not in by_name:
            raise LookupError(choose("condition", name, by_name))
        values[name] = _values(by_name[name], value)
    combined = [row for row in itertools.product(*values.values()) for _ in range(n)]
    return {name: [row[i] for row in combined] * items for i, name in enumerate(values)}, len(combined)


def _values(spec: ConditionSpec, text: str) -> list[Any]:
    if spec.kind == "class":
        if text == "all":
            return list(spec.names) or list(range(spec.size))
        return list(text.split(","))
    if spec.kind == "text":
        return [text]  # a caption may hold commas
    if spec.kind in ("tokens", "dense"):
        raise UsageError(
            f"--cond {spec.name}={text}: a {spec.kind} condition is an array, which cannot be typed; give it from Python: "
            f"sample(denoiser, sampler, cond={{{spec.name!r}: array}})"
        )
    try:
        numbers = [float(v) for v in text.split(",")]
    except ValueError:
        raise UsageError(f"--cond {spec.name}={text}: numbers are needed for a {spec.kind} condition") from None
    return numbers if spec.kind == "scalar" else [numbers]


def read_given(modality: Modality, path: Path | None, task: str | None) -> list[Item] | None:
    """The given items.

    Raises:
        LookupError: a task that the modality does not have.
        UsageError: one of --task and --given without the other.
        BadItem: an item that cannot be read.
    """
    if (path is None) != (task is None):
        raise UsageError("--task and --given go together: what is to be done, and with which items")
    if path is None or task is None:
        return None
    if task not in modality.tasks():
        raise LookupError(choose("task", task, modality.tasks()))

    from ..sources import open_source, read_all

    items, bad = read_all(modality, open_source(path, modality.extensions, "none").rows(), 1.0)
    if bad:
        raise bad[0]
    return items


def read_known(modality: Modality, path: Path | None, given: Sequence[Item] | None) -> list[Any] | None:
    """The known entries of each given item, by the user's own file.

    Raises:
        UsageError: a mask without given items.
        BadItem: a mask that does not fit.
    """
    if path is None:
        return None
    if given is None:
        raise UsageError("--mask says which entries of --given are known: give both, and --task")

    from ..sources import file_at

    return [modality.read_known(file_at(path), item) for item in given]


def write(modality: Modality, samples: Sequence[Sample], out: Path) -> list[Path]:
    """Native files, and a picture where they do not bring one.

    Raises:
        OSError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = modality.write(samples, out)
    picture = out / "grid.png"
    if picture not in files and _draws(modality):
        _save_picture(modality.render(samples), picture)
        files = [*files, picture]
    return files


def _draws(modality: Modality) -> bool:
    from ..modality import Modality as Base

    return type(modality).render is not Base.render


def _save_picture(picture: Any, path: Path) -> None:
    if hasattr(picture, "savefig"):
        picture.savefig(path)
    else:
        from matplotlib.image import imsave

        imsave(path, picture, cmap="gray", vmin=0, vmax=255)  # colours are as they are; the scale is for (H, W)


def record(out: Path, facts: dict[str, Any], folder: Path, files: Sequence[Path]) -> None:
    """Write provenance.json: what was asked, how it was made, by which weights and versions."""
    import hashlib
    import platform
    from importlib.metadata import version

    from ..checkpoint import write_aside

    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    packages = {name: version(name) for name in ("ornstein", "torch", "numpy")}
    tree = {**facts, "model_sha256": weights, "versions": {**packages, "python": platform.python_version()}}
    tree["files"] = [str(f.relative_to(out)) if f.is_relative_to(out) else str(f) for f in files]
    text = json.dumps({k: v for k, v in tree.items() if v is not None}, indent=1, default=str)
    write_aside(out / "provenance.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))
