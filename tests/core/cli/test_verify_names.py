"""`ornstein verify`: names, classes that are being written, exit codes."""

import pytest

MINE = """
from dataclasses import dataclass
from ornstein.core.samplers import DDIM

@dataclass(frozen=True)
class Honest(DDIM):
    pass

@dataclass(frozen=True)
class Boastful(DDIM):
    @property
    def convergence(self):
        return 2

class Breaks(DDIM):
    def coefficients(self, curve, stages):
        return [None] * len(stages)

class Needy(DDIM):
    def __init__(self, network):
        super().__init__()
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_to_verify.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "mine_to_verify"


@pytest.mark.parametrize(
    "argv",
    [["schedules", "cosine"], ["parametrization", "v"], ["guidance", "cfg"], ["sampler", "dopri5"]],
    ids=" ".join,
)
def test_what_is_registered_keeps_every_rule(ornstein, argv):
    code, text, err = ornstein("verify", *argv)
    assert (code, err) == (0, "")
    assert " 0 broken" in text


@pytest.mark.parametrize(("name", "code"), [("Honest", 0), ("Boastful", 1), ("Breaks", 1)])
def test_a_class_that_is_being_written(ornstein, mine, name, code):
    got, text, err = ornstein("verify", "sampler", f"{mine}.{name}")
    assert got == code, text + err
    assert ("FAIL" in text) == (code == 1)
    assert "Traceback" not in text + err


REFUSED = [
    (["sampler", "dimm"], "ddim"),
    (["sampler", "maskgit"], "verify sampler ddpm"),
    (["grid", "karras"], "choose from guidance"),
    (["schedule", "torch.nn.Linear"], "is no Schedule"),
    (["sampler", "ornstein.core.schedules.VP"], "is no Sampler"),
    (["sampler", "mine_to_verify.Missing"], "cannot be imported"),
    (["sampler", "mine_to_verify.Needy"], "needs network"),
    (["sampler", "nowhere.Thing"], "cannot be imported"),
]


@pytest.mark.parametrize(("argv", "said"), REFUSED, ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_what_is_refused(ornstein, mine, argv, said):
    got, out, err = ornstein("verify", *argv)
    assert (got, out) == (1, "")
    assert said in err
    assert "Traceback" not in err
