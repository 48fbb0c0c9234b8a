"""DPM-Solver with steps of its own choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..schedules import Schedule
from ..state import State
from .adaptive import AdaptiveSampler, Controller, Trial, like
from .checks import check_positive
from .line import Estimates, Line
from .walk import Walk


@dataclass(frozen=True)
class DPMAdaptive(AdaptiveSampler):
    """DPM-Solver-12 or -23: a step of order 2 or 3 in lambda = log(alpha / sigma), with the order below as its estimate.

    x / alpha is followed from sigma / alpha = sigma_max, or the most that every schedule reaches, to sigma_min, then to x_0 in
    one step. `order` calls a step and one at the end. A PID controller sizes the steps; a step is accepted where it lets the next
    one be at least `accept_safety` as long.
    Source: Lu et al. 2022, arXiv:2206.00927, section 3.4 and appendix C; the tolerances: Jolicoeur-Martineau et al. 2021,
    arXiv:2105.14080, section 3.1; the controller: the published code of k-diffusion, `sample_dpm_adaptive`.

    Raises:
        ValueError: an order that does not exist, sizes out of their range.
    """

    rtol: float = 0.05
    atol: float = 0.0078
    order: Literal[2, 3] = 3
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    h_init: float = 0.05
    pcoeff: float = 0.0
    icoeff: float = 1.0
    dcoeff: float = 0.0
    accept_safety: float = 0.81

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "h_init", "sigma_min", "sigma_max")
        if not self.sigma_min < self.sigma_max:
            raise ValueError(f"DPMAdaptive: needs sigma_min < sigma_max, found {self.sigma_min}, {self.sigma_max}")
        if not 0 < self.accept_safety < 1:
            raise ValueError(f"DPMAdaptive: accept_safety must be in (0, 1), found {self.accept_safety}")
        gains = self.pcoeff, self.icoeff, self.dcoeff
        if not all(map(math.isfinite, gains)):
            raise ValueError(f"DPMAdaptive: pcoeff, icoeff and dcoeff must be finite, found {gains}")

    @property
    def convergence(self) -> int:
        """That of the higher order, with falling steps above sigma_min."""
        return self.order

    def line(self, walk: Walk) -> Line:
        """In lambda."""
        return LambdaLine(walk, self.sigma_min, self.sigma_max)

    def controller(self) -> Controller:
        """PID."""
        return PID(self)

    def first_step(self, line: Line, y: State, slopes: State) -> Tensor:
        """h_init for all."""
        size = len(next(iter(y.values())))
        return torch.full((size,), self.h_init, dtype=line.walk.times, device=line.walk.encoded.mask.device)

    def attempt(self, line: Line, y: State, low: State, slopes: State, u: Tensor, h: Tensor) -> Trial:
        """Both orders; from sigma_min the step to x_0."""
        closing = u >= line.last
        rest = {name: [-torch.exp(-s.log_snr(line.time(u)) / 2)] for name, s in line.schedules.items()}
        clean = line.combine(y, [slopes], rest)
        nothing = torch.zeros_like(u)
        if bool(closing.all()):
            return Trial(clean, clean, nothing, None, nothing.long(), closing)
        u, h = torch.where(closing, line.first, u), torch.where(closing, line.last - line.first, h)
        lower, higher = self._orders(line, y, slopes, u, h)
        scale = {name: torch.maximum(x.abs(), low[name].abs()) for name, x in lower.items()}
        scale = {name: (self.rtol * size).clamp(min=self.atol) for name, size in scale.items()}
        error = line.norm({name: higher[name] - x for name, x in lower.items()}, scale)
        new = {name: torch.where(like(closing, x), clean[name], x) for name, x in higher.items()}
        calls = torch.where(closing, 0, self.order - 1)
        return Trial(new, lower, torch.where(closing, nothing, error), None, calls, closing)

    def _orders(self, line: Line, y: State, slopes: State, u: Tensor, h: Tensor) -> tuple[State, State]:
        """The steps of the lower and the higher order."""
        ratios = (1 / 3, 2 / 3) if self.order == 3 else (1 / 2,)
        times = [line.time(u + r * h) for r in (0.0, *ratios, 1.0)]
        rows = {name: _rows([s.log_snr(t) / 2 for t in times]) for name, s in line.schedules.items()}
        asked = [slopes]  # eps, then by how much that at each stage differs
        for j, t in enumerate(times[1:-1]):
            x = line.combine(y, asked, {name: row[j] for name, row in rows.items()})
            found = line.slopes(line.ask(y | x, t)[0], t)
            asked.append({name: k - slopes[name] for name, k in found.items()})
        lower = line.combine(y, asked[:-1], {name: row[-2] for name, row in rows.items()})
        return lower, line.combine(y, asked, {name: row[-1] for name, row in rows.items()})


class LambdaLine(Line):
    """u = lambda of the first field; from where no field's sigma / alpha is above sigma_max to where none is above sigma_min."""

    def __init__(self, walk: Walk, sigma_min: float, sigma_max: float) -> None:
        super().__init__(walk)
        schedules = list(self.schedules.values())
        self.clock = schedules[0]
        ends = [torch.tensor(-2 * math.log(sigma), dtype=torch.float64) for sigma in (sigma_max, sigma_min)]
        start, end = (min(float(s.t_of(log_snr)) for s in schedules) for log_snr in ends)
        if not end < start:
            raise ValueError(
                f"DPMAdaptive: sigma_min={sigma_min} is no less than the most that a schedule reaches: "
                f"{', '.join(type(s).__name__ for s in schedules)}"
            )
        self.start, self.end = start, end
        self.first, self.last = (
            float(self.clock.log_snr(torch.tensor(t, dtype=torch.float64))) / 2 for t in (start, end)
        )
        self.rest = self.last

    def time(self, u: Tensor) -> Tensor:
        """The clock's t of lambda, exact at both ends."""
        t = self.clock.t_of(2 * u)
        return torch.where(u <= self.first, self.start, torch.where(u >= self.last, self.end, t))

    def unit(self, schedule: Schedule, t: Tensor) -> Tensor:
        """Alpha."""
        return schedule.alpha(t)

    def slopes(self, estimates: Estimates, t: Tensor) -> State:
        """dy / d(sigma / alpha) = eps."""
        return {name: eps for name, (_, eps) in estimates.items()}


class PID(Controller):
    """Factor 1 + atan(f - 1), f a product of powers of the last three inverse errors, of which only accepted ones are kept."""

    def __init__(self, sampler: DPMAdaptive) -> None:
        p, i, d = sampler.pcoeff, sampler.icoeff, sampler.dcoeff
        self.powers = [(p + i + d) / sampler.order, -(p + 2 * d) / sampler.order, d / sampler.order]
        self.accept_safety = sampler.accept_safety
        self.inverse: list[Tensor] = []

    def judge(self, error: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Accepts where the factor is at least `accept_safety`."""
        now = 1 / (error + 1e-8)
        before = self.inverse or [now, now]
        product = now ** self.powers[0] * before[0] ** self.powers[1] * before[1] ** self.powers[2]
        factor = 1 + torch.atan(product - 1)
        good = factor >= self.accept_safety
        kept = good & active
        self.inverse = [torch.where(kept, now, before[0]), torch.where(kept, before[0], before[1])]
        return good, factor


def _rows(lam: list[Tensor]) -> list[list[Tensor]]:
    """Weights (B,) of eps and its differences, for each stage and then for the lower and the higher order.

    lam: at the base, at the one or two stages, and at the end.
    """
    rho = [torch.exp(-x) for x in lam]
    h, r = lam[-1] - lam[0], [(x - lam[0]) / (lam[-1] - lam[0]) for x in lam]
    to = [x - rho[0] for x in rho]
    second = [to[-1], to[-1] / (2 * r[1])]
    if len(lam) == 3:
        return [[to[1]], [to[2]], second]
    middle = [to[2], -rho[2] * r[2] / r[1] * _phi(r[2] * h)]
    return [[to[1]], middle, second, [to[3], torch.zeros_like(h), -rho[3] / r[2] * _phi(h)]]


def _phi(h: Tensor) -> Tensor:
    """(exp(h) - 1) / h - 1."""
    return torch.expm1(h) / h - 1
