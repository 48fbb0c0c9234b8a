"""What `--cond` and the data say of a condition, and what the model is asked for."""

from types import SimpleNamespace

import numpy as np
import pytest
from ornstein.core.cli import evaluate, sample
from ornstein.core.cli.asked import conditions, negative
from ornstein.core.cli.words import UsageError
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item

YEARS = ConditionSpec("year", "class", 3, names=("2", "0", "1"))
SPECS = [
    YEARS,
    ConditionSpec("shape", "class", 4),
    ConditionSpec("heat", "scalar"),
    ConditionSpec("place", "vector", 3),
    ConditionSpec("caption", "text", 64, route="cross"),
    ConditionSpec("words", "tokens", 8, route="cross"),
    ConditionSpec("depth", "dense", 1, route="concat"),
]


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("year=2", ["2"]),  # the name, not the number
        ("year=0,1", ["0", "1"]),
        ("year=all", ["2", "0", "1"]),
        ("shape=3,1", ["3", "1"]),
        ("shape=all", [0, 1, 2, 3]),
        ("heat=0.5,2", [0.5, 2.0]),
        ("place=1,2,3", [[1.0, 2.0, 3.0]]),
        ("caption=a red dog, running", ["a red dog, running"]),
        ("caption=7", ["7"]),
        ("caption=x=y, all", ["x=y, all"]),
    ],
)
def test_what_is_typed_for_each_kind(typed, values):
    assert conditions(SPECS, [typed], 1) == ({typed.partition("=")[0]: values}, len(values))


def test_a_condition_is_given_once():
    with pytest.raises(UsageError, match="year is given twice"):
        conditions(SPECS, ["year=0,1", "year=2"], 1)


def test_guidance_leads_away_from_one_value_of_the_right_type():
    assert negative(SPECS, ["year=2", "heat=0.5", "place=1,2,3"]) == {
        "year": "2",
        "heat": 0.5,
        "place": [1.0, 2.0, 3.0],
    }
    for asked in (["year=0,1"], ["year=0", "year=1"]):
        with pytest.raises(UsageError, match="--negative year"):
            negative(SPECS, asked)


def test_samples_of_an_earlier_run_go_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for path in (out / "0000.png", out / "0001.png", out / "mine.png", tmp_path / "far.png"):
        path.touch()
    (out / "provenance.json").write_text('{"files": ["0000.png", "0001.png", "../far.png", "gone.png"]}')
    monkeypatch.setattr(sample, "_draws", lambda modality: False)
    assert sample.write(SimpleNamespace(write=lambda samples, folder: []), [], out) == []
    assert sorted(p.name for p in out.iterdir()) == ["mine.png", "provenance.json"]
    assert (tmp_path / "far.png").exists()


@pytest.mark.parametrize("name", ["words", "depth"])
def test_arrays_are_given_from_python(name):
    with pytest.raises(UsageError, match="from Python"):
        conditions(SPECS, [f"{name}=1,2"], 1)


@pytest.mark.parametrize("name", ["heat", "place"])
def test_numbers_are_asked_for(name):
    with pytest.raises(UsageError, match="numbers are needed"):
        conditions(SPECS, [f"{name}=warm"], 1)


def test_a_caption_reaches_the_model_whole():
    from ornstein.core.conditioning import values

    caption = SPECS[4]
    cond, n = conditions([caption], ["caption=a red dog, running"], 2)
    made = values.conditions([caption], cond, n)["caption"]
    assert [bytes(row[mask].tolist()).decode() for row, mask in zip(made.value, made.mask, strict=True)] == [
        "a red dog, running"
    ] * 2


def test_a_label_of_posed_items_is_a_name_and_never_a_number():
    items = [Item(np.zeros(1), {"year": 2, "other": 1}), Item(np.zeros(1), {"year": "0"})]
    task = SimpleNamespace(pose=lambda item, rng: (item, None))
    modality = SimpleNamespace(tasks=lambda: {"fill": task})
    denoiser = SimpleNamespace(conditions=(YEARS,))
    _, cond, posed = evaluate._posed(denoiser, modality, items, 2, "fill", 0)
    assert sorted(row["year"] for row in cond) == ["0", "2"]
    assert [str(item.cond["year"]) for item in posed["given"]] == [row["year"] for row in cond]
