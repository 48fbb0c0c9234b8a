"""DPM-Solver++, its SDE and DPM-Solver in multistep form: exponential integrators in log-SNR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .adams import Adams, Step, divided
from .checks import check_share
from .plan import Coefficients, Curve, Stage
from .sampler import Exactness, TableSampler


@dataclass(frozen=True)
class DPMpp(TableSampler):
    """Multistep DPM-Solver++ ("1", "2M", "3M"), and SDE-DPM-Solver++ with eta = 1.

    x_s = (sigma_s / sigma_t) e^(-eta h) x_t + sum_k M_k D_k + noise, with lambda = log(alpha / sigma), h its step, D_k the k-th
    derivative of the polynomial in lambda through the last estimates of x_0, and M_k the integral of (lambda - lambda_t)^k / k!
    against the weight of the exact solution (see `adams`).
    As published, "2M" takes M_0 h / 2 for M_1 ("midpoint"), and "3M" the second divided difference, which is half the second
    derivative, for D_2: so "3M" is of order 2. `exact` integrates the polynomial, and is of order 3 where nothing is random.
    Orders rise from 1 with the steps behind; the last step, to sigma = 0, is of order 1, its limit, the one before of order 2.
    A time with alpha = 0 is nothing to extrapolate from.

    Args:
        order: estimates in the polynomial.
        exact: integrate the polynomial (for order 2, the "heun" of k-diffusion) instead of what was published.
        eta: noise; 0 the probability flow, 1 the reverse SDE.

    Source: Lu et al. 2022, arXiv:2211.01095, algorithm 2 and appendix B; `exact`: Hochbruck and Ostermann 2010, Exponential
        integrators, section 2.
    """

    order: Literal[1, 2, 3] = 2
    exact: bool = False
    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)
        check_share(self, "eta")

    @property
    def convergence(self) -> int:
        """The order, but 2 for the published third, and at most 2 with noise: extrapolation does not see that of the step."""
        return self.order if self.exact and not self.eta else min(self.order, 2)

    @property
    def exactness(self) -> Exactness | None:
        """A degree below the order where exact; the published third keeps degree 1."""
        degree = self.order - 1 if self.exact else self.order // 3
        return Exactness("x0", "lambda", degree) if degree else None

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        adams = Adams(curve, stages, "x0", "lambda", self.eta)
        return adams.rows(lambda i: adams.falling(i, self.order), None if self.exact else as_published)


@dataclass(frozen=True)
class DPMSolver(TableSampler):
    """Multistep DPM-Solver: as `DPMpp`, with eps for x_0, and x_s = (alpha_s / alpha_t) x_t + sum_k M_k D_k.

    A start at alpha = 0 takes one step of DDIM; orders rise and fall as those of `DPMpp`.

    Args:
        order: estimates in the polynomial.
        exact: integrate the polynomial instead of what was published: DEIS in log rho, but for the end.

    Source: Lu et al. 2022, arXiv:2206.00927, proposition 3.1; in multistep form arXiv:2211.01095, appendix D.
    """

    order: Literal[1, 2, 3] = 2
    exact: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)

    @property
    def convergence(self) -> int:
        """The order, but 2 for the published third."""
        return self.order if self.exact else min(self.order, 2)

    @property
    def exactness(self) -> Exactness | None:
        """A degree below the order where exact; the published third keeps degree 1."""
        degree = self.order - 1 if self.exact else self.order // 3
        return Exactness("eps", "lambda", degree) if degree else None

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        adams = Adams(curve, stages, "eps", "lambda")
        return adams.rows(lambda i: adams.falling(i, self.order), None if self.exact else as_published)


def as_published(step: Step, lam: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Two estimates: M_0 h / 2 for M_1; three: half the term of D_2."""
    offset = step.lam - lam[0]
    if len(weights) == 2:
        return weights + (step.weight.sum() * step.h / 2 - step.weight @ offset) * divided(lam[1:])
    return weights - step.weight @ offset**2 / 2 * divided(lam[1:])


def _check(sampler: DPMpp | DPMSolver) -> None:
    """Refuse an option that changes nothing."""
    if sampler.exact and sampler.order == 1:
        raise ValueError(f"{sampler.name}: order 1 is exact as published, so exact=True does nothing; leave it out")
