import os
import resource
import signal

import pytest
import torch
from ornstein.core.training.metrics_csv import MetricsCSV, read
from ornstein.core.training.saving import AtomicCheckpointIO, Checkpoints, keep
from training_world import parts, trainer


@pytest.fixture
def full_disk():
    """Files cannot grow past 64 KB, as on a disk with no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_gives_one_clear_error_and_keeps_the_older_file(tmp_path, full_disk):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(
        OSError,
        match=r"could not save .*last\.ckpt: .* MB are free; the older last\.ckpt is untouched.*--ckpt_path last",
    ):
        AtomicCheckpointIO().save_checkpoint({"step": torch.zeros(1 << 16)}, path)
    assert AtomicCheckpointIO().load_checkpoint(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_checkpoint_that_was_cut_short_is_named(tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(100)}, path)
    for length in (0, 10, path.stat().st_size - 40):
        path.with_name("cut.ckpt").write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match=r"cut\.ckpt \([\d,]+ bytes\) is not a whole checkpoint"):
            AtomicCheckpointIO().load_checkpoint(path.with_name("cut.ckpt"))
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


def test_no_code_is_unpickled(tmp_path):
    torch.save({"f": os.getcwd}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)


def test_some_checkpoints_are_kept_and_none_changes_later(tmp_path):
    module, data = parts()
    run = {"every": 2, "keep_every": 4, "pictures": 0}
    trainer(tmp_path, 9, run=run).fit(module, data)
    saved = {p.name: torch.load(p, weights_only=True)["global_step"] for p in (tmp_path / "checkpoints").iterdir()}
    assert saved == {"step-00000004.ckpt": 4, "step-00000008.ckpt": 8, "last.ckpt": 9}


def test_where_links_cannot_be_made_a_copy_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError()))
    (tmp_path / "a").write_text("x")
    keep(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "x"


@pytest.mark.parametrize("options", [{"every": 0}, {"every": 4, "keep_every": 6}])
def test_numbers_of_steps_that_do_not_fit_are_refused(options):
    with pytest.raises(ValueError, match="multiple"):
        Checkpoints("x", **options)


def test_metrics_are_appended_and_new_columns_are_added(tmp_path):
    log = MetricsCSV(str(tmp_path / "metrics.csv"))
    log.log_metrics({"a": 1.0}, 1)
    log.log_metrics({"a": 2.0}, 2)
    log.log_metrics({"b": 0.25}, 2)
    log.log_metrics({"a": 3.0}, 3)
    assert read(tmp_path / "metrics.csv") == [
        {"step": "1", "a": "1", "b": ""},
        {"step": "2", "a": "2", "b": "0.25"},
        {"step": "3", "a": "3", "b": ""},
    ]


def test_rows_past_the_last_checkpoint_are_written_anew_and_a_half_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsCSV(str(path))
    for step in (2, 4, 6):
        first.log_metrics({"a": step}, step)
    with open(path, "a") as file:
        file.write("8,")
    again = MetricsCSV(str(path))
    again.log_metrics({"a": 40.0}, 4)
    again.log_metrics({"a": 60.0}, 6)
    assert [row["a"] for row in read(path)] == ["2", "40", "60"]
