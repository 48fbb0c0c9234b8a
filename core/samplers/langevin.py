"""Langevin corrections at each noise level: predictor-corrector sampling and annealed Langevin dynamics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..schedules import Schedule
from .checks import check_positive, whole
from .plan import Coefficients, Curve, Stage, ddim_step
from .sampler import TableSampler
from .singlestep import pick

Predictor = Literal["ancestral", "flow", "none"]


@dataclass(frozen=True)
class PredictorCorrector(TableSampler):
    """A step to s, then Langevin steps at s for a time of delta sigma_s^2 each, delta = 2 snr^2:

        x <- e^-delta x + (1 - e^-delta) alpha x_0 + sigma sqrt(1 - e^(-2 delta)) noise

    This is the exact solution at fixed x_0, so a point mass keeps its standard deviation. The published step,
    2 (snr |noise| / |score|)^2, is 2 snr^2 sigma^2 in expectation and takes its first order in delta.

    The corrections do not shrink with the steps: left alone at one level they settle at (1 + e^-delta) /
    (1 + e^-delta + q (1 - e^-delta)) of the variance of N(0, v), q = alpha^2 v / (alpha^2 v + sigma^2), and not at all of it. So
    there is no order of convergence; they answer errors of the network instead.

    Without a predictor this is annealed Langevin dynamics: y = x / alpha is carried from level to level. With m corrections a
    level, the variance of y about a point mass goes as v_s = rho_s^2 + e^(-2 m delta) (v_t - rho_s^2), rho = sigma / alpha: too
    much by what the corrections do not forget. The last step gives x_0, as does the first from alpha = 0.

    Args:
        predictor: "ancestral" (DDPM), "flow" (DDIM) or "none".
        corrections: Langevin steps a level, at least 1 (without any it is DDPM or DDIM); none at sigma = 0.
        snr: the published r, above 0; 0.16 for VE, 0.01 to 0.05 for VP.

    Source: Song et al. 2020, arXiv:2011.13456, algorithms 2 to 5; Song and Ermon 2019, arXiv:1907.05600, algorithm 1, whose
    epsilon / sigma_L^2 is 2 delta.
    """

    predictor: Predictor = "ancestral"
    corrections: int = 1
    snr: float = 0.16

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "corrections", whole(self, "corrections", self.corrections))
        check_positive(self, "snr")
        if self.path:
            raise ValueError(
                f"{self.name}: path=True follows one path down, but corrections stand still; leave path out"
            )

    @property
    def convergence(self) -> int:
        """None: the corrections' error does not fall with the steps."""
        return 0

    @property
    def calls(self) -> int:
        """One for the predictor and one for each correction; one in the last step."""
        return self.corrections + (self.predictor != "none")

    @property
    def keeps_marginals(self) -> bool:
        """Where there is a predictor."""
        return self.predictor != "none"

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """Each time but the first and the last is visited once more for each correction."""
        rows = [Stage(times[0])]
        for i, s in enumerate(times[1:-1]):
            rows += [Stage(s)] * self.corrections
            # annealed: what carries on to the next level asks for nothing; the last step does
            rows.append(Stage(s, denoise=self.predictor != "none" or i == len(times) - 3))
        return [*rows, Stage(times[-1], denoise=False)]

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row for the predictor, one for each correction."""
        rows = [Coefficients()]
        for i in range(1, len(stages)):
            step = pick(curve, (i - 1, i))
            rows.append(self._correct(step) if stages[i].time == stages[i - 1].time else self._predict(step))
        return rows

    def _predict(self, step: Curve) -> Coefficients:
        alpha_t, alpha_s = step.alpha.tolist()
        if self.predictor == "none" and alpha_t > 0 and step.sigma[1] > 0:
            return Coefficients(alpha_s / alpha_t)
        return ddim_step(step, 1, step.posterior_std(1) if self.predictor == "ancestral" else 0.0)

    def _correct(self, step: Curve) -> Coefficients:
        alpha, sigma, delta = float(step.alpha[1]), float(step.sigma[1]), 2 * self.snr**2
        kept = math.exp(-delta)
        return Coefficients(kept, (-alpha * math.expm1(-delta),), (sigma * math.sqrt(-math.expm1(-2 * delta)),))
