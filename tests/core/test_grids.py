"""Time grids: the law that each claims, its ends, who agrees, and what is refused."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from diffusers.schedulers.scheduling_utils import AysSchedules
from ornstein.core import registry
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import (
    DDIM,
    AlignYourStepsGrid,
    BetaGrid,
    DiscreteGrid,
    Grid,
    KarrasGrid,
    ListGrid,
    LogSNRGrid,
    ShiftedGrid,
    UniformGrid,
)
from ornstein.core.samplers.grids.beta import beta_quantile
from ornstein.core.schedules import EDM, VE, VP, Rectified, ScaledLinearBeta, Schedule, Shifted
from scipy.stats import beta as beta_distribution

GRIDS = {name: registry.class_of("grid", name)(**entry.options) for name, entry in registry.TABLE["grid"].items()}
SCHEDULES = {name: registry.class_of("schedule", name)() for name in registry.TABLE["schedule"]}
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SEVERAL = (1, 2, 3, 4, 6, 7, 10, 13, 20, 27, 30, 50, 77, 128, 250, 333, 999, 1000)


def noise(grid: Grid, steps: int, schedule: Schedule) -> np.ndarray:
    """sigma / alpha at the times above 0."""
    return np.exp(-schedule.log_snr(torch.from_numpy(grid.checked(steps, schedule)[:-1])).detach().numpy() / 2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_serves_every_schedule_with_any_number_of_steps(name, schedule):
    for steps in (1, 2, 3, 7, 10, 50):
        if name == "leading" and steps == 1:
            continue  # refused, as tested below
        times = GRIDS[name].checked(steps, SCHEDULES[schedule])
        assert times.dtype == np.float64
        assert len(times) == steps + 1


@pytest.mark.parametrize(
    ("grid", "law"),
    [
        (KarrasGrid(), lambda sigma: sigma ** (1 / 7)),
        (KarrasGrid(0.1, 10, 3), lambda sigma: sigma ** (1 / 3)),
        (LogSNRGrid(), np.log),
        (LogSNRGrid(rho=2.5), lambda sigma: np.abs(np.log(sigma / 0.002)) ** (1 / 2.5)),
        (BetaGrid(variable="sigma"), lambda s: beta_distribution.cdf((s - 0.002) / (s[0] - 0.002), 0.6, 0.6)),
        (BetaGrid(0.5, 2.0, "log_snr"), lambda s: beta_distribution.cdf(np.log(s / 0.002) / np.log(s[0] / 0.002), 0.5, 2.0)),
    ],
    ids=lambda x: str(x) if isinstance(x, Grid) else "law",  # of a function str tells where it lies in memory
)  # fmt: skip
def test_grids_in_noise_are_spaced_as_they_say(grid, law):
    """Equal steps of the law's variable between sigma_max, or what the schedule reaches of it, and sigma_min."""
    low, high = getattr(grid, "_range", None) or (grid.sigma_min, grid.sigma_max)
    for schedule in SCHEDULES.values():
        sigma = noise(grid, 12, schedule)
        one = torch.ones((), dtype=torch.float64)
        top = math.inf if schedule.ends_at_noise else float((schedule.sigma(one) / schedule.alpha(one)).detach())
        assert sigma[0] == pytest.approx(min(high, top), rel=1e-9)
        assert sigma[-1] == pytest.approx(low, rel=1e-9)
        np.testing.assert_allclose(np.diff(law(sigma)), np.diff(law(sigma)).mean(), rtol=1e-6, atol=2e-6)
        assert noise(grid, 1, schedule)[0] == pytest.approx(sigma[0], rel=1e-12)


def test_grids_in_time_are_spaced_as_they_say():
    np.testing.assert_allclose(UniformGrid(0.6).times(3, Rectified()), [0.6, 0.4, 0.2, 0])
    times = BetaGrid(0.6, 1.3).times(9, Rectified())
    assert (times[0], times[-1]) == (1, 0)
    np.testing.assert_allclose(beta_distribution.cdf(times, 0.6, 1.3), np.linspace(1, 0, 10), atol=1e-12)
    np.testing.assert_allclose(ShiftedGrid(3.0).times(2, Rectified()), [1, 0.75, 0])
    np.testing.assert_array_equal(ShiftedGrid(1.0).times(7, VP()), UniformGrid().times(7, VP()))


@pytest.mark.parametrize("shift", [0.4, 4.0])
def test_shifted_grid_is_that_of_the_shifted_flow(shift):
    """Its noise levels on the rectified schedule are those of equal steps on `Shifted`."""
    found = noise(ShiftedGrid(shift), 9, Rectified())
    np.testing.assert_allclose(found, noise(UniformGrid(), 9, Shifted(Rectified(), shift)), rtol=1e-9)


@pytest.mark.parametrize("shape", [(0.6, 0.6), (0.1, 0.3), (1, 1), (2, 5), (50, 3), (200, 200)])
def test_beta_quantiles_are_those_of_scipy(shape):
    q = np.linspace(0, 1, 101)
    np.testing.assert_allclose(beta_quantile(q, *shape), beta_distribution.ppf(q, *shape), rtol=1e-10, atol=1e-15)


# Discrete steps.


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_discrete_steps_are_those_of_diffusers(spacing):
    peers = [cls(timestep_spacing=spacing, steps_offset=0) for cls in (DDIMScheduler, EulerDiscreteScheduler)]
    grid = DiscreteGrid(spacing)
    for steps in SEVERAL:
        if steps == 1 and spacing != "trailing":
            continue  # theirs is step 0, where there is no noise to begin with
        ours = grid.indices(steps)
        for peer in peers:
            peer.set_timesteps(steps)
            theirs = peer.timesteps.numpy()  # Euler's linspace is not rounded
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=0 if theirs.dtype == np.int64 else 0.5)
        np.testing.assert_allclose(grid.times(steps, Rectified())[:-1] * 1000, ours + 1)


def test_the_offset_of_leading_steps():
    peer = DDIMScheduler(timestep_spacing="leading", steps_offset=1)
    for steps in (2, 7, 30, 333):
        peer.set_timesteps(steps)
        np.testing.assert_array_equal(DiscreteGrid("leading", offset=1).indices(steps), peer.timesteps.numpy())


def test_a_discrete_step_is_where_the_table_of_betas_is():
    """Step i has the product of the first i + 1 factors 1 - beta."""
    peer = DDIMScheduler(**LATENT)
    t = torch.from_numpy(DiscreteGrid("trailing").times(7, ScaledLinearBeta())[:-1])
    expected = peer.alphas_cumprod[DiscreteGrid("trailing").indices(7)].double().sqrt()
    torch.testing.assert_close(ScaledLinearBeta().alpha(t), expected, rtol=1e-5, atol=0)


def test_one_step_of_linspace_starts_at_noise():
    assert DiscreteGrid("linspace").indices(1).tolist() == [999]
    assert DiscreteGrid("leading", timesteps=1).times(1, Rectified()).tolist() == [1, 0]


# Noise levels of diffusers, where it is right, and where it is not.


@pytest.mark.parametrize(
    ("option", "grid"),
    [
        ("karras", KarrasGrid),
        ("exponential", LogSNRGrid),
        ("beta", lambda low, high: BetaGrid(0.6, 0.6, "sigma", low, high)),
    ],
)
@pytest.mark.parametrize("steps", [2, 5, 10, 31])
def test_noise_levels_are_those_of_diffusers(option, grid, steps):
    low, high = 0.0291675, 14.614643  # inside the range of the schedule, so that nothing is cut
    for cls in (EulerDiscreteScheduler, DPMSolverMultistepScheduler):
        peer = cls(**LATENT, **{f"use_{option}_sigmas": True})
        peer.config.sigma_min, peer.config.sigma_max = low, high * (1 - 1e-6)
        peer.set_timesteps(steps)
        theirs = peer.sigmas.numpy()
        ours = noise(grid(float(theirs[-2]), float(theirs[0])), steps, ScaledLinearBeta())
        np.testing.assert_allclose(ours, theirs[:-1], rtol=1e-6)
        assert theirs[-1] == 0


def test_diffusers_rounds_the_times_of_karras_levels_and_ours_are_exact():
    """The network of theirs is told another noise level than the one that the step uses."""
    peer = DPMSolverMultistepScheduler(**LATENT, use_karras_sigmas=True)
    peer.set_timesteps(20)
    sigma = peer.sigmas.double().numpy()[:-1]
    t = torch.from_numpy((peer.timesteps.numpy() + 1) / 1000)
    told = np.exp(-ScaledLinearBeta().log_snr(t).numpy() / 2)
    assert np.abs(told / sigma - 1).max() > 0.005
    grid = KarrasGrid(float(sigma[-1]), float(sigma[0]))
    np.testing.assert_allclose(noise(grid, 20, ScaledLinearBeta()), sigma, rtol=1e-6)


def test_diffusers_ends_twice_at_sigma_min_and_ours_once_at_zero():
    """Two equal levels make a step of length 0, by which their third order divides."""
    options = {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min", "solver_order": 3}
    peer = DPMSolverMultistepScheduler(**LATENT, **options)
    peer.set_timesteps(20)
    assert peer.sigmas[-1] == pytest.approx(float(peer.sigmas[-2]), rel=1e-6)
    x = torch.full((1, 2), 0.3)
    for t in peer.timesteps:
        x = peer.step(0.5 * x, t, x).prev_sample
    assert not torch.isfinite(x).all()
    world = Mixture(torch.tensor([[[1.0, -1.0]]]), 0.1, process=Gaussian(ScaledLinearBeta(), V()))
    for grid in GRIDS.values():
        times = grid.checked(10, ScaledLinearBeta())
        assert np.diff(times).max() < 0 == times[-1]
        assert torch.isfinite(DDIM(10, grid=grid).run(world, world.blank(2), seed=0)["x"]).all()


# Lists.


@pytest.mark.parametrize(
    ("network", "key"),
    [("sd15", "StableDiffusionSigmas"), ("sdxl", "StableDiffusionXLSigmas"), ("svd", "StableDiffusionVideoSigmas")],
)
def test_align_your_steps_is_the_published_list(network, key):
    published, grid = np.array(AysSchedules[key]), AlignYourStepsGrid(network)
    np.testing.assert_allclose(noise(grid, 10, Rectified()), published[:-1], rtol=1e-12)
    schedule = VE(sigma_max=1000) if network == "svd" else ScaledLinearBeta()
    np.testing.assert_allclose(noise(grid, 10, schedule), published[:-1], rtol=3e-5)


def test_align_your_steps_for_other_numbers_of_steps():
    grid = AlignYourStepsGrid("sd15")
    fine, ten, five = (noise(grid, n, Rectified()) for n in (20, 10, 5))
    np.testing.assert_allclose(fine[::2], ten)
    np.testing.assert_allclose(fine[1:-1:2] ** 2, ten[:-1] * ten[1:])  # log-linear: the middle is the geometric mean
    assert fine[-1] ** 2 == pytest.approx(ten[-1] * 0.029)
    np.testing.assert_allclose(five, ten[::2])
    np.testing.assert_allclose(noise(grid, 1, Rectified()), [14.615])


def test_align_your_steps_is_cut_to_what_the_schedule_reaches():
    sigma = noise(AlignYourStepsGrid("svd"), 9, EDM(50.0))  # 700 and 54.5 are out of reach
    np.testing.assert_allclose(sigma, [50, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034])
    with pytest.raises(ValueError, match=r"reaches sigma / alpha = 0\.1 only"):
        AlignYourStepsGrid().times(5, EDM(0.1))


def test_a_list_is_itself_at_its_own_length():
    np.testing.assert_array_equal(ListGrid((0.9, 0.5, 0.2)).times(3, VP()), [0.9, 0.5, 0.2, 0])
    np.testing.assert_array_equal(ListGrid((0.9, 0.5, 0.2, 0)).times(3, VP()), [0.9, 0.5, 0.2, 0])
    np.testing.assert_allclose(noise(ListGrid((20.0, 3.0, 0.1), of="sigma"), 3, VP()), [20, 3, 0.1])


def test_a_list_is_interpolated_at_other_lengths():
    np.testing.assert_allclose(ListGrid((0.8, 0.4)).times(4, VP()), [0.8, 0.6, 0.4, 0.2, 0])
    np.testing.assert_allclose(ListGrid((0.8, 0.6, 0.4, 0.2)).times(2, VP()), [0.8, 0.4, 0])
    np.testing.assert_allclose(noise(ListGrid((16.0, 1.0), of="sigma"), 3, VP()), [16, 4, 1])
    np.testing.assert_allclose(noise(ListGrid((16.0, 1.0), of="sigma"), 1, VP()), [16])
    np.testing.assert_allclose(ListGrid().times(4, VP()), [1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: UniformGrid(0.0), "start must be in"),
        (lambda: KarrasGrid(sigma_min=0), "0 < sigma_min < sigma_max and rho > 0, found sigma_min=0"),
        (lambda: KarrasGrid(rho=0), "rho > 0, found .* rho=0"),
        (lambda: LogSNRGrid(sigma_min=2, sigma_max=1), "0 < sigma_min < sigma_max"),
        (lambda: LogSNRGrid(sigma_max=math.inf), "sigma_max=inf"),
        (lambda: LogSNRGrid(rho=-1.0), "rho > 0"),
        (lambda: BetaGrid(alpha=0.0), "alpha > 0"),
        (lambda: BetaGrid(beta=math.nan), "beta > 0"),
        (lambda: BetaGrid(variable="x"), "variable must be t, log_snr or sigma, found 'x'"),
        (lambda: BetaGrid(sigma_max=3.0), "for the variables log_snr and sigma"),
        (lambda: DiscreteGrid("middle"), "spacing must be trailing, leading or linspace, found 'middle'"),
        (lambda: DiscreteGrid(timesteps=0), "timesteps must be a whole number of at least 1, found 0"),
        (lambda: DiscreteGrid(timesteps=2.5), "found 2.5"),
        (lambda: DiscreteGrid("leading", offset=-1), "offset must be a whole number of at least 0"),
        (lambda: DiscreteGrid("trailing", offset=1), "offset=1 is for leading spacing"),
        (lambda: DiscreteGrid(timesteps=10).times(11, VP()), "11 steps of a network trained on 10"),
        (lambda: DiscreteGrid("leading").times(1, VP()), "1 step starts at step 0 of 1000.*take trailing"),
        (lambda: DiscreteGrid("leading", offset=1).times(1000, VP()), "starts at step 1000, the last is 999"),
        (lambda: AlignYourStepsGrid("flux"), "network must be sd15, sdxl, svd, found 'flux'"),
        (lambda: ShiftedGrid(0.0), "shift must be above 0"),
        (lambda: ShiftedGrid(math.inf), "shift must be above 0"),
        (lambda: ListGrid(()), "must fall"),
        (lambda: ListGrid((0.5, 0.5, 0)), "must fall"),
        (lambda: ListGrid((0.2, 0.5)), "must fall"),
        (lambda: ListGrid((0.5, -0.1)), "must fall and stay above 0"),
        (lambda: ListGrid((0.0,)), "stay above 0"),
        (lambda: ListGrid((math.nan, 0.0)), "must fall"),
        (lambda: ListGrid((14.6, 1.0)), "times are in .0, 1., found 14.6; for noise levels say of=sigma"),
        (lambda: ListGrid((1.0,), of="snr"), "of must be t or sigma"),
        (lambda: ListGrid((90.0, 85.0, 1.0), of="sigma").times(3, EDM()), "sigma=85 is not below 80"),
        (lambda: KarrasGrid(1.0).times(5, EDM(0.5)), "sigma_min=1.0 is not below 0.5"),
        (lambda: BetaGrid(variable="sigma", sigma_min=1.0).times(5, EDM(0.5)), "sigma_min=1.0 is not below 0.5"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
