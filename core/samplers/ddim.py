"""One-step samplers that keep the marginals of every step exact for a perfect denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .checks import check_share
from .plan import Coefficients, Curve, Stage, ddim_step
from .sampler import TableSampler


@dataclass(frozen=True)
class DDIM(TableSampler):
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - std^2) eps + std noise, std = eta std[q(x_s | x_t, x_0)].

    eta = 0 is deterministic and of order 1; eta = 1 is DDPM.
    Source: Song et al. 2020, arXiv:2010.02502, equations 12 and 16, for any (alpha, sigma).
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "eta")

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        steps = range(1, len(stages))
        return [Coefficients(), *(ddim_step(curve, i, self.eta * curve.posterior_std(i)) for i in steps)]


@dataclass(frozen=True)
class DDPM(TableSampler):
    """Ancestral sampling: x_s drawn about the mean of q(x_s | x_t, x_0) at the predicted x_0.

    The variance is that of q(x_s | x_t, x_0), sigma_s^2 / sigma_t^2 beta ("small"), or
    beta = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2 ("large"), right for a point mass and for N(0, 1). So of a point mass
    "large" does not keep the marginal: each step adds beta (1 - sigma_s^2 / sigma_t^2) too much; the last step adds no noise.

    Args:
        variance: small or large; a learnt one is a sampler of its own, LearnedDDPM.

    Source: Ho et al. 2020, arXiv:2006.11239, algorithm 2, equation 7 and section 3.2, for any (alpha, sigma) and any two times.
    """

    variance: Literal["small", "large"] = "small"

    @property
    def keeps_marginals(self) -> bool:
        """With the small variance."""
        return self.variance == "small"

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        return [Coefficients(), *(self._row(curve, i) for i in range(1, len(stages)))]

    def _row(self, curve: Curve, i: int) -> Coefficients:
        std = curve.posterior_std(i)
        row = ddim_step(curve, i, std)
        if self.variance == "small" or curve.sigma[i] == 0:
            return row
        return replace(row, c=(std * float(curve.sigma[i - 1] / curve.sigma[i]),))


@dataclass(frozen=True)
class Euler(TableSampler):
    """Euler's step on the probability-flow ODE in x / alpha over sigma / alpha.

    In these coordinates the slope is eps, so the step is that of DDIM with eta = 0, here with eps from x_0; it is also Euler's
    step of flow matching. Order 1.
    Source: Karras et al. 2022, arXiv:2206.00364, section 3.
    """

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        return [Coefficients(), *(ddim_step(curve, i) for i in range(1, len(stages)))]
