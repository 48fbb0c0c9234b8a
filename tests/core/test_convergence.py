"""Orders of convergence, fitted on a mixture whose posterior is exact."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from ornstein.core import registry
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DDIM, DPMpp, Grid, Heun, Sampler, run
from ornstein.core.schedules import VE, VP, Cosine, Rectified, Schedule, Trigonometric


class Open(Grid):
    """Equal steps in t from 0.98 to 0.02, then 0: errors are judged at 0.02."""

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        return np.append(np.linspace(0.98, 0.02, steps), 0.0)


def world_of(schedule: Schedule) -> Mixture:
    means = torch.tensor([[[-1.0]], [[0.5]], [[1.2]]])
    return Mixture(means, torch.tensor([0.25, 0.4, 0.15]), torch.tensor([1.0, 2.0, 1.0]), Gaussian(schedule, V()))


def before_the_last(world, sampler: Sampler, eps: torch.Tensor) -> torch.Tensor:
    """The state at the last time above 0."""
    plan, seen = sampler.plan(world.processes), []
    run(world, plan, world.blank(len(eps)), seed=0, prior={"x": eps}, hooks=[lambda p: seen.append(p.state["x"])])
    return seen[-2]


def runge_kutta(world: Mixture, eps: torch.Tensor, steps: int = 600) -> torch.Tensor:
    """The probability flow from 0.98 to 0.02 by the classic fourth-order method in t."""
    schedule, layout = world.process.schedule, world.blank(len(eps)).layout

    def slope(x, t):
        return world({"x": x}, t, layout, {})["x"].flow

    times = np.linspace(0.98, 0.02, steps + 1).tolist()
    x = schedule.sigma(torch.tensor(0.98, dtype=torch.float64)) * eps
    for t, s in pairwise(times):
        h = s - t
        k1 = slope(x, t)
        k2 = slope(x + h / 2 * k1, t + h / 2)
        k3 = slope(x + h / 2 * k2, t + h / 2)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x + h * k3, s))
    return x


OPTIONS = {DDIM: [{}], Heun: [{"coordinates": "flow"}, {"coordinates": "sigma"}], DPMpp: [{"order": 1}, {"order": 2}]}
CLASSES = [registry.class_of("sampler", name) for name in registry.TABLE["sampler"]]
SOLVERS = [(cls, options) for cls in CLASSES for options in OPTIONS.get(cls, [{}])]
SOLVERS = [(c, o) for c, o in SOLVERS if not c(**o).plan({"x": Gaussian(VP(), V())}).stochastic]


@pytest.mark.parametrize(
    "schedule", [Rectified(), Trigonometric(), VP(), VE(0.1, 5.0), Cosine()], ids=lambda s: type(s).__name__
)
def test_orders_of_convergence(schedule):
    world = world_of(schedule)
    eps = torch.randn(48, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reference = runge_kutta(world, eps)
    counts = (16, 32, 64, 128)
    for cls, options in SOLVERS:
        errors = [
            float((before_the_last(world, cls(steps=n, grid=Open(), **options), eps) - reference).pow(2).mean().sqrt())
            for n in counts
        ]
        slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
        order = cls(**options).convergence
        assert slope >= order - 0.2, f"{cls.__name__}{options} on {schedule}: order {slope:.2f}, errors {errors}"
        assert slope <= order + 0.7, f"{cls.__name__}{options} on {schedule}: claims only {order}, has {slope:.2f}"
