"""Raw values of conditions, as people type them."""

import numpy as np
import pytest
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import class_number, conditions

LABEL = ConditionSpec("label", "class", 3, names=("cat", "dog", "7up"))
DIGIT = ConditionSpec("digit", "class", 10)
HEAT = ConditionSpec("heat", "scalar", unit="K")
POINT = ConditionSpec("point", "vector", 2)
WORDS = ConditionSpec("words", "tokens", 2, "cross")
TEXT = ConditionSpec("text", "text", 6, "cross")
DENSE = ConditionSpec("dense", "dense", 1, "concat")
SPECS = (LABEL, DIGIT, HEAT, POINT, WORDS, TEXT, DENSE)


def values(name: str, raw, n: int):
    return conditions(SPECS, {name: raw}, n)[name]


@pytest.mark.parametrize(
    ("name", "raw", "n", "expected"),
    [
        ("label", "dog", 3, [1, 1, 1]),
        ("label", ["dog", 0, "7up"], 3, [1, 0, 2]),
        ("digit", "7", 1, [7]),
        ("digit", range(3), 3, [0, 1, 2]),
        ("digit", np.array([4, 5]), 2, [4, 5]),
        ("digit", torch.tensor([4, 5]), 2, [4, 5]),
        ("digit", [torch.tensor(4), np.int64(5)], 2, [4, 5]),
        ("digit", np.int64(3), 2, [3, 3]),
        ("digit", torch.tensor(3), 2, [3, 3]),
        ("heat", 300, 2, [300, 300]),
        ("heat", (1, 2.5), 2, [1, 2.5]),
        ("point", [1, 2], 1, [[1, 2]]),
        ("point", [1, 2], 2, [[1, 2], [1, 2]]),
        ("point", [[1, 2], [3, 4]], 2, [[1, 2], [3, 4]]),
        ("point", [np.array([1, 2]), np.array([3, 4])], 2, [[1, 2], [3, 4]]),
        ("point", torch.tensor([[1.0, 2.0]]), 1, [[1, 2]]),
        ("words", np.ones((3, 2)), 2, [[[1, 1]] * 3] * 2),
        ("words", [[[1, 2]], [[3, 4]]], 2, [[[1, 2]], [[3, 4]]]),
    ],
)
def test_values_for_all_or_for_each(name, raw, n, expected):
    c = values(name, raw, n)
    assert c.value.tolist() == expected
    assert c.present.tolist() == [True] * n


def test_none_is_no_value():
    assert conditions(SPECS, None, 3) == {}
    assert conditions(SPECS, {}, 3) == {}
    assert values("label", None, 2).present.tolist() == [False, False]
    mixed = {"label": ["cat", None], "heat": [None, 2], "point": [None, [1, 2]], "words": [None, [[1, 2], [3, 4]]]}
    found = conditions(SPECS, mixed, 2)
    assert {k: c.present.tolist() for k, c in found.items()} == {
        "label": [True, False], "heat": [False, True], "point": [False, True], "words": [False, True]
    }  # fmt: skip
    assert found["point"].value[1].tolist() == [1, 2]
    assert values("point", [None, None], 2).present.tolist() == [False, False]
    assert torch.isfinite(found["heat"].value).all()


def test_tokens_of_different_lengths_are_padded():
    c = values("words", [[[1, 2]], [[3, 4], [5, 6]]], 2)
    assert c.value.shape == (2, 2, 2)
    assert c.mask.tolist() == [[True, False], [True, True]]
    assert values("dense", [[[1.0], [2.0]]] * 2, 2).mask is None


def test_texts_become_bytes():
    c = values("text", ["cat", None], 2)
    assert c.value[0].tolist() == [*b"cat", 0, 0, 0]
    assert c.mask.sum(1).tolist() == [3, 0]
    assert c.present.tolist() == [True, False]
    assert values("text", "a cat, a dog", 2).value[1].tolist() == [*b"a cat,"]


@pytest.mark.parametrize(
    ("name", "raw", "n", "words"),
    [
        ("lable", 1, 1, "unknown condition 'lable'; the model takes label"),
        ("label", "dgo", 1, "label='dgo' does not exist; choose dog"),
        ("label", 3, 1, "label=3 is out of range: the classes are 0 to 2"),
        ("label", -1, 1, "out of range"),
        ("label", 1.5, 1, "does not exist"),
        ("label", [0, 1], 3, "'label' has 2 values for 3 samples"),
        ("label", [], 3, "has 0 values for 3"),
        ("digit", "ten", 1, "choose 0 to 9"),
        ("heat", "hot", 1, "takes numbers, found 'hot'"),
        ("heat", [[1.0], [2.0]], 2, "'heat' takes 1 numbers"),
        ("heat", float("nan"), 1, "not finite"),
        ("point", [1, 2, 3], 1, "'point' takes 2 numbers"),
        ("point", [[1], [2]], 2, "'point' takes 2 numbers"),
        ("point", 5, 1, "takes lists of 2 numbers, found 5"),
        ("words", [[[1, 2, 3]]], 1, r"takes arrays \(L, 2\), found \(1, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(name, raw, n, words):
    with pytest.raises(ValueError, match=words):
        values(name, raw, n)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "colour"}, "kind 'colour' does not exist; choose from class"),
        ({"kind": "dense", "route": "global"}, "route 'global' does not serve kind 'dense'; choose from concat"),
        ({"kind": "class", "size": 0}, "has size 0"),
        ({"kind": "scalar", "size": 2}, "has size 2"),
        ({"kind": "class", "size": 3, "names": ("a", "b")}, "3 classes and 2 names"),
        ({"kind": "scalar", "scale": 0.0}, "a scale above 0"),
        ({"kind": "class", "size": 3, "offset": 1.0}, "scalars, vectors and dense conditions take"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ConditionSpec("c", **options)


def test_names_that_are_numbers_are_names():
    spec = ConditionSpec("kind", "class", 9, names=tuple("123456789"))
    assert class_number(spec, "4") == 3
    assert class_number(spec, 4) == 4
    with pytest.raises(ValueError, match="kind=0 does not exist or is out of range"):
        class_number(spec, "0")
