"""A run folder that somebody shared runs no code of its own; a recipe that the user wrote may name any class."""

import shutil
import sys

import pytest
import yaml
from ornstein.core.cli import how, trust

EVIL = "from pathlib import Path\nPath(__file__).with_name('RAN').touch()\n"
OWN = """
from ornstein.core.guidance import Guidance
from ornstein.core.samplers import DDIM
from lightning.pytorch import Callback


class Mine(DDIM):
    pass


class Watch(Callback):
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module on the path that no plugin registers: it notes that it was imported."""
    (tmp_path / "path").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "path")
    name = f"foreign_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"path/{name}.py").write_text(EVIL + OWN)
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def shared(trained, tmp_path):
    """A copy of a run, and what changes its recipe."""
    run = tmp_path / "shared"
    shutil.copytree((trained / "image/latest").resolve(), run)

    def change(**parts):
        tree = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump(tree | parts))
        return run

    return change


def ran(tmp_path):
    return (tmp_path / "path/RAN").exists()


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("guidance", "sample"),
        ("sampler", "sample"),
        ("sampler", "validate"),
        ("guidance", "test"),
        ("backbone", "validate"),
        ("objective", "evaluate"),
    ],
)
def test_a_shared_run_imports_no_class_of_its_own(ornstein, shared, module, tmp_path, key, command):
    part = {"times": {"name": f"{module}.Mine"}} if key == "objective" else {"name": f"{module}.Mine"}
    code, out, err = ornstein(command, shared(**{key: part}))
    assert code == 1
    assert not ran(tmp_path)
    assert f"{module}.Mine" in err
    assert key in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "callback",
    [
        {"class_path": "{module}.Watch"},
        "{module}.Watch",
        "{{class_path: {module}.Watch}}",
        "{file}",
        {"class_path": "lightning.pytorch.callbacks.LambdaCallback", "init_args": {"setup": "{module}.Watch"}},
        {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "x"]}},
    ],
)
def test_no_spelling_of_a_class_gets_past(ornstein, shared, module, tmp_path, callback):
    (tmp_path / "part").write_text(yaml.safe_dump({"class_path": f"{module}.Watch"}))
    text = yaml.safe_dump(callback).replace("{{", "{").replace("}}", "}")
    callback = yaml.safe_load(text.replace("{module}", module).replace("{file}", str(tmp_path / "part")))
    code, _, err = ornstein("validate", shared(trainer={"accelerator": "cpu", "callbacks": [callback]}))
    assert code == 1
    assert not ran(tmp_path)
    assert "trainer.callbacks" in err


def test_nothing_hidden_among_plain_values_is_built():
    for value in ({"class_path": "subprocess.Popen", "init_args": {"args": "x"}}, "{class_path: subprocess.Popen}"):
        with pytest.raises(ValueError, match=r"guidance\.negative\.label"):
            trust.check({"guidance": {"name": "cfg", "negative": {"label": value}}})


def test_what_ornstein_and_lightning_bring_is_trusted(shared):
    run = shared(guidance={"name": "cfg", "scale": 2.0, "negative": {"label": "3"}}, init="runs/image/latest")
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["sampler"] = {"name": "ornstein.core.samplers.DDIM"}
    tree["trainer"]["callbacks"] = [{"class_path": "lightning.pytorch.callbacks.LearningRateMonitor"}]
    trust.check(tree)


def test_what_the_user_types_is_trusted(ornstein, shared, module, tmp_path):
    line = ["-n", "1", "--out", tmp_path / "out"]
    run = shared(sampler={"name": f"{module}.Mine", "steps": 2})
    assert ornstein("sample", run, *line, "--sampler", "ddim", "--steps", "2")[0] == 0
    assert not ran(tmp_path)
    assert ornstein("evaluate", run, "-n", "20", "--sampler", "ddim", "--steps", "2")[0] == 0
    assert not ran(tmp_path)
    assert ornstein("sample", run, *line, f"sampler.name={module}.Mine")[0] == 0
    assert ran(tmp_path)


def test_a_recipe_of_ones_own_names_any_class(ornstein, module, tmp_path):
    words = [f"sampler.name={module}.Mine", f"runs={tmp_path / 'runs'}", "--print_config"]
    code, out, _ = ornstein("fit", "image/digits", *words)
    assert code == 0
    assert yaml.safe_load(out)["sampler"]["name"] == f"{module}.Mine"


@pytest.mark.parametrize("name", ["timeit.timeit", "ornstein.core.samplers.DDIM", "ornstein.core.samplers.run"])
def test_guidance_is_a_guidance_before_it_is_called(name, capsys):
    recipe = {"sampler": {"name": "ddim"}, "guidance": {"name": name, "setup": "print('RAN')", "number": 0}}
    with pytest.raises(LookupError, match="is no Guidance"):
        how.build(None, recipe)
    assert "RAN" not in capsys.readouterr().out
