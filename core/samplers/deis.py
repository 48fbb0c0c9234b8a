"""Multistep methods that extrapolate eps, or the flow, in a variable of choice, integrated exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .adams import Adams
from .plan import Coefficients, Curve, Stage
from .sampler import Exactness, TableSampler


@dataclass(frozen=True)
class DEIS(TableSampler):
    """x_s = (alpha_s / alpha_t) x_t + alpha_s int eps d rho, eps the polynomial in `variable` through the last estimates.

    In t it is "tAB-DEIS"; in rho = sigma / alpha "rhoAB-DEIS", which is Adams-Bashforth with unequal steps, LMS and iPNDM_v; in
    log rho it is the exact multistep DPM-Solver. A start at alpha = 0 takes one step of DDIM; the last step, to sigma = 0, keeps
    its order in t and rho, and falls to order 1 in log rho, which is infinite there. Orders rise from 1 with the steps behind.
    The paper counts degrees where this counts estimates: its tAB3 is order 4.

    Args:
        order: estimates in the polynomial.
        variable: what it is a polynomial in.

    Source: Zhang and Chen 2022, arXiv:2204.13902, equations 14 and 15.
    """

    order: Literal[1, 2, 3, 4] = 3
    variable: Literal["t", "rho", "log_rho"] = "t"

    @property
    def convergence(self) -> int:
        """The order."""
        return self.order

    @property
    def exactness(self) -> Exactness:
        """One degree less than the order; in t to 1e-12 where the schedule is smooth, to 1e-6 on tables of betas."""
        names: dict[str, Literal["lambda", "rho", "t"]] = {"t": "t", "rho": "rho", "log_rho": "lambda"}
        return Exactness("eps", names[self.variable], self.order - 1)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        return Adams(curve, stages, "eps", self.exactness.variable).rows(lambda i: self.order)


@dataclass(frozen=True)
class LMS(TableSampler):
    """Adams-Bashforth with unequal steps: the slope is a polynomial in the time of its coordinates.

    `sigma` coordinates are x / alpha over sigma / alpha with slope eps, as published ("linear multistep"; also iPNDM_v); a start
    at alpha = 0 takes one step of DDIM. `flow` coordinates are x / (alpha + sigma) over sigma / (alpha + sigma) with slope
    eps - x_0, finite from pure noise to data: on the rectified schedule the Adams-Bashforth method in t. Orders rise from 1 with
    the steps behind, and stay until the last step.

    Args:
        order: estimates in the polynomial.
        coordinates: where the solution is followed.

    Source: Katherine Crowson 2022, k-diffusion (`sample_lms`); Butcher 2016, Numerical Methods for ODEs, section 24.
    """

    order: Literal[1, 2, 3, 4] = 4
    coordinates: Literal["sigma", "flow"] = "sigma"

    @property
    def convergence(self) -> int:
        """The order."""
        return self.order

    @property
    def exactness(self) -> Exactness:
        """One degree less than the order."""
        if self.coordinates == "flow":
            return Exactness("flow", "tau", self.order - 1)
        return Exactness("eps", "rho", self.order - 1)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        estimate, variable, _ = self.exactness
        return Adams(curve, stages, estimate, variable).rows(lambda i: self.order)
