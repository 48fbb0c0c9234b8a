"""Samplers without memory beside diffusers and azula: step by step where they are right, and their faults where they are not."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from ornstein.core.objective import draw_noise
from ornstein.core.oracle import Mixture, point_mass
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import (
    DDIM,
    DDPM,
    DPM2,
    LCM,
    Consistency,
    DPMSinglestep,
    EDMStochastic,
    Heun,
    KarrasGrid,
    ListGrid,
    LogSNRGrid,
    ReverseSDE,
    run,
)
from ornstein.core.schedules import EDM, VP, LinearBeta, Rectified

diffusers = pytest.importorskip("diffusers")
pytestmark = [  # diffusers with NumPy 2, and its own plans for DPM-Solver
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*algorithm_types=dpmsolver:FutureWarning"),
]
BATCH = 16


def world_of(schedule) -> Mixture:
    means = torch.tensor([[[-1.0, 0.2]], [[0.5, 0.0]], [[1.2, -0.7]]])
    return Mixture(means, torch.tensor([0.25, 0.4, 0.15]), process=Gaussian(schedule, V()))


def drawn(world, *words) -> torch.Tensor:
    return draw_noise(world, world.blank(BATCH), 0, torch.arange(BATCH), *words)["x"]


def view(world, x, t):
    return world({"x": x}, float(t), world.blank(len(x)).layout, {})["x"]


def ours(world, sampler) -> list[torch.Tensor]:
    """The states at the ends of the steps."""
    plan, seen = sampler.plan(world.processes), []
    run(world, plan, world.blank(BATCH), seed=0, hooks=[lambda p: seen.append(p.state["x"])])
    return [x for x, row in zip(seen, plan.rows, strict=True) if row.stage.end]


def levels(sampler, schedule) -> np.ndarray:
    """sigma / alpha at the times of the grid, float64."""
    t = torch.from_numpy(sampler.grid.checked(sampler.steps, schedule))
    return (schedule.sigma(t) / schedule.alpha(t)).numpy()


@pytest.fixture
def same_noise(monkeypatch):
    """Make a diffusers scheduler draw our noise of the steps 1, 2, ..., in turn."""

    def give(scheduler, world):
        steps = iter(range(1, 1000))
        module = type(scheduler).__module__
        monkeypatch.setattr(f"{module}.randn_tensor", lambda *a, **k: drawn(world, "step", next(steps), 0))

    return give


def in_sigma(theirs, world, steps, sigma_of):
    """Their states at the ends of the steps, in x / alpha, asking at the noise level that they stand at."""
    schedule = world.process.schedule
    y = drawn(world, "prior") * float(sigma_of())
    states = [y]
    for i, timestep in enumerate(theirs.timesteps, 1):
        sigma = sigma_of()
        t = float(schedule.t_of(torch.tensor(-2 * np.log(float(sigma)), dtype=torch.float64)))
        alpha = float(schedule.alpha(torch.tensor(t, dtype=torch.float64)))
        theirs.scale_model_input(y, timestep)
        y = theirs.step(view(world, y * alpha, t).eps, timestep, y).prev_sample.double()
        if getattr(theirs, "state_in_first_order", True) or i == len(theirs.timesteps):
            states.append(y)
    assert len(states) == steps + 1
    return states


def close(found, states, scales, rtol=1e-5):
    for x, y, alpha in zip(found, states, scales, strict=True):
        torch.testing.assert_close(x / alpha, y, rtol=0, atol=rtol * max(1.0, float(y.abs().max())))


@pytest.mark.parametrize("name", ["KDPM2", "KDPM2Ancestral", "EulerAncestral", "Heun"])
@pytest.mark.parametrize("schedule", [EDM(80.0), LinearBeta()], ids=lambda s: type(s).__name__)
def test_solvers_in_sigma(name, schedule, same_noise):
    """On Karras levels with theirs in float64; on EDM alpha is 1, on the linear betas it is not."""
    steps, world = 12, world_of(schedule)
    grid = KarrasGrid(0.02, 80.0)
    sampler = {
        "KDPM2": DPM2(steps, grid=grid),
        "KDPM2Ancestral": DPM2(steps, eta=1.0, grid=grid),
        "EulerAncestral": DDIM(steps, eta=1.0, grid=grid),
        "Heun": Heun(steps, coordinates="sigma", grid=grid),
    }[name]
    theirs = getattr(diffusers, f"{name}DiscreteScheduler")(1000)
    theirs.set_timesteps(steps)
    same_noise(theirs, world) if "Ancestral" in name else None
    rho = torch.from_numpy(levels(sampler, schedule))
    doubled = torch.cat([rho[:1], rho[1:].repeat_interleave(2)])
    twice = torch.cat([rho[:1], rho[1:-1].repeat_interleave(2), rho[-1:]])
    at = lambda: theirs.sigmas[theirs.step_index or 0]  # noqa: E731
    if name == "KDPM2Ancestral":
        up = rho[1:] * torch.sqrt(1 - (rho[1:] / rho[:-1]) ** 2)
        down = torch.sqrt(rho[1:] ** 2 - up**2)
        theirs.sigmas, middle = torch.cat([doubled, rho[-1:]]), torch.sqrt(rho[:-1] * down)
        each = [torch.cat([x[:1], x[1:].repeat_interleave(2), x[-1:]]) for x in (middle, up, down)]
        theirs.sigmas_interpol, theirs.sigmas_up, theirs.sigmas_down = each
        at = lambda: (theirs.sigmas if theirs.state_in_first_order else theirs.sigmas_interpol)[  # noqa: E731
            (theirs.step_index or 0) - (not theirs.state_in_first_order)
        ]
    elif name == "KDPM2":
        theirs.sigmas = twice
        middle = torch.cat([rho[:1], torch.sqrt(rho[:-1] * rho[1:])])
        theirs.sigmas_interpol = torch.cat([middle[:1], middle[1:].repeat_interleave(2)])
        at = lambda: (theirs.sigmas if theirs.state_in_first_order else theirs.sigmas_interpol)[  # noqa: E731
            theirs.step_index or 0
        ]
    else:
        theirs.sigmas = twice if name == "Heun" else rho
    theirs.set_begin_index(0)
    states = in_sigma(theirs, world, steps, at)
    t = torch.from_numpy(grid.checked(steps, schedule))
    close(ours(world, sampler), states, schedule.alpha(t).tolist(), 1e-5 if name == "EulerAncestral" else 1e-9)


@pytest.mark.parametrize(("order", "form"), [(2, "midpoint"), (2, "heun"), (3, "heun")])
@pytest.mark.parametrize("estimate", ["x0", "eps"])
def test_singlestep_dpm_solver(order, form, estimate):
    """Theirs walks through the nodes as steps of their own, so theirs has `order` levels for each step of ours.

    Their "midpoint" of order 3 has a second node of its own making, which no paper has, so only "heun" is compared.
    """
    schedule, steps = VP(), 7
    world = world_of(schedule)
    sampler = DPMSinglestep(steps, order=order, estimate=estimate, exact=form == "heun", grid=LogSNRGrid(0.02, 50.0))
    kind = {"x0": "dpmsolver++", "eps": "dpmsolver"}[estimate]
    last = {"x0": "zero", "eps": "sigma_min"}[estimate]
    theirs = diffusers.DPMSolverSinglestepScheduler(
        1000, solver_order=order, solver_type=form, algorithm_type=kind, final_sigmas_type=last
    )
    count = order * (steps - 1) + 1
    theirs.set_timesteps(count)
    fine = levels(DPMSinglestep(count, grid=LogSNRGrid(0.02, 50.0)), schedule)
    theirs.sigmas = torch.from_numpy(fine)
    theirs.order_list = [*range(1, order + 1)] * (steps - 1) + [1]
    theirs.set_begin_index(0)
    t = schedule.t_of(torch.from_numpy(-2 * np.log(fine[:-1])))
    x = drawn(world, "prior") * schedule.sigma(t[0])
    states = [x]
    for at, timestep in zip(t, theirs.timesteps, strict=True):
        x = theirs.step(view(world, x, at).eps, timestep, x).prev_sample
        states.append(x)
    found = ours(world, sampler)
    for mine, other in zip(found[:-1], states[:-1][::order], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-9)
    if estimate == "x0":
        torch.testing.assert_close(found[-1], states[-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ancestral_sampling(variance, same_noise):
    schedule, steps = LinearBeta(), 20
    world = world_of(schedule)
    theirs = diffusers.DDPMScheduler(
        1000,
        beta_start=1e-4,
        beta_end=0.02,
        clip_sample=False,
        variance_type=f"fixed_{variance}",
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(steps)
    same_noise(theirs, world)
    x = drawn(world, "prior") * schedule.sigma(torch.ones((), dtype=torch.float64))
    states = [x]
    for timestep in theirs.timesteps:
        x = theirs.step(view(world, x, (int(timestep) + 1) / 1000).eps, timestep, x).prev_sample
        states.append(x)
    found = ours(world, DDPM(steps, variance=variance))
    for mine, other in zip(found[:-1], states[:-1], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-5)
    if variance == "small":
        torch.testing.assert_close(found[-1], states[-1], rtol=0, atol=2e-5)
    else:  # in fewer steps than were trained theirs adds noise to the data itself, unlike algorithm 2
        left = (states[-1] - found[-1]) / drawn(world, "step", steps, 0)
        beta = 1 - float(schedule.alpha(torch.tensor(1 / steps, dtype=torch.float64))) ** 2
        torch.testing.assert_close(left, torch.full_like(left, beta**0.5), rtol=1e-3, atol=0)


def test_heun_of_flow_matching():
    schedule, steps = Rectified(), 10
    world = world_of(schedule)
    theirs = diffusers.FlowMatchHeunDiscreteScheduler(1000)
    theirs.set_timesteps(steps)
    sigma = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    theirs.sigmas = torch.cat([sigma[:1], sigma[1:-1].repeat_interleave(2), sigma[-1:]])
    theirs.set_begin_index(0)
    x = drawn(world, "prior")
    for i, timestep in enumerate(theirs.timesteps):
        x = theirs.step(view(world, x, theirs.sigmas[i]).flow, timestep, x).prev_sample
    torch.testing.assert_close(ours(world, Heun(steps))[-1], x, rtol=0, atol=1e-6)  # they step in float32


@pytest.mark.parametrize("kind", ["lcm", "tcd"])
def test_few_step_samplers(kind, same_noise):
    """Their step i is our t = (i + 1) / 1000. TCD scales the step itself: for it the tables are shifted to i / 1000."""
    schedule, shift = LinearBeta(), 1 if kind == "lcm" else 0
    world = world_of(schedule)
    theirs = (
        diffusers.LCMScheduler(1000, clip_sample=False) if shift else diffusers.TCDScheduler(1000, clip_sample=False)
    )
    places = torch.arange(1000, dtype=torch.float64)
    theirs.alphas_cumprod = schedule.alpha((places + shift) / 1000) ** 2
    timesteps = [999, 759, 499, 259] if shift else [900, 600, 300]
    theirs.set_timesteps(len(timesteps))
    theirs.timesteps, options = torch.tensor(timesteps), {} if shift else {"eta": 0.5}
    theirs.set_begin_index(0)
    same_noise(theirs, world)
    times = [(i + shift) / 1000 for i in timesteps]
    x = drawn(world, "prior") * schedule.sigma(torch.tensor(times[0], dtype=torch.float64))
    states = [x]
    for t, timestep in zip(times, theirs.timesteps, strict=True):
        x = theirs.step(view(world, x, t).eps, timestep, x, **options).prev_sample
        states.append(x)
    grid = ListGrid((*times, 0.0))
    sampler = LCM(4, grid=grid) if shift else Consistency(3, gamma=0.5, grid=grid)
    for mine, other in zip(ours(world, sampler), states, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)  # the scalings of LCM are float32 in theirs


def test_multistep_consistency(same_noise):
    """Their boundary scalings are undone, so that their function is the denoiser; their sigma_min is all but 0."""
    schedule = EDM(80.0)
    world = world_of(schedule)
    theirs = diffusers.CMStochasticIterativeScheduler(40, sigma_min=1e-9, clip_denoised=False)
    theirs.set_timesteps(4)
    same_noise(theirs, world)
    times = [1.0, 0.3, 0.05, 0.01]
    theirs.sigmas = torch.tensor([80 * t for t in times] + [1e-9], dtype=torch.float64)
    theirs.set_begin_index(0)
    x = drawn(world, "prior") * 80
    states = [x]
    for t, timestep in zip(times, theirs.timesteps, strict=True):
        theirs.scale_model_input(x, timestep)
        skip, out = theirs.get_scalings_for_boundary_condition(torch.tensor(80 * t, dtype=torch.float64))
        x = theirs.step((view(world, x, t).x0 - skip * x) / out, timestep, x).prev_sample
        states.append(x)
    for mine, other in zip(ours(world, Consistency(4, grid=ListGrid((*times, 0.0)))), states, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)


# Where they are wrong.


def spread(sampler, schedule, count=4000) -> float:
    """The standard deviation of a point mass at the last time above 0, over what it should be there."""
    world, seen = point_mass(torch.zeros(1, 1), Gaussian(schedule, V())), []
    plan = sampler.plan(world.processes)
    run(world, plan, world.blank(count), seed=0, hooks=[lambda p: seen.append((p.time, p.state["x"]))])
    t, x = seen[-2]
    return float(x.std() / schedule.sigma(torch.tensor(t, dtype=torch.float64)))


@pytest.mark.parametrize(("steps", "ratio"), [(6, 4.0), (20, 1.5)])
def test_churn_of_diffusers_asks_before_the_noise(steps, ratio):
    """A point mass at 0: eps = y / sigma is asked for at the level before the noise, and used at the one after."""
    schedule, grid = EDM(80.0), KarrasGrid(0.02, 80.0)
    rho = levels(DDIM(steps, grid=grid), schedule)
    theirs = diffusers.EulerDiscreteScheduler(1000)
    theirs.set_timesteps(steps)
    theirs.sigmas = torch.from_numpy(rho)
    theirs.set_begin_index(0)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4000, 1, generator=generator, dtype=torch.float64) * rho[0]
    for sigma, timestep in zip(rho[:-2], theirs.timesteps[:-1], strict=True):
        theirs.scale_model_input(y, timestep)
        y = theirs.step(y / sigma, timestep, y, s_churn=40.0, generator=generator).prev_sample.double()
    assert float(y.std() / rho[-2]) > ratio
    for order in (1, 2):
        assert spread(EDMStochastic(steps, order=order, s_churn=40.0, grid=grid), schedule) == pytest.approx(
            1, abs=0.04
        )


@pytest.mark.parametrize(("steps", "ratio"), [(5, 5.0), (20, 1.4)])
def test_the_reverse_sde_of_azula_is_too_noisy(steps, ratio):
    """Its noise is that of the forward process over the step, without what the score's drift takes back of it."""
    denoise, sample = pytest.importorskip("azula.denoise"), pytest.importorskip("azula.sample")
    schedule = VP()

    class Zero(denoise.Denoiser):
        @staticmethod
        def schedule(t):
            return schedule.alpha(t), schedule.sigma(t)

        def forward(self, x_t, t):
            return denoise.DiracPosterior(torch.zeros_like(x_t))

    torch.manual_seed(0)
    theirs = sample.ItoSampler(Zero(), eta=1.0, steps=steps, start=1.0, stop=1e-3, silent=True, dtype=torch.float64)
    x = theirs(torch.randn(4000, 1, dtype=torch.float64) * schedule.sigma(torch.ones((), dtype=torch.float64)))
    assert float(x.std() / schedule.sigma(torch.tensor(1e-3, dtype=torch.float64))) > ratio
    times = np.linspace(1.0, 1e-3, steps + 1)
    assert all(a > b for a, b in pairwise(times))
    for form in ("sbdm", "sigma"):
        sampler = ReverseSDE(steps + 1, form=form, grid=ListGrid((*times.tolist(), 0.0)))
        assert spread(sampler, schedule) == pytest.approx(1, abs=0.04)
