"""Everything that a run folder asks of a Lightning trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from .callbacks import Export, Pictures, Stopping
from .metrics_csv import MetricsCSV
from .progress import RunProgress
from .saving import AtomicCheckpointIO, Checkpoints


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
    callbacks = [Checkpoints(str(run / "checkpoints"), every, keep_every), Export(str(run)), Stopping(), RunProgress()]
    if pictures:
        callbacks.append(Pictures(str(run / "pictures"), pictures, n, seed))
    loggers = [MetricsCSV(str(run / "metrics.csv"))]
    loggers.append(TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False))
    return {
        "default_root_dir": run,
        "callbacks": callbacks,
        "logger": loggers,
        "plugins": [AtomicCheckpointIO()],
        "use_distributed_sampler": False,
        "enable_model_summary": False,
    }
