"""Networks from outside, by name."""

import pytest
from ornstein.core.evaluation.embedding import embedding

MODULE = """
class Rows:
    name, side = "rows", 8
    def __call__(self, x):
        return x

class Halves(Rows):
    side = 7.5

class Nameless:
    def __call__(self, x):
        return x

class Silent:
    name = "silent"

class Weightless(Rows):
    def __init__(self):
        raise FileNotFoundError("no file /weights/rows.pth")
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "networks_from_outside.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_class_is_made_and_given_back():
    made = embedding("networks_from_outside:Rows", "side")
    assert (made.name, made.side, made(3)) == ("rows", 8, 3)


@pytest.mark.parametrize("name", ["Halves", "Nameless", "Silent"])
def test_what_lacks_a_name_a_whole_number_or_a_call_is_refused(name):
    with pytest.raises(ValueError, match=rf"is a {name}: it needs `name`, `side` and __call__"):
        embedding(f"networks_from_outside:{name}", "side")


@pytest.mark.parametrize(
    "where", ["networks_from_outside:None", "no_such_package:Rows", "networks_from_outside", "", ":Rows"]
)
def test_a_wrong_name_says_how_to_write_one(where):
    with pytest.raises(ValueError, match=r"write package\.module:name"):
        embedding(where)


def test_weights_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="no file /weights/rows"):
        embedding("networks_from_outside:Weightless")
