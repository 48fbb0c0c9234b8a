"""One tiny run, and everything that the command line does with it."""

import json
import shutil

import numpy as np
import pytest
import yaml
from ornstein.core import checkpoint

from .conftest import TINY, config, steps


def test_a_run_folder_holds_what_it_should(trained):
    run = (trained / "image/latest").resolve()
    assert run.name.startswith("digits-")
    for name in ("config.yaml", "model.safetensors", "model.yaml", "checkpoints/last.ckpt", "tensorboard"):
        assert (run / name).exists(), name
    assert (run / "pictures/step-00000004.png").is_file()
    assert steps(run) == [1, 2, 3, 4]
    assert config(run)["trainer"]["max_steps"] == 4  # a flag is part of the recipe
    assert config(run)["backbone"] | {"width": 32, "depth": 1} == config(run)["backbone"]


def test_the_printed_config_runs_again_and_prints_itself(ornstein, tmp_path):
    code, first, _ = ornstein(
        "fit", "image/digits", "sampler=ddim", "trainer=cpu", "--print_config", "--seed_everything", "3"
    )
    assert code == 0
    (tmp_path / "printed.yaml").write_text(first)
    assert yaml.safe_load(first)["sampler"]["name"] == "ddim"
    assert yaml.safe_load(first)["seed"] == 3
    for line in (["--config", tmp_path / "printed.yaml"], [tmp_path / "printed.yaml"]):
        code, again, _ = ornstein("fit", *line, "--print_config")
        assert (code, again) == (0, first)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.batch_sze=3"], "batch_size"),
        (["dat.batch_size=3"], "data"),
        (["optimizer.lrr=3"], "did you mean lr"),
        (["trainer.max_stepz=3"], "max_steps"),
        (["run.evry=3"], "every"),
        (["modality.pach=3"], "patch"),
        (["process.pixels.schedule.nam=3"], "Rectified"),
        (["data.batch_size=many"], "batch_size"),
        (["data.batch_size=0"], "at least 1"),
        (["data.seed=1"], "write it at the top"),
        (["data=5"], "data.KEY=VALUE"),
        (["seed=abc"], "a whole number"),
        (["--trainer.max_step", "3"], "did you mean --trainer.max_steps"),
        (["modality=imag"], "image"),
        (["tasks={inpant: 1}"], "inpaint"),
        (["--trainer.max_stepz", "3"], "--trainer.max_steps"),
        (["--trainer.max_steps", "many"], "max_steps"),
        (["--trainer.max_steps", "3", "seed=1"], "before the first flag"),
        (["data.root=nowhere"], "nowhere"),
        (["guidance.weak=nowhere"], "guides a trained model"),
    ],
)
def test_a_wrong_recipe_is_refused_and_leaves_no_folder(ornstein, tmp_path, words, said):
    code, out, err = ornstein("fit", "image/digits", f"runs={tmp_path}", *words)
    assert code in (1, 2)
    assert said in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("*/*"))  # no `latest` either


def test_samples_are_files_a_picture_and_a_record(ornstein, trained, tmp_path):
    line = ["-n", "2", "--cond", "label=0,3", "--sampler", "heun", "--steps", "2", "--seed", "5", "--out", tmp_path]
    code, out, _ = ornstein(
        "sample",
        trained / "image/latest",
        *line,
        "--guidance",
        "3",
        "--interval",
        "0.2",
        "0.8",
        "--negative",
        "label=1",
    )
    assert code == 0
    assert "4 samples" in out
    assert len(list(tmp_path.glob("0*.png"))) == 4
    assert (tmp_path / "grid.png").is_file()
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["seed"] == 5
    assert record["sampler"]["name"] == "heun"
    assert record["guidance"] == {"name": "cfg", "scale": 3.0, "interval": [0.2, 0.8], "negative": {"label": "1"}}
    assert (record["cond"], record["n"]) == (["label=0,3"], 2)
    assert not list(tmp_path.glob(".provenance*"))
    assert "Heun(steps=2" in record["table"]
    assert len(record["files"]) == 5


def test_label_all_is_every_class_in_order(ornstein, trained, tmp_path):
    for label in ("all", "0,1,2,3,4,5,6,7,8,9"):
        line = ["-n", "1", "--cond", f"label={label}", "--steps", "2", "--guidance", "5", "--out", tmp_path / label]
        assert ornstein("sample", trained / "image", *line)[0] == 0
    files = sorted((tmp_path / "all").glob("0*.png"))
    assert len(files) == 10
    assert all(f.read_bytes() == (tmp_path / "0,1,2,3,4,5,6,7,8,9" / f.name).read_bytes() for f in files)


def test_a_copied_run_samples_without_its_data_and_its_recipe(ornstein, trained, tmp_path):
    here, there = tmp_path / "exported", tmp_path / "out"
    assert ornstein("export", trained / "image/latest", "--out", here)[0] == 0
    assert sorted(p.name for p in here.iterdir()) == ["model.safetensors", "model.yaml"]
    assert ornstein("export", trained / "image")[0] == 0
    default = trained / "image/latest/export/model.safetensors"
    assert default.read_bytes() == (here / "model.safetensors").read_bytes()
    assert ornstein("sample", here, "-n", "1", "--steps", "2", "--out", there)[0] == 0
    assert (there / "0000.png").is_file()


def test_an_earlier_step_can_be_exported(ornstein, trained, tmp_path):
    run = trained / "image/latest"
    assert ornstein("export", run, "--out", tmp_path / "two", "--step", "2")[0] == 0
    assert ornstein("export", run, "--out", tmp_path / "four", "--step", "4")[0] == 0
    two, four, newest = (checkpoint.load(p).state_dict() for p in (tmp_path / "two", tmp_path / "four", run))
    assert all((four[k] == newest[k]).all() for k in newest)
    assert any((two[k] != newest[k]).any() for k in newest)
    code, _, err = ornstein("export", run, "--out", tmp_path, "--step", "3")
    assert code == 1
    assert "kept steps: 2, 4" in err


def test_an_earlier_step_guides_the_last(ornstein, trained, tmp_path):
    run, weak = trained / "image/latest", tmp_path / "weak"
    ornstein("export", run, "--out", weak, "--step", "2")

    def picture(model, name, *words):
        line = ("sample", model, "-n", "1", "--sampler", "dpmpp_2m", "--steps", "2", *words, "--out", tmp_path / name)
        assert ornstein(*line)[0] == 0
        return (tmp_path / name / "0000.png").read_bytes()

    def guided(scale):
        return picture(run, f"at-{scale}", "guidance=cfg", f"guidance.weak={weak}", f"guidance.scale={scale}")

    assert guided(0) == picture(weak, "weak")
    assert guided(1) == picture(run, "strong", "--guidance", "1")
    assert len({guided(0), guided(1), guided(3)}) == 3
    code, _, err = ornstein("sample", run, "guidance=cfg", "guidance.weak=nowhere")
    assert code == 1
    assert "unknown run folder 'nowhere'" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--cond", "lable=3"], "did you mean label"),
        (["--cond", "label=12"], "label=12"),
        (["--cond", "label"], "NAME=VALUE"),
        (["--sampler", "hein"], "heun"),
        (["--steps", "0"], "at least 1"),
        (["-n", "0"], "at least 1"),
        (["--task", "inpaint"], "--given goes with --task or --strength"),
        (["--strength", "0.5"], "--given goes with --task or --strength"),
        (["--between"], "2 or more, found 0"),
        (["--between", "--strength", "0.5", "--cond", "label=1"], "--strength, --cond has no meaning"),
        (["--task", "inpant", "--given", "x.png"], "inpaint"),
        (["--task", "inpaint", "--given", "x.png"], "does not exist"),
        (["backbone.width=3"], "trained already"),
        (["--interval", "0.8", "0.2", "--guidance", "2"], "interval"),
        (["--negative", "lable=3"], "label"),
    ],
)
def test_what_cannot_be_sampled_is_told(ornstein, trained, tmp_path, line, said):
    code, out, err = ornstein("sample", trained / "image/latest", "--out", tmp_path, *line)
    assert code in (1, 2)
    assert said in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_variations_of_a_given_picture_are_nearer_to_it_the_less_it_is_noised(ornstein, trained, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    far = []
    for strength in ("0.05", "0.9"):
        asked = ("--given", tmp_path / "a.png", "--strength", strength, "-n", "3", "--out", tmp_path / strength)
        assert ornstein("sample", trained / "image/latest", *asked)[0] == 0
        made = [np.asarray(Image.open(p), float) for p in (tmp_path / strength).glob("0*.png")]
        assert len(made) == 3
        far.append(np.mean([np.abs(x - pixels).mean() for x in made]))
        assert json.loads((tmp_path / strength / "provenance.json").read_text())["strength"] == float(strength)
    assert far[0] < 0.5 * far[1]


def test_between_two_pictures_lie_pictures_that_go_from_one_to_the_other(ornstein, trained, tmp_path):
    from PIL import Image

    (tmp_path / "given").mkdir()
    ends = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    for name, pixels in zip("ab", ends, strict=True):
        Image.fromarray(pixels).save(tmp_path / f"given/{name}.png")
    line = ["--between", "--given", tmp_path / "given", "-n", "3", "--sampler", "heun", "--steps", "40"]
    assert ornstein("sample", trained / "image/latest", *line, "--out", tmp_path / "out")[0] == 0
    made = [np.asarray(Image.open(p), float) for p in sorted((tmp_path / "out").glob("0*.png"))]
    from_first, from_second = ([np.abs(x - end).mean() for x in made] for end in ends)
    assert from_first == sorted(from_first)
    assert from_second == sorted(from_second, reverse=True)
    assert from_first[0] < from_second[0]
    assert from_first[2] > from_second[2]
    assert json.loads((tmp_path / "out/provenance.json").read_text())["between"] is True
    line = ["--between", "--given", tmp_path / "given", "--sampler", "ddpm"]
    code, _, err = ornstein("sample", trained / "image/latest", *line, "--out", tmp_path / "none")
    assert code == 1
    assert "draws noise of its own" in err


def test_what_is_given_is_exact_in_the_written_file(ornstein, trained, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    (tmp_path / "given").mkdir()
    for name in ("a", "b"):
        Image.fromarray(pixels).save(tmp_path / f"given/{name}.png")
    line = ["--task", "inpaint", "--given", tmp_path / "given", "--cond", "label=1,2", "-n", "1", "--steps", "2"]
    code, out, _ = ornstein("sample", trained / "image/latest", *line, "--out", tmp_path / "out")
    assert code == 0
    assert "4 samples" in out  # two items, each for two labels
    for k in range(4):
        same = np.asarray(Image.open(tmp_path / f"out/{k:04d}.png")) == pixels
        assert 0.2 < same.mean() < 1


def test_held_out_losses(ornstein, trained):
    for command, name in (("validate", "val/loss"), ("test", "test/loss")):
        code, out, _ = ornstein(command, trained / "image/latest")
        assert code == 0
        assert name in out
        assert "step" not in out


def test_evaluate_prints_and_writes_the_table(ornstein, trained, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree((trained / "image/latest").resolve(), run)
    code, out, _ = ornstein("evaluate", run, "-n", "20", "--steps", "2")
    assert code == 0
    assert "ours" in out
    assert "real" in out
    report = json.loads((run / "evaluation/report.json").read_text())
    assert report["facts"]["n"] == 20
    assert (run / "evaluation/report.html").stat().st_size > 1000
    assert ornstein("evaluate", run, "-n", "20", "--steps", "2", "--task", "inpaint")[0] == 0
    assert (run / "evaluation/inpaint/report.json").is_file()
    assert json.loads((run / "evaluation/report.json").read_text()) == report
    held_out = {}
    for part, folder in (("test", ""), ("validation", "validation")):
        assert ornstein("evaluate", run, "-n", "20", "--steps", "2", "--part", part)[0] == 0
        facts = json.loads((run / "evaluation" / folder / "report.json").read_text())["facts"]
        assert facts["part"] == part
        held_out[part] = facts["held-out"]
    assert held_out["test"] == report["facts"]["held-out"]
    assert held_out["validation"]["hash"] != held_out["test"]["hash"]
    code, _, err = ornstein("evaluate", run, "data.root=nowhere")
    assert code == 1
    assert "nowhere" in err
    code, _, err = ornstein("evaluate", run, "backbone.width=3")
    assert code == 2


def test_what_a_trained_model_takes_anew(ornstein, trained, tmp_path):
    run = trained / "image/latest"
    code, _, err = ornstein("evaluate", run, "modality.extractors=[ornstein.nothing:There]", "-n", "20")
    assert code != 0
    assert "ornstein.nothing" in err
    code, _, err = ornstein("sample", run, "modality.patch=4", "-n", "1", "--out", tmp_path)
    assert code == 1
    assert "modality.patch: the model is trained already, and only extractors can change" in err
    for word, said in (
        ("modality=image", "words that change the modality read modality.KEY=VALUE"),
        ("~modality.extractors", "words that change the modality read modality.KEY=VALUE"),
        ("modality.extractors=inception", 'key "extractors": Expected'),
    ):
        code, _, err = ornstein("sample", run, word, "-n", "1", "--out", tmp_path)
        assert code != 0
        assert said in err
    assert ornstein("evaluate", run, "--protocol", "published", "--part", "validation")[0] == 2
    assert not list(tmp_path.iterdir())
    line = ["modality.extractors=null", "-n", "1", "--steps", "2", "--out", tmp_path]
    assert ornstein("sample", run, *line)[0] == 0
    assert json.loads((tmp_path / "provenance.json").read_text())["modality"] == {"extractors": None}


def test_a_sweep_that_no_job_would_take_leaves_no_folder(ornstein, tmp_path):
    for line, said in ((["seeed=0,1"], "seed"), (["seed=0,1", "--trainer.max_stepz", "2"], "--trainer.max_steps")):
        code, _, err = ornstein("sweep", "image/digits", *line[:1], f"runs={tmp_path}", *line[1:])
        assert code in (1, 2)
        assert f"did you mean {said}" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_sweep_runs_every_combination_and_sums_up(ornstein, tmp_path):
    words = [*TINY, "run.pictures=0", f"runs={tmp_path}"]
    code, out, _ = ornstein(
        "sweep", "image/digits", "seed=0,1", "sampler=ddim,heun", *words, "--trainer.max_steps", "2"
    )
    assert code == 0
    (folder,) = (tmp_path / "image").glob("digits-sweep-*")
    found = [config(folder / str(i)) for i in range(4)]
    assert {(c["seed"], c["sampler"]["name"]) for c in found} == {(s, n) for s in (0, 1) for n in ("ddim", "heun")}
    assert "val/loss" in out
    assert "seed" in out
