"""The training of a denoiser: what Lightning asks for, and nothing that mathematics needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from ..backbones.backbone import Backbone
from ..conditioning.spec import ConditionSpec
from ..denoiser import Denoiser, NeuralDenoiser
from ..modality import Modality
from ..objective import Objective
from ..processes import Process
from ..rng import key
from ..samplers import Sampler
from ..state import Field
from .batches import Batch
from .ema import EMA
from .initial import start_from
from .meter import Meter
from .optimizer import AdamW
from .saving import learnt
from .watch import Stopwatch, Suspect

BackboneFactory = Callable[[tuple[Field, ...], tuple[ConditionSpec, ...], int], Backbone]
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


class DiffusionModule(LightningModule):
    """A denoiser in training.

    The network is built once the data module has fitted the modality. Randomness is counted: that of a step comes from
    (seed, batch number, place in the global batch), so a resumed run, any number of workers and, without dropout inside the
    network, any number of processes give one loss curve.

    Args:
        modality: the kind of data, the same object as the data module's.
        backbone: called with (fields, conditions, axes), makes the network.
        objective: the loss, and how its times are drawn.
        sampler: how the pictures of the run are drawn; None: no pictures.
        process: how a field is noised, by its name, instead of the modality's default.
        optimizer: None means `AdamW()`.
        ema: running mean of the weights, which is validated, drawn and exported; None: the weights themselves.
        guidance: made around the denoiser for the pictures of the run.
        init: run folder whose weights are the start; what does not fit is listed and left at random.
        compile: compile the network with `torch.compile`.
        seed: of the weights and of all that a step draws.
        on_nonfinite: `stop` ends the run at a loss that is no number, naming the items; `skip` leaves out steps whose gradient
            is no number, counts them in `train/skipped`, and waits for the device at each step.
    """

    def __init__(
        self,
        modality: Modality,
        backbone: BackboneFactory,
        objective: Objective,
        sampler: Sampler | None = None,
        process: dict[str, Process] | None = None,
        optimizer: AdamW | None = None,
        ema: EMA | None = None,
        guidance: Callable[[Denoiser], Denoiser] | None = None,
        init: str | None = None,
        compile: bool = False,
        seed: int = 0,
        on_nonfinite: Literal["stop", "skip"] = "stop",
    ) -> None:
        super().__init__()
        if on_nonfinite not in ("stop", "skip"):
            raise ValueError(f"on_nonfinite={on_nonfinite!r} does not exist; choose stop or skip")
        self.modality = modality
        self.backbone = backbone
        self.objective = objective
        self.sampler = sampler
        self.process = process
        self.optimizer = AdamW() if optimizer is None else optimizer
        self.ema = ema
        self.guidance = guidance
        self.init = init
        self.compile_network = compile
        self.seed = seed
        self.on_nonfinite = on_nonfinite
        self.denoiser: NeuralDenoiser | None = None
        self.skipped = 0
        self.row: dict[str, float] = {}  # the last row of the training log
        self._watch = Stopwatch()
        self._suspect: Suspect | None = None
        self._held_out_stack = ExitStack()  # holds the averaged weights while a held-out part is looked at

    # Building.

    def configure_callbacks(self) -> list[Callback]:
        """What puts the weights back where an exception cuts validation short."""
        there = any(isinstance(callback, Restoring) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if there else [Restoring()]

    def configure_model(self) -> None:
        """Build the network from what the modality learnt of its data.

        Raises:
            ValueError: a precision or a device that is not served, two modality objects, an objective that does not fit the
                network.
        """
        precision = "32-true" if self._trainer is None else self._trainer.precision
        if precision not in PRECISIONS:
            raise ValueError(f"trainer.precision={precision} is not served; choose from {', '.join(PRECISIONS)}")
        if self._trainer is not None and self._trainer.strategy.root_device.type == "mps":
            raise ValueError(
                "trainer.accelerator: Apple's GPU (MPS) is not served, since it has no float64, in which times are drawn: "
                "set trainer=cpu"
            )
        data = getattr(self._trainer, "datamodule", None)
        if data is not None and data.modality is not self.modality:
            raise ValueError("the module and the data module hold two modality objects: give both the same one")
        if self.denoiser is None:
            self.denoiser = self._build()
            if self.init is not None:
                rank_zero_info(start_from(self.denoiser, self.init))

    def _build(self) -> NeuralDenoiser:
        modality = self.modality
        if modality.latent is not None:
            raise ValueError(f"modality {modality.name!r} has a latent autoencoder, which training does not serve")
        chosen = (
            self.process or {}
        )  # the processes are the fields' own from here on: they say what the network is to give
        fields = tuple(replace(f, process=chosen.get(f.name, f.process)) for f in modality.fields)
        with torch.random.fork_rng(devices=[]):  # every process begins at the same weights
            torch.manual_seed(key(self.seed, "weights") >> 1)
            network = self.backbone(fields, modality.conditions, modality.axes)
        if self.compile_network:
            network.compile()
        denoiser = NeuralDenoiser(network, fields, modality.conditions, self.process, modality)
        self.objective.prepare(denoiser)
        self._meter = Meter(tuple(denoiser.fields))
        self._held_out = Meter(tuple(denoiser.fields))
        return denoiser

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, one kernel for all weights where Lightning can clip its gradients, and its rate by step."""
        plugin = self.trainer.precision_plugin
        mixed = isinstance(plugin, MixedPrecision)
        scaled = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        fused = not (scaled or (mixed and self.trainer.gradient_clip_val))
        trained = torch.nn.ModuleList([self.network, self.objective])
        optimizer, schedule = self.optimizer.build(trained, self.trainer.max_steps, fused)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def network(self) -> NeuralDenoiser:
        """The denoiser with the weights in training."""
        if self.denoiser is None:
            raise LookupError("the network is built by configure_model, once the data module has fitted the modality")
        return self.denoiser

    @contextmanager
    def averaged(self) -> Iterator[NeuralDenoiser]:
        """The denoiser with the averaged weights, in eval mode, for the length of the block."""
        training = self.network.training
        self.network.eval()
        try:
            with self.ema.applied(self.network) if self.ema is not None else nullcontext():
                yield self.network
        finally:
            self.network.train(training)

    # Training.

    def on_fit_start(self) -> None:
        """Put the running mean where the weights are."""
        if self.ema is not None:
            self.ema.start(self.network)

    def on_train_start(self) -> None:
        """Validate where a resumed run stands, if it was due there: the run that saved may have ended before it could."""
        trainer, loop = self.trainer, self.trainer.fit_loop.epoch_loop
        done, every = loop.batch_progress.total.processed, trainer.val_check_batch  # type: ignore[attr-defined]
        if done and trainer.enable_validation and every and math.isfinite(every) and done % every == 0:
            loop.val_loop.restarting = False
            trainer.validating = True
            loop.val_loop.run()
            trainer.training = True

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        reseed(key(self.seed, "dropout", batch.number, self.global_rank) >> 1, self.device)
        draw = self.objective.draw(self.network, batch.encoded, self.seed, batch.number, batch.index, batch.total)
        loss = self.objective(self.network, batch.encoded, draw)
        if self.objective.times.observes:  # what every process saw, in the order of the global batch
            seen: Any = self.all_gather(self.objective.evidence(draw, loss))
            self.objective.times.observe(*seen.view(-1, 2, len(draw.t)).transpose(0, 1).flatten(1))
        self._watch.count(batch.total)
        self._meter.add(loss.total, loss.fields, self.network.c_noise(loss.t), draw.weight)
        mean = loss.total.mean()
        if self.on_nonfinite == "stop":
            self.check_finite()
            self._suspect = Suspect(batch, loss, self.global_step + 1)
            if self._suspect.ready is None:
                self.check_finite()
        else:  # a loss that is no number may have a gradient that is one: here it has none, in every process
            mean = mean * torch.where(mean.isfinite(), 1.0, math.nan).detach()
        return mean

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave out a step whose gradient is no number, where that was asked for; log where a row is due."""
        step = self.global_step + 1
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        due = every and step % every == 0
        if not due and self.on_nonfinite == "stop":
            return
        norm = torch.nn.utils.get_total_norm([w.grad for w in self.network.parameters() if w.grad is not None])
        if self.on_nonfinite == "skip" and not math.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)
            self.skipped += 1
        if due:
            self._log_row(step, optimizer, float(norm))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then take the weights into the running mean."""
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.ema.update(self.network)

    def check_finite(self) -> None:
        """Raise where the loss of the last step was no number.

        Raises:
            ValueError: with the step, the items and the noise levels.
        """
        suspect, self._suspect = self._suspect, None
        if suspect is not None:
            suspect.check()

    # Held-out data.

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The loss of the averaged weights under draws that never change."""
        self._held_out_step(batch, batch_idx, "validation")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same on the test part."""
        self._held_out_step(batch, batch_idx, "test")

    def on_validation_epoch_start(self) -> None:
        """Put the averaged weights in, for the whole part."""
        self._held_out_stack.enter_context(self.aside())
        self._held_out_stack.enter_context(self.averaged())

    def on_test_epoch_start(self) -> None:
        """The same for the test part."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Put the weights in training back, and log the means over the validation part."""
        self.restore()
        self._log_held_out("val")

    def on_test_epoch_end(self) -> None:
        """The same for the test part."""
        self.restore()
        self._log_held_out("test")

    def restore(self) -> None:
        """End what the start of a held-out part began, if it still lasts."""
        self._held_out_stack.close()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens in the block (validation, pictures) takes no part in `train/samples_per_s`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._watch.pause(time.perf_counter() - begin)

    # Checkpoints.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming and sampling need beside the weights, as tensors and plain types."""
        self.check_finite()
        tensors, plain = self.modality.state()
        checkpoint["ornstein"] = {
            "modality": self.modality.name,
            "tensors": tensors,
            "plain": plain,
            "ema": None if self.ema is None else self.ema.state_dict(),
            "meter": self._meter.state_dict(),
            "skipped": self.skipped,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the modality's state from the checkpoint instead of a new fit, and build the network anew where they differ.

        Raises:
            ValueError: a checkpoint of another modality, or not of this framework.
        """
        own = learnt(checkpoint, self.modality)
        fitted = self._signature()
        self.modality.load_state(own["tensors"], own["plain"])
        if self._signature() != fitted:
            self.denoiser = self._build()
        self._meter.load_state_dict(own["meter"])
        self.skipped = own["skipped"]
        if (self.ema is None) != (own["ema"] is None):
            had, has = ("an", "none") if self.ema is None else ("no", "one")
            rank_zero_warn(
                f"the checkpoint has {had} average of the weights, the recipe {has}: the average starts anew"
            )
        elif self.ema is not None:
            self.ema.load_state_dict(own["ema"])

    def _signature(self) -> tuple:
        return self.modality.fields, self.modality.conditions, self.modality.axes

    # Inside.

    def _held_out_step(self, batch: Batch, batch_idx: int, part: str) -> None:
        """One draw for the whole part, which spreads the times over it, but a coin of self-conditioning for each batch."""
        seed = key(self.seed, part)
        draw = self.objective.draw(self.network, batch.encoded, seed, 0, batch.index, batch.total)
        number = batch_idx * self.trainer.world_size + self.global_rank
        coin = key(seed, "self-conditioning", number) * 2.0**-64
        draw = replace(draw, self_condition=coin < self.objective.self_conditioning)
        loss = self.objective(self.network, batch.encoded, draw)
        self._held_out.add(loss.total, loss.fields, self.network.c_noise(loss.t))

    def _log_held_out(self, part: str) -> None:
        sums = self._held_out.take()
        if not self.trainer.sanity_checking:
            means = self._held_out.means(self.trainer.strategy.reduce(sums, reduce_op="sum"))
            values = {f"{part}/{name}": value for name, value in means.items()}
            self.log_dict({**values, "step": float(self.global_step)})

    def _log_row(self, step: int, optimizer: torch.optim.Optimizer, norm: float) -> None:
        """One row of the training log; here the host waits for the device, and nowhere else."""
        sums = self.trainer.strategy.reduce(self._meter.take(), reduce_op="sum")
        values = {f"train/{name}": value for name, value in self._meter.means(sums).items()}
        values["train/grad_norm"] = norm
        values["train/lr"] = optimizer.param_groups[-1]["lr"]
        values["train/samples_per_s"] = self._watch.lap()
        if self.on_nonfinite == "skip":
            values["train/skipped"] = float(self.skipped)
        for logger in self.loggers:  # before the checkpoint of this step, so that no resumed run lacks the row
            logger.log_metrics(values, step)
        self.log_dict(values, logger=False)
        self.row = values


class Restoring(Callback):
    """Puts the weights in training back where an exception leaves the averaged ones in."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Before anything is saved of the run."""
        if isinstance(pl_module, DiffusionModule):
            pl_module.restore()


def reseed(seed: int, device: torch.device) -> None:
    """Seed the generators that dropout uses; `torch.manual_seed` also queues work for devices that are not there, 1 ms a call."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
