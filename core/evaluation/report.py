"""The report: ours | real | floor for every metric, as plain data, a table in the terminal, JSON and one HTML page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint import write_aside

if TYPE_CHECKING:
    from rich.table import Table

KINDS = {
    "fidelity": "Fidelity: do samples look like the data?",
    "diversity": "Diversity: is all of the data there?",
    "condition": "Condition: is it what was asked for?",
    "task": "Task: does it fit what was given?",
    "memorisation": "Memory: is it new?",
}
COLUMNS = {
    "ours": "generated samples",
    "real": "held-out real items, the best that a perfect model gets",
    "floor": "an honest simple baseline",
}
NOTHING = "\N{EN DASH}"
ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Picture:
    """A picture of the page: PNG bytes, or a part of the page itself, under a caption."""

    caption: str
    png: bytes = field(default=b"", repr=False)
    html: str = field(default="", repr=False)


@dataclass
class Report:
    """What was measured, on what, with what.

    Args:
        facts: modality, task, n (samples in every column, or given items with `members` samples each), repeats, seed, and counts
            and hashes of the three sets.
        extractors: name, hash and facts of each.
        rows: `metric`, `kind`, `better`, `about`, and for each column {`value`, `spread`} or {`missing`: why}.
        notes: what a reader should know.
        pictures: for the page only.
    """

    facts: dict[str, Any]
    extractors: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The columns that exist, in order."""
        return [name for name in COLUMNS if any(name in row for row in self.rows)]

    def plain(self) -> dict[str, Any]:
        """Everything but the pictures, as plain JSON data."""
        return {"facts": self.facts, "extractors": self.extractors, "rows": self.rows, "notes": self.notes}

    def value(self, metric: str, column: str = "ours") -> float | None:
        """One number; None where it could not be measured.

        Raises:
            LookupError: no such metric or column.
        """
        for row in self.rows:
            if row["metric"] == metric and column in row:
                return row[column].get("value")
        raise LookupError(
            f"no metric {metric!r} with a column {column!r}; metrics: {', '.join(row['metric'] for row in self.rows)}; "
            f"columns: {', '.join(self.columns)}"
        )

    def table(self) -> Table:
        """The table for the terminal."""
        from rich.table import Table

        facts = self.facts
        table = Table(
            title=f"{facts['modality']}, {facts['task']}: n = {facts['n']} in every column, "
            f"against {facts['reference']['items']} training items",
            caption="\n".join([*map(extractor_line, self.extractors), f"± {spread_line(facts)}", *self.notes]),
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("metric, better", no_wrap=True)
        for column in self.columns:
            table.add_column(column, justify="right", style="bold" if column == "ours" else "")
        for kind in KINDS:
            rows = [row for row in self.rows if row["kind"] == kind]
            for row in rows:
                cells = [number(row.get(column)) for column in self.columns]
                table.add_row(f"{row['metric']} {ARROWS[row['better']]}", *cells, end_section=row is rows[-1])
        return table

    def write(self, folder: str | Path) -> list[Path]:
        """Write report.json and report.html into a folder, each aside first and then renamed."""
        from .page import page

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        html = page(self)
        write_aside(folder / "report.json", lambda aside: aside.write_text(text, encoding="utf-8"))
        write_aside(folder / "report.html", lambda aside: aside.write_text(html, encoding="utf-8"))
        return [folder / "report.json", folder / "report.html"]

    @staticmethod
    def read(path: str | Path) -> Report:
        """A report from its report.json; without the pictures."""
        return Report(**json.loads(Path(path).read_text(encoding="utf-8")))


def number(cell: dict[str, Any] | None) -> str:
    """A cell as text: the spread to one digit, or two where it starts with 1, and the value to the same place."""
    if cell is None or cell.get("value") is None:
        return NOTHING
    value, spread = cell["value"], cell["spread"]
    if spread <= 1e-9 * abs(value):  # 0 but for rounding
        return f"{value:.4g} ± 0"
    first = math.floor(math.log10(spread))
    places = max(0, -first + (spread < 2 * 10.0**first))
    return f"{value:.{places}f} ± {spread:.{places}f}"


def standing(row: dict[str, Any]) -> float | None:
    """Where ours lies between the floor (0) and real data (1), cut to that range; None where the two do not tell."""
    ours, real, floor = (row.get(column, {}).get("value") for column in COLUMNS)
    if ours is None or real is None or floor is None:
        return None
    better = real < floor if row["better"] == "lower" else real > floor
    return min(max((ours - floor) / (real - floor), 0.0), 1.0) if better else None


def extractor_line(extractor: dict[str, Any]) -> str:
    """One line on an extractor."""
    facts = ", ".join(f"{name} {number_or_text(value)}" for name, value in extractor["facts"].items())
    return f"extractor {extractor['name']} {extractor['hash']}: {facts}"


def spread_line(facts: dict[str, Any]) -> str:
    """What ± means."""
    of = f"{facts['n']} items, with all their samples" if facts.get("members", 1) > 1 else f"{facts['n']}"
    return f"standard error, by leaving out each of {facts['repeats']} disjoint parts of the {of} (jackknife)"


def number_or_text(value: Any) -> str:
    """Floats with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
