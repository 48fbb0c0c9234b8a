"""A protocol of a toy modality: what it is given, what its table says, prints and holds as JSON."""

import io
import json
import math
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest
from ornstein.core.evaluation import Protocol, Score, Subject, Table
from ornstein.core.evaluation.report import NOTHING
from rich.console import Console
from toy import Toy, figures


@dataclass(frozen=True)
class Sizes(Protocol):
    """How many atoms figures have."""

    about: ClassVar[str] = "atoms in a figure, as nobody published them"

    n: int = 4
    repeats: int = 3

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n={self.n}: at least 1")

    def run(self, subject, seed, say) -> Table:
        columns = {"ours": subject.draw(n=self.n), "real": [item.data for item in subject.items("train")]}
        rng, table = np.random.default_rng(seed), {}
        for name, samples in columns.items():
            say(name)
            atoms = np.array([len(sample) for sample in samples])
            table[name] = {"atoms": Score(tuple(rng.permutation(atoms)[:2].mean() for _ in range(self.repeats)))}
        return Table(table, {"figures": len(columns["real"])})


class Measured(Toy):
    """The toy, with a protocol."""

    def protocols(self):
        return {"sizes": Sizes()}


def printed(table: Table, title: str = "a title", width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table.shown(title))
    return console.export_text()


def test_a_modality_has_none_unless_it_says_so():
    assert Toy().protocols() == {}


def test_a_protocol_asks_the_run_for_samples_and_items():
    modality = Measured(12)
    items = [modality.read(row.file, {}) for row in figures(12).rows()]
    drawn, said = [], []

    def draw(**asked):
        drawn.append(asked)
        return [items[0].data] * asked["n"]

    protocol = modality.protocols()["sizes"]
    table = protocol.run(Subject(modality, draw, {"train": items}.__getitem__), 0, said.append)
    assert drawn == [{"n": 4}]
    assert said == ["ours", "real"]
    assert table.columns["ours"]["atoms"].values == (len(items[0].data),) * 3
    assert table.facts == {"figures": 12}
    assert protocol.settings() == {"n": 4, "repeats": 3}
    with pytest.raises(FrozenInstanceError):
        protocol.n = 5
    with pytest.raises(ValueError, match="n=0: at least 1"):
        Sizes(n=0)


def test_a_score_is_the_mean_and_half_of_the_95_percent_interval_of_its_evaluations():
    score = Score((1.0, 2.0, 3.0))
    assert score.mean == 2
    assert score.half_width == pytest.approx(4.302653 / 3**0.5, rel=1e-6)  # Student's t of two degrees of freedom
    assert str(score) == "2 ± 2"
    assert str(Score((0.01, 0.0101, 0.0099))) == "0.0100 ± 0.0002"
    assert str(Score((0.123456,))) == "0.1235"
    assert math.isnan(Score((0.1,)).half_width)
    assert str(Score((0.5, 0.5))) == "0.5 ± 0"
    assert str(Score()) == NOTHING
    assert str(Score((0.1, math.nan))) == str(Score((math.inf,))) == "not finite"


def test_columns_stand_side_by_side_with_what_the_signs_mean():
    scores = {"distance": Score((1.0, 2.0, 3.0)), "lost": Score()}
    text = printed(Table({"ours": scores, "real halves": {"distance": Score((0.25,))}}, {"windows": 7}))
    (line,) = [line for line in text.splitlines() if "distance" in line]
    assert line.split("│")[2:4] == [" 2 ± 2 ", "        0.25 "]
    (line,) = [line for line in text.splitlines() if "lost" in line]
    assert line.count(NOTHING) == 2
    assert "windows 7" in text
    assert "95 % interval" in text
    assert "95 % interval" not in printed(Table({"ours": {"distance": Score((0.25,))}}, {}))
    many = Table({f"interpolation {i}": {"distance": Score((0.123456,))} for i in range(6)}, {})
    assert "…" not in printed(many)


def test_the_file_has_every_evaluation_and_how_the_samples_were_made(tmp_path):
    table = Table({"ours": {"distance": Score((0.5, math.nan)), "lost": Score()}}, {"windows": 7})
    path = table.write(tmp_path / "evaluation" / "sizes.json", {"seed": 3})
    assert [each.name for each in path.parent.iterdir()] == ["sizes.json"]  # nothing is left beside it
    assert json.loads(path.read_text()) == {
        "seed": 3,
        "facts": {"windows": 7},
        "columns": {"ours": {"distance": [0.5, None], "lost": []}},
    }


def test_a_crash_while_a_table_is_written_leaves_the_older_one(tmp_path, monkeypatch):
    path = Table({}, {"older": 1}).write(tmp_path / "sizes.json", {})
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        Table({}, {}).write(path, {})
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"sizes.json": before}
