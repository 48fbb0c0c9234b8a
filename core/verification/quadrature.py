"""T5: exact steps for estimates that are polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from ..samplers import Exactness, Plan
from ..schedules import Schedule
from .tables import scales, walk

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
Function = Callable[[np.ndarray], np.ndarray]


def exact_errors(plan: Plan, schedule: Schedule, exactness: Exactness, degree: int) -> np.ndarray:
    """The errors of all warm steps, each from an exact state, relative to the largest of its terms.

    Not among them: the first degree + 2 steps, the last, and the `degree` before it, where a multistep method gives up its order.
    Where noise is drawn, it is left out, and the mean is that of the reverse SDE of constant strength, or of a step of the ODE
    to a lower level from which noise leads back: both are in use, and one of the two must be exact everywhere.
    """
    t, alpha, sigma = scales(plan, schedule)
    lam = schedule.log_snr(torch.from_numpy(t)).detach().numpy() / 2
    value = _polynomial(schedule, exactness, degree, lam[np.isfinite(lam)])
    ends = [i for i, row in enumerate(plan.rows) if row.stage.end]
    steps = range(degree + 3, len(ends) - 1 - max(degree, 1))
    x0 = _estimator(exactness, value, lam, alpha, sigma)
    found = {form: np.zeros(0) for form in ("sde", "ancestral")}
    for form in found if plan.stochastic else ("sde",):
        exact = float(0.3 * alpha[0] + 0.7 * sigma[0])
        errors: dict[int, float] = {}

        def settle(i: int, state: np.ndarray, form: str = form, errors: dict[int, float] = errors) -> np.ndarray:
            nonlocal exact
            base, k = ends[ends.index(i) - 1], plan.rows[i].fields["x"]
            if not np.isfinite(lam[[base, i]]).all():
                return state
            own = k.a, math.hypot(*k.c)
            new, size = _step(exactness.estimate, value, own, lam, alpha, base, i, exact, form)
            errors[i] = float(abs(state - new) / size)
            exact = new
            return np.asarray(new)

        walk(plan, np.asarray(exact), x0, settle=settle)
        found[form] = np.array([errors[ends[s]] for s in steps if ends[s] in errors])
    return found["sde"] if not plan.stochastic else min(found.values(), key=lambda e: e.max(initial=0.0))


def _polynomial(schedule: Schedule, exactness: Exactness, degree: int, lam: np.ndarray) -> Function:
    """s^degree as a function of lambda, s the variable scaled to [-1, 1] over the table."""

    def variable(x: np.ndarray) -> np.ndarray:
        if exactness.variable == "t":
            return schedule.t_of(2 * torch.from_numpy(np.asarray(x))).detach().numpy()
        return {"lambda": x, "rho": np.exp(-x), "tau": 1 / (1 + np.exp(x))}[exactness.variable]

    ends = variable(np.array([lam.min(), lam.max()]))
    middle, half = ends.mean(), np.abs(np.diff(ends)).item() / 2
    return lambda x: ((variable(x) - middle) / half) ** degree


def _estimator(
    exactness: Exactness, value: Function, lam: np.ndarray, alpha: np.ndarray, sigma: np.ndarray
) -> Callable[[int, np.ndarray], np.ndarray]:
    """x_0 of the prescribed estimate, at a row and a state."""

    def x0(i: int, x: np.ndarray) -> np.ndarray:
        if not np.isfinite(lam[i]):
            return 0 * x
        known = value(np.asarray(lam[i]))
        if exactness.estimate == "x0":
            return known
        unit = alpha[i] if exactness.estimate == "eps" else alpha[i] + sigma[i]
        return (x - sigma[i] * known) / unit

    return x0


def _step(
    estimate: str,
    value: Function,
    k: tuple[float, float],
    lam: np.ndarray,
    alpha: np.ndarray,
    base: int,
    i: int,
    x: float,
    form: str,
) -> tuple[float, float]:
    """The exact mean of a step with coefficients k = (a, noise) from row `base` to row i, and the size of its terms."""
    (a, noise), start, stop = k, lam[base], lam[i]
    rho_t, rho_s = np.exp(-start), np.exp(-stop)
    strength, unit_t, unit_s = 1.0, alpha[base], alpha[i]
    if noise and form == "ancestral":
        level = a * alpha[base] / alpha[i] * rho_t if estimate == "x0" else np.sqrt(rho_s**2 - (noise / alpha[i]) ** 2)
        stop = -np.log(level)
    elif noise:
        extra = -np.log(a * rho_t * alpha[base] / (rho_s * alpha[i])) / (stop - start)
        strength = 1 + (extra if estimate == "x0" else (noise / alpha[i]) ** 2 / (rho_t**2 - rho_s**2))
    nodes = (start + stop) / 2 + (stop - start) / 2 * _NODES
    if estimate == "x0":
        kept = np.exp(-strength * (stop - start))
        kernel = strength * np.exp(-strength * (stop - nodes))
    elif estimate == "eps":
        kept, kernel = 1.0, -strength * np.exp(-nodes)
    else:
        unit_t, unit_s, kept = alpha[base] * (1 + rho_t), alpha[i] * (1 + rho_s), 1.0
        kernel = -np.exp(nodes) / (1 + np.exp(nodes)) ** 2
    terms = (stop - start) / 2 * _WEIGHTS * kernel * value(nodes)
    new = unit_s * (kept * x / unit_t + terms.sum())
    return float(new), float(abs(new) + abs(unit_s * kept * x / unit_t) + unit_s * np.abs(terms).sum())
