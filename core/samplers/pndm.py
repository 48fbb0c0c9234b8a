"""Pseudo numerical methods: fixed weights for the last estimates of eps, and the step of DDIM with their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from ..schedules import Schedule
from .adams import from_noise, past
from .plan import Coefficients, Curve, Stage
from .sampler import TableSampler
from .singlestep import remembering

BASHFORTH = {1: (1,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


@dataclass(frozen=True)
class PNDM(TableSampler):
    """x_s = (alpha_s / alpha_t) x_t + alpha_s (rho_s - rho_t) e, the step of DDIM with rho = sigma / alpha and
    e = (55 eps_0 - 59 eps_1 + 37 eps_2 - 9 eps_3) / 24.

    The weights are those of Adams and Bashforth for equal steps of rho. On other grids whose steps change smoothly the method
    is of order 2, however many estimates it takes, and where neighbouring steps differ by a factor, of order 1: LMS is the same
    with the right weights. A start at alpha = 0 takes one step of DDIM before all else.

    Args:
        order: estimates in a step.
        start: how the history is built. "ramp": steps of order 1, 2, ... ("iPNDM"); "heun": the first step by Heun's method, with
            one call more, and then orders 2, 3, ... ("PLMS", as latent diffusion has it). The four-call Runge-Kutta start of the
            paper is left out: the estimates between its steps would have to be kept too, thirteen in all.

    Source: Liu et al. 2022, arXiv:2202.09778, equations 11 to 13; Zhang and Chen 2022, arXiv:2204.13902, appendix H (iPNDM).
    """

    order: Literal[1, 2, 3, 4] = 4
    start: Literal["ramp", "heun"] = "heun"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order == 1 and self.start == "heun":
            raise ValueError(f"{self.name}: order 1 needs no history, so nothing to start; take start=ramp")

    @property
    def convergence(self) -> int:
        """At most 2, on smooth grids that are not equal in rho."""
        return min(self.order, 2)

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """Once a step; Heun's visits its end twice, and comes second where the first is from alpha = 0."""
        silent = bool(schedule.alpha(torch.tensor(times[0], dtype=torch.float64)) < 1e-12)
        rows = [Stage(times[0])]
        for k, (_, s) in enumerate(pairwise(times)):
            if self.start == "heun" and k == silent and s > 0:
                rows.append(Stage(s, end=False))
            rows.append(Stage(s, denoise=s > 0))
        return rows

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """Each row is the step of DDIM from its base with a sum of estimates."""
        rows = [Coefficients(), *(self._row(curve, stages, i) for i in range(1, len(stages)))]
        return remembering(curve, stages, rows, "eps")

    def _row(self, curve: Curve, stages: Sequence[Stage], i: int) -> Coefficients:
        base, asked = past(stages, i)
        if curve.alpha[base] == 0:
            return from_noise(curve, base, i, asked)
        if base < i - 1:  # the second row of Heun's step
            shares = {i - 1: 0.5, base: 0.5}
        else:
            ends = [j for j in asked if stages[j].end and curve.alpha[j] > 0]
            order = min(self.order, len(ends)) if stages[i].end else 1
            shares = dict(zip(ends, BASHFORTH[order], strict=False))
        a = curve.alpha[i] / curve.alpha[base]
        size = curve.sigma[i] - a * curve.sigma[base]
        oldest = asked.index(min(shares))
        weights = (size * shares[j] if j in shares else 0.0 for j in asked[: oldest + 1])
        return Coefficients(float(a), tuple(map(float, weights)))
