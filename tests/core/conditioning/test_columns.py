"""Columns of the data as conditions: what is learnt, what a batch holds, and what is refused by name."""

import json

import pytest
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.modality import Item

ITEMS = [
    Item(None, {"shape": "round", "grade": 10, "mass": 2.0, "caption": "añ"}, "a"),
    Item(None, {"shape": "flat", "grade": 9, "mass": 4.0, "caption": "b"}, "b"),
    Item(None, {"shape": None, "grade": 1}, "c"),
]


def learnt():
    return Columns.of(ITEMS, classes=["grade"], texts=["caption"])


def test_words_are_classes_numbers_are_scaled_and_texts_are_bytes():
    found = learnt()
    assert found.classes == {"grade": ("1", "9", "10"), "shape": ("flat", "round")}
    assert found.numbers == {"mass": (3.0, 1.0)}
    assert found.texts == {"caption": 3}
    specs = {spec.name: spec for spec in found.specs({"mass": "kg"})}
    assert (specs["mass"].offset, specs["mass"].scale, specs["mass"].unit) == (3.0, 1.0, "kg")
    assert specs["grade"].names == ("1", "9", "10")
    assert (specs["caption"].size, specs["caption"].route) == (3, "cross")


def test_a_batch_holds_its_values_and_what_is_lacking_is_not_present():
    cond = learnt().encode(ITEMS)
    assert cond["grade"].value.tolist() == [2, 1, 0]
    assert cond["shape"].value[:2].tolist() == [1, 0]
    assert cond["shape"].present.tolist() == cond["mass"].present.tolist() == [True, True, False]
    assert cond["mass"].value[:2].tolist() == [2.0, 4.0]
    assert cond["caption"].mask.sum(1).tolist() == [3, 1, 0]
    assert cond["caption"].present.dtype == torch.bool


def test_only_the_named_columns_count():
    assert Columns.of(ITEMS, only=["mass"]) == Columns(numbers={"mass": (3.0, 1.0)})


def test_it_survives_json():
    assert Columns.load(json.loads(json.dumps(vars(learnt())))) == learnt()


@pytest.mark.parametrize("word", ["nan", "inf", "1e5"])
def test_a_word_that_python_reads_as_a_number_is_a_word(word):
    items = [Item(None, {"k": k}, "a") for k in ("b", word, "2", "-1.5")]
    assert Columns.of(items).classes["k"] == ("-1.5", "2", *sorted(["b", word]))


def test_a_class_that_is_not_in_the_data_is_named_with_its_nearest():
    with pytest.raises(ValueError, match=r"c has shape 'rund', which is none of the 2 classes.*did you mean 'round'"):
        learnt().encode([Item(None, {"shape": "rund"}, "c")])


def test_words_beside_numbers_are_refused_unless_declared_classes():
    mixed = [Item(None, {"k": "x"}, "a"), Item(None, {"k": 3}, "b")]
    with pytest.raises(ValueError, match=r"'k' is a word in some rows \('x'\) and a number in others \(3\)"):
        Columns.of(mixed)
    assert Columns.of(mixed, classes=["k"]).classes == {"k": ("3", "x")}
