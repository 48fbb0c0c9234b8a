"""`ornstein evaluate --protocol` and `--members`: what reaches a protocol, what is written, and what is refused."""

import json
import shutil
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from ornstein.core.evaluation import Protocol, Score, Table
from ornstein.modalities.image import Image


@dataclass(frozen=True)
class Light(Protocol):
    """How bright samples are."""

    about: ClassVar[str] = "mean of the pixels"

    n: int = 5
    scale: float = 1.0
    scores: tuple[str, ...] = ("mean",)

    def run(self, subject, seed, say) -> Table:
        pixels = np.stack(subject.draw(n=self.n)) * self.scale
        return Table({"ours": {name: Score((float(pixels.mean()),)) for name in self.scores}}, {"drawn": len(pixels)})


@dataclass(frozen=True)
class Filled(Protocol):
    """How bright filled items are."""

    about: ClassVar[str] = "mean of the pixels of ensembles"

    task: str = "inpaint"
    members: int = 2

    def run(self, subject, seed, say) -> Table:
        rng, items = np.random.default_rng(seed), subject.items("test")[:3]
        posed = [subject.modality.tasks()[self.task].pose(item, rng) for item in items]
        samples = subject.draw(n=self.members, task=self.task, given=[p[0] for p in posed], known=[p[1] for p in posed])
        same = [np.array_equal(s[b], i.data[b]) for s, (i, b) in zip(samples[:: self.members], posed, strict=True)]
        return Table({"ours": {"mean": Score((float(np.mean(samples)),))}}, {"drawn": len(samples), "exact": all(same)})


@pytest.fixture(autouse=True)
def protocols(monkeypatch):
    monkeypatch.setattr(Image, "protocols", lambda self: {"light": Light(), "filled": Filled()})


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree((trained / "image/latest").resolve(), tmp_path / "run")


def written(run, name):
    return json.loads((run / "evaluation" / name).read_text())


def test_a_protocol_prints_its_table_and_writes_it(ornstein, run):
    code, out, _ = ornstein("evaluate", run, "--protocol", "light", "--steps", "2", "--seed", "4")
    assert code == 0
    assert "mean of the pixels" in out
    assert str(run / "evaluation/light.json") in out
    assert [path.name for path in (run / "evaluation").iterdir()] == ["light.json"]
    found = written(run, "light.json")
    assert (found["modality"], found["protocol"], found["seed"]) == ("image", "light", 4)
    assert found["settings"] == {"n": 5, "scale": 1.0, "scores": ["mean"]}
    assert found["sampler"]["steps"] == 2  # how samples were made
    assert found["facts"] == {"drawn": 5}
    (value,) = found["columns"]["ours"]["mean"]
    ornstein("evaluate", run, "--protocol", "light", "--steps", "2", "--seed", "4", "--batch-size", "2")
    assert written(run, "light.json")["columns"]["ours"]["mean"] == [value]


def test_words_and_options_set_a_protocol(ornstein, run):
    line = ("--protocol", "light", "--steps", "2", "-n", "3", "protocol.scale=0", "protocol.scores=[mean,of-all]")
    assert ornstein("evaluate", run, *line)[0] == 0
    found = written(run, "light.json")
    assert found["settings"] == {"n": 3, "scale": 0.0, "scores": ["mean", "of-all"]}
    assert found["columns"]["ours"] == {"mean": [0.0], "of-all": [0.0]}


def test_a_protocol_of_given_items_is_named_after_its_task(ornstein, run):
    line = ("--protocol", "filled", "--steps", "2", "--members", "4", "--task", "outpaint")
    code, _, err = ornstein("evaluate", run, *line)
    assert code == 0
    assert "not trained on outpaint" in err
    assert written(run, "filled-outpaint.json")["facts"] == {"drawn": 12, "exact": True}


def test_a_task_is_measured_with_ensembles(ornstein, run):
    assert ornstein("evaluate", run, "--task", "inpaint", "-n", "12", "--members", "3", "--steps", "2")[0] == 0
    report = written(run, "inpaint/report.json")
    assert (report["facts"]["n"], report["facts"]["members"], report["facts"]["samples"]["items"]) == (12, 3, 36)
    row = next(row for row in report["rows"] if row["metric"] == "change of given pixels")
    assert row["ours"] == row["floor"] == {"value": 0, "spread": 0}


@pytest.mark.parametrize(
    ("line", "said", "code"),
    [
        (["--protocol", "lihgt"], "did you mean light", 1),
        (["--repeats", "3"], "--protocol", 2),
        (["protocol.n=3"], "--protocol NAME", 2),
        (["--members", "3"], "--task", 2),
        (["--members", "3", "--task", "unconditional"], "--task", 2),
        (["--members", "0", "--task", "inpaint"], "--members 0", 2),
        (["-n", "0"], "-n 0", 2),
        (["--protocol", "light", "--repeats", "0"], "--repeats 0", 2),
        (["--protocol", "light", "--repeats", "3"], "no such setting; it has n, scale, scores", 2),
        (["--protocol", "light", "--members", "3"], "--members: protocol light", 2),
        (["--protocol", "light", "--task", "inpaint"], "--task: protocol light", 2),
        (["--protocol", "filled", "-n", "3"], "-n: protocol filled", 2),
        (["--protocol", "light", "-n", "3", "protocol.n=4"], "one setting", 2),
        (["--protocol", "light", "protocol=filled"], "protocol.KEY=VALUE", 2),
        (["--protocol", "light", "protocol.scal=3"], "did you mean scale", 1),
        (["--protocol", "light", "protocol.scale=wide"], "scale", 1),
        (["--protocol", "light", "backbone.width=3"], "trained already", 2),
    ],
)
def test_an_option_that_serves_nothing_is_refused(ornstein, run, line, said, code):
    got, out, err = ornstein("evaluate", run, *line)
    assert got == code
    assert said in err
    assert "Traceback" not in out + err
    assert not (run / "evaluation").exists()


def test_help_says_how_a_protocol_is_set(ornstein):
    _, out, _ = ornstein("evaluate", "--help")
    assert "protocol.KEY=VALUE" in out
    assert "--members" in out
