"""A run that was cut anywhere and resumed is the run that was not."""

import math
import multiprocessing
import os
import signal
import time

import pytest
import torch
from lightning.pytorch import Callback
from ornstein.core.training.metrics_csv import read
from training_world import net, parts, plain_net, trainer

VOLATILE = ("train/samples_per_s",)


class Keep(Callback):
    """Every batch's mean loss."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))


def run(folder, steps, ckpt=None, data=None, options=None, **flags):
    module, data = parts(data, **(options or {}))
    keep = Keep()
    made = trainer(folder, steps, **flags)
    made.callbacks.insert(0, keep)
    made.fit(module, data, ckpt_path=ckpt)
    return module, keep.losses


def weights(module):
    return {k: v.clone() for k, v in module.network.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a) and a.keys() == b.keys()


def rows(folder):
    return [{k: v for k, v in row.items() if k not in VOLATILE} for row in read(folder / "metrics.csv")]


@pytest.mark.parametrize("cut", [1, 5, 6])  # an epoch of the training items is about 5 batches
def test_resumed_losses_weights_averages_and_rows_are_those_of_one_run(tmp_path, cut):
    whole, losses = run(tmp_path / "a", 12, log_every_n_steps=4)
    _, first = run(tmp_path / "b", cut, log_every_n_steps=4)
    second, rest = run(tmp_path / "b", 12, tmp_path / "b/checkpoints/last.ckpt", log_every_n_steps=4)
    assert len(losses) == 12
    assert first + rest == losses
    assert same(weights(whole), weights(second))
    assert whole.ema.steps == second.ema.steps == 12
    assert same(whole.ema.mean, second.ema.mean)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert [row["step"] for row in rows(tmp_path / "a")] == ["4", "8", "12"]


def test_accumulated_gradients_resume_too(tmp_path):
    whole, losses = run(tmp_path / "a", 6, accumulate_grad_batches=3)
    _, first = run(tmp_path / "b", 4, accumulate_grad_batches=3)
    second, rest = run(tmp_path / "b", 6, "last", accumulate_grad_batches=3)
    assert len(losses) == 18
    assert first + rest == losses
    assert same(weights(whole), weights(second))


def test_validation_between_the_steps_changes_nothing(tmp_path):
    flags = {"limit_val_batches": 1.0, "val_check_interval": 3, "num_sanity_val_steps": 1}
    whole, losses = run(tmp_path / "a", 9, **flags)
    _, first = run(tmp_path / "b", 6, **flags)
    second, rest = run(tmp_path / "b", 9, "last", **flags)
    _, without = run(tmp_path / "c", 9)
    assert losses == first + rest == without
    assert same(weights(whole), weights(second))
    assert [row["step"] for row in rows(tmp_path / "b") if row["val/loss"]] == ["3", "6", "9"]
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


class DieAt(Callback):
    """The run ends when it begins to validate at a step, which is saved by then."""

    def __init__(self, step):
        self.step = step

    def on_validation_start(self, trainer, pl_module):
        if trainer.global_step == self.step:
            raise RuntimeError("power cut")


def test_a_validation_that_was_cut_is_made_up_for(tmp_path):
    flags = {
        "limit_val_batches": 1.0,
        "val_check_interval": 3,
        "log_every_n_steps": 2,
        "run": {"every": 3, "pictures": 0},
    }
    whole, _ = run(tmp_path / "a", 9, **flags)
    module, data = parts()
    made = trainer(tmp_path / "b", 9, **flags)
    made.callbacks.append(DieAt(6))
    with pytest.raises(RuntimeError, match="power cut"):
        made.fit(module, data)
    assert [row["step"] for row in rows(tmp_path / "b") if row["val/loss"]] == ["3"]
    second, _ = run(tmp_path / "b", 9, "last", **flags)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert same(weights(whole), weights(second))


def test_the_number_of_workers_changes_nothing(tmp_path):
    _, alone = run(None, 8)
    _, two = run(None, 8, data={"workers": 2})
    assert alone == two


def test_an_epoch_of_the_data_ends_nowhere_in_the_loop():
    module, data = parts()
    made = trainer(None, steps=-1, max_epochs=3)
    made.fit(module, data)
    assert made.global_step == math.ceil(3 * len(data.parts["train"]) / 6)


def test_resuming_takes_the_fitted_modality_of_the_checkpoint(tmp_path):
    run(tmp_path, 3)
    module, data = parts()
    module.modality.fit = lambda items: setattr(module.modality, "scale", torch.full((2,), 99.0))
    trainer(tmp_path, 6).fit(module, data, ckpt_path="last")
    reference, _ = parts()
    reference.modality.fit(data.parts["train"])
    assert torch.equal(module.modality.scale, reference.modality.scale)


def test_resuming_the_data_first_fits_nothing(tmp_path):
    run(tmp_path, 3)
    module, data = parts()
    data.resume(tmp_path / "checkpoints/last.ckpt")
    trainer(tmp_path, 6).fit(module, data, ckpt_path="last")
    assert module.modality.fits == 0
    reference, _ = parts()
    reference.modality.fit(data.parts["train"])
    assert torch.equal(module.modality.scale, reference.modality.scale)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        data.resume(tmp_path / "none.ckpt")


def test_a_modality_that_grew_in_the_new_fit_is_taken_back_with_its_network(tmp_path):
    first, _ = run(tmp_path, 3)
    module, data = parts()
    module.modality.classes = 7
    trainer(tmp_path, 6).fit(module, data, ckpt_path="last")
    assert module.network.backbone.embed.weight.shape == first.network.backbone.embed.weight.shape


def test_other_data_than_before_is_said_aloud(tmp_path):
    run(tmp_path, 3)
    module, data = parts({"limit": 10})
    with pytest.warns(UserWarning, match=r"other data than it began with: items \d+ then, 10 now"):
        trainer(tmp_path, 6).fit(module, data, ckpt_path="last")


def test_two_processes_give_the_losses_of_one(tmp_path):
    options = {"options": {"backbone": plain_net}, "log_every_n_steps": 3}
    one, _ = run(tmp_path / "one", 6, data={"batch_size": 6}, **options)
    module, data = parts({"batch_size": 3}, backbone=plain_net)
    made = trainer(tmp_path / "two", 6, strategy="ddp_fork", devices=2, log_every_n_steps=3)
    made.fit(module, data)
    a, b = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(a) == len(b) == 2
    for x, y in zip(a, b, strict=True):
        for name in x:
            assert float(x[name]) == pytest.approx(float(y[name]), rel=1e-5), name
    trained = torch.load(tmp_path / "two/checkpoints/last.ckpt", weights_only=True)["ornstein"]["ema"]["mean"]
    assert all(torch.allclose(trained[k], v, atol=1e-6) for k, v in one.ema.mean.items())


def test_a_default_distributed_sampler_is_refused():
    module, data = parts()
    made = trainer(None, 2, strategy="ddp_fork", devices=2, use_distributed_sampler=True)
    with pytest.raises(Exception, match="use_distributed_sampler=false"):
        made.fit(module, data)


class Slow(Callback):
    """From step 8 on hardly a step is made: who waits for the first ones may look late."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        time.sleep(0.05 if trainer.global_step < 8 else 1.0)


def _endless(folder):
    module, data = parts()
    made = trainer(folder, 500, run={"every": 2, "pictures": 0})
    made.callbacks.insert(0, Slow())
    made.fit(module, data)


def _start(folder, until):
    """A run in a process of its own, at work on step `until`."""
    child = multiprocessing.get_context("fork").Process(target=_endless, args=(folder,))
    child.start()
    end = time.monotonic() + 60
    while time.monotonic() < end and child.is_alive():
        if (folder / "metrics.csv").exists() and len(read(folder / "metrics.csv")) >= until:
            return child
        time.sleep(0.01)
    child.kill()
    raise AssertionError("the run did not get anywhere")


def test_kill_9_and_resume(tmp_path):
    child = _start(tmp_path / "b", 7)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    whole, _ = run(tmp_path / "a", 20)
    second, rest = run(tmp_path / "b", 20, "last")
    assert 10 <= len(rest) <= 16  # it went on, and not from the start
    assert same(weights(whole), weights(second))
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    child = _start(tmp_path / "b", 5)
    os.kill(child.pid, signal.SIGINT)
    child.join(timeout=30)
    assert child.exitcode == 1
    stopped = torch.load(tmp_path / "b/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert stopped == len(rows(tmp_path / "b"))
    whole, _ = run(tmp_path / "a", 20)
    second, rest = run(tmp_path / "b", 20, "last")
    assert len(rest) == 20 - stopped
    assert same(weights(whole), weights(second))


def test_dropout_is_drawn_by_the_step():
    _, a = run(None, 4, options={"backbone": net})
    torch.manual_seed(1234)
    _, b = run(None, 4, options={"backbone": net})
    _, c = run(None, 4, options={"backbone": plain_net})
    assert a == b != c
