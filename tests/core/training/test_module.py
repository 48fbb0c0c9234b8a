import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from ornstein.core import checkpoint
from ornstein.core.objective import Loss, Objective
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Trigonometric
from ornstein.core.training.equipment import equipment
from ornstein.core.training.meter import Meter
from ornstein.core.training.metrics_csv import read
from ornstein.core.training.module import DiffusionModule
from training_world import Net, Tiny, net, parts, plain_net, trainer


class Faulty(Objective):
    """The loss of the item with the given name is no number in the given steps."""

    def __init__(self, place, steps):
        super().__init__()
        self.place, self.steps = place, steps

    def __call__(self, denoiser, encoded, draw):
        loss = super().__call__(denoiser, encoded, draw)
        if torch.is_grad_enabled() and self.count() in self.steps:
            bad = torch.zeros_like(loss.total)
            bad[self.place] = float("nan")
            return Loss(loss.total + bad, {k: v + bad for k, v in loss.fields.items()}, loss.t)
        return loss

    def count(self):
        self.seen = getattr(self, "seen", 0) + 1
        return self.seen


def test_the_meter_gives_means_of_all_of_each_field_and_of_each_range_of_noise():
    meter = Meter(("x", "kind"))
    total = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    c_noise = torch.tensor([-3.0, -0.6, -0.5, 0.5, 2.5])
    for part in (slice(0, 2), slice(2, 5)):
        meter.add(total[part], {"x": 2 * total[part], "kind": 3 * total[part]}, c_noise[part])
    assert meter.means(meter.take()) == pytest.approx(
        {"loss": 3.0, "loss_x": 6.0, "loss_kind": 9.0, "loss_noise0": 1.5, "loss_noise1": 3.0, "loss_noise3": 4.5}
    )


def test_the_meter_leaves_out_what_is_no_number():
    meter = Meter(("x",))
    total = torch.tensor([1.0, float("nan"), 3.0])
    meter.add(total, {"x": total}, torch.full((3,), 0.2))
    assert meter.means(meter.take()) == {"loss": 2.0, "loss_noise2": 2.0}


def test_training_lowers_the_loss(tmp_path):
    module, data = parts()
    trainer(tmp_path, 150, log_every_n_steps=25).fit(module, data)
    losses = [float(row["train/loss_kind"]) for row in read(tmp_path / "metrics.csv")]
    print(losses)
    assert losses[-1] < 0.7 * losses[0]  # most kinds follow from the label


def test_a_row_holds_what_a_person_asks_for(tmp_path):
    module, data = parts()
    trainer(tmp_path, 8, log_every_n_steps=4, gradient_clip_val=1.0).fit(module, data)
    first, second = read(tmp_path / "metrics.csv")
    names = [
        "loss",
        "loss_x",
        "loss_kind",
        "loss_noise0",
        "loss_noise1",
        "loss_noise2",
        "loss_noise3",
        "grad_norm",
        "lr",
        "samples_per_s",
    ]
    assert [f"train/{name}" for name in names] == list(first)[1:]
    assert all(math.isfinite(float(v)) for v in first.values())
    x, kind, total = (float(first[f"train/{name}"]) for name in ("loss_x", "loss_kind", "loss"))
    assert total == pytest.approx(x + 0.5 * kind, rel=1e-5)  # the field's weight
    assert (float(first["train/lr"]), float(second["train/lr"])) == (0.01, 0.01)  # warm-up of 4 steps


def test_validation_is_repeatable_uses_the_average_and_does_not_move_the_weights(tmp_path):
    module, data = parts(backbone=net, data={"split": (0.6, 0.2, 0.2)})
    made = trainer(None, 10)
    made.fit(module, data)
    before = {k: v.clone() for k, v in module.network.state_dict().items()}
    quiet = trainer(None, 10, limit_val_batches=1.0)
    a = quiet.validate(module, data, verbose=False)[0]
    b = quiet.validate(module, data, verbose=False)[0]
    assert a == b
    assert all(torch.equal(v, before[k]) for k, v in module.network.state_dict().items())
    with module.ema.applied(module.network):
        module.ema, ema = None, module.ema
        c = quiet.validate(module, data, verbose=False)[0]
        module.ema = ema
    assert c["val/loss"] == a["val/loss"]
    module.ema = None
    assert quiet.validate(module, data, verbose=False)[0]["val/loss"] != a["val/loss"]


def test_the_average_is_put_in_once_for_a_validation_of_many_batches(monkeypatch):
    module, data = parts(data={"split": (0.5, 0.5, 0.0), "batch_size": 2})
    trainer(None, 5).fit(module, data)
    entered, seen = [], []
    applied, weight = module.ema.applied, module.network.backbone.into.weight
    monkeypatch.setattr(module.ema, "applied", lambda network: entered.append(1) or applied(network))
    own, mean = weight.detach().clone(), module.ema.mean["backbone.into.weight"]

    class Look(Callback):
        def on_validation_batch_end(self, *args, **kwargs):
            seen.append(torch.equal(weight, mean))

    trainer(None, 5, limit_val_batches=1.0, callbacks=[Look()]).validate(module, data, verbose=False)
    assert len(seen) > 3
    assert all(seen)
    assert len(entered) == 1
    assert torch.equal(weight, own)
    assert not torch.equal(own, mean)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("verb", ["fit", "validate", "test"])
def test_the_weights_come_back_when_a_held_out_part_is_cut_short(verb, error):
    module, data = parts(data={"split": (0.5, 0.3, 0.2), "batch_size": 2})
    trainer(None, 5).fit(module, data)
    own = {k: v.clone() for k, v in module.network.state_dict().items()}

    class Cut(Callback):
        def on_validation_batch_start(self, trainer, pl_module, *args):
            assert not torch.equal(pl_module.network.state_dict()["backbone.into.weight"], own["backbone.into.weight"])
            raise error("cut")

        on_test_batch_start = on_validation_batch_start

    made = trainer(None, 5, limit_val_batches=1.0, callbacks=[Cut()])
    with pytest.raises((error, SystemExit)):
        getattr(made, verb)(module, data)
    assert all(torch.equal(v, own[k]) for k, v in module.network.state_dict().items())
    trainer(None, 8).fit(module, data)  # and it goes on


class Flips(Objective):
    """Notes for each batch whether it self-conditions, and its times; needs no network that does."""

    def check(self, denoiser):
        self.seen = []

    def __call__(self, denoiser, encoded, draw):
        self.seen.append((draw.self_condition, draw.t))
        return super().__call__(denoiser, encoded, replace(draw, self_condition=False))


def test_each_held_out_batch_flips_its_own_coin_of_self_conditioning_and_always_the_same():
    module, data = parts(data={"split": (0.2, 0.8, 0.0), "batch_size": 1}, objective=Flips(self_conditioning=0.5))
    quiet = trainer(None, 2, limit_val_batches=1.0)
    quiet.validate(module, data, verbose=False)
    first, module.objective.seen = module.objective.seen, []
    quiet.validate(module, data, verbose=False)
    coins = [coin for coin, _ in first]
    assert 0.25 < sum(coins) / len(coins) < 0.75
    assert coins == [coin for coin, _ in module.objective.seen]
    times = torch.cat([t for _, t in first]).sort().values
    assert torch.allclose(times.diff(), torch.full((len(coins) - 1,), 1 / len(coins), dtype=times.dtype))


def test_an_apple_gpu_is_refused_and_the_way_is_named():
    module, _ = parts()
    strategy = SimpleNamespace(root_device=torch.device("mps"))
    module._trainer = SimpleNamespace(precision="32-true", strategy=strategy)
    with pytest.raises(ValueError, match=r"MPS.*float64.*trainer=cpu"):
        module.configure_model()


def test_a_run_where_there_is_an_apple_gpu_takes_the_cpu(tmp_path, monkeypatch):
    assert "accelerator" not in equipment(tmp_path)
    monkeypatch.setattr("lightning.pytorch.accelerators.MPSAccelerator.is_available", lambda: True)
    assert equipment(tmp_path)["accelerator"] == "cpu"
    assert Trainer(**equipment(tmp_path)).strategy.root_device.type == "cpu"


def test_held_out_loss_does_not_depend_on_the_batch_size_nor_on_workers():
    module, data = parts(backbone=plain_net, data={"split": (0.5, 0.25, 0.25)})
    trainer(None, 3).fit(module, data)
    quiet = trainer(None, 3, limit_test_batches=1.0)
    losses = []
    for batch_size, workers in ((6, 0), (4, 2), (64, 0)):
        data.batch_size, data.workers = batch_size, workers
        losses.append(quiet.test(module, data, verbose=False)[0]["test/loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_a_loss_that_is_no_number_stops_before_the_weights_move(tmp_path):
    module, data = parts(objective=Faulty(place=2, steps={4}), data={"batch_size": 6})
    made = trainer(tmp_path, 10, run={"every": 1, "pictures": 0})
    with pytest.raises(
        ValueError,
        match=r"step 4: the loss is no number for 1 of 6 items.*\d{3}\.json at t = 0\.\d+: nan.*on_nonfinite",
    ):
        made.fit(module, data)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 3
    assert all(w.isfinite().all() for w in module.network.parameters())


def test_the_item_that_is_named_is_the_one_at_fault():
    class Names(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.keys = batch.keys

    module, data = parts(objective=Faulty(place=2, steps={4}))
    names = Names()
    with pytest.raises(ValueError, match="no number") as error:
        trainer(None, 10, callbacks=[names]).fit(module, data)
    assert f"batch: {names.keys[2]} at" in str(error.value)


def test_skipping_leaves_out_the_step_and_counts_it(tmp_path):
    module, data = parts(objective=Faulty(place=0, steps={3, 5}), on_nonfinite="skip", ema=None)

    class Frozen(Callback):
        still = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.before = [w.clone() for w in pl_module.network.parameters()]

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            pairs = zip(self.before, pl_module.network.parameters(), strict=True)
            self.still.append(all(torch.equal(a, b) for a, b in pairs))

    made = trainer(tmp_path, 6, gradient_clip_val=1.0)
    made.callbacks.insert(0, Frozen())
    made.fit(module, data)
    assert Frozen.still == [False, False, True, False, True, False]
    assert module.skipped == 2
    last = read(tmp_path / "metrics.csv")[-1]
    assert last["train/skipped"] == "2"
    assert math.isfinite(float(last["train/loss"]))


def test_init_takes_what_fits_and_lists_the_rest(tmp_path, capsys):
    first, data = parts()
    trainer(tmp_path, 5).fit(first, data)
    trained = checkpoint.load(tmp_path).state_dict()
    module, data = parts(init=str(tmp_path))
    trainer(None, 0).fit(module, data)
    assert all(torch.equal(w, trained[k]) for k, w in module.network.state_dict().items())

    from ornstein.core.training.initial import start_from

    wider = DiffusionModule(Tiny(), lambda f, c, a: Net(f, c, a, width=24), Objective())
    wider.configure_model()
    with torch.no_grad():
        wider.network.backbone.out.bias.zero_()
    said = start_from(wider.network, str(tmp_path))
    assert "backbone.norm.weight (16,) there, (24,) here: random, of another shape" in said
    assert said.startswith("init: 1 of 7 weights")
    assert torch.equal(wider.network.backbone.out.bias, trained["backbone.out.bias"])


def test_init_from_another_modality_is_refused(tmp_path):
    first, data = parts()
    trainer(tmp_path, 2).fit(first, data)

    class Other(Tiny):
        name = "other"

    with pytest.raises(ValueError, match="is of modality 'tiny', this run of 'other'"):
        DiffusionModule(Other(), net, Objective(), init=str(tmp_path)).configure_model()


def test_a_checkpoint_of_another_modality_is_refused(tmp_path):
    first, data = parts()
    trainer(tmp_path, 2).fit(first, data)
    module, data = parts()
    type(module.modality).name = "other"
    try:
        with pytest.raises(ValueError, match="of modality 'tiny', the recipe of 'other'"):
            trainer(tmp_path, 4).fit(module, data, ckpt_path="last")
    finally:
        type(module.modality).name = "tiny"


def test_two_modality_objects_are_refused():
    module, _ = parts()
    _, data = parts()
    with pytest.raises(ValueError, match="two modality objects"):
        trainer(None, 1).fit(module, data)


def test_the_process_of_a_field_can_be_chosen():
    module = DiffusionModule(Tiny(), net, Objective(), process={"x": Gaussian(Trigonometric())})
    module.configure_model()
    assert module.network.processes["x"].schedule == Trigonometric()


def test_weights_begin_the_same_for_a_seed_whatever_was_drawn_before():
    made = []
    for seed in (0, 0, 1):
        torch.rand(3)
        module = DiffusionModule(Tiny(), net, Objective(), seed=seed)
        module.configure_model()
        made.append(module.network.backbone.into.weight)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_bf16_trains_and_keeps_its_average_in_float32(tmp_path):
    module, data = parts()
    trainer(tmp_path, 10, precision="bf16-mixed", gradient_clip_val=1.0, log_every_n_steps=5).fit(module, data)
    assert all(mean.dtype == torch.float32 for mean in module.ema.mean.values())
    assert math.isfinite(float(read(tmp_path / "metrics.csv")[-1]["train/loss"]))


def test_a_precision_that_is_not_served_is_refused():
    module, data = parts()
    with pytest.raises(
        ValueError, match=r"trainer\.precision=bf16-true is not served; choose from 32-true, bf16-mixed"
    ):
        trainer(None, 1, precision="bf16-true").fit(module, data)


@pytest.mark.slow
def test_a_compiled_network_gives_the_loss_of_the_plain_one(tmp_path):
    losses = []
    for compile in (False, True):
        module, data = parts(backbone=plain_net, compile=compile)
        trainer(tmp_path / str(compile), 4).fit(module, data)
        losses.append([float(row["train/loss"]) for row in read(tmp_path / str(compile) / "metrics.csv")])
        assert not any("_orig_mod" in name for name in module.state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
