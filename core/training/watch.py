"""What a step leaves to be looked at later: whether its loss was a number, and how long it took."""

from __future__ import annotations

import math
import time

import torch

from ..objective import Loss
from .batches import Batch


class Suspect:
    """A loss whose numbers have not been looked at yet; CUDA is asked one step later, when nobody waits for it."""

    def __init__(self, batch: Batch, loss: Loss, step: int) -> None:
        self.batch, self.step, self.t = batch, step, loss.t
        self.total = loss.total.detach()
        self.ready: torch.cuda.Event | None = None
        if self.total.is_cuda:
            self.total = self.total.to("cpu", non_blocking=True)
            self.ready = torch.cuda.Event()
            self.ready.record()

    def check(self) -> None:
        """Raise where the mean is no number."""
        if self.ready is not None:
            self.ready.synchronize()
        if math.isfinite(self.total.mean()):
            return
        total, t = self.total.tolist(), self.t.tolist()
        rows = [i for i, value in enumerate(total) if not math.isfinite(value)] or list(range(len(total)))
        named = "; ".join(f"{self.batch.keys[i] or f'item {i}'} at t = {t[i]:.4f}: {total[i]}" for i in rows[:8])
        raise ValueError(
            f"step {self.step}: the loss is no number for {len(rows)} of {len(total)} items of the batch: {named}. "
            "Saved checkpoints are untouched. Look at these items; lower optimizer.lr, set trainer.gradient_clip_val=1, "
            "or go on past such steps with on_nonfinite=skip"
        )


class Stopwatch:
    """Samples per second of training between two rows of the log."""

    def __init__(self) -> None:
        self.begin: float | None = None
        self.paused = 0.0
        self.samples = 0

    def count(self, samples: int) -> None:
        """Take in a step; the first one starts the watch."""
        self.begin = time.perf_counter() if self.begin is None else self.begin
        self.samples += samples

    def pause(self, seconds: float) -> None:
        """Leave out so many seconds."""
        self.paused += 0.0 if self.begin is None else seconds

    def lap(self) -> float:
        """Samples per second since the last lap."""
        now = time.perf_counter()
        seconds = now - (now if self.begin is None else self.begin) - self.paused
        rate = self.samples / max(seconds, 1e-9)
        self.begin, self.paused, self.samples = now, 0.0, 0
        return rate
