"""One table of all logged numbers, appended as the run goes and carried on when it resumes."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from .saving import save_whole

Row = dict[str, str]


class MetricsCSV(Logger):
    """`metrics.csv`: one row per step, one column per metric, empty where a step has none.

    A resumed run appends. Rows that an interrupted run wrote past its last checkpoint are written anew, so the file is that
    of an undisturbed run; what is logged again for a step replaces what stood there. A new column rewrites the file once, aside.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []
        self._last: Row = {}
        self._fresh = True

    @property
    def name(self) -> str:
        """The kind of the log."""
        return "csv"

    @property
    def version(self) -> str:
        """One run folder holds one log."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the file."""
        return str(Path(self.path).parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add the values of a step; those of one step share a row."""
        row = {"step": str(step or 0), **{name: f"{float(v):.8g}" for name, v in metrics.items()}}
        if self._fresh:
            self._open(int(row["step"]))
        if self._last.get("step") == row["step"]:
            rows = read(self.path)[:-1]
            self._last |= row
            self._rewrite([*rows, self._last])
            return
        self._last = row
        if new := [name for name in row if name not in self._columns]:
            self._columns += new
            self._rewrite([*(read(self.path) if Path(self.path).exists() else []), row])
            return
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="", lineterminator="\n").writerow(row)

    def _open(self, step: int) -> None:
        """Find what an earlier run left, up to the first step that is logged now."""
        self._fresh = False
        if Path(self.path).exists():
            rows = [row for row in read(self.path) if int(row["step"]) <= step]
            self._columns = list(rows[0]) if rows else []
            self._last = rows[-1] if rows else {}
            self._rewrite(rows)

    def _rewrite(self, rows: list[Row]) -> None:
        self._columns += [name for row in rows for name in row if name not in self._columns]
        columns = list(dict.fromkeys(self._columns))
        self._columns = columns

        lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
        text = "".join(",".join(line) + "\n" for line in lines)
        save_whole(Path(self.path), lambda aside: aside.write_text(text, encoding="utf-8"))


def read(path: str | Path) -> list[Row]:
    """The whole rows of a metrics file; a last line that a dying process cut short is left out."""
    text = Path(path).read_text(encoding="utf-8")
    lines = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if not lines:
        return []
    columns = lines[0]
    return [dict(zip(columns, line, strict=True)) for line in lines[1:] if len(line) == len(columns)]
