"""Everything that a run folder asks of a Lightning trainer."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.accelerators import MPSAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info

from .callbacks import Export, Pictures, Stopping
from .metrics_csv import MetricsCSV
from .progress import RunProgress
from .saving import AtomicCheckpointIO, Checkpoints

# What Lightning says of every run and nobody can act on.
NOISE_LOGGED = ("Tip: For seamless", "`weights_only` was not set")
NOISE_WARNED = (".*does not have many workers.*", ".*isinstance.treespec, LeafSpec.*", "Checkpoint directory .* exists")


def equipment(
    folder: str | Path,
    every: int = 1000,
    keep_every: int | None = None,
    pictures: int = 1000,
    n: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Keyword arguments of `lightning.Trainer` for a run in `folder`.

        Trainer(**equipment("runs/mine"), max_steps=20_000)

    It then holds checkpoints/last.ckpt, model.safetensors and model.yaml, metrics.csv, tensorboard/ and pictures/.

    Args:
        folder: the run folder.
        every: steps between two checkpoints.
        keep_every: steps between two that are kept; None keeps the last alone.
        pictures: steps between two pictures; 0: none.
        n: samples in a picture.
        seed: of the pictures.
    """
    run = Path(folder)
    quiet()
    callbacks: list[Callback] = [
        Checkpoints(str(run / "checkpoints"), every, keep_every),
        Export(str(run)),
        Stopping(),
        RunProgress(),
    ]
    if pictures:
        callbacks.append(Pictures(str(run / "pictures"), pictures, n, seed))
    tensorboard = TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False)
    loggers: list[Logger] = [MetricsCSV(str(run / "metrics.csv")), tensorboard]
    return {
        "default_root_dir": run,
        "callbacks": callbacks,
        "logger": loggers,
        "plugins": [AtomicCheckpointIO()],
        "use_distributed_sampler": False,
        "enable_model_summary": False,
        **served_device(),
    }


def served_device() -> dict[str, Any]:
    """The CPU, said aloud, where Lightning would take Apple's GPU (MPS): it has no float64, in which times are drawn."""
    if not MPSAccelerator.is_available():
        return {}
    rank_zero_info("Apple's GPU (MPS) is not served, since it has no float64: this runs on the CPU")
    return {"accelerator": "cpu"}


def quiet() -> None:
    """Leave out Lightning's remarks that are the same for every run."""
    for message in NOISE_WARNED:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.trainer.connectors.checkpoint_connector"):
        logger = logging.getLogger(name)
        if _is_worth_saying not in logger.filters:
            logger.addFilter(_is_worth_saying)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    return not any(noise in record.getMessage() for noise in NOISE_LOGGED)
