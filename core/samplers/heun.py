"""Heun's method on the probability-flow ODE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..schedules import Schedule
from .plan import Coefficients, Curve, Stage
from .sampler import TableSampler


@dataclass(frozen=True)
class Heun(TableSampler):
    """The mean of the slopes at both ends of a step; the last step, to sigma = 0, is Euler's.

    `flow` coordinates are y = x / (alpha + sigma) over sigma / (alpha + sigma), where the slope is eps - x_0: on the rectified
    schedule this is Heun's step in t, and it is finite on every schedule. `sigma` coordinates are x / alpha over
    sigma / alpha with slope eps, as published; they need alpha > 0 at the start. Order 2, two calls a step.
    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1. Not Heun's third-order method.
    """

    coordinates: Literal["flow", "sigma"] = "flow"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coordinates not in ("flow", "sigma"):
            raise ValueError(f"Heun: coordinates must be flow or sigma, found {self.coordinates!r}")

    @property
    def convergence(self) -> int:
        """2."""
        return 2

    @property
    def calls(self) -> int:
        """Two, and one in the last step."""
        return 2

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """Each step but the last visits its end twice."""
        rows = [Stage(times[0])]
        for t in times[1:-1]:
            rows += [Stage(t, end=False), Stage(t)]
        return [*rows, Stage(times[-1], denoise=False)]

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """Slopes m x_0 + eps are remembered, m = -1 (flow) or 0 (sigma), eps = (x - alpha x_0) / sigma."""
        if self.coordinates == "sigma" and curve.alpha[0] == 0:
            raise ValueError(
                f"Heun: sigma coordinates divide by alpha, which is 0 at the first time, t = {curve.t[0]:g}; "
                "take coordinates=flow, a grid that starts later (karras), or a schedule that keeps some signal"
            )
        m = -1.0 if self.coordinates == "flow" else 0.0
        unit = curve.alpha - m * curve.sigma  # x / unit is the coordinate, sigma / unit its time
        rows = [Coefficients()]
        for i in range(1, len(stages)):
            base = i - 1 if stages[i - 1].end else i - 2
            a, h = unit[i] / unit[base], curve.sigma[i] / unit[i] - curve.sigma[base] / unit[base]
            slopes = (1.0,) if base == i - 1 else (0.5, 0.5)
            rows.append(Coefficients(float(a), tuple(float(unit[i] * h * w) for w in slopes)))
        return [
            replace(row, remember=(1 / s, m - alpha / s)) if stage.denoise else row
            for row, stage, alpha, s in zip(rows, stages, curve.alpha.tolist(), curve.sigma.tolist(), strict=True)
        ]
