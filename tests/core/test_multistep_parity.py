"""Multistep samplers beside diffusers and azula, step by step: the same where they are right, and their faults where not."""

import math

import numpy as np
import pytest
import torch
from ornstein.core.objective import draw_noise
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DEIS, LMS, PNDM, DPMpp, DPMSolver, TableSampler, UniPC, run
from ornstein.core.schedules import LinearBeta
from scipy.integrate import quad

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers with NumPy 2
SCHEDULE, STEPS, BATCH = (
    LinearBeta(),
    10,
    8,
)  # below 15 steps theirs falls to order 2 in the step before the last, as ours does
OPTIONS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "timestep_spacing": "trailing"}


@pytest.fixture(scope="module")
def world() -> Mixture:
    means = torch.tensor([[[-1.0, 0.2]], [[0.5, 0.0]], [[1.2, -0.7]]])
    return Mixture(means, torch.tensor([0.5, 0.6, 0.4]), process=Gaussian(SCHEDULE, V()))


def ours(world: Mixture, sampler: TableSampler) -> list[torch.Tensor]:
    """The state where each step ends."""
    seen, plan = [], sampler.plan(world.processes)
    run(world, plan, world.blank(BATCH), seed=0, hooks=[lambda p: seen.append(p.state["x"])])
    return [x for x, row in zip(seen, plan.rows, strict=True) if row.stage.end]


def start(world: Mixture) -> torch.Tensor:
    return ours(world, DPMpp(STEPS))[0]


def eps_of(world: Mixture, x: torch.Tensor, timestep) -> torch.Tensor:
    return world({"x": x}, (int(timestep) + 1) / 1000, world.blank(BATCH).layout, {})["x"].eps


def exact_sigmas(scheduler, steps: int = STEPS) -> None:
    """Their table, which is float32, in float64; and the times that are ours."""
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    scheduler.sigmas = torch.cat([torch.exp(-SCHEDULE.log_snr(t[:-1]) / 2), torch.zeros(1, dtype=torch.float64)])


def theirs(world: Mixture, scheduler, noisy: bool = False) -> list[torch.Tensor]:
    """Their state after each step, from ours at the start."""
    scheduler.set_timesteps(STEPS)
    exact_sigmas(scheduler)
    states = [start(world)]
    for i, timestep in enumerate(scheduler.timesteps):
        noise = draw_noise(world, world.blank(BATCH), 0, torch.arange(BATCH), "step", i + 1, 0)["x"]
        more = {"variance_noise": noise} if noisy else {}
        states.append(
            scheduler.step(eps_of(world, states[-1], timestep), timestep, states[-1], **more).prev_sample.double()
        )
    return states


def close(found: list[torch.Tensor], wanted: list[torch.Tensor], atol: float = 1e-5) -> None:
    assert len(found) == len(wanted)
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        torch.testing.assert_close(a, b, rtol=0, atol=atol, msg=lambda m, i=i: f"step {i}: {m}")


@pytest.mark.parametrize(
    ("sampler", "options"),
    [(DPMpp(STEPS, order=p), {"solver_order": p}) for p in (1, 2, 3)]
    + [(DPMpp(STEPS, order=2, exact=True), {"solver_order": 2, "solver_type": "heun"})]
    + [(DPMpp(STEPS, order=p, eta=1.0), {"solver_order": p, "algorithm_type": "sde-dpmsolver++"}) for p in (1, 2)]
    + [(DPMpp(STEPS, eta=1.0, exact=True), {"solver_type": "heun", "algorithm_type": "sde-dpmsolver++"})],
    ids=lambda x: " ".join(map(str, x.values())) if isinstance(x, dict) else "",
)
def test_dpm_solver_plus_plus(world, sampler, options):
    scheduler = diffusers.DPMSolverMultistepScheduler(1000, **OPTIONS, **options)
    close(ours(world, sampler), theirs(world, scheduler, noisy=sampler.eta > 0))


@pytest.mark.filterwarnings("ignore:.*algorithm_type dpmsolver is deprecated:FutureWarning")
@pytest.mark.parametrize("order", [1, 2, 3])
def test_dpm_solver_in_eps(world, order):
    """Their version needs a last sigma above 0, so the last step is left out."""
    scheduler = diffusers.DPMSolverMultistepScheduler(
        1000, solver_order=order, algorithm_type="dpmsolver", final_sigmas_type="sigma_min", **OPTIONS
    )
    close(ours(world, DPMSolver(STEPS, order=order))[:-1], theirs(world, scheduler)[:-1], atol=3e-5)


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc(world, order, variant):
    """Their corrector runs at the head of the next step, so their states are our predictions, and corrected ones never leave."""
    scheduler = diffusers.UniPCMultistepScheduler(1000, solver_order=order, solver_type=variant, **OPTIONS)
    seen, plan = [], UniPC(STEPS, order=order, variant=variant).plan(world.processes)
    run(world, plan, world.blank(BATCH), seed=0, hooks=[lambda p: seen.append(p.state["x"])])
    predicted = [x for x, row in zip(seen, plan.rows, strict=True) if row.stage.denoise]
    close(predicted, theirs(world, scheduler)[:-1])
    if variant == "bh2":  # bh1 is NaN where sigma = 0
        close(seen[-1:], theirs(world, scheduler)[-1:])


def test_unipc_without_its_corrector(world):
    scheduler = diffusers.UniPCMultistepScheduler(1000, solver_order=3, disable_corrector=list(range(STEPS)), **OPTIONS)
    close(ours(world, UniPC(STEPS, order=3, corrector=False)), theirs(world, scheduler))


@pytest.mark.parametrize("order", [1, 2])
def test_deis(world, order):
    """Their polynomial is one in log rho; before the last step, where ours is of order 1 as theirs."""
    scheduler = diffusers.DEISMultistepScheduler(1000, solver_order=order, **OPTIONS)
    close(ours(world, DEIS(STEPS, order=order, variable="log_rho"))[:-1], theirs(world, scheduler)[:-1], atol=2e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms(world, order):
    """Their coordinate is x / alpha."""
    scheduler = diffusers.LMSDiscreteScheduler(1000, **OPTIONS)
    scheduler.set_timesteps(STEPS)
    exact_sigmas(scheduler)
    one = torch.ones((), dtype=torch.float64)
    y, wanted = start(world) / SCHEDULE.alpha(one), [start(world)]
    for timestep in scheduler.timesteps:
        t = torch.tensor((float(timestep) + 1) / 1000, dtype=torch.float64)
        scheduler.scale_model_input(y, timestep)
        y = scheduler.step(eps_of(world, y * SCHEDULE.alpha(t), timestep), timestep, y, order=order).prev_sample
        wanted.append(y * SCHEDULE.alpha(t - 1 / STEPS))
    close(ours(world, LMS(STEPS, order=order)), wanted, atol=1e-6)


def test_plms(world):
    """N + 1 calls: the second state is made twice."""
    scheduler = diffusers.PNDMScheduler(1000, skip_prk_steps=True, set_alpha_to_one=True, **OPTIONS)
    scheduler.set_timesteps(STEPS)
    scheduler.alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    plan, x = PNDM(STEPS).plan(world.processes), start(world)
    assert plan.evaluations == len(scheduler.timesteps) == STEPS + 1
    seen = []
    run(world, plan, world.blank(BATCH), seed=0, hooks=[lambda p: seen.append(p.state["x"])])
    wanted = [x]
    for timestep in scheduler.timesteps:
        wanted.append(scheduler.step(eps_of(world, wanted[-1], timestep), int(timestep), wanted[-1]).prev_sample)
    close(seen, wanted, atol=1e-6)


# Where they are wrong.


def test_third_order_sde_of_diffusers_has_a_wrong_sign():
    """Of x_0 = lambda^2 our exact third order keeps the integral, ours as published half a term less, theirs far from both."""
    scheduler = diffusers.DPMSolverMultistepScheduler(
        1000, solver_order=3, algorithm_type="sde-dpmsolver++", prediction_type="sample", **OPTIONS
    )
    scheduler.set_timesteps(STEPS)
    exact_sigmas(scheduler)
    t = torch.linspace(1, 0, STEPS + 1, dtype=torch.float64)
    lam, alpha, sigma = (f(t).numpy() for f in (SCHEDULE.log_snr, SCHEDULE.alpha, SCHEDULE.sigma))
    lam = lam / 2
    zero = torch.zeros(1, dtype=torch.float64)
    plans = [DPMpp(STEPS, order=3, eta=1.0, exact=e).plan({"x": Gaussian(SCHEDULE, V())}) for e in (True, False)]
    worst = np.zeros(3)
    for i, timestep in enumerate(scheduler.timesteps[:-2], 1):
        estimate = torch.tensor([lam[i - 1] ** 2], dtype=torch.float64)
        found = [scheduler.step(estimate, timestep, zero, variance_noise=zero).prev_sample.item()]
        if i < 3:
            continue
        known = [lam[i - 1 - j] ** 2 for j in range(3)]
        found = [np.dot(plan.rows[i].fields["x"].b, known) for plan in plans] + found
        exact = quad(lambda x, i=i: 2 * sigma[i] * math.exp(2 * x - lam[i]) * x * x, lam[i - 1], lam[i], epsabs=1e-14)[
            0
        ]
        h = lam[i] - lam[i - 1]
        worst = np.maximum(worst, np.abs(np.array(found) - exact) / (alpha[i] * h**3))
    assert worst[0] < 1e-10
    assert worst[1] < 0.5
    assert worst[2] > 2 * worst[1]


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_third_order_is_that_of_k_diffusion(eta):
    """Rows of order 3 beside x e^(-h_eta) + ... with phi_2 and phi_3 of `sample_dpmpp_3m_sde`, where alpha = 1."""
    plan = DPMpp(12, order=3, eta=eta).plan({"x": Gaussian(SCHEDULE, V())})
    t = torch.tensor([row.stage.time for row in plan.rows], dtype=torch.float64)
    lam, alpha, sigma = (f(t).numpy() for f in (SCHEDULE.log_snr, SCHEDULE.alpha, SCHEDULE.sigma))
    lam = lam / 2
    for i in range(3, 11):
        h, h1, h2 = lam[i] - lam[i - 1], lam[i - 1] - lam[i - 2], lam[i - 2] - lam[i - 3]
        h_eta, r0, r1 = h * (eta + 1), h1 / h, h2 / h
        unit = np.eye(3)
        first, second = (unit[0] - unit[1]) / r0, (unit[1] - unit[2]) / r1
        d1 = first + (first - second) * r0 / (r0 + r1)
        d2 = (first - second) / (r0 + r1)
        phi_2 = math.expm1(-h_eta) / h_eta + 1
        phi_3 = phi_2 / h_eta - 0.5
        b = -math.expm1(-h_eta) * unit[0] + phi_2 * d1 - phi_3 * d2
        k = plan.rows[i].fields["x"]
        np.testing.assert_allclose(k.b, alpha[i] * b, rtol=1e-8, atol=1e-10)
        assert k.a * alpha[i - 1] / alpha[i] == pytest.approx(math.exp(-h_eta), rel=1e-9)
        assert sum(k.c) == pytest.approx(sigma[i] * math.sqrt(-math.expm1(-2 * h * eta)), rel=1e-9)


def test_third_order_of_deis_in_diffusers_loses_its_digits():
    """With eps = 1 everywhere x_t = sigma_t is a solution: ours keeps it, theirs drifts further the more steps it takes."""
    drift = []
    for steps in (40, 160):
        scheduler = diffusers.DEISMultistepScheduler(1000, solver_order=3, **OPTIONS)
        scheduler.set_timesteps(steps)
        sigmas = (scheduler.sigmas / (1 + scheduler.sigmas**2).sqrt()).double()
        x = sigmas[:1]
        for timestep in scheduler.timesteps[:-1]:
            x = scheduler.step(torch.ones(1, dtype=torch.float64), timestep, x).prev_sample
        drift.append(abs(float(x[0] - sigmas[-2])))
        plan = DEIS(steps, order=3, variable="log_rho").plan({"x": Gaussian(SCHEDULE, V())})
        y, sigma = float(SCHEDULE.sigma(torch.ones((), dtype=torch.float64))), 0.0
        for row in plan.rows[1:-1]:
            y = row.fields["x"].a * y + sum(row.fields["x"].b)
            sigma = float(SCHEDULE.sigma(torch.tensor(row.stage.time, dtype=torch.float64)))
        assert y == pytest.approx(sigma, abs=1e-11)
    assert drift[1] > 10 * drift[0], drift
    assert drift[1] > 1e-4, drift


@pytest.mark.parametrize("order", [1, 2, 3])
def test_exponential_adams_bashforth_of_azula(world, order):
    """Their zEAB and xEAB are our exact DPMSolver and DPMpp; both stop above sigma = 0, where theirs are NaN."""
    denoise, sample = pytest.importorskip("azula.denoise"), pytest.importorskip("azula.sample")

    class Theirs(denoise.Denoiser):
        @staticmethod
        def schedule(t):
            return SCHEDULE.alpha(t), SCHEDULE.sigma(t)

        def forward(self, x_t, t):
            return denoise.DiracPosterior(world({"x": x_t}, float(t), world.blank(BATCH).layout, {})["x"].x0)

    steps = 20
    times = {"start": 1.0, "stop": 2 / steps, "steps": steps - 2, "silent": True, "dtype": torch.float64}
    exact = {"exact": True} if order > 1 else {}
    z, x = DPMSolver(steps, order=order, **exact), DPMpp(steps, order=order, **exact)
    for sampler, cls in ((z, sample.zEABSampler), (x, sample.xEABSampler)):
        wanted = cls(Theirs(), order=order, **times)(start(world))
        torch.testing.assert_close(ours(world, sampler)[-3], wanted, rtol=0, atol=1e-9)
