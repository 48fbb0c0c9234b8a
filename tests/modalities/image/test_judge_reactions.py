"""The script behind the table of reactions: each fault moves the lines that are there for it."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from ornstein.core.sources import read_all, split
from ornstein.modalities.image import Image, extractor
from ornstein.modalities.image.data import Digits

SCRIPT = Path(__file__).resolve().parents[3] / "docs/examples/image_reactions.py"


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("image_reactions", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(script):
    modality = Image()
    parts = split(Digits().rows(), 0, (0.4, 0.2, 0.4))
    items = {name: read_all(modality, part, progress=False)[0] for name, part in parts.items()}
    modality.fit(items["train"])
    train, held_out, others = (script.judged(modality, items[name]) for name in ("train", "validation", "test"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "STEPS", 200)
        patch.setattr(script, "NOISE", 40.0)  # digits have 17 levels, 16 apart
        found = script.reactions(modality, train, held_out, script.columns(train, others, 0))
    return {name[:-2]: values for name, values in found.items()}


def test_columns_are_of_one_size(script):
    judged = script.Judged([np.full((4, 4, 1), i, np.uint8) for i in range(40)], [{"label": i % 4} for i in range(40)],
                           [str(i) for i in range(40)])  # fmt: skip
    sets = script.columns(judged, judged, 0)
    assert {len(each) for each in sets.values()} == {20}
    assert {cond["label"] for cond in sets["half of the classes"].cond} == {0, 2}


@pytest.mark.parametrize("fault", ["blur", "noise", "half of the classes"])
@pytest.mark.parametrize("metric", ["Fréchet distance", "kernel distance", "sliced Wasserstein"])
def test_distances_see_every_fault(table, metric, fault):
    values = table[metric]
    assert values[fault] > values["real"] * 1.1
    assert values["copies"] < values["real"]


def test_faults_that_are_of_one_kind_move_the_lines_for_that_kind(table):
    for fault in ("blur", "noise"):
        assert table["radial spectrum, dB"][fault] > 2 * table["radial spectrum, dB"]["real"]
        assert table["precision"][fault] < 0.9 * table["precision"]["real"]
    assert table["radial spectrum, dB"]["half of the classes"] < 1
    for metric in ("recall", "coverage", "inception score"):
        assert table[metric]["half of the classes"] < 0.9 * table[metric]["real"]
    assert table["precision"]["half of the classes"] > 0.9 * table["precision"]["real"]


def test_only_memory_tells_copies_from_a_perfect_model(table):
    assert table["near copies"]["copies"] == 1
    assert table["authenticity"]["copies"] == 0
    assert table["near copies"]["real"] < 0.15
    assert table["precision"]["copies"] == 1
