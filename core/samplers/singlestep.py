"""What families of tables share: what rows remember, the steps of a table, times by noise level, ancestral ends, noises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from ..schedules import Schedule
from .plan import Coefficients, Curve, Stage

Estimate = Literal["x0", "eps", "flow"]
ROUNDING = 1e-13  # a weight that is 0 but for the rounding of times


def steps_of(stages: Sequence[Stage]) -> list[tuple[int, ...]]:
    """The rows of each step: its base, then those that follow from it, the last of which ends the step."""
    steps, rows = [], [0]
    for i in range(1, len(stages)):
        rows.append(i)
        if stages[i].end:
            steps.append(tuple(rows))
            rows = [i]
    return steps


def pick(curve: Curve, rows: Sequence[int]) -> Curve:
    """The curve at these rows alone."""
    at = list(rows)
    return Curve(curve.t[at], curve.alpha[at], curve.sigma[at], curve.schedule)


def time_of(schedule: Schedule, lam: float, end: float) -> float:
    """t where log(alpha / sigma) is `lam`; `end` itself where only rounding tells them apart."""
    t = float(schedule.t_of(torch.tensor(2 * lam, dtype=torch.float64)).detach())
    return end if math.isclose(t, end, rel_tol=1e-9) else t


def remembered(curve: Curve, i: int, estimate: Estimate) -> tuple[float, float]:
    """(p, q) of an estimate at row i: eps = (x - alpha x_0) / sigma, and flow = eps - x_0."""
    if estimate == "x0":
        return (0.0, 1.0)
    alpha, sigma = float(curve.alpha[i]), float(curve.sigma[i])
    return (1 / sigma, -alpha / sigma - (estimate == "flow"))


def remembering(
    curve: Curve, stages: Sequence[Stage], rows: Sequence[Coefficients], estimate: Estimate
) -> list[Coefficients]:
    """Rows that remember the estimate wherever they denoise; x_0 where alpha = 0, of which eps knows nothing."""
    found = []
    for i, (row, stage) in enumerate(zip(rows, stages, strict=True)):
        told = stage.denoise and (curve.alpha[i] > 0 or estimate == "flow")
        found.append(replace(row, remember=remembered(curve, i, estimate)) if told else row)
    return found


def ancestral(step: Curve, eta: float) -> tuple[float, float]:
    """std = eta std[q(x_s | x_t, x_0)] of a step from its first to its last row, and sigma_down = sqrt(sigma_s^2 - std^2).

    The probability flow is followed to (alpha_s, sigma_down), and noise of `std` then gives p_s exactly.
    """
    std = eta * pick(step, (0, len(step.t) - 1)).posterior_std(1)
    (alpha_t, alpha_s), (sigma_t, sigma_s) = step.alpha[[0, -1]].tolist(), step.sigma[[0, -1]].tolist()
    ratio = alpha_t / alpha_s * sigma_s / sigma_t
    return std, sigma_s * math.hypot(
        math.sqrt(1 - eta**2), eta * ratio
    )  # no difference of squares, which may be all but equal


def first_order(step: Curve, i: int, sigma: float, estimate: Estimate) -> tuple[float, float]:
    """(a, b) of the step from the first row to (alpha_i, sigma) that holds x_0 or eps constant: DDIM's, either way.

    Source: Song et al. 2020, arXiv:2010.02502, equation 12, for any (alpha, sigma).
    """
    alpha_t, sigma_t, alpha = float(step.alpha[0]), float(step.sigma[0]), float(step.alpha[i])
    if estimate == "x0":
        a = sigma / sigma_t
        return a, alpha - a * alpha_t
    a = alpha / alpha_t
    return a, sigma - a * sigma_t


def split_noise(step: Curve, std: float, path: bool) -> tuple[float, ...]:
    """The noise of a whole step by the times it visits: one, or the sum of the path's increments between them.

    The noise of the reverse SDE is an increment of a Brownian motion in alpha^2 / sigma^2.
    """
    if std == 0:
        return ()
    if not path:
        return (std,)
    visited = [0] + [i for i in range(1, len(step.t)) if step.t[i] != step.t[i - 1]]
    rising = np.exp(2 * (step.lam[visited] - step.lam[-1]))
    return tuple(float(x) for x in std * np.sqrt(np.diff(rising) / (rising[-1] - rising[0])))


def weighted(a: float, scale: float, weights: Sequence[float], c: Sequence[float] = ()) -> Coefficients:
    """a x + scale sum_k w_k (estimate of stage k): the table counts estimates from the latest back, and ends where all are 0."""
    kept = [k for k, w in enumerate(weights) if abs(w) > ROUNDING]
    return Coefficients(a, tuple(float(scale * w) for w in reversed(weights[min(kept, default=0) :])), tuple(c))
