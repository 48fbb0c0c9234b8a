"""What happens beside the steps: pictures, the exported model, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from .. import checkpoint as model_files
from ..conditioning.spec import ConditionSpec
from ..evaluation.pictures import as_pixels, png
from ..modality import Item, Modality
from ..sampling import sample
from .module import DiffusionModule
from .saving import Checkpoints, save_whole, stepped


class Pictures(Callback):
    """Every so many steps, samples of the averaged weights as one picture: always the same seeds and conditions.

    Classes are cycled through; other conditions are those of held-out items (of training items where none are held out).
    There are no pictures of a modality without `render`, nor of a module without a sampler.

    Args:
        folder: where `step-00001000.png` goes.
        every: steps between two pictures.
        n: samples in each.
        seed: of the samples.

    Raises:
        ValueError: `every` or `n` below 1.
    """

    def __init__(self, folder: str, every: int = 1000, n: int = 64, seed: int = 0) -> None:
        if every < 1 or n < 1:
            raise ValueError(f"pictures of {n} samples every {every} steps: both are at least 1")
        self.folder = folder
        self.every = every
        self.n = n
        self.seed = seed

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw a picture where one is due; the first process draws, the others wait for it at the next step."""
        step = trainer.global_step
        if step % self.every or not stepped(trainer) or not trainer.is_global_zero:
            return
        if isinstance(pl_module, DiffusionModule) and pl_module.sampler is not None and can_render(pl_module.modality):
            with pl_module.aside():
                self.draw(trainer, pl_module, Path(self.folder) / f"step-{step:08d}.png")

    def draw(self, trainer: Trainer, module: DiffusionModule, path: Path) -> None:
        """Sample, render, and write the picture to `path` and to TensorBoard.

        Samples that cannot be decoded (a young network may diverge) cost the picture, said aloud, and not the run.
        """
        if module.sampler is None:
            raise ValueError("pictures need the module's sampler, which is None")
        data = getattr(trainer, "datamodule", None)
        parts = {} if data is None else data.parts
        items = parts.get("validation") or parts.get("train") or []
        cond = fixed_conditions(module.network.conditions, items, self.n)
        with module.averaged() as denoiser:
            drawn = denoiser if module.guidance is None else module.guidance(denoiser)
            try:
                samples = sample(drawn, module.sampler, self.n, cond, self.seed)
            except ValueError as error:
                rank_zero_warn(f"no picture at step {trainer.global_step}: {error}")
                return
        pixels = as_pixels(module.modality.render(samples))
        save_whole(path, lambda aside: aside.write_bytes(png(pixels)))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", pixels, trainer.global_step, dataformats="HWC")


class Export(Callback):
    """With each checkpoint, the averaged model as `model.safetensors` and `model.yaml`: what samples without Lightning.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the model, aside and renamed, in the first process."""
        if isinstance(pl_module, DiffusionModule) and trainer.is_global_zero:
            pl_module.check_finite()
            with pl_module.averaged() as denoiser:
                model_files.save(denoiser, Path(self.folder), {"step": trainer.global_step})


class Stopping(Callback):
    """Ctrl-C, or a request to end (SIGTERM), finishes the step, saves `last.ckpt` and says how to go on.

    A second one stops at once. Where there is no `Checkpoints`, nothing can be saved and the signals keep their meaning.
    """

    def __init__(self) -> None:
        self.asked = False
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where this is the thread that gets signals."""
        self.asked = False
        if _checkpoints(trainer) is not None and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._ask)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop, where anybody was asked to.

        Raises:
            KeyboardInterrupt: once all is saved; Lightning ends the run in good order.
        """
        if not stepped(trainer):
            return
        asked = self.asked
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        checkpoints = _checkpoints(trainer)
        if asked and checkpoints is not None:
            checkpoints.save(trainer)
            rank_zero_info(
                f"\nstopped at step {trainer.global_step}; {checkpoints.last} holds all of it. "
                "The same command with --ckpt_path last goes on from there."
            )
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop listening."""
        self._give_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop listening."""
        self._give_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._give_back()

    def _give_back(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)


def fixed_conditions(specs: Sequence[ConditionSpec], items: Sequence[Item], n: int) -> dict[str, list[Any]]:
    """Raw conditions of n samples: classes in turn, anything else from the items in turn."""
    cond: dict[str, list[Any]] = {}
    for spec in specs:
        if spec.kind == "class":
            cond[spec.name] = [i % spec.size for i in range(n)]
        elif items:
            cond[spec.name] = [items[i % len(items)].cond.get(spec.name) for i in range(n)]
    return cond


def can_render(modality: Modality) -> bool:
    """Whether the modality draws pictures."""
    return type(modality).render is not Modality.render


def _checkpoints(trainer: Trainer) -> Checkpoints | None:
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, Checkpoints)), None)
