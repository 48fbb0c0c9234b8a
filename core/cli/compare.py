"""`ornstein compare samplers`: error against calls of the denoiser, on a world whose answer is exact."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..registry import TABLE
from .words import UsageError, choose


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    parser.add_argument("what", choices=["samplers"], help="samplers")
    parser.add_argument("--world", default="gmm", help="gmm, line or cloud (gmm)")
    parser.add_argument("--names", help="samplers to compare, by commas (all that are tables)")
    parser.add_argument("--evaluations", default="5,8,10,20,40", help="calls of the denoiser, by commas (5,8,10,20,40)")
    parser.add_argument("--schedule", default="vp", help="as `ornstein list schedule` names it (vp)")
    parser.add_argument("--grid", default="log_snr", help="as `ornstein list grid` names it (log_snr)")
    parser.add_argument("-n", type=int, default=512, help="samples (512)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    parser.add_argument("--out", type=Path, help="folder for compare.csv and compare.png")


def run(args: argparse.Namespace) -> int:
    """Print the table; write it and a plot where a folder is given."""
    names = args.names.split(",") if args.names else list(TABLE["sampler"])
    for name in names:
        if name not in TABLE["sampler"]:
            raise LookupError(choose("sampler", name, TABLE["sampler"]))
    try:
        evaluations = [int(word) for word in args.evaluations.split(",")]
    except ValueError as error:
        raise UsageError(f"--evaluations reads whole numbers by commas, found {args.evaluations!r}") from error

    from ..compare import compare
    from ..samplers import Sampler, TableSampler
    from ..schedules import Schedule
    from . import objects

    built = {n: objects.build(Sampler, "sampler", {"name": n}) for n in names}
    tables = {n: s for n, s in built.items() if isinstance(s, TableSampler)}
    beside = sorted(set(built) - set(tables))
    if args.names and beside:
        raise LookupError(f"{', '.join(beside)}: no table, so its calls cannot be set; compare leaves it out")
    tables = {n: objects.build(Sampler, "sampler", {"name": n, "grid": {"name": args.grid}}) for n in tables}
    schedule = objects.build(Schedule, "schedule", {"name": args.schedule})
    found = compare(tables, args.world, schedule, evaluations, args.n, args.seed)
    print(found)
    if args.out is not None:
        from ..checkpoint import write_aside

        args.out.mkdir(parents=True, exist_ok=True)
        write_aside(args.out / "compare.csv", lambda path: path.write_text(found.csv(), encoding="utf-8"))
        write_aside(args.out / "compare.png", lambda path: found.figure().savefig(path, dpi=150, format="png"))
        print(f"{args.out / 'compare.csv'}, {args.out / 'compare.png'}")
    return 0
