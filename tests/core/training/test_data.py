import math
import time

import pytest
from lightning.pytorch.callbacks import LambdaCallback
from ornstein.core.objective import Objective
from ornstein.core.sources import Listing, Row
from ornstein.core.training.data import OrnsteinDataModule, choose_tasks
from ornstein.core.training.module import DiffusionModule
from training_world import Tiny, listing, net, parts, trainer


def test_parts_are_read_once_and_the_modality_is_fitted_on_the_training_part():
    modality = Tiny()
    data = OrnsteinDataModule(modality)
    data.setup("fit")
    data.setup("validate")
    assert modality.fits == 1
    assert set(data.parts) == {"train", "validation"}
    data.setup("test")
    assert sum(map(len, data.parts.values())) == 40
    keys = [item.key for part in data.parts.values() for item in part]
    assert len(set(keys)) == 40
    assert modality.fits == 1


def test_a_folder_of_ones_own_is_read(tmp_path):
    for row in listing(12).rows():
        folder = tmp_path / f"class{row.values['label']}"
        folder.mkdir(exist_ok=True)
        (folder / row.file.name).write_bytes(row.file.open().read())
    data = OrnsteinDataModule(Tiny(), root=str(tmp_path), split=(1.0, 0.0, 0.0))
    assert len(data.read("train")) == 12
    assert data.read("train")[0].cond["label"] == "class0"


def test_bad_files_are_counted_and_past_their_share_the_run_stops():
    modality = Tiny()
    modality.datasets = lambda: {"tiny": listing(40, broken=4)}
    data = OrnsteinDataModule(modality, split=(1.0, 0.0, 0.0), max_bad_share=0.1)
    with pytest.warns(UserWarning, match=r"4 of 40 train files cannot be read.*036\.json"):
        data.setup("fit")
    assert len(data.parts["train"]) == 36
    assert [error.path for error in data.bad] == [f"tiny!{i:03d}.json" for i in range(36, 40)]
    with pytest.raises(ValueError, match=r"more than data\.max_bad_share=0\.05"):
        OrnsteinDataModule(modality, split=(1.0, 0.0, 0.0), max_bad_share=0.05).setup("fit")


def test_the_share_of_bad_files_is_that_of_all_parts():
    modality = Tiny()
    rows = [Row(row.file, {**row.values, "split": "train"}) for row in listing(300, broken=1).rows()]
    rows[0].values["split"], rows[-1].values["split"] = "test", "validation"  # one file, and a bad one
    modality.datasets = lambda: {"tiny": Listing(tuple(rows))}
    data = OrnsteinDataModule(modality, max_bad_share=0.01)
    with pytest.warns(UserWarning, match=r"1 of 1 validation files cannot be read.*299\.json"):
        data.setup("fit")
    assert (len(data.parts["train"]), data.parts["validation"]) == (298, [])
    with pytest.raises(ValueError, match=r"^1 of 300 files \(0\.33%\) cannot be read"):
        OrnsteinDataModule(modality, max_bad_share=0.001).setup("fit")


def test_bad_files_of_several_parts_add_up():
    modality = Tiny()
    rows = listing(200, broken=4).rows()
    for i, row in enumerate(rows):
        row.values["split"] = ("train", "validation")[i % 2] if i else "test"
    modality.datasets = lambda: {"tiny": Listing(tuple(rows))}
    with pytest.warns(UserWarning, match="2 of 99 train"):
        OrnsteinDataModule(modality, max_bad_share=0.02).setup("fit")
    with pytest.warns(UserWarning, match="2 of 99 train"), pytest.raises(ValueError, match="4 of 200 files"):
        OrnsteinDataModule(modality, max_bad_share=0.015).setup("fit")


def test_a_training_part_of_bad_files_alone_is_named():
    modality = Tiny()
    rows = listing(4, broken=2).rows()
    for row, part in zip(rows, ("test", "validation", "train", "train"), strict=True):
        row.values["split"] = part
    modality.datasets = lambda: {"tiny": Listing(tuple(rows))}
    with pytest.raises(ValueError, match=r"none of the 2 training files can be read: tiny!002\.json"):
        OrnsteinDataModule(modality, max_bad_share=1.0).setup("fit")


class Vocabulary(Tiny):
    """Knows the classes of its training items, and no other."""

    def fit(self, items):
        super().fit(items)
        self.known = {item.cond["label"] for item in items}

    def encode(self, items, known, rng):
        for item in items:
            if item.cond["label"] not in self.known:
                raise ValueError(f"{item.key} has label {item.cond['label']}, which training never sees")
        return super().encode(items, known, rng)


@pytest.mark.parametrize("rest", [True, False])
def test_held_out_items_of_a_class_that_training_never_sees_are_left_out_before_the_first_step(rest):
    modality = Vocabulary()
    rows = listing(12).rows()
    for row in rows[:9]:
        row.values.update(split="train", label=0)
    for row, label in zip(rows[9:], (2, 0 if rest else 2, 2), strict=True):
        row.values.update(split="validation", label=label)
    modality.datasets = lambda: {"tiny": Listing(tuple(rows))}
    data = OrnsteinDataModule(modality, batch_size=4)
    module = DiffusionModule(modality, net, Objective())
    made = trainer(None, 3, limit_val_batches=1.0, val_check_interval=1, num_sanity_val_steps=0)
    steps = []
    module.on_train_start = lambda: steps.append(len(data.parts["validation"]))
    n = 2 if rest else 3
    with pytest.warns(
        UserWarning, match=rf"{n} of 3 validation items .* left out: 009\.json has label 2.*data\.group_by"
    ):
        made.fit(module, data)
    assert steps == [3 - n]
    assert made.global_step == 3
    assert ("val/loss" in made.callback_metrics) == rest


def test_a_limit_keeps_a_part_of_each_part():
    data = OrnsteinDataModule(Tiny(), limit=3)
    data.setup("fit")
    assert len(data.parts["train"]) == 3
    again = OrnsteinDataModule(Tiny(), limit=3)
    again.setup("fit")
    assert [i.key for i in data.parts["train"]] == [i.key for i in again.parts["train"]]


def test_fewer_items_than_a_batch_train(tmp_path):
    module, data = parts({"limit": 2, "batch_size": 8})
    made = trainer(None, 3)
    made.fit(module, data)
    assert made.global_step == 3


def test_no_held_out_items_means_no_validation():
    module, data = parts({"split": (1.0, 0.0, 0.0)})
    trainer(None, 2, limit_val_batches=1.0, val_check_interval=1).fit(module, data)


@pytest.mark.parametrize(
    ("flags", "epochs"),
    [
        ({}, 1),
        ({"val_check_interval": 0.5}, 0.5),
        ({"check_val_every_n_epoch": 2}, 2),
        ({"val_check_interval": 4}, None),
    ],
)
def test_epochs_of_validation_become_batches(flags, epochs):
    module, data = parts()
    made = trainer(None, 25, limit_val_batches=1.0, num_sanity_val_steps=0, **flags)
    seen = []
    made.callbacks.append(
        LambdaCallback(on_validation_epoch_end=lambda trainer, module: seen.append(trainer.global_step))
    )
    made.fit(module, data)
    every = 4 if epochs is None else round(epochs * len(data.parts["train"]) / 6)
    assert seen == list(range(every, 26, every))


def test_two_ways_to_say_when_to_validate_are_refused():
    module, data = parts()
    with pytest.raises(ValueError, match="give one of them"):
        trainer(None, 5, limit_val_batches=1.0, val_check_interval=2, check_val_every_n_epoch=3).fit(module, data)


def test_overfitting_batches_are_refused_and_the_way_is_named():
    module, data = parts()
    with pytest.raises(ValueError, match=r"data\.limit"):
        trainer(None, 5, overfit_batches=2).fit(module, data)


def test_epochs_and_steps_together_end_at_the_first():
    module, data = parts()
    made = trainer(None, 4, max_epochs=100)
    made.fit(module, data)
    assert made.global_step == 4
    module, data = parts()
    made = trainer(None, 100, max_epochs=1, accumulate_grad_batches=2)
    made.fit(module, data)
    assert made.global_step == math.ceil(len(data.parts["train"]) / 12)


def test_names_that_do_not_exist_offer_the_nearest():
    with pytest.raises(LookupError, match=r"task 'frist' does not exist; did you mean 'first'"):
        choose_tasks(Tiny(), {"frist": 1.0})
    with pytest.raises(LookupError, match=r"data set 'tinny' does not exist; did you mean 'tiny'"):
        OrnsteinDataModule(Tiny(), name="tinny").setup("fit")


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"limit": 0},
        {"workers": -1},
        {"timeout": -1.0},
        {"name": "tiny", "root": "x"},
        {"tasks": {"first": -1.0}},
    ],
)
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(ValueError, match=r"at least|seconds, 0 for ever|give one of them|must not be negative"):
        OrnsteinDataModule(Tiny(), **options)


def test_a_worker_that_hangs_ends_the_training():
    class Slow(Tiny):
        def encode(self, items, known, rng):
            time.sleep(30)
            return super().encode(items, known, rng)

    modality = Slow()
    data = OrnsteinDataModule(modality, batch_size=4, workers=1, timeout=1.0)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 1"):
        trainer(steps=4).fit(DiffusionModule(modality, net, Objective()), data)
    assert time.monotonic() - began < 25
