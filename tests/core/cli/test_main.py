"""What every command shares: help, names, errors, exit codes."""

import subprocess
import sys

import pytest
from ornstein.core.cli import main as main_module
from ornstein.core.cli.listing import tables
from ornstein.core.cli.main import COMMANDS
from ornstein.core.registry import TABLE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(ornstein, command):
    code, out, _ = ornstein(command, "--help")
    assert code == 0
    assert f"ornstein {command}" in out
    assert "MODALITY" not in out  # examples name a recipe that exists


def test_help_names_every_command(ornstein):
    code, out, _ = ornstein("--help")
    assert code == 0
    assert all(f"\n    {command}" in out for command in COMMANDS)


def test_list_names_everything(ornstein):
    code, out, _ = ornstein("list")
    words = out.split()
    assert code == 0
    assert {"image", "image/digits", "image/folder", *TABLE} <= set(words)
    assert all(name in words for names in tables().values() for name in names)


@pytest.mark.parametrize("group", [*TABLE, "recipes", "ema", "optimizer", "trainer"])
def test_list_says_what_each_name_is(ornstein, group):
    code, _, _ = ornstein("list", group)
    assert code == 0
    assert all(tables()[group].values()), "a name without a sentence"


def test_cheap_commands_import_nothing_heavy():
    heavy = ("torch", "lightning", "hydra", "jsonargparse", "numpy", "rich", "matplotlib", "ornstein.modalities.image")
    for line in (["--help"], ["list"], ["list", "sampler"], ["fit", "--help"], ["sample", "--help"]):
        code = f"import sys; from ornstein.core.cli.main import main; main({line})"
        code += f"; print(*[m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "", line


UNKNOWN = [
    (["fti"], "fit", 2),
    (["list", "samplr"], "sampler", 1),
    (["list", "--grup"], "--help", 2),
    (["fit", "image/digts"], "image/digits", 1),
    (["fit", "imag"], "image", 1),
    (["fit", "image/digits", "sampler=ddmi"], "ddim", 1),
    (["fit", "image/digits", "process.pixels=emd"], "edm", 1),
    (["fit", "image/digits", "oops"], "key=value", 2),
    (["fit", "missing.yaml"], "does not exist", 1),
    (["fit"], "", 2),
    (["fit", "--trainer.max_steps", "3"], "name a recipe", 2),
    (["sample", "nowhere"], "nowhere", 1),
    (["sample", "nowhere", "--stepz", "3"], "--steps", 2),
    (["check", "imgae"], "image", 1),
    (["evaluate", "nowhere"], "nowhere", 1),
    (["sweep", "image/digits"], "name a recipe and values", 2),
    (["sample"], "required: RUN; see `ornstein sample --help`", 2),
    (["validate", "a=1"], "`ornstein validate runs/audio/latest`", 2),
    (["fit", "seed=1"], "`ornstein fit audio/tones`", 2),
    (["check", "no_such_module.Thing"], "cannot be imported", 1),
]


@pytest.mark.parametrize(("argv", "said", "code"), UNKNOWN)
def test_what_does_not_exist_gets_one_message_with_the_nearest(ornstein, argv, said, code):
    got, out, err = ornstein(*argv)
    assert got == code
    assert said in err
    assert "Traceback" not in out + err


def test_debug_anywhere_shows_the_traceback(ornstein):
    code, _, err = ornstein("list", "--debug", "samplr")
    assert code == 1
    assert "Traceback" in err


def test_an_unexpected_error_keeps_its_traceback(ornstein, monkeypatch):
    def broken(argv):
        return {}["a bug"]

    monkeypatch.setattr(main_module, "_run", broken)
    code, _, err = ornstein("list")
    assert code == 1
    assert "Traceback" in err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileExistsError(17, "File exists", "out"), "out: File exists"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(18, "Cross-device link", "a", None, "b"), "a and b: Cross-device link"),
        (OSError("in plain words"), "in plain words"),
        (ModuleNotFoundError("No module named 'sklearn'", name="sklearn"), "pip install 'ornstein[all]'"),
    ],
)
def test_what_the_machine_refuses_is_one_line(ornstein, monkeypatch, error, said):
    def broken(argv):
        raise error

    monkeypatch.setattr(main_module, "_run", broken)
    code, _, err = ornstein("list")
    assert code == 1
    assert said in err
    assert "Errno" not in err
    assert err.count("\n") == 1


def test_a_module_of_our_own_that_is_missing_is_our_fault(ornstein, monkeypatch):
    monkeypatch.setitem(main_module.COMMANDS, "list", ("no_such_module", ""))
    code, _, err = ornstein("list")
    assert code == 1
    assert "Traceback" in err


def test_check_finds_a_modality_in_the_current_folder(ornstein, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "written_here.py").write_text("raise RuntimeError('found')\n")
    assert "found" in ornstein("check", "written_here.Mine")[2]


def test_a_group_may_be_said_in_the_plural(ornstein):
    assert ornstein("list", "samplers") == ornstein("list", "sampler")


def test_ctrl_c_leaves_with_130_and_a_word(ornstein, monkeypatch):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "_run", interrupted)
    code, out, err = ornstein("list")
    assert code == 130
    assert err.strip() == "stopped"
    assert out == ""


def test_version(ornstein):
    code, out, _ = ornstein("--version")
    assert code == 0
    assert out.startswith("ornstein ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_options_and_names(ornstein, shell):
    code, out, _ = ornstein("completion", shell)
    assert code == 0
    for word in ("evaluate", "guidance", "image/digits", "sampler=ddim"):
        assert word in out


def test_the_bash_completion_is_bash(ornstein):
    _, out, _ = ornstein("completion", "bash")
    subprocess.run(["bash", "-n"], input=out, text=True, check=True)


def test_check_asks_every_rule_and_fails_where_one_is_broken(ornstein, monkeypatch):
    from ornstein.core import conformance

    found = [conformance.Result("one", "passed"), conformance.Result("two", "failed", "it moves")]
    for code in (0, 1):
        monkeypatch.setattr(conformance, "results", lambda modality, n=code: iter(found[: 1 + n]))
        got, out, _ = ornstein("check", "image")
        assert got == code
        assert ("it moves" in out) == bool(code)
