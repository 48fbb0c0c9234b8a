"""`ornstein tune`: a choice for a run, written where `sample --tuned` finds it."""

import json
import shutil

import pytest
import yaml


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the run, so that a choice is left in none that others use."""
    found = next(path.parent for path in trained.rglob("model.safetensors"))
    return shutil.copytree(found, tmp_path / "run")


def test_the_choice_is_printed_written_and_sampled_with(ornstein, folder, tmp_path):
    code, text, err = ornstein("tune", folder, "--evaluations", "4", "-n", "2", "--guidance", "2", "--cond", "label=3")
    assert code == 0, err
    assert "of 4 evaluations" in text
    assert "--tuned" in text
    chosen = yaml.safe_load((folder / "tuned.yaml").read_text())["sampler"]
    assert {"name", "steps"} <= set(chosen)
    assert (folder / "tuned.yaml").read_text().startswith("# ")
    code, _, err = ornstein("sample", folder, "--tuned", "-n", "1", "--out", tmp_path / "out")
    assert code == 0, err
    record = json.loads((tmp_path / "out/provenance.json").read_text())
    assert record["sampler"] == chosen
    again = ornstein("tune", folder, "--evaluations", "4", "-n", "2", "--guidance", "2", "--cond", "label=3")[1]
    assert again == text


@pytest.mark.parametrize("extra", [["--sampler", "ddim"], ["--steps", "3"]], ids=" ".join)
def test_a_tuned_sampler_stands_alone(ornstein, folder, extra):
    (folder / "tuned.yaml").write_text("sampler: {name: ddim, steps: 2}\n")
    code, _, err = ornstein("sample", folder, "--tuned", *extra)
    assert code == 2
    assert "leave out" in err


def test_sampling_tuned_before_tuning_says_how(ornstein, folder):
    code, _, err = ornstein("sample", folder, "--tuned")
    assert code == 2
    assert "ornstein tune" in err


REFUSED = [
    ([], "--evaluations 10, or --seconds 2"),
    (["--evaluations", "5", "--seconds", "1"], "one alone"),
    (["--evaluations", "0"], "evaluations"),
    (["--seconds", "0"], "seconds"),
    (["--seconds", "1e-9"], "less than one evaluation"),
    (["--evaluations", "x"], "--evaluations"),
    (["--evaluations", "5", "-n", "0"], "at least 1 sample"),
    (["--evaluations", "5", "--cond", "lable=3"], "label"),
    (["--evaluations", "5", "--cond", "label=99"], "99"),
    (["--evaluations", "5", "sampler=ddim"], "what is chosen"),
    (["--evaluations", "5", "sampler.steps=3"], "what is chosen"),
    (["--evaluations", "5", "backbone.width=3"], "trained already"),
]


@pytest.mark.parametrize(("argv", "said"), REFUSED, ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_what_is_refused(ornstein, folder, argv, said):
    code, out, err = ornstein("tune", folder, *argv)
    assert code in (1, 2)
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert not (folder / "tuned.yaml").exists()


def test_no_such_run(ornstein):
    code, _, err = ornstein("tune", "nowhere", "--evaluations", "3")
    assert code == 1
    assert "nowhere" in err
