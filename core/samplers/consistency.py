"""Samplers of few-step networks, which answer with the end of the path: consistency models, LCM, TCD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .checks import check_positive, check_share, whole
from .plan import Coefficients, Curve, Stage
from .sampler import TableSampler


@dataclass(frozen=True)
class Consistency(TableSampler):
    """To x_0 and back up to s: x_s' = alpha_s' x_0 + sigma_s' eps at s' = (1 - gamma) s, then noise from s' to s.

        x_s = (alpha_s / alpha_s') x_s' + sqrt(sigma_s^2 - (alpha_s / alpha_s')^2 sigma_s'^2) noise

    gamma = 1 is multistep consistency sampling, x_s = alpha_s x_0 + sigma_s noise; gamma between is TCD's strategic stochastic
    sampling; gamma = 0 is DDIM. Where the denoiser is a consistency function each step of gamma = 1 is exact in law, whatever its
    length; where it is the posterior mean, gamma > 0 does not converge.

    Args:
        gamma: in [0, 1].

    Source: Song et al. 2023, arXiv:2303.01469, algorithm 1; Zheng et al. 2024, arXiv:2402.19159, algorithm 4 ("eta" in its code).
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "gamma")

    @property
    def convergence(self) -> int:
        """For a denoiser: 1 for gamma = 0, else none."""
        return 1 if self.gamma == 0 else 0

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        low = Curve.of(curve.schedule, [(1 - self.gamma) * t for t in curve.t.tolist()])
        rows = [Coefficients()]
        for i in range(1, len(stages)):
            sigma, alpha_t, sigma_t = float(curve.sigma[i]), float(curve.alpha[i - 1]), float(curve.sigma[i - 1])
            alpha = float(curve.alpha[i])
            sigma_down = alpha / float(low.alpha[i]) * float(low.sigma[i])
            a = sigma_down / sigma_t
            std = math.sqrt(max(sigma**2 - sigma_down**2, 0.0))
            rows.append(Coefficients(a, (alpha - a * alpha_t,), (std,) if std else ()))
        return rows


@dataclass(frozen=True)
class LCM(TableSampler):
    """Multistep consistency sampling of f = c_skip x_t + c_out x_0, for networks that were trained with these scalings:

        c_skip = d^2 / (u^2 + d^2),  c_out = u / sqrt(u^2 + d^2),  d = sigma_data,  u = timestep_scaling * (T t - 1)

    T t - 1 is the step that the network was trained with, 0 to T - 1. f is x_0 but for c_skip, about 3e-5 at T t = 10, by which
    alone a point mass misses its mean and standard deviation.

    Args:
        timestep_scaling: above 0.
        sigma_data: d, above 0.
        timesteps: T.

    Source: Luo et al. 2023, arXiv:2310.04378, algorithm 3; the scalings are those of its published code.
    """

    timestep_scaling: float = 10.0
    sigma_data: float = 0.5
    timesteps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "timestep_scaling", "sigma_data")
        object.__setattr__(self, "timesteps", whole(self, "timesteps", self.timesteps))

    @property
    def convergence(self) -> int:
        """None: see `Consistency`."""
        return 0

    @property
    def keeps_marginals(self) -> bool:
        """But for c_skip."""
        return False

    def scalings(self, t: float) -> tuple[float, float]:
        """(c_skip, c_out)."""
        u = self.timestep_scaling * max(self.timesteps * t - 1, 0.0)
        return self.sigma_data**2 / (u**2 + self.sigma_data**2), u / math.hypot(u, self.sigma_data)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step: alpha_s f + sigma_s noise."""
        rows = []
        for i, (t, alpha, sigma) in enumerate(
            zip(*(x.tolist() for x in (curve.t, curve.alpha, curve.sigma)), strict=True)
        ):
            remember = self.scalings(t) if stages[i].denoise else (0.0, 1.0)
            noise = (sigma,) if sigma else ()
            rows.append(Coefficients(0.0, (alpha,), noise, remember) if i else Coefficients(remember=remember))
        return rows
