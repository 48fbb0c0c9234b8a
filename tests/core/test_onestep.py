"""Samplers without memory: their formulas beside the papers', what their noise does to a point mass, and what they refuse."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from ornstein.core import registry
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import (
    DDIM,
    DDPM,
    DPM2,
    LCM,
    RK4,
    Consistency,
    DPMppSDE,
    DPMSinglestep,
    EDMStochastic,
    Heun,
    KarrasGrid,
    LogSNRGrid,
    Midpoint,
    PredictorCorrector,
    Ralston,
    ReverseSDE,
    UniformGrid,
    run,
)
from ornstein.core.samplers.dpm_singlestep import phi
from ornstein.core.samplers.runge_kutta import BOUND, tableau
from ornstein.core.schedules import EDM, VP, Cosine, Rectified
from ornstein.core.verification.tables import contents


def rows_of(sampler, schedule=None):
    """Times, alphas, sigmas and coefficients of a plan of one field."""
    schedule = schedule or VP()
    rows = sampler.plan({"x": Gaussian(schedule, V())}).rows
    t = torch.tensor([row.stage.time for row in rows], dtype=torch.float64)
    return t.numpy(), schedule.alpha(t).numpy(), schedule.sigma(t).numpy(), [row.fields["x"] for row in rows]


def stds(sampler, schedule):
    """Standard deviations of a point mass at each row, and sigma there."""
    plan = sampler.plan({"x": Gaussian(schedule, V())})
    _, alpha, sigma, _ = rows_of(sampler, schedule)
    table = contents(plan, (float(alpha[0]), float(sigma[0])))
    return np.linalg.norm(table[:, 1:], axis=1), sigma


# Runge-Kutta.

NODES = [[c] for c in (0.2, 0.5, 2 / 3, 1.0, 1.3)] + [
    [1 / 3, 2 / 3], [0.25, 0.7], [1 / 3, 2 / 3, 1.0], [0.3, 0.72, 1.0], [0.36, 0.6, 1.0]
]  # fmt: skip


@pytest.mark.parametrize("nodes", NODES, ids=str)
def test_weights_satisfy_the_conditions_of_their_order_at_any_nodes(nodes):
    """Hairer, Norsett, Wanner I, table II.2.1."""
    table, n = tableau(nodes), len(nodes) + 1
    a = np.zeros((n, n))
    for i, row in enumerate(table[:-1]):
        a[i + 1, : i + 1] = row
    b, c = np.array(table[-1]), a.sum(1)
    np.testing.assert_allclose(c, [0, *nodes], atol=1e-14)
    conditions = [(b.sum(), 1), (b @ c, 1 / 2), (b @ c**2, 1 / 3), (b @ a @ c, 1 / 6)]
    conditions += [(b @ c**3, 1 / 4), (b * c @ a @ c, 1 / 8), (b @ a @ c**2, 1 / 12), (b @ a @ a @ c, 1 / 24)]
    found, wanted = zip(*conditions[: {2: 2, 3: 4, 4: 8}[n]], strict=True)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_weights_are_those_that_have_names():
    assert tableau([]) == [(1,)]
    assert tableau([1.0])[-1] == (0.5, 0.5)
    assert tableau([0.5])[-1] == (0, 1)
    assert tableau([2 / 3])[-1] == pytest.approx((1 / 4, 3 / 4))
    eighths = [(1 / 3,), (-1 / 3, 1), (1, -1, 1), (1 / 8, 3 / 8, 3 / 8, 1 / 8)]
    for found, wanted in zip(tableau([1 / 3, 2 / 3, 1.0]), eighths, strict=True):
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize("nodes", [[1e-9], [0.5, 0.7, 1.0], [0.3, 0.3, 1.0], [1e-9, 1e-8, 1.0], [0.9, 0.99]], ids=str)
def test_misplaced_nodes_lose_order_and_not_sense(nodes):
    table = tableau(nodes)
    for weights, c in zip(table, [*nodes, 1.0], strict=True):
        assert sum(weights) == pytest.approx(c)
        assert np.abs(weights).max() <= BOUND


@pytest.mark.parametrize("cls", [Heun, Midpoint, Ralston, RK4], ids=lambda c: c.__name__)
def test_the_order_holds_to_the_end_of_smooth_data(cls):
    """N(0, v) on the rectified schedule from t = 1 to 0, whose flow is x_0 = sqrt(v) x_1: the last step loses nothing."""
    v, errors = 0.49, []
    for steps in (16, 32, 64, 128):
        plan = cls(steps).plan({"x": Gaussian(Rectified(), V())})
        t = np.array([row.stage.time for row in plan.rows])
        gain = (1 - t) * v / ((1 - t) ** 2 * v + t**2)
        errors.append(abs(contents(plan, (0.0, 1.0), [(0.0, g) for g in gain])[-1, 1] - math.sqrt(v)))
    assert -np.polyfit(np.log([16, 32, 64, 128]), np.log(errors), 1)[0] > cls().convergence - 0.2


def test_nodes_lie_in_the_coordinates_that_are_asked_for():
    grid = KarrasGrid()
    for sampler, variable in (
        (Midpoint(5, grid=grid), lambda a, s: s / (a + s)),
        (Midpoint(5, coordinates="sigma", grid=grid), lambda a, s: s / a),
    ):
        _, alpha, sigma, _ = rows_of(sampler)
        u = variable(alpha, sigma)
        np.testing.assert_allclose(u[1::2], (u[:-1:2] + u[2::2]) / 2)


def test_categorical_fields_alone_take_sigma_coordinates_too():
    """The clock is then the rectified schedule, without signal at t = 1; nothing divides by it."""
    for cls in (Heun, Midpoint, RK4):
        times = [row.stage.time for row in cls(4, coordinates="sigma").plan({}).rows]
        assert all(a >= b for a, b in pairwise(times))
        assert np.isfinite(times).all()


# DPM2 and DPM-Solver.


def test_dpm2_is_that_of_k_diffusion():
    """In rho: d at rho_t to the geometric mean, then d there over the whole step, and noise of rho_up."""
    for eta in (0.0, 0.6, 1.0):
        _, _, rho, rows = rows_of(DPM2(6, eta=eta, grid=KarrasGrid()), EDM())
        for i in range(1, len(rows) - 1, 2):
            t, mid, s = rho[i - 1], rho[i], rho[i + 1]
            up = min(s, eta * math.sqrt(s**2 * (t**2 - s**2) / t**2))
            down = math.sqrt(s**2 - up**2)
            assert mid == pytest.approx(math.sqrt(t * down))
            assert (rows[i].a, *rows[i].b) == pytest.approx((1, mid - t))
            assert (rows[i + 1].a, *rows[i + 1].b) == pytest.approx((1, down - t))
            assert sum(rows[i + 1].c) == pytest.approx(up)
            assert rows[i].remember == pytest.approx((1 / mid, -1 / mid))


def published(order, estimate, h, alpha, sigma):
    """Coefficients of (x, estimates from the first on) for rows of one step, typed from the papers; alpha, sigma from t on.

    DPM-Solver-2 and -3 are algorithms 1 and 2 (appendix D.2) of arXiv:2206.00927; the others follow in arXiv:2211.01095.
    """
    (a_t, *a), (s_t, *s) = alpha, sigma
    e = math.expm1
    if estimate == "eps" and order == 2:
        return [(a[0] / a_t, -s[0] * e(h / 2)), (a[1] / a_t, 0, -s[1] * e(h))]
    if estimate == "x0" and order == 2:
        return [(s[0] / s_t, -a[0] * e(-h / 2)), (s[1] / s_t, 0, -a[1] * e(-h))]
    r1, r2 = 1 / 3, 2 / 3
    if estimate == "eps":
        d2, d3 = s[1] * r2 / r1 * (e(r2 * h) / (r2 * h) - 1), s[2] / r2 * (e(h) / h - 1)
        return [
            (a[0] / a_t, -s[0] * e(r1 * h)),
            (a[1] / a_t, -s[1] * e(r2 * h) + d2, -d2),
            (a[2] / a_t, -s[2] * e(h) + d3, 0, -d3),
        ]
    d2, d3 = a[1] * r2 / r1 * (e(-r2 * h) / (r2 * h) + 1), a[2] / r2 * (e(-h) / h + 1)
    return [
        (s[0] / s_t, -a[0] * e(-r1 * h)),
        (s[1] / s_t, -a[1] * e(-r2 * h) - d2, d2),
        (s[2] / s_t, -a[2] * e(-h) - d3, 0, d3),
    ]


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("estimate", ["x0", "eps"])
@pytest.mark.parametrize("schedule", [VP(), Rectified()], ids=lambda s: type(s).__name__)
def test_dpm_solver_is_that_of_the_papers(order, estimate, schedule):
    sampler = DPMSinglestep(5, order=order, estimate=estimate, grid=KarrasGrid())
    _, alpha, sigma, rows = rows_of(sampler, schedule)
    assert len(rows) == 1 + 4 * order + 1
    for base in range(0, len(rows) - 2, order):
        at = slice(base, base + order + 1)
        lam = np.log(alpha[at] / sigma[at])
        h = lam[-1] - lam[0]
        np.testing.assert_allclose((lam - lam[0]) / h, np.arange(order + 1) / order, atol=1e-9)
        for row, wanted in zip(rows[base + 1 :], published(order, estimate, h, alpha[at], sigma[at]), strict=False):
            found = [0.0] * (len(wanted) - 1 - len(row.b)) + [
                *reversed(row.b)
            ]  # the oldest are left out where they are 0
            np.testing.assert_allclose((row.a, *found), wanted, rtol=1e-8, atol=1e-10)


def test_phi_is_smooth_where_its_closed_form_cancels():
    nodes, weights = np.polynomial.legendre.leggauss(40)
    u = (1 + nodes) / 2
    for z in (-30.0, -2.0, -1.0, -0.999, -1e-3, 0.0, 1e-9, 0.5, 1.0, 3.0):
        for k in (1, 2, 3):
            exact = (weights / 2 * np.exp(z * (1 - u)) * u ** (k - 1)).sum() / math.factorial(k - 1)
            assert phi(k, z) == pytest.approx(exact, rel=1e-10)


def test_ancestral_samplers_are_those_of_k_diffusion():
    """rho_up^2 = rho_s^2 (rho_t^2 - rho_s^2) / rho_t^2, rho_down^2 = rho_s^2 - rho_up^2, on x / alpha."""
    entry = registry.TABLE["sampler"]["euler_ancestral"]
    euler = registry.class_of("sampler", "euler_ancestral")(steps=8, grid=KarrasGrid(), **entry.options)
    single = DPMSinglestep(8, eta=1.0, grid=KarrasGrid())
    for schedule in (EDM(), VP(), Rectified()):
        for sampler, rows_a_step in ((euler, 1), (single, 2)):
            _, alpha, sigma, rows = rows_of(sampler, schedule)
            rho = sigma / alpha
            for i in range(rows_a_step, len(rows) - 1, rows_a_step):
                t, s = rho[i - rows_a_step], rho[i]
                up = math.sqrt(s**2 * (t**2 - s**2) / t**2)
                down = math.sqrt(s**2 - up**2)
                scale = alpha[i] / alpha[i - rows_a_step]
                assert rows[i].a / scale == pytest.approx(down / t)
                assert sum(rows[i].b) / alpha[i] == pytest.approx(1 - down / t)
                assert sum(rows[i].c) / alpha[i] == pytest.approx(up)
                if rows_a_step == 2:  # the middle in log rho, whose x_0 alone leads to the end
                    assert rho[i - 1] == pytest.approx(math.sqrt(t * down))
                    assert len(rows[i].b) == 1


def test_dpmpp_sde_is_that_of_k_diffusion():
    """Ancestral to the middle in log rho, then ancestral over the whole with x_0 of the middle; the noises add up."""
    _, _, rho, rows = rows_of(DPMppSDE(6, grid=KarrasGrid()), EDM())
    for i in range(1, len(rows) - 1, 2):
        t, mid, s = rho[i - 1 : i + 2]
        assert mid == pytest.approx(math.sqrt(t * s))
        for row, end in ((rows[i], mid), (rows[i + 1], s)):
            assert (row.a, *row.b) == pytest.approx((end**2 / t**2, 1 - end**2 / t**2))
            assert math.hypot(*row.c) == pytest.approx(end * math.sqrt(1 - end**2 / t**2))
        increments = [1 / mid**2 - 1 / t**2, 1 / s**2 - 1 / mid**2]  # of alpha^2 / sigma^2
        np.testing.assert_allclose(
            np.square(rows[i + 1].c) / np.square(rows[i + 1].c).sum(), increments / np.sum(increments)
        )


@pytest.mark.parametrize(
    "build", [DPMppSDE, lambda n, **k: DPM2(n, eta=1.0, **k), lambda n, **k: DPMSinglestep(n, eta=0.7, **k)]
)
def test_noise_of_one_path_is_the_same_for_any_number_of_steps(build):
    """Strong convergence: on one Brownian path, twice the steps end nearer; with fresh noise they would not."""
    world = Mixture(torch.tensor([[[-1.0]], [[0.8]]]), 0.4, process=Gaussian(VP(), V()))

    def end(steps):
        plan = build(steps, grid=LogSNRGrid(0.05, 20), path=True).plan(world.processes)
        return run(world, plan, world.blank(64), seed=3)["x"]

    runs = [end(n) for n in (8, 16, 32, 64)]
    gaps = [float((a - b).square().mean().sqrt()) for a, b in pairwise(runs)]
    assert gaps[2] < 0.7 * gaps[0]
    assert gaps[2] < 0.2


def test_noise_is_split_at_the_node_only_along_a_path():
    for path, count in ((False, 1), (True, 2)):
        rows = rows_of(DPMSinglestep(4, eta=0.5, grid=KarrasGrid(), path=path))[3]
        assert {len(row.c) for row in rows[2:-1:2]} == {count}
    # of full strength the node is the end of the step, so that there is one interval alone
    assert {len(row.c) for row in rows_of(DPM2(4, eta=1.0, grid=KarrasGrid(), path=True))[3][2:-1:2]} == {1}


# Churn.


@pytest.mark.parametrize("schedule", [Rectified(), VP(), Cosine(), EDM()], ids=lambda s: type(s).__name__)
def test_churn_goes_up_before_the_denoiser_is_asked_and_never_above_one(schedule):
    for steps in (1, 2, 3, 6, 20):
        sampler = EDMStochastic(steps, s_churn=40.0, grid=UniformGrid(0.9))
        plan = sampler.plan({"x": Gaussian(schedule, V())})
        std, sigma = stds(sampler, schedule)
        np.testing.assert_allclose(std, sigma, rtol=1e-12, atol=1e-13)
        ups = [i for i, (a, b) in enumerate(pairwise(plan.rows), 1) if b.stage.time > a.stage.time]
        assert len(ups) == steps - 1
        t, alpha, sigma, rows = rows_of(sampler, schedule)
        assert t.max() <= 1
        for i in ups:
            assert (plan.rows[i - 1].stage.denoise, plan.rows[i].stage.denoise) == (False, True)
            grown = sigma[i] / alpha[i] / (sigma[i - 1] / alpha[i - 1])
            assert grown <= 1 + min(40 / steps, math.sqrt(2) - 1) + 1e-9
            assert grown == pytest.approx(1 + min(40 / steps, math.sqrt(2) - 1)) or t[i] == 1
            assert not rows[i].b


def test_churn_keeps_to_its_range_and_to_its_noise():
    t, _, sigma, rows = rows_of(
        EDMStochastic(12, s_churn=6.0, s_min=0.1, s_max=10.0, s_noise=1.01, grid=KarrasGrid()), EDM()
    )
    ups = [i for i in range(1, len(t)) if t[i] > t[i - 1]]
    below = [i for i in range(1, len(t)) if t[i] < t[i - 1]]
    assert {0.1 <= sigma[i - 1] <= 10 for i in ups} == {True}
    assert len(ups) == sum(0.1 <= s <= 10 for s in np.unique(sigma[below].round(12)))
    for i in ups:
        assert rows[i].c[0] == pytest.approx(1.01 * math.sqrt(sigma[i] ** 2 - sigma[i - 1] ** 2))
        assert sigma[i] / sigma[i - 1] == pytest.approx(1 + min(6 / 12, math.sqrt(2) - 1))
    assert not EDMStochastic(s_noise=1.01).keeps_marginals
    still = EDMStochastic(12, s_churn=0.0, coordinates="sigma", grid=KarrasGrid()).plan({"x": Gaussian(EDM(), V())})
    assert still.rows == Heun(12, coordinates="sigma", grid=KarrasGrid()).plan({"x": Gaussian(EDM(), V())}).rows


# The reverse SDE.


@pytest.mark.parametrize(
    ("form", "exponent"),
    [
        ("constant", lambda t, s: (1 / s - 1 / t) / 2),
        ("sigma", lambda t, s: np.log(t / s) / 2),
        ("linear", lambda t, s: np.log(t / s) / 2),
    ],
)
def test_diffusion_is_integrated_exactly(form, exponent):
    """On the rectified schedule, where sigma = t."""
    t, _, _, rows = rows_of(ReverseSDE(12, form=form, norm=0.7), Rectified())
    for i in range(1, len(rows) - 1):
        e = 0.7 * exponent(t[i - 1], t[i])
        assert rows[i].a == pytest.approx(t[i] / t[i - 1] * math.exp(-e), rel=1e-12)
        assert rows[i].c[0] == pytest.approx(t[i] * math.sqrt(-math.expm1(-2 * e)), rel=1e-12)


@pytest.mark.parametrize("form", ["constant", "sigma", "linear", "decreasing", "increasing-decreasing"])
@pytest.mark.parametrize("schedule", [VP(), Cosine(), EDM(3.0)], ids=lambda s: type(s).__name__)
def test_diffusion_is_the_rate_at_which_the_past_is_forgotten(form, schedule):
    """Against adaptive quadrature of w / (2 sigma^2)."""
    integrate = pytest.importorskip("scipy.integrate")
    sampler = ReverseSDE(4, form=form)
    t, _, sigma, rows = rows_of(sampler, schedule)

    def rate(u):
        at = torch.tensor(u, dtype=torch.float64)
        return float(sampler.rate(at, schedule) / (2 * schedule.sigma(at) ** 2))

    for i in range(1, len(rows) - 1):
        exact = integrate.quad(rate, t[i], t[i - 1], epsabs=1e-13, epsrel=1e-12)[0]
        assert -math.log(rows[i].a / (sigma[i] / sigma[i - 1])) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("schedule", [Rectified(), VP()], ids=lambda s: type(s).__name__)
def test_the_reverse_sde_has_ddim_and_ddpm_at_its_ends(schedule):
    for sampler, other in ((ReverseSDE(7, norm=0.0), DDIM(7)), (ReverseSDE(7), DDPM(7))):
        for row, wanted in zip(rows_of(sampler, schedule)[3], rows_of(other, schedule)[3], strict=True):
            np.testing.assert_allclose((row.a, *row.b, *row.c), (wanted.a, *wanted.b, *wanted.c), atol=1e-12)


# The large variance, corrections, consistency.


def test_the_large_variance_adds_what_it_says():
    schedule = VP()
    std, _ = stds(DDPM(10, variance="large"), schedule)
    _, alpha, sigma, rows = rows_of(DDPM(10, variance="large"), schedule)
    variance = float(sigma[0]) ** 2
    for i in range(1, len(rows)):
        beta = sigma[i - 1] ** 2 - (alpha[i - 1] / alpha[i]) ** 2 * sigma[i] ** 2
        excess = beta * (1 - sigma[i] ** 2 / sigma[i - 1] ** 2) if sigma[i] else 0.0
        variance = rows[i].a ** 2 * (variance - sigma[i - 1] ** 2) + sigma[i] ** 2 + excess
        assert std[i] == pytest.approx(math.sqrt(variance), abs=1e-9)
    assert std[-2] > 1.2 * sigma[-2]
    assert not DDPM(variance="large").keeps_marginals


def test_large_variance_is_right_for_standard_normal_data():
    """Of N(0, 1) data, for which it is the best choice, it leaves less error than the small one (Ho et al., section 3.2)."""
    found = {}
    for variance in ("small", "large"):
        plan = DDPM(10, variance=variance, grid=UniformGrid()).plan({"x": Gaussian(VP(), V())})
        alpha = rows_of(DDPM(10))[1]
        final = contents(plan, (0.0, 1.0), [(0.0, a) for a in alpha])[-2]
        found[variance] = abs(np.linalg.norm(final) - 1)
    assert found["large"] < 1e-9 < found["small"]


@pytest.mark.parametrize("predictor", ["ancestral", "flow"])
@pytest.mark.parametrize("schedule", [VP(), Rectified(), EDM()], ids=lambda s: type(s).__name__)
def test_corrections_keep_a_point_mass(predictor, schedule):
    for corrections, snr in ((1, 0.16), (3, 0.8)):
        std, sigma = stds(PredictorCorrector(6, predictor=predictor, corrections=corrections, snr=snr), schedule)
        np.testing.assert_allclose(std, sigma, atol=1e-12, rtol=1e-12)


def test_corrections_settle_where_they_say():
    """Many at one level of N(0, v): the variance short of alpha^2 v + sigma^2 by the stated share."""
    schedule, v, delta = VP(), 0.8, 2 * 0.3**2
    sampler = PredictorCorrector(2, corrections=200, snr=0.3, grid=UniformGrid(0.6))
    plan = sampler.plan({"x": Gaussian(schedule, V())})
    _, alpha, sigma, rows = rows_of(sampler, schedule)
    total = alpha**2 * v + sigma**2
    found = contents(plan, (0.0, math.sqrt(total[0])), [(0.0, gain) for gain in alpha * v / total])[-2]
    q, kept = alpha[-2] ** 2 * v / total[-2], math.exp(-delta)
    share = (1 + kept) / (1 + kept + q * (1 - kept))
    assert (found**2).sum() / total[-2] == pytest.approx(share, rel=1e-9)
    assert rows[2].c[0] == pytest.approx(sigma[2] * math.sqrt(1 - math.exp(-2 * delta)))


def test_annealed_langevin_keeps_too_much_by_what_it_does_not_forget():
    sampler = PredictorCorrector(8, predictor="none", corrections=3, snr=0.3, grid=KarrasGrid())
    std, sigma = stds(sampler, EDM())
    plan = sampler.plan({"x": Gaussian(EDM(), V())})
    times = [row.stage.time for row in plan.rows]
    levels = [i for i in range(len(times) - 1) if times[i + 1] < times[i]]  # the last row of each level
    kept = math.exp(-2 * 3 * 2 * 0.3**2)
    variance = sigma[0] ** 2
    for i in levels[1:]:
        variance = sigma[i] ** 2 + kept * (variance - sigma[i] ** 2)
        assert std[i] ** 2 == pytest.approx(variance)
    assert std[levels[3]] > 1.3 * sigma[levels[3]]
    assert not sampler.keeps_marginals
    assert plan.evaluations == 1 + 7 * 3 + 1


def test_consistency_sampling_goes_to_the_data_and_back():
    for schedule in (Rectified(), VP()):
        t, alpha, sigma, rows = rows_of(Consistency(5), schedule)
        for i in range(1, len(rows)):
            np.testing.assert_allclose((rows[i].a, *rows[i].b, sum(rows[i].c)), (0, alpha[i], sigma[i]), atol=1e-12)
        for row, wanted in zip(rows_of(Consistency(5, gamma=0.0))[3], rows_of(DDIM(5))[3], strict=True):
            np.testing.assert_allclose((row.a, *row.b, *row.c), (wanted.a, *wanted.b), atol=1e-12)
        low = torch.from_numpy(0.6 * t)
        below = (schedule.sigma(low) / schedule.alpha(low)).numpy()
        for i, row in enumerate(rows_of(Consistency(5, gamma=0.4), schedule)[3][1:], 1):
            assert row.a == pytest.approx(alpha[i] * below[i] / sigma[i - 1])
            assert math.hypot(row.a * sigma[i - 1], *row.c) == pytest.approx(sigma[i])


def test_the_scalings_of_lcm_are_those_of_its_code():
    sampler = LCM(4)
    assert sampler.scalings(1.0) == pytest.approx((0.25 / (9990**2 + 0.25), 9990 / math.sqrt(9990**2 + 0.25)))
    assert sampler.scalings(1 / 1000) == (1, 0)
    assert [row.remember for row in rows_of(sampler)[3][:-1]] == [sampler.scalings(t) for t in (1, 0.75, 0.5, 0.25)]
    std, sigma = stds(LCM(4), VP())
    np.testing.assert_allclose(std[1:], sigma[1:], atol=1e-5)


# All of them.

MODULES = ("ddim", "runge_kutta", "dpm2", "dpm_singlestep", "churn", "reverse_sde", "langevin", "consistency")
NAMES = [
    name
    for name in registry.TABLE["sampler"]
    if registry.class_of("sampler", name).__module__.rpartition(".")[2] in MODULES
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("clock", "other"), [(VP(), EDM(30.0)), (EDM(30.0), Rectified()), (Rectified(), VP())], ids=str
)
def test_two_fields_of_different_schedules_share_their_times(name, clock, other):
    """One of them may be without any signal at t = 1, or have its nodes where the other would not put them."""
    options = registry.TABLE["sampler"][name].options
    sampler = registry.class_of("sampler", name)(steps=5, grid=KarrasGrid(0.1, 20), **options)
    fields = {"a": Gaussian(clock, V()), "b": Gaussian(other, V())}
    plan = sampler.plan(fields)
    numbers = [x for row in plan.rows for k in row.fields.values() for x in (k.a, *k.b, *k.c, *k.remember)]
    assert np.isfinite(numbers).all()
    assert plan.evaluations <= 5 * sampler.calls + 1


@pytest.mark.parametrize("name", [name for name in NAMES if "sigma" not in name])
def test_all_serve_a_start_without_signal(name):
    """alpha = 0 at t = 1, at 1, 2 and 3 steps, for the clock and for a field beside it."""
    for clock, other in ((Rectified(), VP()), (VP(), Rectified())):
        for steps in (1, 2, 3):
            sampler = registry.class_of("sampler", name)(steps=steps, **registry.TABLE["sampler"][name].options)
            plan = sampler.plan({"a": Gaussian(clock, V()), "b": Gaussian(other, V())})
            numbers = [x for row in plan.rows for k in row.fields.values() for x in (k.a, *k.b, *k.c, *k.remember)]
            assert np.isfinite(numbers).all()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: DDPM(5, variance="learned"), "variance must be small or large"),
        (lambda: DPM2(5, eta=1.1), "eta must be in"),
        (lambda: Midpoint(5, coordinates="t"), "flow or sigma"),
        (lambda: RK4(5, coordinates="sigma").plan({"x": Gaussian()}), "divide by alpha"),
        (lambda: EDMStochastic(5, coordinates="sigma").plan({"x": Gaussian()}), "divide by alpha"),
        (lambda: DPMSinglestep(5, order=4), "order must be 1, 2 or 3"),
        (lambda: DPMSinglestep(5, estimate="v"), "estimate must be x0 or eps"),
        (lambda: DPMSinglestep(5, order=1, exact=True), "exact=True does nothing"),
        (lambda: DPMSinglestep(5, order=3, eta=0.5), "take order 2, or eta=0"),
        (lambda: DPMSinglestep(5, eta=-0.1), "eta must be in"),
        (lambda: EDMStochastic(5, order=3), "order must be 1 or 2"),
        (lambda: EDMStochastic(5, order=1, coordinates="sigma"), "the same in all coordinates"),
        (lambda: EDMStochastic(5, s_churn=-1.0), "s_churn must be at least 0"),
        (lambda: EDMStochastic(5, s_min=2.0, s_max=1.0), "0 <= s_min < s_max"),
        (lambda: EDMStochastic(5, s_noise=0.0), "s_noise must be above 0"),
        (lambda: EDMStochastic(5, path=True), "churn goes up"),
        (lambda: ReverseSDE(5, form="cubic"), "form must be sbdm, constant"),
        (lambda: ReverseSDE(5, norm=-1.0), "norm must be at least 0"),
        (lambda: PredictorCorrector(5, predictor="heun"), "predictor must be ancestral, flow or none"),
        (lambda: PredictorCorrector(5, corrections=0), "whole number of at least 1"),
        (lambda: PredictorCorrector(5, corrections=1.5), "whole number of at least 1"),
        (lambda: PredictorCorrector(5, corrections=math.inf), "whole number of at least 1"),
        (lambda: PredictorCorrector(5, snr=0.0), "snr must be above 0"),
        (lambda: PredictorCorrector(5, path=True), "corrections stand still"),
        (lambda: Consistency(5, gamma=1.2), "gamma must be in"),
        (lambda: LCM(5, sigma_data=0.0), "sigma_data must be above 0"),
        (lambda: LCM(5, timestep_scaling=math.inf), "timestep_scaling must be above 0 and finite"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("build", [DPM2, DPMSinglestep], ids=lambda c: c.__name__)
def test_a_long_ancestral_step_keeps_its_digits(build):
    """From rho = 50 to 0.01 rho_down is 2e-6: a difference of squares would lose it, and put the node below the step."""
    for path in (False, True):
        plan = build(2, eta=1.0, path=path, grid=LogSNRGrid(0.01, 50.0)).plan({"x": Gaussian(VP(), V())})
        assert [row.stage.time for row in plan.rows][1] == plan.rows[2].stage.time
        _, alpha, sigma, rows = rows_of(build(2, eta=1.0, path=path, grid=LogSNRGrid(0.01, 50.0)))
        down = (sigma[2] / alpha[2]) ** 2 / (sigma[0] / alpha[0])
        slope = sum(rows[2].b) / alpha[2] * (-1 if build is DPM2 else 1)
        assert slope == pytest.approx(
            (sigma[0] / alpha[0] - down) if build is DPM2 else 1 - down / (sigma[0] / alpha[0])
        )
        assert len(rows[2].c) == 1
