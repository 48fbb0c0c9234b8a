"""`ornstein compare samplers`: the door to the comparison, and everything that it refuses."""

import csv

import pytest

FEW = ("-n", "8", "--world", "line")


def test_the_table_and_the_files(ornstein, tmp_path):
    out = tmp_path / "new" / "place"
    code, text, _ = ornstein(
        "compare", "samplers", *FEW, "--names", "ddim, euler,ddpm", "--evaluations", "3,2", "--out", out
    )
    assert code == 0
    assert text.startswith("grid log_snr from t = 1, world line, schedule VP")
    assert "the same as ddim here: euler" in text
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert [(row["sampler"], row["evaluations"], row["used"]) for row in rows] == [
        (name, calls, calls) for name in ("ddim", "euler", "ddpm") for calls in "23"
    ]
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_every_table_of_the_registry_is_compared_where_none_is_named(ornstein):
    from ornstein.core.registry import TABLE, class_of
    from ornstein.core.samplers import TableSampler

    code, text, _ = ornstein("compare", "samplers", *FEW, "--evaluations", "6")
    tables = [name for name in TABLE["sampler"] if issubclass(class_of("sampler", name), TableSampler)]
    assert code == 0
    assert not [name for name in tables if name not in text]
    assert "left out" not in text
    assert "nan" not in text


@pytest.mark.parametrize("schedule", ["rectified", "cosine_beta"])
def test_a_schedule_that_ends_in_noise_is_compared_on_the_uniform_grid(ornstein, schedule):
    code, text, _ = ornstein(
        "compare", "samplers", *FEW, "--names", "ddim", "--schedule", schedule, "--evaluations", "4"
    )
    assert code == 0
    assert text.startswith("grid uniform")


def test_own_is_the_grid_of_each_samplers_part(ornstein, tmp_path):
    def figures(grid):
        argv = ("--names", "dpm2,heun", "--grid", grid, "--evaluations", "9", "--out", tmp_path / grid)
        assert ornstein("compare", "samplers", *FEW, *argv)[0] == 0
        return {row["sampler"]: row["figure"] for row in csv.DictReader((tmp_path / grid / "compare.csv").open())}

    own, karras, uniform = figures("own"), figures("karras"), figures("uniform")
    assert own == {"dpm2": karras["dpm2"], "heun": uniform["heun"]}
    assert karras["heun"] != uniform["heun"]


REFUSED = [
    (["--world", "nope"], "gmm, line, cloud", 1),
    (["--names", "ddim,dimm"], "ddim", 1),
    (["--names", ""], "choose from", 1),
    (["--names", "dopri5,ddim"], "dopri5: no table", 1),
    (["--evaluations", "0"], "at least 1", 2),
    (["--evaluations", "5,x"], "5,x", 2),
    (["--evaluations", "5,,6"], "5,,6", 2),
    (["--evaluations", ""], "whole numbers", 2),
    (["--evaluations", "2.5"], "2.5", 2),
    (["-n", "0"], "n=0", 1),
    (["-n", "1"], "n=1", 1),
    (["--schedule", "nope"], "rectified", 1),
    (["--grid", "karas"], "karras", 1),
    (["--grid", "leading", "--evaluations", "1"], "nothing to compare: ddim", 1),
]


@pytest.mark.parametrize(("argv", "said", "code"), REFUSED, ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_what_is_refused(ornstein, argv, said, code):
    names = [] if "--names" in argv else ["--names", "ddim"]
    got, out, err = ornstein("compare", "samplers", *names, *argv)
    assert (got, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_a_file_where_the_folder_should_be_is_told_before_the_work(ornstein, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        code, text, err = ornstein("compare", "samplers", *FEW, "--names", "ddim", "--out", out)
        assert (code, text) == (1, "")
        assert "file" in err
        assert "Traceback" not in err
