"""The stochastic sampler of EDM: noise up, then the probability-flow ODE down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch

from ..schedules import Schedule
from .checks import check_positive
from .plan import Coefficients, Curve, Stage
from .runge_kutta import check_signal, runge_kutta_step
from .sampler import TableSampler
from .singlestep import Estimate, pick, remembering, steps_of


@dataclass(frozen=True)
class EDMStochastic(TableSampler):
    """Noise is added up to rho_hat = (1 + gamma) rho, rho = sigma / alpha; then comes Heun's or Euler's step from there.

        gamma = min(s_churn / N, sqrt(2) - 1) where rho is in [s_min, s_max], else 0
        x_hat = (alpha_hat / alpha) x + s_noise alpha_hat sqrt(rho_hat^2 - rho^2) noise

    The denoiser is asked at x_hat, after the noise. rho is that of the clock, the first Gaussian field; others go up to the
    same time. No step goes above t = 1, and the first is not churned: the prior is fresh noise. Noising is exact in law, so the
    order of the moments is that of the ODE step once s_churn / N is below sqrt(2) - 1.

    Args:
        order: 2, Heun's, as published, or 1, Euler's.
        s_churn: how much; the published 40 is for 256 steps, for which 3 is the like at 20.
        s_min, s_max: the range of rho that is churned.
        s_noise: a factor on the noise, as published 1.003 to 1.007; a point mass keeps its standard deviation at 1 alone.
        coordinates: of Heun's step, as those of `Heun`; sigma is as published.

    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 2, for any (alpha, sigma).
    """

    order: Literal[1, 2] = 2
    s_churn: float = 4.0
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0
    coordinates: Literal["flow", "sigma"] = "flow"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.s_churn >= 0:
            raise ValueError(f"{self.name}: s_churn must be at least 0, found {self.s_churn}")
        if not 0 <= self.s_min < self.s_max:
            raise ValueError(f"{self.name}: needs 0 <= s_min < s_max, found {self.s_min}, {self.s_max}")
        check_positive(self, "s_noise")
        if self.order == 1 and self.coordinates == "sigma":
            raise ValueError(f"{self.name}: Euler's step is the same in all coordinates; leave coordinates=sigma out")
        if self.path:
            raise ValueError(f"{self.name}: path=True follows one path down, but churn goes up; leave path out")

    @property
    def convergence(self) -> int:
        """That of the ODE step."""
        return self.order

    @property
    def calls(self) -> int:
        """The order, and one in the last step."""
        return self.order

    @property
    def keeps_marginals(self) -> bool:
        """Unless the noise is inflated."""
        return self.s_noise == 1

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """Up, then the step."""
        rows = [Stage(times[0])]
        for i, (t, s) in enumerate(pairwise(times)):
            up = self._up(t, len(times) - 1, schedule) if i else t
            if up > t:
                rows[-1] = replace(rows[-1], denoise=False)
                rows.append(Stage(up))
            if self.order == 2 and s > 0:
                rows.append(Stage(s, end=False))
            rows.append(Stage(s, denoise=s > 0))
        return rows

    def _up(self, t: float, steps: int, schedule: Schedule) -> float:
        """The time to go up to."""
        at = torch.tensor(t, dtype=torch.float64)
        log_snr = schedule.log_snr(at).detach()
        if not self.s_min <= float(torch.exp(-log_snr / 2)) <= self.s_max:
            return t
        gamma = min(self.s_churn / steps, math.sqrt(2) - 1)
        return max(t, float(schedule.t_of(log_snr - 2 * math.log1p(gamma)).detach()))

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """A row for the way up, one for Heun's second slope, one for the step."""
        estimate: Estimate = "flow" if self.coordinates == "flow" else "eps"
        check_signal(self, curve, self.coordinates)
        rows = [Coefficients()]
        for at in steps_of(stages):
            step = pick(curve, at)
            rows += [self._churn(step)] if step.t[-1] > step.t[0] else runge_kutta_step(step, estimate)
        return remembering(curve, stages, rows, estimate)

    def _churn(self, step: Curve) -> Coefficients:
        """Forward noising from the first row to the second."""
        (alpha, alpha_hat), (sigma, sigma_hat) = step.alpha.tolist(), step.sigma.tolist()
        a = alpha_hat / alpha
        return Coefficients(a, (), (self.s_noise * math.sqrt(max(sigma_hat**2 - (a * sigma) ** 2, 0.0)),))
