"""Predictors with correctors that cost no call: UniPC and SA-Solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..schedules import Schedule
from .adams import Adams, Step, divided
from .checks import check_share
from .plan import Coefficients, Curve, Stage, one_stage
from .sampler import Exactness, TableSampler


@dataclass(frozen=True)
class UniPC(TableSampler):
    """Predict x_s through p estimates of x_0, ask there, and correct x_s through p + 1: one call a step, order p + 1.

    Both rows integrate the polynomial in lambda, except those of two estimates, which take 1/2 B(h) h for the integral of
    lambda - lambda_t: B = alpha_s h ("bh1") or alpha_s (1 - e^-h) ("bh2"). Where the corrector leads is not asked again.
    p rises from 1 with the steps behind; the last step, to sigma = 0, has p = 1 and no corrector, and a p above 2 falls by one in
    the step before.

    Args:
        order: p, estimates in the predictor.
        variant: B(h), which matters only where two estimates are used.
        corrector: without, it is UniP, of order p.

    Source: Zhao et al. 2023, arXiv:2302.04867, algorithms 5 to 8 (multistep, prediction of data).
    """

    order: Literal[1, 2, 3, 4] = 2
    variant: Literal["bh1", "bh2"] = "bh2"
    corrector: bool = True

    @property
    def convergence(self) -> int:
        """One more than that of the predictor."""
        return self.order + self.corrector

    @property
    def exactness(self) -> Exactness | None:
        """The degree of the predictor; constants where it has two estimates."""
        return Exactness("x0", "lambda", self.order - 1) if self.order > 2 else None

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """Each step but the last predicts and denoises, then corrects."""
        return predict_and_correct(times) if self.corrector else one_stage(times)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """Predictor and corrector in turn."""
        adams = Adams(curve, stages, "x0", "lambda")
        rows = adams.rows(lambda i: adams.falling(i, self.order) + corrects(stages, i), self._adjust)
        if curve.alpha[0] == 0 and len(rows) > 2 and self.corrector:
            half = float(curve.alpha[2] / 2)
            rows[2] = replace(rows[2], b=(half, half))  # the limit of bh2 for h to infinity, where bh1 has none
        return rows

    def _adjust(self, step: Step, lam: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Two estimates: B h / 2 for the integral of lambda - lambda_t."""
        if len(weights) > 2:
            return weights
        b = step.weight.sum() * (1.0 if self.variant == "bh2" else step.h / -np.expm1(-step.h))
        return weights + (b * step.h / 2 - step.weight @ (step.lam - lam[0])) * divided(lam[1:])


@dataclass(frozen=True)
class SASolver(TableSampler):
    """Stochastic Adams: predict and correct along the SDE whose noise is eta times that of the reverse SDE, in variance rate.

    Both rows integrate the polynomial in lambda through the last estimates of x_0 against the weight of the exact solution, and
    share the step's noise. One call a step. Orders rise from 1 with the steps behind; the last step, to sigma = 0, is of order 1
    without corrector, and orders above 2 fall by one in the step before.

    Args:
        predictor: estimates in the predictor.
        corrector: estimates in the corrector, that at x_s included; 0 for none.
        eta: the square of the paper's tau, constant: 0 the probability flow, 1 the reverse SDE.

    Source: Xue et al. 2023, arXiv:2309.05019, equations 13 to 18 and algorithm 1.
    """

    predictor: Literal[1, 2, 3, 4] = 3
    corrector: Literal[0, 1, 2, 3, 4] = 3
    eta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "eta")

    @property
    def convergence(self) -> int:
        """The corrector's order, at most one more than the predictor's; with noise, of moments, at most 2."""
        order = min(self.predictor + 1, self.corrector) if self.corrector else self.predictor
        return min(order, 2) if self.eta else order

    @property
    def exactness(self) -> Exactness | None:
        """The lower degree of the two."""
        degree = min(self.predictor, self.corrector or self.predictor) - 1
        return Exactness("x0", "lambda", degree) if degree else None

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """Each step but the last predicts and denoises, then corrects."""
        return predict_and_correct(times) if self.corrector else one_stage(times)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """Predictor and corrector in turn."""
        adams = Adams(curve, stages, "x0", "lambda", self.eta)

        def order(i: int) -> int:
            return adams.falling(i, self.corrector if corrects(stages, i) else self.predictor)

        return adams.rows(order)


def predict_and_correct(times: Sequence[float]) -> list[Stage]:
    """Two rows a step: to s and denoise, to s again from the same base; the last step is one row."""
    rows = [Stage(times[0])]
    for t in times[1:-1]:
        rows += [Stage(t, end=False), Stage(t, denoise=False)]
    return [*rows, Stage(times[-1], denoise=False)]


def corrects(stages: Sequence[Stage], i: int) -> bool:
    """Whether row i brings the state where it has been asked already."""
    return not stages[i - 1].end
