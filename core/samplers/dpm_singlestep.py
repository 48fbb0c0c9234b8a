"""DPM-Solver and DPM-Solver++, singlestep: exponential Runge-Kutta methods in log-SNR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..schedules import Schedule
from .checks import check_share
from .dpm2 import ancestral_stages
from .plan import Coefficients, Curve, Stage, ddim_step
from .sampler import Exactness, TableSampler
from .singlestep import Estimate, ancestral, first_order, pick, remembering, split_noise, steps_of, weighted

GAP = 0.1  # nodes closer to each other or to the ends, as fractions of the step, are no base for an order


@dataclass(frozen=True)
class DPMSinglestep(TableSampler):
    """x_s = a x_t + the integral over the step of e^lambda x_0 ("++") or of e^-lambda eps, from estimates at nodes within it.

    The nodes are at 1/2 (order 2) or at 1/3 and 2/3 (order 3) of the step in lambda of the clock; other fields' weights follow
    from where their own are. As published, order 2 weighs the slope of the estimate by half the integral, and order 3 takes it
    from the last node alone; `exact` integrates the polynomial through all estimates. The orders are the same.
    With eta > 0 the ODE goes on to sigma_down < sigma_s, and noise leads back, exactly in law ("2S ancestral"): the order then is
    that of the moments. A start at alpha = 0 and the last step, to sigma = 0, are DDIM's, of one call.

    Args:
        order: calls a step.
        estimate: x0 (DPM-Solver++) or eps (DPM-Solver).
        exact: see above.
        eta: in [0, 1]; needs an order of at most 2, as the second node of order 3 would lie below the end of the step.

    Source: Lu et al. 2022, arXiv:2206.00927, algorithms 1 and 2; arXiv:2211.01095, algorithm 1 and appendix B.
    """

    order: Literal[1, 2, 3] = 2
    estimate: Literal["x0", "eps"] = "x0"
    exact: bool = False
    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact and self.order == 1:
            raise ValueError(f"{self.name}: order 1 is exact as published, so exact=True does nothing; leave it out")
        check_share(self, "eta")
        if self.eta and self.order == 3:
            raise ValueError(
                f"{self.name}: with eta={self.eta} the second node of order 3 lies below the end of the step; "
                "take order 2, or eta=0"
            )

    @property
    def convergence(self) -> int:
        """The order."""
        return self.order

    @property
    def calls(self) -> int:
        """The order, and one in the last step."""
        return self.order

    @property
    def exactness(self) -> Exactness | None:
        """The estimate in lambda, to one degree less than the order, where exact."""
        return Exactness(self.estimate, "lambda", self.order - 1) if self.exact else None

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """The nodes within each step."""
        nodes = tuple(k / self.order for k in range(1, self.order))
        return ancestral_stages(times, schedule, nodes, self.eta)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a node and one for the step."""
        rows = [Coefficients()]
        for at in steps_of(stages):
            step = pick(curve, at)
            rows += self._step(step, self.estimate if step.alpha[0] > 0 else "x0")
        return remembering(curve, stages, rows, self.estimate)

    def _step(self, step: Curve, estimate: Estimate) -> list[Coefficients]:
        """The rows of one step."""
        std, down = ancestral(step, self.eta)
        sigma = [*step.sigma[1:-1].tolist(), down]
        finite = step.alpha[0] > 0 and down > 0
        h = [math.log(a / s) - float(step.lam[0]) for a, s in zip(step.alpha[1:], sigma, strict=True)] if finite else []
        rows = []
        for i in range(1, len(step.t)):
            a, b = first_order(step, i, sigma[i - 1], estimate)
            nodes = [x / h[i - 1] for x in h[: i - 1]]
            weights = self._weights(nodes, -h[i - 1] if estimate == "x0" else h[i - 1], i) if finite else [1.0]
            weights += [0.0] * (i - len(weights))
            rows.append(weighted(a, b, weights, split_noise(step, std, self.path) if i == len(step.t) - 1 else ()))
        return rows

    def _weights(self, nodes: Sequence[float], z: float, row: int) -> list[float]:
        """Shares of the integral of the constant that the estimates at 0 and at the nodes have; order 1 from misplaced nodes."""
        if min(np.diff([0.0, *nodes, 1.0])) < GAP:
            return [1.0]
        first, second, third = (phi(k, z) for k in (1, 2, 3))
        published = not self.exact and row == self.order  # inner rows are exact as published
        if len(nodes) == 1:
            last = (0.5 if published else second / first) / nodes[0]
            return [1 - last, last]
        if len(nodes) == 2:
            r1, r2 = nodes
            middle = 0.0 if published else (second * r2 - 2 * third) / (r1 * (r2 - r1)) / first
            last = (second / first - middle * r1) / r2
            return [1 - middle - last, middle, last]
        return [1.0]


@dataclass(frozen=True)
class DPMppSDE(TableSampler):
    """The reverse SDE by two calls a step: x_s from q(x_s | x_t, x_0) at x_0 = (1 - 1 / (2 r)) x_0(t) + x_0(mid) / (2 r).

    The middle is drawn from q(x_mid | x_t, x_0(t)), at r = 1/2 of the step in lambda of the clock (other fields: where it lies),
    and the noise of the step is that of its two halves together: one Brownian path, so that the order of the moments is 2.
    A start at alpha = 0 and the last step, to sigma = 0, are DDPM's, of one call.

    Source: Lu et al. 2022, arXiv:2211.01095, in the stochastic form of k-diffusion's sample_dpmpp_sde (eta = 1, r = 1/2).
    """

    @property
    def convergence(self) -> int:
        """2, of the moments."""
        return 2

    @property
    def calls(self) -> int:
        """Two, and one in the last step."""
        return 2

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """The middle of each step but the last."""
        return ancestral_stages(times, schedule, (1 / 2,), 0.0)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row for the middle, one for the step."""
        rows = [Coefficients()]
        for at in steps_of(stages):
            step, whole = pick(curve, at), pick(curve, (at[0], at[-1]))
            end = ddim_step(whole, 1, whole.posterior_std(1))
            weights = [1.0]
            if len(at) == 3:
                rows.append(ddim_step(step, 1, step.posterior_std(1)))
                r = float((step.lam[1] - step.lam[0]) / (step.lam[2] - step.lam[0])) if step.alpha[0] > 0 else 0.0
                share = 1 / (2 * r) if r > GAP else 0.0
                weights = [1 - share, share]
            noise = split_noise(step, sum(end.c), path=True)
            rows.append(weighted(end.a, end.b[0], weights, noise))
        return rows


def phi(k: int, z: float) -> float:
    """phi_k(z): sum_n z^n / (n + k)!, the integral of e^(z (1 - u)) u^(k - 1) / (k - 1)! over [0, 1]."""
    if abs(z) < 1:
        return math.fsum(z**n / math.factorial(n + k) for n in range(20))
    value = math.exp(z)
    for n in range(k):
        value = (value - 1 / math.factorial(n)) / z
    return value
