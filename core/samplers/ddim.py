"""One-step samplers that keep the marginals of every step exact for a perfect denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        if not 0 <= self.eta <= 1:
            raise ValueError(f"DDIM: eta must be in [0, 1], found {self.eta}")

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        steps = range(1, len(stages))
        return [Coefficients(), *(ddim_step(curve, i, self.eta * curve.posterior_std(i)) for i in steps)]


@dataclass(frozen=True)
class DDPM(TableSampler):
    """x_s drawn from q(x_s | x_t, x_0) at the predicted x_0: ancestral sampling with the small variance.

    Source: Ho et al. 2020, arXiv:2006.11239, algorithm 2 and equation 7, for any (alpha, sigma) and any two times.
    """

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        return [Coefficients(), *(ddim_step(curve, i, curve.posterior_std(i)) for i in range(1, len(stages)))]


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
