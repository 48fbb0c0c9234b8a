"""Sums of the loss between two rows of the log, kept on the device so that no step waits for the host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

EDGES = (-0.5, 0.0, 0.5)  # of c_noise = log(sigma / alpha) / 4: sigma / alpha below 0.14, below 1, below 7.4, above
BINS = len(EDGES) + 1


class Meter:
    """Mean loss, of each field, and of each range of noise, over the samples whose loss is a number.

    Args:
        fields: names of the fields, in the order of the log.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self.sums: Tensor | None = None

    @torch.no_grad()
    def add(
        self, total: Tensor, fields: Mapping[str, Tensor], c_noise: Tensor, importance: Tensor | None = None
    ) -> None:
        """Take in a batch: losses (B,), noise levels (B,) as `Denoiser.c_noise` gives them, what each sample counts."""
        count = torch.ones_like(total) if importance is None else importance
        rows = [total, count, *(fields[name] for name in self.fields)]
        row = torch.stack([x.detach().float() for x in rows])
        row = row.where(row.sum(0).isfinite(), 0.0)  # a sample without a number would hide all others
        bins = torch.stack([c_noise.detach() >= edge for edge in EDGES]).sum(0)
        table = torch.zeros(BINS, len(row), device=row.device).index_add_(0, bins, row.T)
        self.sums = table if self.sums is None else self.sums.to(table.device).add_(table)

    def take(self) -> Tensor:
        """The sums so far, (BINS, 2 + fields); the meter starts anew."""
        if self.sums is None:
            raise ValueError("the meter holds nothing")
        sums, self.sums = self.sums, None
        return sums

    def means(self, sums: Tensor) -> dict[str, float]:
        """Means by name: loss, loss_<field> where there are several, loss_noise0 .. loss_noise3 where the range was met."""
        rows = sums.tolist()
        count = sum(row[1] for row in rows) or math.nan
        out = {"loss": sum(row[0] for row in rows) / count}
        if len(self.fields) > 1:
            out |= {f"loss_{name}": sum(row[2 + i] for row in rows) / count for i, name in enumerate(self.fields)}
        return out | {f"loss_noise{i}": row[0] / row[1] for i, row in enumerate(rows) if row[1]}

    def state_dict(self) -> dict[str, Any]:
        """The unfinished sums, so that a resumed run logs the rows of an undisturbed one."""
        return {"sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.sums = state["sums"]
