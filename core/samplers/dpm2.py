"""DPM2: the midpoint method in sigma with its node at the geometric mean, deterministic or ancestral."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..schedules import Schedule
from .checks import check_share
from .plan import Coefficients, Curve, Stage
from .sampler import TableSampler
from .singlestep import Estimate, ancestral, first_order, pick, remembering, split_noise, steps_of, time_of


@dataclass(frozen=True)
class DPM2(TableSampler):
    """x_s = (alpha_s / alpha_t) x_t + alpha_s (rho_down - rho_t) eps(mid) + std noise, rho = sigma / alpha.

    The denoiser is asked where rho is the geometric mean of rho_t and rho_down, which is the middle up to O(h): order 2. With
    eta > 0 the ODE goes on to rho_down < rho_s, and noise leads back to rho_s, exactly in law: order 2 of the moments (the step
    to rho_down is up to twice as long). A start at alpha = 0 and the last step, to sigma = 0, are DDIM's, of one call.

    Args:
        eta: in [0, 1]; 1 is ancestral sampling.

    Source: Karras et al. 2022, arXiv:2206.00364, section 3 (k-diffusion's sample_dpm_2 and sample_dpm_2_ancestral).
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "eta")

    @property
    def convergence(self) -> int:
        """2."""
        return 2

    @property
    def calls(self) -> int:
        """Two, and one in the last step."""
        return 2

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """A node within each step but the last."""
        return ancestral_stages(times, schedule, (1 / 2,), self.eta)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row for the node, one for the step."""
        rows = [Coefficients()]
        for at in steps_of(stages):
            step = pick(curve, at)
            estimate: Estimate = "eps" if step.alpha[0] > 0 else "x0"
            std, down = ancestral(step, self.eta)
            if len(at) == 3:
                a, b = first_order(step, 1, float(step.sigma[1]), estimate)
                rows.append(Coefficients(a, (b,)))
            a, b = first_order(step, -1, down, estimate)
            older = (0.0,) if len(at) == 3 and estimate == "x0" else ()  # the node's, of which DDIM knows nothing
            rows.append(Coefficients(a, (*older, b), split_noise(step, std, self.path)))
        return remembering(curve, stages, rows, "eps")


def ancestral_stages(times: Sequence[float], schedule: Schedule, nodes: Sequence[float], eta: float) -> list[Stage]:
    """Stages with nodes at these fractions of lambda on the way to sigma_down; none from alpha = 0 or to sigma = 0."""
    curve, rows = Curve.of(schedule, times), [Stage(times[0])]
    for i in range(1, len(times)):
        step, s = pick(curve, (i - 1, i)), times[i]
        if step.alpha[0] > 0 and s > 0:
            start, down = float(step.lam[0]), float(np.log(step.alpha[1] / ancestral(step, eta)[1]))
            rows += [Stage(time_of(schedule, start + c * (down - start), s), end=False) for c in nodes]
        rows.append(Stage(s, denoise=s > 0))
    return rows
