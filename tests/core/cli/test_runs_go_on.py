"""Runs that go on, start from another run, fail or are killed: what is kept, and what `latest` means."""

import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from ornstein.core.cli.main import main

from .conftest import TINY, config, steps


def test_a_run_goes_on_in_its_own_folder(ornstein, trained, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(trained / "image", runs / "image", symlinks=True)
    code, out, _ = ornstein("fit", "image/digits", f"runs={runs}", "trainer.max_steps=6", "--ckpt_path", "last")
    run = (runs / "image/latest").resolve()
    assert code == 0
    assert f"going on with {run}" in out
    assert len(list((runs / "image").glob("digits-*"))) == 1
    assert steps(run) == [1, 2, 3, 4, 5, 6]
    assert config(run)["backbone"]["width"] == 32  # the run's recipe, not the named one's
    code, _, err = ornstein("fit", "image/digits", f"runs={runs}", "sampler=ddim", "--ckpt_path", "last")
    assert code == 2
    assert "init=RUN" in err


def test_a_run_that_has_nothing_left_to_do_is_not_touched(ornstein, trained, tmp_path):
    shutil.copytree(trained / "image", tmp_path / "image", symlinks=True)
    run = (tmp_path / "image/latest").resolve()
    before = (run / "config.yaml").read_bytes()
    code, _, err = ornstein("fit", run, "--ckpt_path", "last", "--trainer.max_steps", "3")
    assert code == 1
    assert "has trained 4 steps already" in err
    for flag in ("--model.on_nonfinite", "--modality.patch", "--run.every", "--seed_everything"):
        code, _, err = ornstein("fit", run, "trainer.max_steps=9", "--ckpt_path", "last", flag, "1")
        assert code == 2
        assert "goes on with its own recipe" in err
    assert (run / "config.yaml").read_bytes() == before


def test_a_failed_run_leaves_latest_alone(ornstein, trained, tmp_path):
    shutil.copytree(trained / "image", tmp_path / "image", symlinks=True)
    before = (tmp_path / "image/latest").resolve()
    assert ornstein("fit", "image/digits", *TINY, f"runs={tmp_path}", "data.root=nowhere")[0] == 1
    assert (tmp_path / "image/latest").resolve() == before
    assert [p for p in (tmp_path / "image").iterdir() if p.name != "latest"] == [before]


def test_a_checkpoint_cut_short_is_told(ornstein, trained, tmp_path):
    shutil.copytree(trained / "image", tmp_path / "image", symlinks=True)
    last = tmp_path / "image/latest/checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    for line in (
        ["fit", tmp_path / "image/latest", "trainer.max_steps=6", "--ckpt_path", "last"],
        ["test", tmp_path / "image"],
    ):
        code, out, err = ornstein(*line)
        assert code == 1
        assert "last.ckpt (1,000 bytes) is not a whole checkpoint" in err
        assert "Traceback" not in out + err
    assert config(tmp_path / "image/latest")["trainer"]["max_steps"] == 4  # as it was


def test_a_run_starts_from_trained_weights(ornstein, trained, tmp_path, caplog):
    shutil.copytree(trained / "image", tmp_path / "image", symlinks=True)
    first = (tmp_path / "image/latest").resolve()
    init = f"init={tmp_path / 'image/latest'}"  # which moves to the new run
    line = [*TINY, "run.pictures=0", init, f"runs={tmp_path}", "--trainer.max_steps", "2"]
    with caplog.at_level("INFO"):
        assert ornstein("fit", "image/digits", *line)[0] == 0
    assert "20 of 20 weights come from" in caplog.text
    run = tmp_path / "image/latest"
    assert run.resolve() != first
    assert config(run)["init"] == str(first)
    tree = config(run) | {"init": "gone"}
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    assert (
        ornstein("fit", run, "trainer.max_steps=3", "--ckpt_path", "last")[0] == 0
    )  # its own weights, not those of init
    assert config(run)["init"] == "gone"
    code, _, err = ornstein("fit", "image/digits", "init=nowhere", f"runs={tmp_path / 'x'}")
    assert code == 1
    assert "nowhere" in err


@pytest.mark.slow
def test_ctrl_c_and_kill_lose_nothing(tmp_path):
    line = [
        sys.executable,
        "-m",
        "ornstein.core.cli.main",
        "fit",
        "image/digits",
        *TINY,
        f"runs={tmp_path}",
        "run.pictures=0",
    ]
    for send, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        resumed = ["--ckpt_path", "last"] if send is signal.SIGKILL else []
        words = [w for w in line if not resumed or w.startswith(("runs=", "trainer.")) or "=" not in w]
        process = subprocess.Popen(
            [*words, *resumed, "--trainer.max_steps", "100000"], stderr=subprocess.PIPE, text=True
        )
        last = next(iter(tmp_path.glob("image/digits-*/checkpoints/last.ckpt")), None)
        before = last.stat().st_mtime if last else 0
        for _ in range(1200):
            time.sleep(0.1)
            last = next(iter(tmp_path.glob("image/digits-*/checkpoints/last.ckpt")), None)
            if last and last.stat().st_mtime > before:
                break
        process.send_signal(send)
        _, err = process.communicate(timeout=100)
        assert process.returncode == code, err
    run = (tmp_path / "image/latest").resolve()
    assert len(list(tmp_path.glob("image/digits-*"))) == 1
    done = max(steps(run))
    assert main(["fit", str(run), f"trainer.max_steps={done + 2}", "--ckpt_path", "last"]) == 0
    assert steps(run) == list(range(1, done + 3))
