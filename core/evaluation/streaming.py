"""The metrics as `torchmetrics.Metric`: fed in batches, on any number of processes, equal to the pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from .metrics import frechet_distance_of_moments


class Frechet(Metric):
    """`frechet_distance` of two sets of features, in any order and split; the state is float64 sums of size D^2.

    Args:
        features: D.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    def __init__(self, features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features
        for side in ("candidate", "reference"):
            self.add_state(f"{side}_n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_sum", torch.zeros(features, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_outer", torch.zeros(features, features, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, x: Tensor, *, reference: bool) -> None:
        """Add rows (n, D) to the reference or to the candidates."""
        side, x = "reference" if reference else "candidate", x.double()
        setattr(self, f"{side}_n", getattr(self, f"{side}_n") + len(x))
        setattr(self, f"{side}_sum", getattr(self, f"{side}_sum") + x.sum(0))
        setattr(self, f"{side}_outer", getattr(self, f"{side}_outer") + x.T @ x)

    def compute(self) -> Tensor:
        """The distance, float64, ()."""
        value = frechet_distance_of_moments(*self._moments("candidate"), *self._moments("reference"))
        return torch.tensor(value, dtype=torch.float64)

    def _moments(self, side: str) -> tuple[Tensor, Tensor]:
        n, total, outer = (getattr(self, f"{side}_{part}") for part in ("n", "sum", "outer"))
        if n < 2:
            raise ValueError(f"{int(n)} {side} rows; a covariance needs at least 2")
        return total / n, (outer - torch.outer(total, total) / n) / (n - 1)


class SetMetric(Metric):
    """Any pure function of candidates (n, D) and reference (m, D), from rows gathered from all processes.

    Args:
        function: such as `kernel_distance` or `precision_recall`; returns a number or a named tuple.
    """

    is_differentiable = False
    full_state_update = False
    candidate: list[Tensor]
    reference: list[Tensor]

    def __init__(self, function: Callable[[Tensor, Tensor], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.add_state("candidate", [], dist_reduce_fx="cat")
        self.add_state("reference", [], dist_reduce_fx="cat")

    def update(self, x: Tensor, *, reference: bool) -> None:
        """Add rows (n, D) to the reference or to the candidates."""
        (self.reference if reference else self.candidate).append(x)

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The value, float64, (); a dict by name for a named tuple."""
        x, y = (torch.cat(rows) if isinstance(rows, list) else rows for rows in (self.candidate, self.reference))
        value = self.function(x, y)
        if hasattr(value, "_asdict"):
            return {name: torch.tensor(part, dtype=torch.float64) for name, part in value._asdict().items()}
        return torch.tensor(value, dtype=torch.float64)
