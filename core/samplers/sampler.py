"""The contract of a sampler: times in, table out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from ..processes import Gaussian, Process
from ..schedules import Schedule
from .grid import Grid, UniformGrid
from .plan import Coefficients, Curve, Plan, Row, Stage, one_stage


class Sampler(ABC):
    """A generator of plans. A new one is a subclass with `coefficients`, and `stages` where it denoises more than once a step.

    Args:
        steps: steps, at least 1.
        grid: where in time they lie.

    Raises:
        ValueError: steps that are not a whole number of at least 1.
    """

    order: int = 1  # of convergence, as derived and tested
    per_step: ClassVar[int] = 1  # denoiser calls a step

    def __init__(self, steps: int = 20, grid: Grid | None = None) -> None:
        number = isinstance(steps, (int, float, np.integer)) and not isinstance(steps, bool)
        if not number or not float(steps).is_integer() or steps < 1:
            raise ValueError(f"{type(self).__name__}: steps must be a whole number of at least 1, found {steps!r}")
        self.steps, self.grid = int(steps), grid or UniformGrid()

    def stages(self, times: Sequence[float]) -> list[Stage]:
        """The rows' times and marks; once a step unless overridden."""
        return one_stage(times)

    @abstractmethod
    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One for each stage; the first is `Coefficients()` with what the first denoising remembers.

        Raises:
            ValueError: a curve that the formula cannot serve.
        """

    def plan(self, processes: Mapping[str, Process]) -> Plan:
        """The table for these processes; times come from the schedule of the first Gaussian field."""
        gaussian = {name: p for name, p in processes.items() if isinstance(p, Gaussian)}
        clock = next((p.schedule for p in gaussian.values()), None)
        stages = self.stages(self.grid.checked(self.steps, clock).tolist())
        columns = {}
        for name, process in gaussian.items():
            columns[name] = self.coefficients(curve_of(process.schedule, stages), stages)
        rows = [Row(stage, {name: columns[name][i] for name in columns}) for i, stage in enumerate(stages)]
        return Plan(self.describe(), tuple(rows))

    def options(self) -> dict[str, Any]:
        """Constructor arguments beside steps and grid."""
        return {k: v for k, v in vars(self).items() if k not in ("steps", "grid")}

    def describe(self) -> str:
        """One line: the class with its arguments."""
        words = [f"{k}={v}" for k, v in {"steps": self.steps, **self.options(), "grid": self.grid}.items()]
        return f"{type(self).__name__}({', '.join(words)})"


def curve_of(schedule: Schedule, stages: Sequence[Stage]) -> Curve:
    """The schedule at the stages' times."""
    t = torch.tensor([stage.time for stage in stages], dtype=torch.float64)
    alpha, sigma = schedule.alpha(t).numpy(), schedule.sigma(t).numpy()
    return Curve(np.asarray(t), np.where(alpha < 1e-12, 0.0, alpha), sigma)
