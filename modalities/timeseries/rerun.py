"""The tables of papers for a run, to be made anywhere again, and written to RUN/evaluation as JSON.

python -m ornstein.modalities.timeseries.rerun RUN -n 10000                       generated windows, as published
python -m ornstein.modalities.timeseries.rerun RUN --task forecast --members 100  ensembles, beside every floor
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.rng import generator

from . import floors, forecasts
from .ensembles import ensembles_of, season_of
from .evaluation import Windows, order_for
from .published import SCORES, halves, published_table

Row = dict[str, float | None]


def main(words: Sequence[str] | None = None) -> int:
    """Sample from a run, print the table and write it.

    Returns: 0.
    """
    args = _arguments().parse_args(words)
    if args.task == "unconditional":
        found, folder, name = _generated(args)
    else:
        found, folder, name = _conditional(args)
    out = folder / "evaluation" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(out)
    return 0


def forecast_table(
    target: np.ndarray, known: np.ndarray, columns: Mapping[str, np.ndarray], season: int
) -> dict[str, Row]:
    """Every score of `forecasts` for each ensemble, by the name of its column; None where a score is undefined.

    Args:
        target: (N, T, K) with NaN where nothing was observed; known: bool, what was given.
        columns: name -> ensemble (N, S, T, K).
        season: of MASE, steps.
    """
    judged = np.isfinite(target) & ~known
    measured: dict[str, Callable[[np.ndarray], float]] = {
        "CRPS": lambda x: forecasts.crps(target, x, judged),
        "CRPS-sum": lambda x: forecasts.crps_sum(target, x, judged),
        "ND": lambda x: forecasts.normalised_deviation(target, x, judged),
        "NRMSE": lambda x: forecasts.normalised_error(target, x, judged),
        "MASE": lambda x: forecasts.scaled_error(target, x, judged, known, season),
        "MAE": lambda x: forecasts.absolute_error(target, x, judged),
        "RMSE": lambda x: forecasts.squared_error(target, x, judged),
        "90 % coverage": lambda x: forecasts.coverage(target, x, judged),
        "calibration error": lambda x: forecasts.calibration_error(target, x, judged),
    }
    return {
        name: {score: _or_none(compute, members) for score, compute in measured.items()}
        for name, members in columns.items()
    }


def floor_columns(
    train: np.ndarray, target: np.ndarray, known: np.ndarray, members: int, season: int, seed: int
) -> dict[str, np.ndarray]:
    """The ensembles (N, S, T, K) of all floors for the same given items.

    Args:
        train: (m, T, K) training windows; target, known: (N, T, K).
    """
    line = floors.interpolated(np.where(known, target, np.nan))
    model = floors.fit_autoregression(train, order_for(train.shape[1]))
    columns = {
        "seasonal naive": floors.seasonal_naive(target, known, season, members, generator(seed, "floor", "naive")),
        "AR ridge": model.fill(target, known, members, generator(seed, "floor", "autoregression")),
        "linear interpolation": line[:, None],
    }
    if train.shape[1:] == target.shape[1:]:
        rng = generator(seed, "floor", "gaussian")
        columns["Gaussian windows"] = floors.gaussian_fill(train, target, known, members, rng)
    return columns


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ornstein.modalities.timeseries.rerun", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder, as runs/timeseries/latest")
    add("words", nargs="*", default=[], metavar="key=value", help="words that change data, sampler or guidance")
    add("-n", type=int, help="windows to generate (10,000), or held-out items to pose (200)")
    add("--task", default="unconditional", help="forecast, impute, ...: ensembles for held-out items")
    add("--members", type=int, default=100, help="samples for each posed item (100)")
    add("--season", type=int, help="steps of a season, for MASE and the naive floor (from the frequency)")
    add("--seeds", type=int, default=5, help="evaluations of each published score (5)")
    add("--scores", default=",".join(SCORES), help=f"which of the published scores, by commas ({', '.join(SCORES)})")
    add("--seed", type=int, default=0, help="of samples, poses and evaluations (0)")
    add("--batch-size", type=int, default=500, help="samples made at a time (500)")
    from ornstein.core.cli import how

    how.arguments(parser)
    return parser


def _generated(args: argparse.Namespace) -> tuple[dict[str, Any], Path, str]:
    """The published scores of generated windows, and of two halves of the real ones."""
    draw, items, folder = _of_run(args)
    train = items("train")
    windows, n = Windows.of([item.data for item in train]), args.n or 10_000
    real = windows([item.data for item in train])
    first, second = halves(real, args.seed)
    columns = {"ours": (real, windows(draw(n=n))), "real halves": (first[:n], second[:n])}
    which = args.scores.split(",")
    tables = {}
    for column, pair in columns.items():
        print(f"{column}:")
        tables[column] = published_table(*pair, args.seeds, args.seed, which, print)
    _print({column: {name: str(score) for name, score in table.items()} for column, table in tables.items()})
    values = {column: {name: score.values for name, score in table.items()} for column, table in tables.items()}
    return {"n": n, "seed": args.seed, **values}, folder, "published"


def _conditional(args: argparse.Namespace) -> tuple[dict[str, Any], Path, str]:
    """Scores of ensembles for held-out items spread evenly over time, and of the floors for the same ones."""
    draw, items, folder = _of_run(args)
    train, held_out = items("train"), items("test")
    rows = np.unique(np.linspace(0, len(held_out) - 1, min(args.n or 200, len(held_out))).round().astype(int))
    posed = [draw.modality.tasks()[args.task].pose(held_out[i], generator(args.seed, "pose", int(i))) for i in rows]
    given, known = [item for item, _ in posed], [bits for _, bits in posed]
    samples = draw(n=args.members, task=args.task, given=given, known=known)
    target, members, bits = ensembles_of(samples, given, known)
    season = args.season or season_of(given[0].data.freq)
    steps = min(item.data.steps for item in train)
    windows = np.stack([item.data.values[:steps] for item in train])
    columns = {"ours": members, **floor_columns(windows, target, bits, args.members, season, args.seed)}
    table = forecast_table(target, bits, columns, season)
    _print({name: {k: "-" if v is None else f"{v:.4f}" for k, v in row.items()} for name, row in table.items()})
    facts = {"items": len(given), "members": args.members, "season": season, "seed": args.seed}
    return {**facts, **table}, folder, f"rerun-{args.task}"


class _Draw:
    """`sample` of a run, as its recipe and the command line say."""

    def __init__(self, args: argparse.Namespace) -> None:
        from ornstein.core import checkpoint
        from ornstein.core.cli import evaluate, how, runs

        self.args, self.folder = args, runs.find(args.run)
        denoiser = checkpoint.load(self.folder, device=how.device(args.device))
        self.modality = how.need_modality(denoiser, self.folder)
        data, others = evaluate.sorted_words(args.words)
        recipe = how.recipe_under(self.folder, args, others, denoiser.conditions)
        self.denoiser, self.sampler = how.build(denoiser, recipe)
        self.data = evaluate.data_of(self.folder, data, self.modality)

    def __call__(self, **asked: Any) -> list[Any]:
        from ornstein.core.sampling import sample

        args = self.args
        how = {"seed": args.seed, "batch_size": args.batch_size, "precision": args.precision, "progress": True}
        return sample(self.denoiser, self.sampler, **how, **asked)


def _of_run(args: argparse.Namespace) -> tuple[_Draw, Callable[[str], list[Item]], Path]:
    draw = _Draw(args)
    return draw, lambda split: list(draw.data.read(split)), draw.folder


def _or_none(compute: Callable[[np.ndarray], float], members: np.ndarray) -> float | None:
    try:
        return compute(members)
    except ValueError:  # such as no step at which all channels count
        return None


def _print(table: Mapping[str, Mapping[str, str]]) -> None:
    """Columns side by side."""
    rows = next(iter(table.values()))
    print(" " * 18 + "".join(f"{column:>24}" for column in table))
    for row in rows:
        print(f"{row:18}" + "".join(f"{table[column][row]:>24}" for column in table))


if __name__ == "__main__":
    raise SystemExit(main())
