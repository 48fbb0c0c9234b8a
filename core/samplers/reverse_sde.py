"""The reverse SDE with a free diffusion coefficient, chosen at sampling time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..schedules import Schedule
from .plan import Coefficients, Curve, Stage
from .sampler import TableSampler
from .singlestep import pick

Form = Literal["sbdm", "constant", "sigma", "linear", "decreasing", "increasing-decreasing"]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class ReverseSDE(TableSampler):
    """dx = (f x - (g^2 + w) / 2 score) dt + sqrt(w) dW backwards in t, with the marginals of the forward process at any w >= 0.

        x_s = a x_t + (alpha_s - a alpha_t) x_0 + sigma_s sqrt(1 - e^(-2 E)) noise
        a = (sigma_s / sigma_t) e^-E,  E = int_s^t w / (2 sigma^2) dt

    x_0 is held over the step and the rest is exact, so a point mass keeps its standard deviation at any number of steps. Order 1
    of the moments. w = 0 is DDIM; "sbdm" with norm = 1 is DDPM.

    Args:
        form: w(t): "sbdm" norm g^2, "constant" norm, "sigma" norm sigma, "linear" norm t, "decreasing"
            (1 - norm cos(pi t))^2 / 4, "increasing-decreasing" norm sin(pi t)^2. All but the first are rates in t, made for
            sigma of about 1 at t = 1; the published code takes these for w / 2.
        norm: strength, at least 0.

    Source: Ma et al. 2024, arXiv:2401.08740, equation 5 and table 4, with the clock reversed; exponential as Lu et al. 2022.
    """

    form: Form = "sbdm"
    norm: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.norm < math.inf:
            raise ValueError(f"{self.name}: norm must be at least 0 and finite, found {self.norm}")

    def rate(self, t: Tensor, schedule: Schedule) -> Tensor:
        """w(t) of all forms but "sbdm"."""
        shapes = {
            "constant": lambda: torch.full_like(t, self.norm),
            "sigma": lambda: self.norm * schedule.sigma(t),
            "linear": lambda: self.norm * t,
            "decreasing": lambda: (1 - self.norm * torch.cos(math.pi * t)) ** 2 / 4,
            "increasing-decreasing": lambda: self.norm * torch.sin(math.pi * t) ** 2,
        }
        return shapes[self.form]()

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        return [Coefficients(), *(self._row(pick(curve, (i - 1, i))) for i in range(1, len(stages)))]

    def _row(self, step: Curve) -> Coefficients:
        (alpha_t, alpha_s), (sigma_t, sigma_s) = step.alpha.tolist(), step.sigma.tolist()
        exponent = self._exponent(step) if sigma_s > 0 else 0.0
        a = sigma_s / sigma_t * math.exp(-exponent)
        std = sigma_s * math.sqrt(-math.expm1(-2 * exponent))
        return Coefficients(a, (alpha_s - a * alpha_t,), (std,) if std else ())

    def _exponent(self, step: Curve) -> float:
        """E from s > 0 to t; infinite where w is g^2 and alpha_t = 0."""
        if self.norm == 0 and self.form != "decreasing":
            return 0.0
        if self.form == "sbdm":
            return self.norm * float(step.lam[1] - step.lam[0])
        # in log t, where w / sigma^2 is smooth even if sigma grows like the root of t; a panel for each factor of at most 1.2
        ends = np.log(step.t)
        edges = np.linspace(ends[1], ends[0], 2 + int((ends[0] - ends[1]) / math.log(1.2)))
        half = np.diff(edges)[:, None] / 2
        t = torch.from_numpy(np.exp(edges[:-1, None] + half * (1 + _NODES)))
        with torch.no_grad():
            values = t * self.rate(t, step.schedule) / (2 * step.schedule.sigma(t) ** 2)
        return float((half * _WEIGHTS * values.numpy()).sum())
