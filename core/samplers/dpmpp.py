"""DPM-Solver++: exponential integrators in log-SNR that extrapolate x_0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .plan import Coefficients, Curve, Stage
from .sampler import TableSampler


@dataclass(frozen=True)
class DPMpp(TableSampler):
    """Multistep DPM-Solver++ of order 1 or 2 ("2M").

    With lambda = log(alpha / sigma), h its step and r the last step over this one,
    x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - exp(-h)) ((1 + 1 / (2 r)) x_0(t) - x_0(before) / (2 r)).
    The first step and the last, to sigma = 0, are of order 1, and so is the second after a start at alpha = 0: their limits.
    Source: Lu et al. 2022, arXiv:2211.01095, algorithm 2.
    """

    order: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in (1, 2):
            raise ValueError(f"DPMpp: order must be 1 or 2, found {self.order}")

    @property
    def convergence(self) -> int:
        """As published."""
        return self.order

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a step."""
        rows = [Coefficients()]
        for i in range(1, len(stages)):
            a = curve.sigma[i] / curve.sigma[i - 1]
            weight = float(curve.alpha[i] - curve.alpha[i - 1] * a)
            ratio = self._inverse_ratio(curve.lam, i) / 2
            b = (weight * (1 + ratio), -weight * ratio) if ratio else (weight,)
            rows.append(Coefficients(float(a), b))
        return rows

    def _inverse_ratio(self, lam: np.ndarray, i: int) -> float:
        """1 / r; 0 makes the step one of order 1."""
        if self.order == 1 or i < 2 or np.isinf(lam[i - 2 : i + 1]).any():
            return 0.0
        return float((lam[i] - lam[i - 1]) / (lam[i - 1] - lam[i - 2]))
