"""Checkpoints that are always whole: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from ..checkpoint import write_aside
from ..modality import Modality


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, written aside and renamed, and read without unpickling code.

    A process that dies at any moment leaves the older file or the newer one, never a part of one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: it could not be written (a full disk, a missing right); the older file is untouched.
        """
        if storage_options is not None:
            raise TypeError("checkpoints are local files: storage_options has no meaning here")
        save_whole(Path(path), lambda aside: torch.save(checkpoint, aside))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, location: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; only tensors and plain types are ever unpickled.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is cut short or is no checkpoint.
        """
        return _read(Path(path), map_location)


class Checkpoints(ModelCheckpoint):
    """`last.ckpt` every so many steps and at the end; every so many of them are kept under their step.

    Args:
        folder: where the files go, usually `<run>/checkpoints`.
        every: steps between two writes of `last.ckpt`.
        keep_every: steps between two that are kept as `step-00001000.ckpt`, a multiple of `every`; None keeps none.

    Raises:
        ValueError: `every` below 1, or `keep_every` that is no multiple of it.
    """

    def __init__(self, folder: str, every: int = 1000, keep_every: int | None = None) -> None:
        if every < 1 or (keep_every is not None and (keep_every < 1 or keep_every % every)):
            raise ValueError(
                f"checkpoints every {every} steps, kept every {keep_every}: both are positive, the second a multiple of the first"
            )
        super().__init__(
            dirpath=folder, save_top_k=0, save_last=True, every_n_train_steps=every, enable_version_counter=False
        )
        self.folder = folder
        self.every = every
        self.keep_every = keep_every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where a write is due, and at the last step: here the loop's counters stand at a whole step."""
        step = trainer.global_step
        due = step % self.every == 0 or step == trainer.max_steps
        if due and stepped(trainer) and step != self._last_global_step_saved:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing: an epoch of the loop is not a point of the run."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing: validation does not move the weights."""

    def save(self, trainer: Trainer) -> None:
        """Write `last.ckpt`, called at the end of a step on every process."""
        step, last = trainer.global_step, self.last
        self._last_global_step_saved = step
        trainer.save_checkpoint(last, weights_only=False)
        if trainer.is_global_zero and self.keep_every is not None and step % self.keep_every == 0:
            keep(last, last.with_name(f"step-{step:08d}.ckpt"))

    @property
    def last(self) -> Path:
        """The path of `last.ckpt`."""
        return Path(self.folder) / "last.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the files say it, and they may have moved."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to take back."""


def learnt(checkpoint: Mapping[str, Any] | str | Path, modality: Modality) -> dict[str, Any]:
    """What a checkpoint, or its file, holds beside Lightning's own: the modality's state, the averages, the counters.

    Of a file, tensors are mapped into memory and not read until they are used.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that is no checkpoint, one of another modality, or not of this framework.
    """
    if isinstance(checkpoint, str | Path):
        checkpoint = _read(Path(checkpoint), "cpu", mmap=True)
    own = checkpoint.get("ornstein")
    if own is None:
        raise ValueError("the checkpoint was not written by ornstein: it holds no modality")
    if own["modality"] != modality.name:
        raise ValueError(f"the checkpoint is of modality {own['modality']!r}, the recipe of {modality.name!r}")
    return own


def stepped(trainer: Trainer) -> bool:
    """Whether the batch that just ended was the last of its optimizer step, where gradients are accumulated."""
    return not trainer.fit_loop._should_accumulate()


def save_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file aside and rename it; a failure says what it was and what is left.

    Raises:
        OSError: the file could not be written; the older one is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_aside(path, write)
    except (OSError, RuntimeError) as error:  # torch's writer knows a full disk as a RuntimeError alone
        os_error = next((e for e in (error, error.__cause__) if isinstance(e, OSError) and e.strerror), None)
        free = shutil.disk_usage(path.parent).free / 2**20 if path.parent.is_dir() else 0.0
        reason = os_error.strerror if os_error else f"the disk did not take it ({str(error).splitlines()[0][:80]})"
        kept = f"the older {path.name} is untouched" if path.exists() else "there was no older one"
        raise OSError(
            f"could not save {path}: {reason}, {free:,.0f} MB are free; {kept}. Make room, then go on with --ckpt_path last"
        ) from error


def keep(source: Path, target: Path) -> None:
    """A second name for a file that is only ever replaced, never changed; a copy where links cannot be made."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        save_whole(target, lambda aside: shutil.copyfile(source, aside))


def _read(path: Path, map_location: Any, mmap: bool = False) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such checkpoint")
    try:
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        size = path.stat().st_size
        reason = (str(error).strip() or "it ends too early").splitlines()[0].partition(". ")[0]
        raise ValueError(f"{path} ({size:,} bytes) is not a whole checkpoint: {reason}") from error
