"""A new sampler on half a page. The worked example of "Add a sampler in ten minutes"."""

from collections.abc import Sequence
from dataclasses import dataclass

from ornstein.core.samplers import Coefficients, Curve, Stage, TableSampler


@dataclass(frozen=True)
class Adams(TableSampler):
    """The two-step Adams-Bashforth method on the probability-flow ODE.

    The slope of y = x / (alpha + sigma) over u = sigma / (alpha + sigma) is eps - x_0. With h the step in u, and r that
    over the last one, y_s = y_t + h ((1 + r / 2) slope_t - (r / 2) slope_before). Order 2, one call a step.
    Source: Hairer, Norsett, Wanner 1993, Solving Ordinary Differential Equations I, section III.5 (variable steps).
    """

    @property
    def convergence(self) -> int:
        """2."""
        return 2

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step. Each remembers eps - x_0 = (x - alpha x_0) / sigma - x_0."""
        unit, u = curve.alpha + curve.sigma, curve.tau
        rows = []
        for i, stage in enumerate(stages):
            remember = (1 / curve.sigma[i], -1 - curve.alpha[i] / curve.sigma[i]) if stage.denoise else (0.0, 1.0)
            if i == 0:
                rows.append(Coefficients(remember=remember))
                continue
            h = u[i] - u[i - 1]
            r = h / (u[i - 1] - u[i - 2]) if i > 1 else 0.0  # the first step has no slope before it: Euler's
            b = (unit[i] * h * (1 + r / 2), -unit[i] * h * r / 2)
            rows.append(Coefficients(unit[i] / unit[i - 1], b, remember=remember))
        return rows
