"""The tables of `ornstein evaluate --protocol`: generated windows as published, and ensembles beside every floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ornstein.core.evaluation.protocol import Protocol, Say, Score, Subject, Table
from ornstein.core.rng import generator

from . import floors
from .ensembles import ensembles_of, forecast_table, season_of
from .evaluation import Windows, order_for, stacked
from .lines import interpolated
from .published import SCORES, check, halves, published_table


@dataclass(frozen=True)
class Published(Protocol):
    """The scores of generated windows as papers print them, beside those of two disjoint halves of the training windows.

    Args:
        n: windows to generate.
        repeats: evaluations of each score.
        scores: which of Context-FID, correlational, discriminative and predictive.
    """

    about: ClassVar[str] = (
        "generated windows and the training windows, as published by Yuan and Qiao 2024, arXiv:2403.01742"
    )

    n: int = 10_000
    repeats: int = 5
    scores: tuple[str, ...] = SCORES

    def __post_init__(self) -> None:
        check(self.scores, self.repeats)
        if self.n < 10:
            raise ValueError(f"n={self.n}: at least 10 windows are needed")

    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Generate the windows and evaluate both columns."""
        train = [item.data for item in subject.items("train")]
        windows = Windows.of(train)
        real = windows(train)
        first, second = halves(real, seed)
        columns = {"ours": (real, windows(subject.draw(n=self.n))), "real halves": (first[: self.n], second[: self.n])}
        table = {}
        for name, pair in columns.items():
            say(f"{name}:")
            table[name] = published_table(*pair, self.repeats, seed, self.scores, say)
        return Table(table, {"windows": len(real), "steps": windows.steps})


@dataclass(frozen=True)
class Floors(Protocol):
    """Every score of ensembles for held-out items spread evenly over time, beside those of every floor for the same items.

    Args:
        task: what poses the items.
        n: items to pose, at most.
        members: samples for each of them.
        season: of MASE and the seasonal naive floor, steps; None: that of the frequency.
    """

    about: ClassVar[str] = "ensembles for held-out items, beside every floor"

    task: str = "forecast"
    n: int = 200
    members: int = 100
    season: int | None = None

    def __post_init__(self) -> None:
        if self.task == "unconditional":
            raise ValueError("task=unconditional gives nothing: ensembles are of given items")
        if min(self.n, self.members, 1 if self.season is None else self.season) < 1:
            raise ValueError(f"n={self.n}, members={self.members}, season={self.season}: at least 1 of each is needed")

    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Pose the items, sample, and score the columns.

        Raises:
            LookupError: a task that the modality does not have.
            ValueError: nothing is held out.
        """
        tasks, train, held_out = subject.modality.tasks(), subject.items("train"), subject.items("test")
        if self.task not in tasks:
            raise LookupError(f"unknown task {self.task!r}; choose from {', '.join(tasks)}")
        if not held_out:
            raise ValueError("no item is held out: give the data a test part, as data.split=[0.8, 0.1, 0.1] does")
        rows = np.unique(np.linspace(0, len(held_out) - 1, min(self.n, len(held_out))).round().astype(int))
        posed = [tasks[self.task].pose(held_out[i], generator(seed, "pose", int(i))) for i in rows]
        given, known = [item for item, _ in posed], [bits for _, bits in posed]
        say(f"{self.members} samples for each of {len(given)} of the {len(held_out)} held-out items")
        samples = subject.draw(n=self.members, task=self.task, given=given, known=known)
        target, ours, bits = ensembles_of(samples, given, known)
        season = season_of(given[0].data.freq) if self.season is None else self.season
        columns = {"ours": ours, **floor_columns(stacked(train), target, bits, self.members, season, seed)}
        table = forecast_table(target, bits, columns, season, say)
        scored = {
            name: {score: Score(() if value is None else (value,)) for score, value in column.items()}
            for name, column in table.items()
        }
        return Table(scored, {"items": len(given), "season": season})


def floor_columns(
    train: np.ndarray, target: np.ndarray, known: np.ndarray, members: int, season: int, seed: int
) -> dict[str, np.ndarray]:
    """The ensembles (N, S, T, K) of all floors for the same given items.

    Args:
        train: (m, T, K) training windows; target, known: (N, T, K).
    """
    line = interpolated(np.where(known, target, np.nan))
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
