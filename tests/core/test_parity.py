"""Whole trajectories beside diffusers and azula, where they are right (their tables are float32)."""

import pytest
import torch
from ornstein.core.objective import draw_noise
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DDIM, DDPM, DPMpp, Euler, Heun, run
from ornstein.core.schedules import LinearBeta, Rectified, ScaledLinearBeta

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers with NumPy 2
STEPS = 20


def world_of(schedule) -> Mixture:
    means = torch.tensor([[[-1.0, 0.2]], [[0.5, 0.0]], [[1.2, -0.7]]])
    return Mixture(means, torch.tensor([0.25, 0.4, 0.15]), process=Gaussian(schedule, V()))


def options_of(schedule) -> dict:
    kind = {LinearBeta: "linear", ScaledLinearBeta: "scaled_linear"}[type(schedule)]
    start, end = schedule.beta_start, schedule.beta_end
    return {"beta_start": start, "beta_end": end, "beta_schedule": kind, "timestep_spacing": "trailing"}


def ours(world: Mixture, sampler, seed: int = 0) -> torch.Tensor:
    return run(world, sampler.plan(world.processes), world.blank(16), seed=seed)["x"]


def prior(world: Mixture, seed: int = 0) -> torch.Tensor:
    encoded = world.blank(16)
    return draw_noise(world, encoded, seed, torch.arange(16), "prior")["x"]


def eps_of(world: Mixture, x: torch.Tensor, t: float) -> torch.Tensor:
    return world({"x": x}, t, world.blank(len(x)).layout, {})["x"].eps


each = pytest.mark.parametrize("schedule", [LinearBeta(), ScaledLinearBeta()], ids=lambda s: type(s).__name__)


@each
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(schedule, eta):
    """Also the counting of noise: step i draws from the words (seed, sample, "step", i, 0, field)."""
    world = world_of(schedule)
    theirs = diffusers.DDIMScheduler(1000, clip_sample=False, **options_of(schedule))
    theirs.set_timesteps(STEPS)
    x = prior(world) * schedule.sigma(torch.ones((), dtype=torch.float64))
    for i, timestep in enumerate(theirs.timesteps):
        eps = eps_of(world, x, (int(timestep) + 1) / 1000)
        noise = draw_noise(world, world.blank(16), 0, torch.arange(16), "step", i + 1, 0)["x"]
        x = theirs.step(eps, timestep, x, eta=eta, variance_noise=noise if eta else None).prev_sample
    torch.testing.assert_close(ours(world, DDIM(STEPS, eta=eta)), x, rtol=0, atol=1e-5)
    if eta == 1:
        torch.testing.assert_close(ours(world, DDPM(STEPS)), x, rtol=0, atol=1e-5)


@each
@pytest.mark.parametrize("order", [1, 2])
def test_multistep(schedule, order):
    world = world_of(schedule)
    theirs = diffusers.DPMSolverMultistepScheduler(1000, solver_order=order, **options_of(schedule))
    theirs.set_timesteps(STEPS)
    x = prior(world) * schedule.sigma(torch.ones((), dtype=torch.float64))
    for timestep in theirs.timesteps:
        x = theirs.step(eps_of(world, x, (int(timestep) + 1) / 1000), timestep, x).prev_sample.double()
    torch.testing.assert_close(ours(world, DPMpp(STEPS, order=order)), x, rtol=0, atol=2e-5)


@each
@pytest.mark.parametrize(
    ("name", "sampler"),
    [("EulerDiscreteScheduler", Euler(STEPS)), ("HeunDiscreteScheduler", Heun(STEPS, coordinates="sigma"))],
    ids=["euler", "heun"],
)
def test_solvers_in_sigma(schedule, name, sampler):
    world = world_of(schedule)
    theirs = getattr(diffusers, name)(1000, **options_of(schedule))
    theirs.set_timesteps(STEPS)
    one = torch.ones((), dtype=torch.float64)
    y = prior(world) * schedule.sigma(one) / schedule.alpha(one)  # their coordinate, x / alpha
    for timestep in theirs.timesteps:
        t = (float(timestep) + 1) / 1000
        alpha = schedule.alpha(torch.tensor(t, dtype=torch.float64))
        theirs.scale_model_input(y, timestep)
        y = theirs.step(eps_of(world, y * alpha, t), timestep, y).prev_sample.double()
    torch.testing.assert_close(ours(world, sampler), y, rtol=0, atol=5e-5)


def test_flow_matching():
    """The last point of their grid is 1 / 1000, so the sigmas are given."""
    world = world_of(Rectified())
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(1000)
    sigmas = [1 - i / STEPS for i in range(STEPS)]
    theirs.set_timesteps(sigmas=sigmas)
    x, layout = prior(world), world.blank(16).layout
    for t, timestep in zip(sigmas, theirs.timesteps, strict=True):
        flow = world({"x": x}, t, layout, {})["x"].flow
        x = theirs.step(flow, timestep, x).prev_sample.double()
    torch.testing.assert_close(ours(world, Euler(STEPS)), x, rtol=0, atol=1e-5)


def test_heun_and_ddim_of_azula():
    denoise, sample = pytest.importorskip("azula.denoise"), pytest.importorskip("azula.sample")
    schedule = LinearBeta()
    world = world_of(schedule)

    class Theirs(denoise.Denoiser):
        @staticmethod
        def schedule(t):
            return schedule.alpha(t), schedule.sigma(t)

        def forward(self, x_t, t):
            return denoise.DiracPosterior(world({"x": x_t}, float(t), world.blank(len(x_t)).layout, {})["x"].x0)

    times = {"start": 1.0, "stop": 0.0, "silent": True, "dtype": torch.float64}
    x = prior(world) * schedule.sigma(torch.ones((), dtype=torch.float64))
    theirs = sample.DDIMSampler(Theirs(), steps=STEPS, **times)(x)
    torch.testing.assert_close(ours(world, DDIM(STEPS)), theirs, rtol=0, atol=1e-9)
    # Their Heun is NaN at sigma = 0: both end at t = 0.05.
    theirs = sample.HeunSampler(Theirs(), steps=STEPS - 1, **{**times, "stop": 1 / STEPS})(x)
    seen = []
    plan = Heun(STEPS, coordinates="sigma").plan(world.processes)
    run(world, plan, world.blank(16), seed=0, hooks=[lambda p: seen.append(p.state["x"])])
    torch.testing.assert_close(seen[-2], theirs, rtol=0, atol=1e-9)
