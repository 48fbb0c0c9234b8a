"""The best of ours beside the best of diffusers and azula, at equal calls of an exact denoiser."""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import product
from typing import get_args, get_type_hints

import pytest
import torch
from ornstein.core.autopilot.candidates import registered_grids, registered_samplers
from ornstein.core.compare import WORLDS, exact_flow
from ornstein.core.objective import draw_noise
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import Grid, TableSampler, run
from ornstein.core.schedules import LinearBeta

diffusers = pytest.importorskip("diffusers")
diffusers.logging.set_verbosity_error()
pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers with NumPy 2, and of steps it warns about
N, BUDGETS, SCHEDULE = 256, (5, 8, 10, 20), LinearBeta()
SPACED = [{"timestep_spacing": spacing} for spacing in ("trailing", "linspace", "leading")]
SIGMAS = [*SPACED, *({f"use_{kind}_sigmas": True} for kind in ("karras", "exponential", "beta"))]
LAMBDAS = [*SIGMAS, {"use_lu_lambdas": True}]
# name -> (its state is x / alpha, variants)
PEERS = {
    "DDIMScheduler": (False, [{"clip_sample": False, **s} for s in SPACED]),
    "PNDMScheduler": (False, [{"skip_prk_steps": True, **s} for s in SPACED]),
    "EulerDiscreteScheduler": (True, SIGMAS),
    "HeunDiscreteScheduler": (True, SIGMAS),
    "KDPM2DiscreteScheduler": (True, SIGMAS),
    "LMSDiscreteScheduler": (True, SIGMAS),
    "DEISMultistepScheduler": (False, [{"solver_order": k, **s} for k, s in product((2, 3), SIGMAS)]),
    "DPMSolverMultistepScheduler": (False, [
        {"solver_order": k, "solver_type": kind, **s} for k, kind, s in product((2, 3), ("midpoint", "heun"), LAMBDAS)
    ]),
    "DPMSolverSinglestepScheduler": (False, [{"solver_order": k, **s} for k, s in product((2, 3), [{}, *SIGMAS[3:]])]),
    "UniPCMultistepScheduler": (False, [
        {"solver_order": k, "solver_type": kind, **s} for k, kind, s in product((2, 3), ("bh1", "bh2"), SIGMAS)
    ]),
}  # fmt: skip


@pytest.fixture(scope="module", params=["gmm", "cloud"])
def world(request):
    return WORLDS[request.param](Gaussian(SCHEDULE, V()))


@cache
def noise_of(world) -> torch.Tensor:
    return draw_noise(world, world.blank(N), 0, torch.arange(N), "prior")["x"]


@cache
def truth_of(world) -> torch.Tensor:
    return exact_flow(world, N, 0)


def error(world, x: torch.Tensor) -> float:
    found = float((x - truth_of(world)).pow(2).mean().sqrt())
    return found if found == found else float("inf")  # theirs may be NaN


def of_diffusers(world, name: str, options: dict, steps: int) -> tuple[int, float]:
    """Calls and error; the denoiser is exact at the sigma that the scheduler believes in."""
    scaled, _ = PEERS[name]
    scheduler = getattr(diffusers, name)(1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear", **options)
    scheduler.set_timesteps(steps)
    x, calls = None, 0
    for timestep in scheduler.timesteps:
        t = (float(timestep) + 1) / 1000
        if hasattr(scheduler, "sigmas"):
            if scheduler.step_index is None:
                scheduler._init_step_index(timestep)
            rho = float(scheduler.sigmas[scheduler.step_index])
            if name == "KDPM2DiscreteScheduler" and not scheduler.state_in_first_order:
                rho = float(scheduler.sigmas_interpol[scheduler.step_index])
            t = float(SCHEDULE.t_of(-2 * torch.tensor(rho, dtype=torch.float64).log()))
        at = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = SCHEDULE.alpha(at), SCHEDULE.sigma(at)
        if x is None:
            x = noise_of(world) * (sigma / alpha if scaled else sigma)
        eps = world({"x": x * alpha if scaled else x}, t, world.blank(N).layout, {})["x"].eps
        x, calls = scheduler.step(eps, timestep, x).prev_sample.double(), calls + 1
    return calls, error(world, x)


def best_of_diffusers(world, budget: int) -> tuple[float, str]:
    found = []
    for name, (_, variants) in PEERS.items():
        for options in variants:
            for steps in range(1, budget + 1):
                if name in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler") and 2 * steps - 1 not in (
                    budget,
                    budget - 1,
                ):
                    continue
                if name not in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler") and steps < budget - 1:
                    continue
                try:
                    calls, value = of_diffusers(world, name, options, steps)
                except (ValueError, IndexError, RuntimeError, ZeroDivisionError):
                    continue  # what it cannot do at so few steps
                if calls <= budget:
                    found.append((value, f"{name} {options} {steps}"))
    return min(found)


def best_of_azula(world, budget: int) -> tuple[float, str]:
    denoise, sample = pytest.importorskip("azula.denoise"), pytest.importorskip("azula.sample")

    class Theirs(denoise.Denoiser):
        calls = 0

        @staticmethod
        def schedule(t):
            return SCHEDULE.alpha(t), SCHEDULE.sigma(t)

        def forward(self, x_t, t):
            Theirs.calls += 1
            t = float(t)
            if t == 0:
                return denoise.DiracPosterior(x_t)
            return denoise.DiracPosterior(world({"x": x_t}, t, world.blank(N).layout, {})["x"].x0)

    found = []
    for name, order in [
        ("DDIMSampler", None),
        *product(("zABSampler", "vABSampler", "xEABSampler", "zEABSampler", "REABSampler"), (2, 3)),
    ]:
        options = {} if order is None else {"order": order}
        Theirs.calls = 0
        sampler = getattr(sample, name)(
            Theirs(), steps=budget, start=1.0, stop=0.0, silent=True, dtype=torch.float64, **options
        )
        x = sampler(noise_of(world) * SCHEDULE.sigma(torch.ones((), dtype=torch.float64)))
        if Theirs.calls <= budget:
            found.append((error(world, x), f"{name} {options}"))
    return min(found)


def tables() -> dict[str, TableSampler]:
    """Every table of the registry, at every order that its class has: theirs are tried at two."""
    found, _ = registered_samplers()
    for name, sampler in list(found.items()):
        for order in get_args(get_type_hints(type(sampler)).get("order")):
            with suppress(ValueError):  # an option that this order does not have
                found[f"{name}, order {order}"] = replace(sampler, order=order)
    return found


def grids() -> dict[str, Grid]:
    """Every grid of the registry; those that end at a sigma_min also where theirs end, at the first of the betas."""
    found = registered_grids()
    ends = {name: grid for name, grid in found.items() if isinstance(getattr(grid, "sigma_min", None), float)}
    return {**found, **{f"{name} to 0.01": replace(grid, sigma_min=0.01) for name, grid in ends.items()}}


def best_of_ours(world, budget: int) -> tuple[float, str]:
    found = []
    for (name, sampler), (place, grid) in product(tables().items(), grids().items()):
        try:
            fitting = replace(sampler, grid=grid).within(budget, world.processes)
            plan = None if fitting is None else fitting.plan(world.processes)
        except ValueError:
            continue  # a grid that this schedule does not have, a sampler for another kind of field
        if plan is not None and not plan.stochastic:
            x = run(world, plan, world.blank(N), seed=0)["x"]
            found.append((error(world, x), f"{name} {place} {plan.evaluations}"))
    return min(found)


@pytest.mark.slow
@pytest.mark.parametrize("budget", BUDGETS)
def test_our_best_is_at_least_as_accurate(world, budget):
    ours, theirs, other = best_of_ours(world, budget), best_of_diffusers(world, budget), best_of_azula(world, budget)
    for name, (value, who) in (("ours", ours), ("diffusers", theirs), ("azula", other)):
        print(f"\n{budget:3d} {name:10} {value:.3e}  {who}", end="")
    assert ours[0] <= theirs[0]
    assert ours[0] <= other[0]
