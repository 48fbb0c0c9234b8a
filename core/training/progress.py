"""One line that says how far the run is, how well and how fast."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class RunProgress(ProgressBar):
    """Steps done and to come, loss, samples per second, time left.

    Where stderr is no terminal, a line every `line_s` seconds instead of a bar.

    Args:
        refresh_s: seconds between two redrawings.
        line_s: seconds between two lines.
    """

    def __init__(self, refresh_s: float = 0.2, line_s: float = 30.0) -> None:
        super().__init__()
        self.refresh_s = refresh_s
        self.line_s = line_s
        self._on = True
        self._bar: Progress | None = None
        self._next = 0.0
        self._begin = 0.0

    def enable(self) -> None:
        """Show it."""
        self._on = True

    def disable(self) -> None:
        """Hide it: on all processes but the first."""
        self._on = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar at the step where the run stands."""
        self._open("training", trainer.max_steps if trainer.max_steps > 0 else None, trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw, unless it was redrawn just now."""
        self._show("training", trainer.global_step, trainer.max_steps, getattr(pl_module, "row", {}))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state on the screen."""
        self._next = 0.0
        self._show("training", trainer.global_step, trainer.max_steps, getattr(pl_module, "row", {}))
        self._close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A bar of its own, unless this is a part of training."""
        self._open_held_out(trainer, "validating", trainer.num_val_batches)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Redraw: within training the line says that it validates."""
        total = sum(trainer.num_val_batches)
        if trainer.state.fn == "fit":
            self._say(f"validating {batch_idx + 1}/{total}")
        else:
            self._show("validating", batch_idx + 1, total, {})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Back to training."""
        self._say("training") if trainer.state.fn == "fit" else self._close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A bar of its own."""
        self._open_held_out(trainer, "testing", trainer.num_test_batches)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Redraw."""
        self._show("testing", batch_idx + 1, sum(trainer.num_test_batches), {})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state on the screen."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the screen back, so that the message stands below the bar."""
        self._close()

    def _open_held_out(self, trainer: Trainer, about: str, batches: Sequence[int | float]) -> None:
        if trainer.state.fn != "fit":
            self._open(about, int(sum(map(float, batches))), 0)

    def _open(self, about: str, total: int | None, done: int) -> None:
        self._close()
        self._begin, self._next = time.monotonic(), time.monotonic() + self.line_s
        console = Console(stderr=True)
        if self._on and console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
            )
            self._bar = Progress(
                *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, auto_refresh=False
            )
            self._bar.add_task(about, total=total, completed=done, numbers="")
            self._bar.start()
            self._next = 0.0

    def _show(self, about: str, done: int, total: float, row: dict[str, float]) -> None:
        now = time.monotonic()
        if not self._on or now < self._next:
            return
        numbers = ""
        if row:
            numbers = f"loss {row['train/loss']:.4f}  {row['train/samples_per_s']:,.0f} samples/s"
        if self._bar is not None:
            self._next = now + self.refresh_s
            self._bar.update(self._bar.task_ids[0], completed=done, numbers=numbers, description=about, refresh=True)
        elif self._next:
            self._next = now + self.line_s
            of = f"/{total}" if total > 0 else ""
            Console(stderr=True).print(f"{about} {done}{of}  {numbers}  {now - self._begin:.0f} s", highlight=False)

    def _say(self, about: str) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=about, refresh=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
