"""What Lightning, the data module, counted logging and checkpoint hooks cost beside a plain PyTorch loop of the same work."""

import json
import statistics
import time
import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import Item, Modality
from ornstein.core.objective import Objective
from ornstein.core.processes import Gaussian
from ornstein.core.sources import File, Listing, Row
from ornstein.core.sources.store import Memory
from ornstein.core.state import Encoded, Field, Layout
from ornstein.core.training.data import OrnsteinDataModule
from ornstein.core.training.ema import ConstantEMA
from ornstein.core.training.equipment import equipment
from ornstein.core.training.module import DiffusionModule
from ornstein.core.training.optimizer import AdamW

TOKENS, CHANNELS, BATCH, STEPS, WARMUP = 64, 4, 16, 60, 8


class Strip(Modality):
    """Rows of 64 tokens, from noise."""

    name: ClassVar[str] = "strip"
    symmetries: ClassVar[tuple[str, ...]] = ()
    fields = (Field("x", "continuous", CHANNELS, Gaussian()),)
    conditions = ()
    axes = 1

    def read(self, file, row):
        return Item(
            np.random.default_rng(json.loads(file.open().read())).normal(size=(TOKENS, CHANNELS)), key=file.name
        )

    def encode(self, items, known, rng):
        x = torch.tensor(np.stack([item.data for item in items]), dtype=torch.float32)
        return Encoded({"x": x}, Layout.of_grid(len(items), (TOKENS,)))

    def datasets(self):
        store = Memory("strip", {f"{i:03d}": str(i).encode() for i in range(200)})
        return {"strip": Listing(tuple(Row(File(name, store)) for name in store.names()))}

    def write(self, samples, path):
        raise NotImplementedError

    def blank(self, n, cond, rng, size=None):
        raise NotImplementedError

    def decode(self, state, mask, aux):
        raise NotImplementedError

    def metrics(self, task):
        return ()


def dit(fields, conditions, axes):
    return DiT(fields, conditions, axes, width=128, depth=4, heads=4)


class Plain:
    """The same network, batches, loss, clipping, fused AdamW and running mean, in a loop of its own."""

    def __init__(self):
        modality = Strip()
        data = OrnsteinDataModule(modality, batch_size=BATCH)
        data.setup("fit")
        self.batches = iter(data.train_dataloader())
        self.denoiser = NeuralDenoiser(dit(modality.fields, (), 1), modality.fields, modality=modality)
        self.objective, self.ema = Objective(), ConstantEMA()
        self.optimizer, self.schedule = AdamW().build(self.denoiser, -1)
        self.ema.start(self.denoiser)

    def step(self):
        batch = next(self.batches)
        draw = self.objective.draw(self.denoiser, batch.encoded, 0, batch.number, batch.index)
        self.optimizer.zero_grad()
        self.objective(self.denoiser, batch.encoded, draw).total.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.ema.update(self.denoiser)


class Alternate(Callback):
    """After each step of Lightning one of the plain loop: both see the same state of the machine."""

    def __init__(self, plain):
        self.plain, self.left = plain, None
        self.plain_s, self.lightning_s = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        arrived = time.process_time()  # of all threads: others' load on the machine does not count
        if self.left is not None:
            self.lightning_s.append(arrived - self.left)
        self.plain.step()
        self.left = time.process_time()
        self.plain_s.append(self.left - arrived)


@pytest.mark.benchmark_ratio
def test_a_train_step_under_lightning_over_a_plain_one(tmp_path):
    modality = Strip()
    module = DiffusionModule(modality, dit, Objective(), ema=ConstantEMA())
    data = OrnsteinDataModule(modality, batch_size=BATCH)
    alternate = Alternate(Plain())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            **equipment(tmp_path),
            accelerator="cpu",
            max_steps=STEPS + WARMUP,
            gradient_clip_val=1.0,
            limit_val_batches=0,
        )
        trainer.callbacks.insert(0, alternate)
        trainer.fit(module, data)
    lightning = statistics.median(alternate.lightning_s[WARMUP:])
    plain = statistics.median(alternate.plain_s[WARMUP:])
    print(
        f"\ntrain step: Lightning {lightning * 1e3:.1f} ms, plain {plain * 1e3:.1f} ms, ratio {lightning / plain:.3f} (CPU time)"
    )
    assert lightning <= 1.10 * plain
