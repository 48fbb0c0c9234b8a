"""`ornstein compare samplers`: error against calls of the denoiser, on a world whose answer is exact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry import TABLE
from . import providers
from .words import UsageError, choose

if TYPE_CHECKING:
    from ..schedules import Schedule

TOP = 1000.0  # sigma / alpha at t = 1 from which equal steps of log-SNR would spend too many on noise


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    parser.add_argument("what", choices=["samplers"], help="samplers")
    parser.add_argument("--world", default="gmm", help="gmm, line or cloud (gmm)")
    parser.add_argument("--names", help="samplers to compare, by commas (all that are tables)")
    parser.add_argument("--evaluations", default="5,8,10,20,40", help="calls of the denoiser, by commas (5,8,10,20,40)")
    parser.add_argument("--schedule", default="vp", help="as `ornstein list schedule` names it (vp)")
    parser.add_argument(
        "--grid",
        help="for all, as `ornstein list grid` names it, or own: what each sampler's recipe part says"
        f" (log_snr from t = 1 where sigma / alpha is at most {TOP:g} there, else uniform)",
    )
    parser.add_argument("-n", type=int, default=512, help="samples (512)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    parser.add_argument("--out", type=Path, help="folder for compare.csv, and compare.png of the ten best")


def run(args: argparse.Namespace) -> int:
    """Print the table; write it and a plot where a folder is given."""
    names, evaluations = _names(args.names), _numbers(args.evaluations)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written is told before the work

    from ..compare import compare
    from ..samplers import Sampler, TableSampler
    from ..schedules import Schedule
    from . import objects

    schedule = objects.build(Schedule, "schedule", {"name": args.schedule})
    common = _common(schedule) if args.grid is None else {"name": args.grid}
    built = {n: objects.build(Sampler, "sampler", {"name": n}) for n in names}
    beside = sorted(n for n, sampler in built.items() if not isinstance(sampler, TableSampler))
    if args.names is not None and beside:
        raise LookupError(f"{', '.join(beside)}: no table, so its calls cannot be set; leave it out")
    tables = {
        n: objects.build(Sampler, "sampler", {"name": n, "grid": _own(n) if args.grid == "own" else common})
        for n in names
        if n not in beside
    }
    found = compare(tables, args.world, schedule, evaluations, args.n, args.seed)
    if not found.lines:
        raise ValueError("nothing to compare: " + "; ".join(f"{name}: {why}" for name, why in found.refused.items()))
    print(f"grid {common['name']}{' from t = 1' if 'sigma_max' in common else ''}, {found}")
    if args.out is not None:
        from ..checkpoint import write_aside

        write_aside(args.out / "compare.csv", lambda path: path.write_text(found.csv(), encoding="utf-8"))
        write_aside(args.out / "compare.png", lambda path: found.figure().savefig(path, dpi=100, format="png"))
        print(f"{args.out / 'compare.csv'}, {args.out / 'compare.png'}")
    return 0


def _names(text: str | None) -> list[str]:
    """The samplers to compare.

    Raises:
        LookupError: an unknown one.
    """
    names = list(TABLE["sampler"]) if text is None else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in TABLE["sampler"]:
            raise LookupError(choose("sampler", name, TABLE["sampler"]))
    return names


def _numbers(text: str) -> list[int]:
    """The numbers of calls.

    Raises:
        UsageError: something else than whole numbers of at least 1.
    """
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--evaluations reads whole numbers by commas, found {text!r}") from error
    if min(numbers) < 1:
        raise UsageError(f"--evaluations reads whole numbers of at least 1, found {text!r}")
    return numbers


def _common(schedule: Schedule) -> dict[str, Any]:
    """A grid that begins at t = 1, so that no sampler starts from another state than the exact path."""
    from ..samplers.grids.noise import top_noise

    if schedule.ends_at_noise or (top := top_noise(schedule)) > TOP:
        return {"name": "uniform"}
    return {"name": "log_snr", "sigma_max": 2 * top}  # the grid cuts it to the top


def _own(name: str) -> Any:
    """The grid of a sampler's part of a recipe."""
    from . import compose

    file = providers.parts()["sampler"].get(name)
    return ({} if file is None else compose.read_yaml(file)).get("grid", {"name": "uniform"})
