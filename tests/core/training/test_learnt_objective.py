"""What an objective learns is trained, resumed bit for bit, equal in all processes, and not exported."""

import pytest
import torch
from ornstein.core import checkpoint
from ornstein.core.objective import LearnedUncertainty, LossAware, MinSNR, Objective
from ornstein.core.training.meter import Meter
from ornstein.core.training.optimizer import AdamW
from training_world import parts, plain_net, trainer


def aware():
    return Objective(LossAware(bins=4, history=3), MinSNR())


def uncertain():
    return Objective(weight=LearnedUncertainty(MinSNR()))


def run(folder, steps, make, ckpt=None, data=None, **flags):
    module, data = parts(
        data, objective=make(), backbone=plain_net, optimizer=AdamW(lr=1e-2, warmup=0, weight_decay=0.1)
    )
    made = trainer(folder, steps, **flags)
    made.fit(module, data, ckpt_path=ckpt)
    return module


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("make", [aware, uncertain])
def test_resume_is_exact(tmp_path, make):
    flags = {"limit_val_batches": 1.0, "val_check_interval": 4, "accumulate_grad_batches": 2}
    whole = run(tmp_path / "a", 12, make, **flags)
    run(tmp_path / "b", 5, make, **flags)
    second = run(tmp_path / "b", 12, make, ckpt="last", **flags)
    assert same(state(whole), state(second))
    assert any(k.startswith("objective.") and v.abs().sum() > 0 for k, v in state(whole).items())
    assert (tmp_path / "a/metrics.csv").read_text().splitlines()[0] == (
        tmp_path / "b/metrics.csv"
    ).read_text().splitlines()[0]


def test_the_history_counts_every_training_sample_once_and_no_held_out_one(tmp_path):
    module = run(tmp_path, 10, aware, limit_val_batches=1.0, val_check_interval=2)
    assert int(module.objective.times.counts.sum()) == 60
    assert module.objective.times.training
    shares = module.objective.times.shares()
    assert float(shares.max()) > 1.2 * float(shares.min())


def test_the_uncertainty_learns_and_does_not_decay(tmp_path):
    module = run(tmp_path, 30, uncertain)
    (row,) = module.objective.parameters()
    assert float(row.detach().abs().max()) > 0.05
    (group,) = [g for g in module.optimizers().param_groups if any(p is row for p in g["params"])]
    assert group["weight_decay"] == 0
    denoiser = checkpoint.load(tmp_path)
    assert not any("objective" in name or "rows" in name for name in denoiser.state_dict())


@pytest.mark.parametrize("make", [aware, uncertain])
def test_two_processes_learn_what_one_learns(tmp_path, make):
    one = run(tmp_path / "one", 8, make, data={"batch_size": 6})
    run(tmp_path / "two", 8, make, data={"batch_size": 3}, strategy="ddp_fork", devices=2)
    found = torch.load(tmp_path / "two/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, expected in state(one).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)


def test_the_log_of_a_range_of_noise_counts_samples_by_their_importance():
    meter = Meter(("x",))
    loss, importance = torch.tensor([1.0, 1.0, 3.0, 5.0]), torch.tensor([0.5, 0.5, 2.0, 1.0])
    meter.add(importance * loss, {"x": importance * loss}, torch.tensor([-1.0, -1.0, -1.0, 1.0]), importance)
    means = meter.means(meter.take())
    assert means["loss_noise0"] == pytest.approx((0.5 + 0.5 + 6.0) / 3)
    assert means["loss_noise3"] == pytest.approx(5.0)
    assert means["loss"] == pytest.approx(12 / 4)
