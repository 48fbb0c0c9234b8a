"""Runge-Kutta methods on the probability-flow ODE, in the two coordinates in which its slope is an estimate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ..schedules import Schedule
from .plan import Coefficients, Curve, Stage
from .sampler import Exactness, TableSampler
from .singlestep import Estimate, pick, remembering, steps_of, time_of, weighted

BOUND = 4.0  # the largest weight of a method; the largest of those published here is 1

Weights = list[tuple[float, ...]]


@dataclass(frozen=True)
class RungeKutta(TableSampler):
    """Slopes at nodes c within each step, weighed so that the order holds wherever a field's own nodes lie.

    `flow` coordinates are y = x / (alpha + sigma) over tau = sigma / (alpha + sigma), where the slope is eps - x_0: on the
    rectified schedule these are steps in t, and they are finite on every schedule. `sigma` coordinates are x / alpha over
    sigma / alpha with slope eps; they need alpha > 0 at the start.

    The nodes are those of the clock, the first Gaussian field; where another field's schedule moves them, its weights are
    derived from where they are. The denoiser cannot be asked at sigma = 0, so the last step leaves out a node at its end: Heun's
    is Euler's there, and that of fourth order is of third, which loses no order in all.

    Args:
        coordinates: flow or sigma.

    Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.1.
    """

    coordinates: Literal["flow", "sigma"] = "flow"
    nodes: ClassVar[tuple[float, ...]]

    @property
    @abstractmethod
    def convergence(self) -> int:
        """The order of the method."""

    @property
    def calls(self) -> int:
        """One at the start and one at each node; fewer in the last step where a node is its end."""
        return 1 + len(self.nodes)

    @property
    def exactness(self) -> Exactness | None:
        """The slope, to one degree less than the order."""
        degree = self.convergence - 1
        flow = self.coordinates == "flow"
        return Exactness("flow", "tau", degree) if flow else Exactness("eps", "rho", degree)

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """The nodes in the clock's coordinates."""
        return node_stages(times, Curve.of(schedule, times), self.nodes, self._estimate)

    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One row a node and one for the step."""
        check_signal(self, curve, self.coordinates)
        rows = [Coefficients()]
        for step in steps_of(stages):
            rows += runge_kutta_step(pick(curve, step), self._estimate)
        return remembering(curve, stages, rows, self._estimate)

    @property
    def _estimate(self) -> Estimate:
        return "flow" if self.coordinates == "flow" else "eps"


@dataclass(frozen=True)
class Heun(RungeKutta):
    """The mean of the slopes at both ends of a step. Order 2, two calls a step and one in the last, which is Euler's.

    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1 (in sigma). Not Heun's third-order method.
    """

    nodes: ClassVar[tuple[float, ...]] = (1.0,)

    @property
    def convergence(self) -> int:
        """2."""
        return 2


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """The slope at the middle of a step. Order 2, two calls a step.

    Source: Runge 1895; Karras et al. 2022, arXiv:2206.00364, appendix D.2, alpha = 1/2.
    """

    nodes: ClassVar[tuple[float, ...]] = (1 / 2,)

    @property
    def convergence(self) -> int:
        """2."""
        return 2


@dataclass(frozen=True)
class Ralston(RungeKutta):
    """1/4 of the slope at the start and 3/4 of that at 2/3: the second-order method of least error bound. Two calls a step.

    Source: Ralston 1962, Mathematics of Computation 16, 431.
    """

    nodes: ClassVar[tuple[float, ...]] = (2 / 3,)

    @property
    def convergence(self) -> int:
        """2."""
        return 2


@dataclass(frozen=True)
class RK4(RungeKutta):
    """The 3/8 rule: four slopes at 0, 1/3, 2/3 and 1. Order 4, four calls a step and three in the last.

    Of the methods of order 4 it is taken because, unlike the classic one, it has neighbours of order 4 for all nodes about its
    own, which fields with other schedules need.
    Source: Kutta 1901, Zeitschrift fuer Mathematik und Physik 46, 435.
    """

    nodes: ClassVar[tuple[float, ...]] = (1 / 3, 2 / 3, 1.0)

    @property
    def convergence(self) -> int:
        """4."""
        return 4


def check_signal(sampler: TableSampler, curve: Curve, coordinates: str) -> None:
    """Refuse sigma coordinates from alpha = 0.

    Raises:
        ValueError: as it says.
    """
    if coordinates == "sigma" and curve.alpha[0] == 0:
        raise ValueError(
            f"{sampler.name}: sigma coordinates divide by alpha, which is 0 at the first time, t = {curve.t[0]:g}; "
            "take coordinates=flow, a grid that starts later (karras), or a schedule that keeps some signal"
        )


def node_stages(times: Sequence[float], curve: Curve, nodes: Sequence[float], estimate: Estimate) -> list[Stage]:
    """The stages of steps between these times with these nodes in the coordinate of the estimate, on the clock's curve.

    From alpha = 0 nodes are in the coordinate of the flow, for categorical fields alone: Gaussian ones refuse sigma there.
    """
    rows = [Stage(times[0])]
    for i, s in enumerate(times[1:]):
        here: Estimate = estimate if curve.alpha[i] > 0 else "flow"
        u, last = curve.tau if here == "flow" else curve.rho, s == 0
        for c in nodes:
            if c < 1:
                rows.append(Stage(_time_at(curve.schedule, u[i] + c * (u[i + 1] - u[i]), s, here), end=False))
            elif not last:
                rows.append(Stage(s, end=False))
        rows.append(Stage(s, denoise=not last))
    return rows


def _time_at(schedule: Schedule, u: float, end: float, estimate: Estimate) -> float:
    lam = np.log((1 - u) / u) if estimate == "flow" else -np.log(u)
    return time_of(schedule, float(lam), end)


def runge_kutta_step(step: Curve, estimate: Estimate) -> list[Coefficients]:
    """The rows of one step on the curve of its base, its nodes and its end."""
    unit = step.alpha + step.sigma if estimate == "flow" else step.alpha  # x / unit is the coordinate, u its time
    u = step.sigma / unit
    h = u[-1] - u[0]
    table = tableau([float(c) for c in (u[1:-1] - u[0]) / h])
    return [weighted(float(unit[i] / unit[0]), float(unit[i] * h), weights) for i, weights in enumerate(table, start=1)]


def tableau(nodes: Sequence[float]) -> Weights:
    """Weights of the slopes at 0 and at the nodes so far: for each node, then for the step; of the highest order there is.

    None: Euler. One node c: (1 - 1 / (2 c), 1 / (2 c)), order 2. Two: order 3. Three, the last at 1: Kutta's method of order 4.
    Nodes so far from where they should be that a weight exceeds `BOUND` (a field of another schedule, in steps too long for
    any order to show) give way to the last node alone, and it to Euler.

    Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.1, exercises 1 and 4.
    """
    full = {0: _euler, 1: _second, 2: _third, 3: _fourth}[len(nodes)]
    with np.errstate(divide="ignore", invalid="ignore"):
        for method in (full, _second, _euler):
            weights = method(np.asarray(nodes, dtype=np.float64))
            flat = np.concatenate([np.ravel(w) for w in weights])
            if (np.abs(flat) <= BOUND).all():
                break
    return [tuple(float(x) for x in w) for w in weights]


def _stages(nodes: np.ndarray) -> Weights:
    """Each node by Euler's step."""
    return [(c, *[0.0] * i) for i, c in enumerate(nodes)]


def _euler(nodes: np.ndarray) -> Weights:
    return [*_stages(nodes), (1.0, *[0.0] * len(nodes))]


def _second(nodes: np.ndarray) -> Weights:
    last = 1 / (2 * nodes[-1])
    return [*_stages(nodes), (1 - last, *[0.0] * (len(nodes) - 1), last)]


def _third(nodes: np.ndarray) -> Weights:
    u, v = nodes
    b2, b3 = (3 * v - 2) / (6 * u * (v - u)), (2 - 3 * u) / (6 * v * (v - u))
    a32 = v * (v - u) / (u * (2 - 3 * u))
    return [(u,), (v - a32, a32), (1 - b2 - b3, b2, b3)]


def _fourth(nodes: np.ndarray) -> Weights:
    u, v, _ = nodes
    b2 = (2 * v - 1) / (12 * u * (v - u) * (1 - u))
    b3 = (1 - 2 * u) / (12 * v * (v - u) * (1 - v))
    b4 = 1 / 2 + (2 * (u + v) - 3) / (12 * (1 - u) * (1 - v))
    # from sum_i b_i a_ij = b_j (1 - c_j), and b_3 c_3 a_32 c_2 + b_4 a_42 c_2 + b_4 a_43 c_3 of order 4
    a32 = v * (v - u) / (2 * u * (1 - 2 * u))
    a43 = b3 * (1 - v) / b4
    a42 = (b2 * (1 - u) - b3 * a32) / b4
    return [(u,), (v - a32, a32), (1 - a42 - a43, a42, a43), (1 - b2 - b3 - b4, b2, b3, b4)]
