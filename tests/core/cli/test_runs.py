"""Run folders: names, latest, and finding them again."""

import os
from pathlib import Path

import pytest
from ornstein.core.cli import runs


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / runs.CONFIG).write_text("seed: 0\n")
    return folder


def test_a_new_folder_has_modality_recipe_and_time(tmp_path):
    one, two = (runs.create(tmp_path, "m", "small") for _ in range(2))
    assert one.parent == two.parent == tmp_path / "m"
    assert one != two
    assert runs.recipe_of(one) == runs.recipe_of(two) == "small"


def test_a_process_that_was_started_takes_the_folder_of_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_RUN", str(tmp_path / "x"))
    assert runs.create(tmp_path, "m", "r") == tmp_path / "x"


@pytest.mark.parametrize("name", ["RANK", "SLURM_NTASKS"])
def test_processes_from_outside_must_agree_on_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    with pytest.raises(ValueError, match="ORNSTEIN_RUN"):
        runs.create(tmp_path, "m", "r")


@pytest.mark.parametrize("links", [True, False])
def test_latest_moves_and_is_followed(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(Path, "symlink_to", lambda *a: (_ for _ in ()).throw(OSError("no links here")))
    for name in ("a-20200101-000000", "b-20200101-000000"):
        folder = made(tmp_path / "m" / name)
        runs.mark_latest(folder)
        assert (tmp_path / "m/latest").is_symlink() == links
        assert runs.find(tmp_path / "m/latest") == folder
        assert runs.find(tmp_path / "m") == folder
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["a-20200101-000000", "b-20200101-000000", "latest"]


def test_a_wrong_name_offers_the_nearest(tmp_path):
    made(tmp_path / "m/small-20200101-000000")
    with pytest.raises(LookupError, match="small-20200101-000000"):
        runs.find(tmp_path / "m/smal-20200101-000000")
    (tmp_path / "m/other").mkdir()
    with pytest.raises(LookupError, match="neither"):
        runs.find(tmp_path / "m/other")


def test_the_newest_run_is_the_last_that_saved(tmp_path):
    for age, name in enumerate(("r-20200101-000000", "r-20200102-000000", "rr-20200103-000000")):
        file = made(tmp_path / "m" / name) / runs.LAST
        file.parent.mkdir()
        file.touch()
        os.utime(file, (100 - age, 100 - age))
    made(tmp_path / "m/r-20990101-000000")  # it saved nothing
    assert runs.newest(tmp_path, "m", "r").name == "r-20200101-000000"
    with pytest.raises(LookupError, match="no run of m/other"):
        runs.newest(tmp_path, "m", "other")


def test_an_error_of_the_disk_gets_the_folder(tmp_path):
    with pytest.raises(OSError, match="No space") as error, runs.named_in_errors(tmp_path):
        raise OSError(28, "No space left on device")
    assert error.value.filename == str(tmp_path)


def test_a_folder_is_tried_before_it_is_used(tmp_path, monkeypatch):
    runs.probe(tmp_path)
    assert not list(tmp_path.iterdir())

    def full(path, data):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        runs.probe(tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_to_start_from_are_a_folder_with_a_model(tmp_path):
    folder = made(tmp_path / "m/r-20200101-000000")
    runs.mark_latest(folder)
    with pytest.raises(ValueError, match="saved no model yet"):
        runs.weights(str(tmp_path / "m/latest"))
    with pytest.raises(ValueError, match="name its run folder"):
        runs.weights(str(folder / runs.LAST))
    (folder / "model.safetensors").touch()
    assert runs.weights(str(tmp_path / "m/latest")) == runs.weights(str(tmp_path / "m")) == folder


def test_where_runs_go(monkeypatch):
    monkeypatch.setenv("ORNSTEIN_RUNS", "there")
    assert runs.root("here") == Path("here")
    assert runs.root(None) == Path("there")
    monkeypatch.delenv("ORNSTEIN_RUNS")
    assert runs.root(None) == Path("runs")
