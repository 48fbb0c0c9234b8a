"""`ornstein sample RUN`: new samples as native files, a picture, and a record of how they were made."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import how, runs
from .asked import conditions
from .words import UsageError, choose

if TYPE_CHECKING:
    from ..denoiser import Denoiser
    from ..modality import Item, Modality, Sample
    from ..samplers import Sampler

RECORD = "provenance.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `sample`."""
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder, as runs/MODALITY/latest, or a folder that `ornstein export` wrote")
    add(
        "words",
        nargs="*",
        default=[],
        metavar="key=value",
        help="words of the recipe: sampler=ddim sampler.eta=0.5 guidance.scale=3, and what its modality takes anew",
    )
    add("-n", type=int, default=16, help="samples, for each value of --cond and each given item (16)")
    add(
        "--cond", action="append", default=[], metavar="NAME=VALUE", help="label=7, label=0,1,2 or label=all; n of each"
    )
    add("--seed", type=int, default=0, help="sample k depends on the seed and on k alone (0)")
    add("--out", type=Path, metavar="FOLDER", help="where files go (RUN/samples)")
    add("--size", type=int, nargs="+", help="size of new samples, in the modality's own unit (as in training)")
    add("--batch-size", type=int, default=64, help="samples made at a time; changes nothing else (64)")
    how.arguments(parser)
    task = parser.add_argument_group("something given")
    task.add_argument("--task", metavar="NAME", help="a task of the modality: inpaint, ...")
    task.add_argument(
        "--strength",
        type=float,
        metavar="T",
        help="vary the given items: begin with them, noised to this time in (0, 1]",
    )
    task.add_argument(
        "--between",
        action="store_true",
        help="-n samples on the way from each given item to the next, by inversion; needs a sampler that draws no noise",
    )
    task.add_argument(
        "--given", type=Path, metavar="PATH", help="files of the given items: one, a folder, a zip or a table of them"
    )
    task.add_argument(
        "--mask", type=Path, metavar="FILE", help="which entries are known, instead of the task's own draw"
    )


def run(args: argparse.Namespace) -> int:
    """Make the samples and write them."""
    from ..samplers import TableSampler
    from ..sampling import sample

    folder = runs.find(args.run)
    if args.n < 1:
        raise UsageError(f"-n {args.n}: at least 1 sample is needed")
    denoiser, anew, words = how.loaded(folder, args.device, args.words)
    modality = how.need_modality(denoiser, folder)
    recipe = how.recipe_under(folder, args, words, denoiser.conditions)
    guided, sampler = how.build(denoiser, recipe)
    if args.between:
        samples = _between(modality, guided, sampler, args)
    else:
        given = read_given(modality, args.given, args.task, args.strength)
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
            strength=args.strength,
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
        "strength": args.strength,
        "between": args.between or None,
    }
    made = {"seed": args.seed, "precision": args.precision, **recipe, "modality": anew or None}
    if isinstance(sampler, TableSampler):
        made["table"] = sampler.plan(denoiser.processes)
    record(out, {"run": folder, **asked, **made}, folder, files)
    print(f"{len(samples)} samples in {out}: {', '.join(f.name for f in files[:3])}{', ...' if len(files) > 3 else ''}")
    return 0


def read_given(
    modality: Modality, path: Path | None, task: str | None, strength: float | None = None
) -> list[Item] | None:
    """The given items: of each file all that it holds.

    Raises:
        LookupError: a task that the modality does not have.
        UsageError: --task or --strength without --given, or --given without either.
        BadItem: an item that cannot be read.
    """
    if (path is None) != (task is None and strength is None):
        raise UsageError("--given goes with --task or --strength: which items, and what is to be done with them")
    if path is None:
        return None
    if task is not None and task not in modality.tasks():
        raise LookupError(choose("task", task, modality.tasks()))
    return _read(modality, path)


def _read(modality: Modality, path: Path) -> list[Item]:
    """All items of a file, a folder, a zip or a table; the first bad one is an error."""
    from ..sources import open_source, read_all

    rows = modality.rows(open_source(path, modality.extensions, "none").rows(), None)
    items, bad = read_all(modality, rows, 1.0)
    if bad:
        raise bad[0]
    return items


def _between(modality: Modality, denoiser: Denoiser, sampler: Sampler, args: argparse.Namespace) -> list[Sample]:
    """-n samples from each given item to the next.

    Raises:
        UsageError: fewer than two items, or an option that says something else of what is given.
        BadItem: an item that cannot be read.
    """
    from itertools import pairwise

    from ..inversion import interpolate

    others = ("task", "strength", "mask", "size")
    named = [f"--{name}" for name in others if getattr(args, name) is not None] + ["--cond"] * bool(args.cond)
    if named:
        raise UsageError(f"--between goes with --given and -n; {', '.join(named)} has no meaning there")
    items = [] if args.given is None else _read(modality, args.given)
    if len(items) < 2:
        raise UsageError(
            f"--between leads from one given item to the next: --given must hold 2 or more, found {len(items)}"
        )
    shares = [(k + 1) / (args.n + 1) for k in range(args.n)]
    ways = (
        interpolate(denoiser, *ends, sampler, shares, seed=args.seed, precision=args.precision)
        for ends in pairwise(items)
    )
    return [made for way in ways for made in way]


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
    """Native files, and a picture where they do not bring one; those of the samples that were there before go.

    Raises:
        OSError: the folder cannot be written.
    """
    with runs.named_in_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _remove_older(out)
        files = modality.write(samples, out)
        picture = out / "grid.png"
        if picture not in files and _draws(modality):
            _save_picture(modality.render(samples), picture)
            files = [*files, picture]
    return files


def _remove_older(out: Path) -> None:
    """Take away the files that the record in the folder lists, and nothing outside the folder."""
    try:
        named = json.loads((out / RECORD).read_text(encoding="utf-8"))["files"]
        older = [out / name for name in named]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or not a record of ours
        return
    for path in older:
        if path.resolve().is_relative_to(out.resolve()) and path.is_file():
            path.unlink()


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
    write_aside(out / RECORD, lambda path: path.write_text(text + "\n", encoding="utf-8"))
