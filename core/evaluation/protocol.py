"""The table of a paper, to be made again for any run: what a protocol is, what it is given and what it finds."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..checkpoint import write_aside
from .report import NOTHING, number

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..modality import Item, Modality, Sample

Say = Callable[[str], None]  # told in a line what is being worked out


@dataclass(frozen=True)
class Subject:
    """What a protocol may ask of a run.

    Args:
        modality: of the run, fitted.
        draw: n and size, and in a task also task, given and known, as `core.sample` takes them -> decoded samples, made with the
            sampler, guidance and seed of the recipe and the command line; another `seed` makes others. Where nothing is given
            and no `cond` is named, conditions come from training items, in their proportion.
        items: `train`, `validation` or `test` -> the items of that part of the run's data.
    """

    modality: Modality
    draw: Callable[..., list[Sample]]
    items: Callable[[str], list[Item]]


@dataclass(frozen=True)
class Score:
    """The evaluations of one score; none where it is undefined."""

    values: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Of the evaluations; NaN where there are none."""
        return math.fsum(self.values) / len(self.values) if self.values else math.nan

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean by Student's t, which papers print behind ±; NaN of less than two evaluations."""
        from scipy.stats import t

        runs = len(self.values)
        if runs < 2:
            return math.nan
        return float(t.ppf(0.975, runs - 1) * np.std(self.values, ddof=1) / math.sqrt(runs))

    def __str__(self) -> str:
        if not self.values:
            return NOTHING
        if not math.isfinite(math.fsum(self.values)):
            return "not finite"
        return number({"value": self.mean, "spread": self.half_width}) if len(self.values) > 1 else f"{self.mean:.4g}"


@dataclass(frozen=True)
class Table:
    """What a protocol found.

    Args:
        columns: name of a column -> name of a score -> its evaluations.
        facts: what the numbers rest on beside the protocol's settings, as plain data: how many items there were, ...
    """

    columns: Mapping[str, Mapping[str, Score]]
    facts: Mapping[str, Any]

    def shown(self, title: str) -> RenderableType:
        """The columns side by side, for the terminal."""
        from rich.console import Group
        from rich.table import Table as Lines

        lines = Lines()
        lines.add_column("score", no_wrap=True)
        for name in self.columns:
            lines.add_column(name, justify="right", overflow="fold", style="bold" if name == "ours" else "")
        for name in dict.fromkeys(name for column in self.columns.values() for name in column):
            lines.add_row(name, *(str(column.get(name, Score())) for column in self.columns.values()))
        notes = [", ".join(f"{name} {value}" for name, value in self.facts.items())]
        if any(len(score.values) > 1 for column in self.columns.values() for score in column.values()):
            notes.append("± half of the 95 % interval of the mean over the evaluations (Student's t)")
        return Group(title, lines, *notes)

    def plain(self) -> dict[str, Any]:
        """Plain JSON data: each score is the list of its evaluations, null for one that is not finite."""
        columns = {
            column: {name: [v if math.isfinite(v) else None for v in score.values] for name, score in scores.items()}
            for column, scores in self.columns.items()
        }
        return {"facts": dict(self.facts), "columns": columns}

    def write(self, path: Path, made: Mapping[str, Any]) -> Path:
        """Write the table under what says how it was made, aside first and then renamed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**made, **self.plain()}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))
        return path


@dataclass(frozen=True)
class Protocol(ABC):
    """A table as papers print it. A subclass is a frozen dataclass too: its fields are the protocol's settings, with defaults.

    Fields called `n`, `repeats`, `members` or `task` are set by the options of `ornstein evaluate` of these names, every field by
    the word `protocol.FIELD=VALUE`. A setting that makes no sense is refused by `__post_init__`, before anything is sampled. With
    a `task` the samples are of given items, without one nothing is given.
    """

    about: ClassVar[str]  # one line: what the table shows, and whose it is

    @abstractmethod
    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Make the table.

        Args:
            seed: of every random choice.
            say: told what is being worked out.
        """

    def settings(self) -> dict[str, Any]:
        """The fields and their values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
