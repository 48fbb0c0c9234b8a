"""T2: what a parametrisation keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..conformance.rule import Skipped
from ..parametrization import EDM, X0, Eps, Flow, Parametrization, Point, Score, V
from ..processes import Gaussian
from ..schedules import VE, VP, Cosine, Rectified, Schedule
from .report import Rule, Worst

_T = torch.tensor([0.0, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0], dtype=torch.float64)
_SCHEDULES = (Rectified(), VP(), Cosine(), VE(), VE(0.1, 2.0))
_OTHERS = (Eps(), X0(), V(), Flow(), Score(), EDM())


def output_gives_the_pair_back(p: Parametrization) -> str:
    """x_0 and eps from the target of (x_0, eps), at every time where the target determines them."""
    worst = Worst()
    for schedule, at, x0, eps, where in _worlds(p):
        a, b, c, d = p.solve(at)
        x_t = at.alpha * x0 + at.sigma * eps
        target = p.target(x0, eps, at)
        clean = at.sigma == 0  # there x_t is x_0 and need not say anything of eps
        found_eps = torch.where(clean, eps, c * x_t + d * target)
        lost = _lost(p, at)  # digits that x_t or the target itself has lost
        worst.see((a * x_t + b * target - x0) / lost, f"x_0 on {schedule}, {where}")
        worst.see((found_eps - eps) / lost, f"eps on {schedule}, {where}")
    return worst.at_most(1e-12, "error")


def pair_gives_the_state_back(p: Parametrization) -> str:
    """alpha x_0 + sigma eps = x_t for any output whatever, at every time: the pair never contradicts the state."""
    worst = Worst()
    for schedule, at, x_t, output, where in _worlds(p):
        a, b, c, d = p.solve(at)
        again = at.alpha * (a * x_t + b * output) + at.sigma * (c * x_t + d * output)
        open_ = (at.sigma > 0) | (b == 0)
        worst.see(torch.where(open_, again - x_t, 0.0) / _lost(p, at), f"{schedule}, {where}")
    return worst.at_most(1e-12, "error")


def every_other_view_is_reached(p: Parametrization) -> str:
    """To any other parametrisation and back: the same output, wherever both exist."""
    worst = Worst()
    for other in _OTHERS:
        for schedule, at, x0, eps, where in _worlds(p, other):
            x_t, target = at.alpha * x0 + at.sigma * eps, p.target(x0, eps, at)
            a, b, c, d = p.solve(at)
            theirs = other.target(a * x_t + b * target, c * x_t + d * target, at)
            a, b, c, d = other.solve(at)
            again = p.target(a * x_t + b * theirs, c * x_t + d * theirs, at)
            scale = _lost(p, at) * _lost(other, at) * target.abs().clamp(min=1)
            keep = at.sigma > 0  # at the data eps is no part of the state
            worst.see(torch.where(keep, again - target, 0.0) / scale, f"{type(other).__name__}, {schedule}, {where}")
    return worst.at_most(1e-12, "error")


def flags_say_where_it_is_undefined(p: Parametrization) -> str:
    """needs_signal and needs_rates are set exactly where the formula has no finite value: at alpha = 0, at infinite rates."""
    worst = Worst()
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    noise = Point(zero, one, -one, zero + 0.5)
    finite = all(bool(torch.isfinite(torch.as_tensor(x)).all()) for x in p.solve(noise))
    worst.see(float(finite == p.needs_signal), f"needs_signal = {p.needs_signal}, finite at alpha = 0: {finite}")
    start = Point(one, zero, -one, torch.full_like(one, torch.inf))
    finite = all(bool(torch.isfinite(torch.as_tensor(x)).all()) for x in (*p.solve(start), *p.mix(start)))
    worst.see(float(finite == p.needs_rates), f"needs_rates = {p.needs_rates}, finite at infinite rates: {finite}")
    return worst.at_most(0.0, "flags that differ")


def _worlds(*views: Parametrization) -> list[tuple[str, Point, Tensor, Tensor, str]]:
    """Schedules that serve all the views, the points of their times, and two random numbers at each."""
    g, found = torch.Generator().manual_seed(0), []
    for schedule in _SCHEDULES:
        t = _times(schedule, views)
        for sigma_data in (1.0, 0.5):
            at = Gaussian(schedule, V(), sigma_data).at(t)
            x, y = torch.randn(2, len(t), generator=g, dtype=torch.float64)
            found.append((type(schedule).__name__, at, x, y, f"t in {[round(v, 3) for v in t.tolist()]}"))
    if not found:
        raise Skipped("no schedule serves it")
    return found


def _times(schedule: Schedule, views: tuple[Parametrization, ...]) -> Tensor:
    keep = torch.ones_like(_T, dtype=torch.bool)
    if any(p.needs_signal for p in views):
        keep &= schedule.alpha(_T) > 1e-12
    if any(p.needs_rates for p in views):
        keep &= torch.isfinite(schedule.d_sigma(_T))
    return _T[keep]


def _lost(p: Parametrization, at: Point) -> Tensor:
    """By how much rounding of x_t and of the output grows on its way to the pair: a factor of at least 1."""
    a, b, c, d = (torch.as_tensor(x).abs() for x in p.solve(at))
    m, n = (torch.as_tensor(x).abs() for x in p.mix(at))
    state, output = at.alpha + at.sigma, m + n
    return torch.maximum(a * state + b * output, c * state + d * output).clamp(min=1)


RULES: tuple[Rule, ...] = (
    output_gives_the_pair_back,
    pair_gives_the_state_back,
    every_other_view_is_reached,
    flags_say_where_it_is_undefined,
)
