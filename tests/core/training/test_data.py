import math

import pytest
from ornstein.core.training.data import OrnsteinDataModule, choose_tasks
from training_world import Tiny, listing, parts, trainer


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
    module.on_validation_epoch_end = lambda: (seen.append(made.global_step), module._held_out.take())
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
    [{"batch_size": 0}, {"limit": 0}, {"workers": -1}, {"name": "tiny", "root": "x"}, {"tasks": {"first": -1.0}}],
)
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(ValueError, match=r"at least|give one of them|must not be negative"):
        OrnsteinDataModule(Tiny(), **options)
