"""The method of Dormand and Prince on the probability flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..schedules import Schedule
from ..state import State
from .adaptive import AdaptiveSampler, Controller, Trial
from .line import Estimates, Line
from .walk import Walk

# Two pairs, of orders (5, 4) and, to close with, (3, 2). Stage j asks at node c_j, with the slopes before it weighted by row j;
# the closing pair has no node at the end of its step.
NODES = [[0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1], [0, 1 / 2, 3 / 4]]
ROWS: list[list[list[float]]] = [
    [
        [],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ],
    [[], [1 / 2], [0, 3 / 4]],
]
WEIGHTS = [ROWS[0][6], [2 / 9, 1 / 3, 4 / 9]]
ERRORS = [
    [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40],
    [2 / 9, -2 / 3, 4 / 9],
]
STAGES = 7


@dataclass(frozen=True)
class Dopri5(AdaptiveSampler):
    """Dormand and Prince's pair of orders 5 and 4, down to t = 0 on any schedule.

    The coordinate is y = x / (alpha + sigma) over tau = sigma / (alpha + sigma), where the slope is eps - x_0: finite at both
    ends. Fields with other schedules follow by d tau_field / d tau. The step that reaches sigma = 0 is Ralston's of order 3 with
    the midpoint rule as its estimate, since neither asks at its end; where its error is too large, a step is made first that
    leaves it what it can take. Six calls a step, two in the last. Steps are sized by a PI controller.
    Source: Dormand and Prince 1980, "A family of embedded Runge-Kutta formulae", table 2; Ralston 1962, "Runge-Kutta methods
    with minimum error bounds"; the controller: Hairer, Norsett and Wanner 1993, "Solving ordinary differential equations I",
    section II.4, and II, section IV.2.
    """

    @property
    def convergence(self) -> int:
        """5, with falling steps; a falling tolerance brings the error down about in proportion."""
        return 5

    def line(self, walk: Walk) -> Line:
        """In tau."""
        return FlowLine(walk)

    def controller(self) -> Controller:
        """PI."""
        return PI()

    def first_step(self, line: Line, y: State, slopes: State) -> Tensor:
        """One hundredth of |y| / |slope|, in the scale of the error; at most half the way."""
        scale = self._scale(line, y, y)
        size, slope = line.norm(y, scale), line.norm(slopes, scale)
        return (0.01 * size / slope).nan_to_num(torch.inf).clamp(min=1e-6, max=(line.last - line.first) / 2)

    def attempt(self, line: Line, y: State, low: State, slopes: State, u: Tensor, h: Tensor) -> Trial:
        """The pair of order 5; the closing one where h is all that is left."""
        closing = h >= line.last - u
        nodes, rows, weights, errors = (part[closing.long()] for part in _tables(u.device, u.dtype))
        asked, estimates = [slopes], None
        for j in range(1, 3 if bool(closing.all()) else STAGES):
            t = line.time(u + nodes[:, j] * h)
            estimates, _ = line.ask(y | line.combine(y, asked, _for_all(line, h, rows[:, j, :j])), t)
            asked.append(line.slopes(estimates, t))
        new = line.combine(y, asked, _for_all(line, h, weights[:, : len(asked)]))
        off = line.combine({}, asked, _for_all(line, h, errors[:, : len(asked)]))
        error = line.norm(off, self._scale(line, y, new))
        return Trial(new, {}, error, estimates, torch.where(closing, 2, STAGES - 1), closing)

    def next_step(self, trial: Trial, h: Tensor, factor: Tensor, accepted: Tensor) -> Tensor:
        """The controller's; after a closing step that failed, what leaves to the next one a part that it can take."""
        can_take = h * (0.9 * trial.error ** (-1 / 3)).clamp(0.1, 0.9)
        return torch.where(trial.closing & ~accepted, h - can_take, h * factor)

    def _scale(self, line: Line, y: State, new: State) -> State:
        """Atol + rtol max(|y|, |new|)."""
        sizes = {name: torch.maximum(y[name].abs(), new[name].abs()) for name in line.schedules}
        return {name: self.atol + self.rtol * size for name, size in sizes.items()}


class FlowLine(Line):
    """u = -tau of the field whose sigma rises fastest from t = 0, so that all others are smooth functions of it."""

    def __init__(self, walk: Walk) -> None:
        super().__init__(walk)
        schedules = list(self.schedules.values())
        self.clock = next((s for s in schedules if not s.finite_rates), schedules[0])
        self.start, self.last = 1.0, 0.0
        one = torch.ones((), dtype=torch.float64)
        self.first = self.rest = -float(self.clock.sigma(one) / (self.clock.alpha(one) + self.clock.sigma(one)))

    def time(self, u: Tensor) -> Tensor:
        """T of alpha / sigma = (1 + u) / -u, exact at both ends."""
        t = self.clock.t_of(2 * (torch.log1p(u) - torch.log(-u)))
        return torch.where(u <= self.first, self.start, torch.where(u >= 0, 0.0, t))

    def unit(self, schedule: Schedule, t: Tensor) -> Tensor:
        """Alpha + sigma."""
        return schedule.alpha(t) + schedule.sigma(t)

    def slopes(self, estimates: Estimates, t: Tensor) -> State:
        """dy / du = (x_0 - eps) d tau_field / d tau."""
        out = {}
        for name, (x0, eps) in estimates.items():
            schedule = self.schedules[name]
            out[name] = x0 - eps
            if schedule != self.clock:
                out[name] = out[name] * self.walk.at(name, _rate(schedule, t) / _rate(self.clock, t))
        return out


class PI(Controller):
    """Steps grow by 0.9 error^-0.17 (error before)^0.04, within [0.2, 10], and not right after one that failed."""

    def __init__(self) -> None:
        self.before: Tensor | None = None
        self.failed: Tensor | None = None

    def judge(self, error: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Accepts an error of at most 1."""
        before = torch.full_like(error, 1e-4) if self.before is None else self.before
        failed = torch.zeros_like(active) if self.failed is None else self.failed
        good = error <= 1
        grown = (0.9 * error.clamp(min=1e-10) ** -0.17 * before**0.04).clamp(0.2, 10)
        cut = (0.9 * error ** (-1 / 5)).clamp(0.2, 1)
        factor = torch.where(good, torch.where(failed, grown.clamp(max=1), grown), cut)
        self.before, self.failed = torch.where(good & active, error.clamp(min=1e-4), before), ~good
        return good, factor


def _for_all(line: Line, h: Tensor, weights: Tensor) -> dict[str, list[Tensor]]:
    """h (B,) times the weights (B, n), the same for every field."""
    steps = list((h[:, None] * weights).unbind(1))
    return {name: steps for name in line.schedules}


def _rate(schedule: Schedule, t: Tensor) -> Tensor:
    """d tau / dt."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    return (schedule.d_sigma(t) * alpha - sigma * schedule.d_alpha(t)) / (alpha + sigma) ** 2


@lru_cache(maxsize=8)
def _tables(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Nodes (2, 7), rows (2, 7, 7), weights (2, 7) and error weights (2, 7) of both pairs, padded with zeros."""

    def padded(lines: list[list[float]]) -> Tensor:
        filled = [[*line, *[0.0] * (STAGES - len(line))] for line in lines]
        return torch.tensor(filled, dtype=dtype, device=device)

    rows = [padded([*rows, *[[]] * (STAGES - len(rows))]) for rows in ROWS]
    return padded(NODES), torch.stack(rows), padded(WEIGHTS), padded(ERRORS)
