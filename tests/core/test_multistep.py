"""Multistep samplers: what their rows integrate exactly, how fast they converge, and what their ends do."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from ornstein.core import registry
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import (
    DDPM,
    DEIS,
    LMS,
    PNDM,
    Curve,
    DPMpp,
    DPMSolver,
    Grid,
    KarrasGrid,
    LogSNRGrid,
    Plan,
    SASolver,
    TableSampler,
    UniformGrid,
    UniPC,
)
from ornstein.core.samplers.adams import Adams, quadrature
from ornstein.core.samplers.plan import one_stage
from ornstein.core.schedules import EDM, VE, VP, Cosine, LinearBeta, Rectified, Schedule, Trigonometric
from scipy.integrate import quad, solve_ivp

FAMILY = (DPMpp, DPMSolver, UniPC, SASolver, DEIS, LMS, PNDM)
NAMES = [name for name in registry.TABLE["sampler"] if registry.class_of("sampler", name) in FAMILY]
EXACT = [
    DPMpp(order=2, exact=True),
    DPMpp(order=3, exact=True),
    DPMSolver(order=2, exact=True),
    DPMSolver(order=3, exact=True),
]
EXACT += [DEIS(order=p, variable=v) for p in (2, 3, 4) for v in ("t", "rho", "log_rho")]
EXACT += [LMS(order=p, coordinates=c) for p in (2, 3, 4) for c in ("sigma", "flow")]
EXACT += [UniPC(order=p, corrector=c) for p in (3, 4) for c in (True, False)]
EXACT += [SASolver(predictor=p, corrector=q, eta=0.0) for p, q in ((3, 3), (4, 4), (3, 0))]
OTHERS = [DPMpp(order=p) for p in (1, 2, 3)] + [DPMSolver(order=p) for p in (1, 2, 3)]
OTHERS += [UniPC(order=p, variant=v, corrector=c) for p in (1, 2) for v in ("bh1", "bh2") for c in (True, False)]
OTHERS += [SASolver(predictor=p, corrector=q, eta=0.0) for p, q in ((1, 1), (1, 2), (2, 3), (2, 4))]
OTHERS += [PNDM(order=p, start=s) for p in (2, 3, 4) for s in ("ramp", "heun")] + [DEIS(order=1), LMS(order=1)]
NOISY = [
    DPMpp(order=p, eta=e, exact=x) for p in (1, 2, 3) for e in (0.3, 1.0) for x in ([False, True] if p > 1 else [False])
]
NOISY += [SASolver(predictor=p, corrector=q, eta=e) for p, q in ((1, 0), (2, 2), (3, 3), (2, 4)) for e in (0.3, 1.0)]
SCHEDULES = [Rectified(), Trigonometric(), VP(), EDM(), LinearBeta()]
DARK = VP(0.1, 400.0)  # alpha is 0 down to t = 0.5


def name_of(thing) -> str:
    return thing.describe().split(", grid")[0] if isinstance(thing, TableSampler) else type(thing).__name__


def at(schedule: Schedule, t) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """alpha, sigma, lambda."""
    t = torch.as_tensor(t, dtype=torch.float64)
    return schedule.alpha(t).numpy(), schedule.sigma(t).numpy(), schedule.log_snr(t).numpy() / 2


class Open(Grid):
    """Equal steps in log SNR between t = 0.98 and 0.02, then 0: errors are judged at 0.02."""

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        high, low = at(schedule, [0.98, 0.02])[2]
        t = schedule.t_of(torch.linspace(2 * high, 2 * low, steps, dtype=torch.float64)).numpy()
        return np.array([0.98, *t[1:-1], 0.02, 0.0])


class Wild(Grid):
    """Steps of very different sizes, 1e-5 to 0.3."""

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        size = np.tile([1.0, 1e-4, 0.3, 2.0, 0.02], steps)[:steps]
        return np.append(np.append(0.97, 0.97 - 0.95 * size.cumsum() / size.sum()), 0.0)[: steps + 2][1:]


def walk(plan: Plan, x, ask, settle=None):
    """The states of all rows; `ask(i, t, x)` is x_0; `settle(i)` the state of row i where it is not to be computed."""
    base, memory, out = x, [], []
    for i, row in enumerate(plan.rows):
        k, given = row.fields["x"], settle(i) if settle else None
        if given is not None:
            x = given
        elif i:
            x = k.a * base + sum(b * m for b, m in zip(k.b, memory, strict=False))
        if row.stage.denoise:
            p, q = k.remember
            memory.insert(0, p * x + q * ask(i, row.stage.time, x))
        base = x if row.stage.end else base
        out.append(x)
    return out


# The integrator.


@pytest.mark.parametrize("estimate", ["x0", "eps", "flow"])
@pytest.mark.parametrize("variable", ["lambda", "rho", "tau", "t"])
def test_rows_are_the_integrals_they_claim_to_be(estimate, variable):
    """Each weight beside adaptive quadrature of its Lagrange polynomial, over steps from 1e-5 to half of the time."""
    schedule, eta = VP(), 0.6 if estimate == "x0" else 0.0
    t = np.array([0.9, 0.6, 0.59999, 0.55, 0.05])
    curve = Curve.of(schedule, t)
    adams = Adams(curve, one_stage(t), estimate, variable, eta)
    u = {"lambda": curve.lam, "rho": curve.rho, "tau": curve.tau, "t": curve.t}[variable]

    def variable_at(lam: float) -> float:
        there = float(schedule.t_of(torch.tensor(2 * lam, dtype=torch.float64)))
        return {"lambda": lam, "rho": math.exp(-lam), "tau": 1 / (1 + math.exp(lam)), "t": there}[variable]

    def kernel(lam: float) -> float:
        if estimate == "x0":
            return curve.sigma[i] * (1 + eta) * math.exp(-eta * (curve.lam[i] - lam)) * math.exp(lam)
        if estimate == "eps":
            return -curve.alpha[i] * math.exp(-lam)
        return -(curve.alpha[i] + curve.sigma[i]) * math.exp(lam) / (1 + math.exp(lam)) ** 2

    for i in (2, 3, 4):
        nodes = [j for j in range(i - 1, -1, -1)][:3]
        row = adams.row(i, 3)
        for j, b in zip(nodes, row.b, strict=True):

            def integrand(lam: float, j: int = j, nodes: list[int] = nodes) -> float:
                others = [n for n in nodes if n != j]
                return kernel(lam) * math.prod((variable_at(lam) - u[n]) / (u[j] - u[n]) for n in others)

            exact = quad(integrand, curve.lam[i - 1], curve.lam[i], epsabs=1e-14, epsrel=1e-13, limit=200)[0]
            scale = np.abs(row.b).max()
            assert b == pytest.approx(exact, abs=2e-12 * max(scale, 1))


def test_quadrature_of_tiny_and_huge_widths():
    """int_0^w y^k e^-y dy, whose closed form is the lower incomplete gamma function."""
    for width in (1e-12, 1e-6, 0.3, 1.0, 7.7, 50.0):
        y, dy = quadrature(width)
        assert (dy @ np.exp(-y)) == pytest.approx(-math.expm1(-width), rel=1e-14)
        for k in (1, 2, 3):
            exact = float(
                torch.special.gammainc(
                    torch.tensor(k + 1.0, dtype=torch.float64), torch.tensor(width, dtype=torch.float64)
                )
            )
            assert (dy @ (y**k * np.exp(-y))) == pytest.approx(exact * math.factorial(k), rel=1e-12, abs=1e-300)


def test_steps_in_log_snr_of_any_size_keep_their_closed_form():
    """Order 2 in lambda: b_1 = -alpha_s (h - 1 + e^-h) / (h r), with h from 1e-8 to 60."""
    for h in (1e-8, 1e-4, 1.0, 20.0, 60.0):
        schedule = EDM(1e30)
        lam = np.array([-60.0, -59.0, -59.0 + h])
        t = schedule.t_of(torch.from_numpy(2 * lam)).numpy()
        curve = Curve.of(schedule, t)
        row = Adams(curve, one_stage(t), "x0", "lambda").row(2, 2)
        h = curve.lam[2] - curve.lam[1]
        first = h * h / 2 - h**3 / 6 if h < 1e-3 else h + math.expm1(-h)
        assert row.b[1] == pytest.approx(-first / (curve.lam[1] - curve.lam[0]), rel=1e-7, abs=1e-15)
        assert sum(row.b) == pytest.approx(-math.expm1(-h), rel=1e-12)


# Exactness.


def exact_step(sampler: TableSampler, schedule: Schedule, value, t: float, s: float, x: float) -> float:
    """The solution from x at t to s, for an estimate that is value(lambda), by quadrature of its own."""
    (alpha_t, alpha_s), (sigma_t, sigma_s), (start, stop) = at(schedule, [t, s])
    eta, estimate = getattr(sampler, "eta", 0.0), sampler.exactness.estimate
    points, weights = np.polynomial.legendre.leggauss(60)
    lam, weights = (start + stop) / 2 + (stop - start) / 2 * points, weights * (stop - start) / 2
    if estimate == "x0":
        kernel = sigma_s * (1 + eta) * np.exp(lam - eta * (stop - lam))
        return sigma_s / sigma_t * np.exp(-eta * (stop - start)) * x + (weights * kernel) @ value(lam)
    if estimate == "eps":
        return alpha_s / alpha_t * (x - 0) - alpha_s * (weights * np.exp(-lam)) @ value(lam)
    unit_t, unit_s = alpha_t + sigma_t, alpha_s + sigma_s
    return unit_s / unit_t * x - unit_s * (weights * np.exp(lam) / (1 + np.exp(lam)) ** 2) @ value(lam)


@pytest.mark.parametrize("sampler", [*EXACT, *[s for s in NOISY if s.exactness]], ids=name_of)
@pytest.mark.parametrize("schedule", [VP(), Cosine()], ids=name_of)
def test_polynomials_are_integrated_exactly(sampler, schedule):
    """Every warm row that ends a step, from exact states, up to the degree that is stated; the corrector's has one more."""
    estimate, variable, degree = sampler.exactness
    if isinstance(sampler, UniPC) and sampler.corrector:
        degree += 1
    for grid in (UniformGrid(0.98), Wild()):
        plan = replace(sampler, steps=15, grid=grid).plan({"x": Gaussian(schedule, V())})
        times = np.array([row.stage.time for row in plan.rows])
        alpha, sigma, lam = at(schedule, times)
        finite = lam[np.isfinite(lam)]

        def u(x, schedule=schedule):
            there = schedule.t_of(torch.as_tensor(2 * x, dtype=torch.float64)).numpy()
            return {"lambda": x, "rho": np.exp(-x), "tau": 1 / (1 + np.exp(x)), "t": there}[variable]

        low, high = sorted(u(np.array([finite.min(), finite.max()])))

        def value(x, low=low, high=high, u=u):
            return (2 * (u(x) - low) / (high - low) - 1) ** degree

        def ask(i, t, x, alpha=alpha, sigma=sigma, lam=lam, value=value):
            if estimate == "x0":
                return value(lam[i])
            return (x - sigma[i] * value(lam[i])) / (alpha[i] if estimate == "eps" else alpha[i] + sigma[i])

        ends = [i for i, row in enumerate(plan.rows) if row.stage.end]
        exact = {0: 0.3}
        for before, i in pairwise(ends[:-1]):
            exact[i] = exact_step(sampler, schedule, value, times[before], times[i], exact[before])
        for number, i in enumerate(ends[:-4]):
            if number < 5:
                continue
            states = walk(plan, 0.3, ask, settle=lambda j, i=i, exact=exact: exact.get(j) if j < i else None)
            scale = max(abs(exact[i]), 1.0, np.abs(plan.rows[i].fields["x"].b).sum())
            assert states[i] == pytest.approx(exact[i], abs=1e-12 * scale), (number, grid)


def test_the_published_third_order_weighs_a_difference_as_a_derivative():
    """Of x_0 = (lambda - lambda_t)^2 it keeps exactly half."""
    schedule = VP()
    grid = LogSNRGrid(0.01, 30.0)
    published, exact = (
        DPMpp(9, order=3, exact=e, grid=grid).plan({"x": Gaussian(schedule, V())}) for e in (False, True)
    )
    lam = at(schedule, [row.stage.time for row in exact.rows])[2]
    for i in range(3, 8):
        square = (lam[[i - 1, i - 2, i - 3]] - lam[i - 1]) ** 2
        line = lam[[i - 1, i - 2, i - 3]] - lam[i - 1]
        ours, theirs = np.array(exact.rows[i].fields["x"].b), np.array(published.rows[i].fields["x"].b)
        assert ours @ line == pytest.approx(theirs @ line, rel=1e-12)
        assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-12)
        assert theirs @ square == pytest.approx(ours @ square / 2, rel=1e-10)


# Orders.

MEANS, STDS = np.array([-1.0, 0.5, 1.2]), np.array([0.5, 0.6, 0.5])
WEIGHTS = np.array([0.25, 0.5, 0.25])
DRAWS = np.linspace(-2.2, 2.3, 9)


def mixture_x0(alpha: float, sigma: float, x: np.ndarray) -> np.ndarray:
    """E[x_0 | x_t] for a mixture on a line."""
    var = (alpha * STDS) ** 2 + sigma**2
    residual = x[:, None] - alpha * MEANS
    log = np.log(WEIGHTS) - residual**2 / (2 * var) - np.log(var) / 2
    share = np.exp(log - log.max(1, keepdims=True))
    return (share * (MEANS + alpha * STDS**2 / var * residual)).sum(1) / share.sum(1)


def flow_in_lambda(schedule: Schedule, start: float, stop: float):
    """x / sigma along the probability flow as a function of lambda, d(x / sigma) = e^lambda x_0 d lambda, to 1e-12."""

    def scales(lam: float) -> tuple[float, float]:
        alpha, sigma, _ = at(schedule, schedule.t_of(torch.tensor(2 * lam, dtype=torch.float64)))
        return float(alpha), float(sigma)

    def slope(lam: float, z: np.ndarray) -> np.ndarray:
        alpha, sigma = scales(lam)
        return math.exp(lam) * mixture_x0(alpha, sigma, sigma * z)

    return solve_ivp(slope, (start, stop), DRAWS, "DOP853", rtol=1e-12, atol=1e-13, dense_output=True).sol


@pytest.fixture(scope="module")
def solutions():
    found = {}
    for schedule in (VP(), Rectified()):
        lam = at(schedule, [0.98, 0.02])[2]
        found[type(schedule).__name__] = (schedule, flow_in_lambda(schedule, *lam))
    return found


def errors_of(sampler: TableSampler, schedule: Schedule, solution, counts: tuple[int, ...]) -> list[float]:
    """At the last time above 0, with the exact states in the first four steps."""
    errors = []
    for n in counts:
        plan = replace(sampler, steps=n, grid=Open()).plan({"x": Gaussian(schedule, V())})
        plan = replace(plan, rows=plan.rows[:-1])
        alpha, sigma, lam = at(schedule, [row.stage.time for row in plan.rows])
        ends = [i for i, row in enumerate(plan.rows) if row.stage.end]

        def settle(i, sigma=sigma, lam=lam, warm=ends[4]):
            return sigma[i] * solution(lam[i]) if i <= warm else None

        def ask(i, t, x, alpha=alpha, sigma=sigma):
            return mixture_x0(alpha[i], sigma[i], x)

        last = walk(plan, sigma[0] * DRAWS, ask, settle)[-1]
        errors.append(float(np.sqrt(np.mean((last - sigma[-1] * solution(lam[-1])) ** 2))))
    return errors


@pytest.mark.parametrize("sampler", [*EXACT, *OTHERS], ids=name_of)
def test_orders_of_convergence(sampler, solutions):
    """At least the stated order over three doublings, and nothing that is of a higher one claims less than it has."""
    names = ["VP"] if not isinstance(sampler, (DEIS, LMS)) else ["VP", "Rectified"]
    for name in names:
        counts = (80, 160, 320, 640) if sampler.convergence > 2 else (40, 80, 160, 320)
        errors = errors_of(sampler, *solutions[name], counts)
        slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert slope >= sampler.convergence - 0.2, f"{name}: {slope:.2f}, {errors}"
        assert slope <= sampler.convergence + 0.5, f"{name}: {slope:.2f}, {errors}"


def test_fixed_weights_lose_their_order_on_unequal_steps(solutions):
    """iPNDM: order 2 on equal steps in log SNR, 4 on equal steps of rho; LMS is of order 4 on both."""

    @dataclass(frozen=True)
    class EqualInRho(Grid):
        def times(self, steps: int, schedule: Schedule) -> np.ndarray:
            high, low = np.exp(-at(schedule, [0.5, 0.02])[2])
            rho = torch.linspace(high, low, steps, dtype=torch.float64)
            return np.append(schedule.t_of(-2 * rho.log()).numpy(), 0.0)

    schedule = Rectified()
    rows = [
        s.plan({"x": Gaussian(schedule, V())}).rows
        for s in (PNDM(30, start="ramp", grid=EqualInRho()), LMS(30, grid=EqualInRho()))
    ]
    for i in range(4, 30):
        np.testing.assert_allclose(rows[0][i].fields["x"].b, rows[1][i].fields["x"].b, rtol=1e-9)
    _, solution = solutions["Rectified"]
    for sampler, order in ((PNDM(start="ramp"), 2), (LMS(), 4)):
        errors = errors_of(sampler, schedule, solution, (160, 320))
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_deis_does_not_lose_digits_with_many_steps(solutions):
    """The error keeps falling from 80 to 640 steps, where closed forms in differences of logarithms have long cancelled."""
    for variable in ("t", "rho", "log_rho"):
        for name in ("VP", "Rectified"):
            errors = np.array(errors_of(DEIS(order=3, variable=variable), *solutions[name], (80, 160, 320, 640)))
            assert (errors[:-1] / errors[1:] > 6).all(), (variable, errors)


# Noise.


def moments(plan: Plan, schedule: Schedule, mean: float, var: float) -> np.ndarray:
    """How much of (1, start, noises...) each row holds, from the exact marginal of N(mean, var) on, with its exact denoiser."""
    alpha, sigma, _ = at(schedule, [row.stage.time for row in plan.rows])
    x = np.zeros(2 + len(plan.rows))
    x[:2] = alpha[0] * mean, math.hypot(alpha[0] * math.sqrt(var), sigma[0])
    one, base, memory, out, step = np.eye(len(x))[0], x, [], [], 2
    for i, row in enumerate(plan.rows):
        k = row.fields["x"]
        if i:
            x = k.a * base + sum(b * m for b, m in zip(k.b, memory, strict=False))
            x[step] += sum(k.c)  # one noise a step, the same in all of its rows
        if row.stage.denoise:
            gain = alpha[i] * var / (alpha[i] ** 2 * var + sigma[i] ** 2)
            p, q = k.remember
            memory.insert(0, p * x + q * (mean * one + gain * (x - alpha[i] * mean * one)))
        if row.stage.end:
            base, step = x, step + 1
        out.append(x)
    return np.array(out)


@pytest.mark.parametrize("sampler", NOISY, ids=name_of)
def test_moments_converge_with_the_stated_order(sampler):
    """Of Gaussian data; with noise none is of an order above 2, however many estimates it takes."""
    schedule, mean, var = VP(), 0.4, 0.36
    errors = []
    for n in (40, 80, 160, 320):
        plan = replace(sampler, steps=n, grid=Open()).plan({"x": Gaussian(schedule, V())})
        found = moments(plan, schedule, mean, var)[-2]
        alpha, sigma, _ = at(schedule, 0.02)
        errors.append(
            math.hypot(found[0] - alpha * mean, np.linalg.norm(found[1:]) - math.hypot(alpha * math.sqrt(var), sigma))
        )
    slope = -np.polyfit(np.log((40, 80, 160, 320)), np.log(errors), 1)[0]
    assert slope >= sampler.convergence - 0.2, errors
    if sampler.convergence == 2 and sampler.eta == 1:
        assert np.log2(errors[-2] / errors[-1]) < 3, errors


@pytest.mark.parametrize("schedule", [*SCHEDULES, DARK], ids=name_of)
def test_rows_give_a_point_mass_its_mean_and_deviation(schedule):
    """At 1, 2, 3, 6 and 20 steps: alpha_t c + sigma_t noise in every row, and so c at the end.

    In the dark, where alpha grows a hundredfold a step, forms in eps multiply x by it, and extrapolation in tau weighs by 1e5:
    both lose the digits of that.
    """
    atol = 1e-3 if schedule == DARK else 1e-9
    for sampler in [*EXACT, *OTHERS, *NOISY]:
        for steps in (1, 2, 3, 6, 20):
            grid = KarrasGrid(0.01, 40.0) if steps in (2, 6) else UniformGrid()
            plan = replace(sampler, steps=steps, grid=grid).plan({"x": Gaussian(schedule, V())})
            alpha, sigma, _ = at(schedule, [row.stage.time for row in plan.rows])
            start = np.array([alpha[0], sigma[0]])
            states = walk(plan, start, lambda i, t, x: np.array([1.0, 0.0]))  # of (c, the noise of the start)
            fresh, before = 0.0, 0.0  # the deviation of all other noise, which only the base brings along
            for row, state, a, s in zip(plan.rows, states, alpha, sigma, strict=True):
                k = row.fields["x"]
                fresh = math.hypot(sum(k.c), k.a * before)
                found = (state[0], math.hypot(state[1], fresh))
                assert found == pytest.approx((a, s), rel=1e-9, abs=atol * max(sigma[0], 1)), (
                    sampler,
                    steps,
                    row.stage,
                )
                before = fresh if row.stage.end else before


def test_predictor_and_corrector_share_the_noise():
    plan = SASolver(6, eta=0.7).plan({"x": Gaussian(VP(), V())})
    pairs = [(plan.rows[i].fields["x"].c, plan.rows[i + 1].fields["x"].c) for i in range(1, len(plan.rows) - 1, 2)]
    assert len(pairs) == 5
    assert all(p == c and len(p) == 1 for p, c in pairs)


def test_sde_of_order_one_is_ancestral_sampling():
    for schedule in SCHEDULES:
        ours, theirs = (s.plan({"x": Gaussian(schedule, V())}) for s in (DPMpp(9, order=1, eta=1.0), DDPM(9)))
        for a, b in zip(ours.rows, theirs.rows, strict=True):
            a, b = a.fields["x"], b.fields["x"]
            np.testing.assert_allclose(
                [a.a, *a.b, *a.c], [b.a, *b.b, *b.c][: 1 + len(a.b) + len(a.c)], rtol=1e-7, atol=1e-12
            )


# The same method by two names, and the ends.


def rows_of(sampler: TableSampler, schedule: Schedule) -> list[list[float]]:
    plan = sampler.plan({"x": Gaussian(schedule, V())})
    return [[k.a, *k.b, *k.c, *k.remember] for k in (row.fields["x"] for row in plan.rows)]


def test_one_method_by_several_names():
    for schedule in (VP(), Rectified(), Cosine()):
        for order in (1, 2, 3, 4):
            assert rows_of(LMS(9, order=order), schedule) == rows_of(DEIS(9, order=order, variable="rho"), schedule)
        exact = rows_of(DPMSolver(9, order=3, exact=True), schedule)
        assert exact[:-2] == rows_of(DEIS(9, order=3, variable="log_rho"), schedule)[:-2]
        unip = rows_of(UniPC(9, order=3, corrector=False), schedule)
        assert unip[4:-2] == rows_of(DPMpp(9, order=3, exact=True), schedule)[4:-2]
        for ours, theirs in zip(unip[:3], rows_of(DPMpp(9, order=2), schedule)[:3], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # bh2 of order 2 is the midpoint rule
        adams = rows_of(SASolver(9, predictor=3, corrector=0, eta=0.0), schedule)
        assert adams == rows_of(DPMpp(9, order=3, exact=True), schedule)


def test_adams_bashforth_of_flow_matching():
    """On the rectified schedule from pure noise to data: the textbook's weights for equal steps, and x is not scaled."""
    rows = LMS(6, order=4, coordinates="flow").plan({"x": Gaussian()}).rows
    textbook = {1: (1,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}
    for i in range(1, 7):
        k = rows[i].fields["x"]
        assert k.a == pytest.approx(1)
        np.testing.assert_allclose(k.b, [-w / 6 for w in textbook[min(i, 4)]], rtol=1e-11)


def test_the_last_step_keeps_the_order_of_what_is_finite_there():
    """sum_j b_j u_j^k = -u_t^(k + 1) / (k + 1), u = rho or tau, for every k below the order."""
    for schedule in (VP(), Rectified(), VE()):
        for sampler in (LMS(9), LMS(9, coordinates="flow"), DEIS(9, order=4, variable="rho")):
            plan = sampler.plan({"x": Gaussian(schedule, V())})
            curve = Curve.of(schedule, [row.stage.time for row in plan.rows])
            u = curve.tau if sampler.exactness.variable == "tau" else curve.rho
            b = np.array(plan.rows[-1].fields["x"].b)
            for k in range(4):
                scale = np.abs(b) @ u[[8, 7, 6, 5]] ** k
                assert b @ u[[8, 7, 6, 5]] ** k == pytest.approx(-(u[8] ** (k + 1)) / (k + 1), abs=1e-12 * scale)


def test_orders_rise_and_fall_with_the_steps_behind_and_ahead():
    """How many estimates each step weighs."""

    def counts(sampler: TableSampler, schedule: Schedule | None = None) -> list[int]:
        plan = sampler.plan({"x": Gaussian(schedule or VP(), V())})
        return [len(row.fields["x"].b) for row in plan.rows[1:]]

    assert counts(DPMpp(6, order=3)) == [1, 2, 3, 3, 2, 1]
    assert counts(DPMpp(6, order=3), Rectified()) == [1, 1, 2, 3, 2, 1]  # nothing is known of x_0 at alpha = 0
    assert counts(LMS(6, order=3)) == [1, 2, 3, 3, 3, 3]
    assert counts(LMS(6, order=3), Rectified()) == [1, 1, 2, 3, 3, 3]
    assert counts(LMS(6, order=3, coordinates="flow"), Rectified()) == [1, 2, 3, 3, 3, 3]
    assert counts(UniPC(5, order=3)) == [1, 2, 2, 3, 3, 4, 2, 3, 1]
    assert counts(SASolver(5, predictor=3, corrector=2)) == [1, 2, 2, 2, 3, 2, 2, 2, 1]
    assert counts(DPMpp(2, order=3)) == [1, 1]
    assert counts(UniPC(1, order=3)) == counts(PNDM(1)) == counts(SASolver(1)) == [1]


def test_a_field_without_signal_waits_for_a_clock_that_has_some():
    """Heun's first step is the clock's; a rectified field takes it from x_0 at t = 1, past what was asked between."""
    rows = PNDM(5).plan({"clock": Gaussian(VP(), V()), "x": Gaussian()}).rows
    assert [row.stage.end for row in rows[:3]] == [True, False, True]
    assert rows[1].fields["x"].b == pytest.approx((0.2,))
    assert rows[2].fields["x"].b == pytest.approx((0.0, 0.2))
    assert rows[0].fields["x"].remember == (0.0, 1.0)


def test_the_first_corrector_from_pure_noise_is_a_trapezium():
    """UniPC at h = infinity: the limit of bh2, where exact weights would forget the estimate at noise."""
    for variant in ("bh1", "bh2"):
        row = UniPC(5, variant=variant).plan({"x": Gaussian()}).rows[2].fields["x"]
        assert row.a == pytest.approx(0.8)
        assert row.b == pytest.approx((0.1, 0.1))


def test_bh1_and_bh2_are_the_same_but_for_two_estimates():
    bh1, bh2 = (rows_of(UniPC(8, order=3, variant=v), VP()) for v in ("bh1", "bh2"))
    differ = [i for i, (a, b) in enumerate(zip(bh1, bh2, strict=True)) if not np.allclose(a, b, rtol=1e-9)]
    assert differ == [2, 3, 13]  # the first corrector, the second predictor, the predictor before the last


def test_memory_is_that_of_one_history():
    for sampler in (UniPC(20, order=3), SASolver(20), DPMpp(20, order=3), LMS(20), PNDM(20)):
        assert sampler.plan({"x": Gaussian(VP(), V())}).memory <= 5


def test_names_stand_in_the_registry_with_their_derived_order():
    for name in NAMES:
        entry = registry.TABLE["sampler"][name]
        sampler = registry.class_of("sampler", name)(**entry.options)
        assert entry.facts["order"] == str(sampler.convergence)
        assert entry.facts["calls"] == str(sampler.calls)
        assert (entry.facts["noise"] == "eta") == hasattr(sampler, "eta")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: DPMpp(order=4), "order must be 1, 2 or 3, found 4"),
        (lambda: DPMpp(order=True), "found True"),
        (lambda: DPMpp(order=2.0), "found 2.0"),
        (lambda: DPMpp(eta=None), "found None"),
        (lambda: DPMpp(order=1, exact=True), "exact=True does nothing"),
        (lambda: DPMpp(eta=1.5), "eta must be in"),
        (lambda: DPMSolver(order=0), "1, 2 or 3, found 0"),
        (lambda: DPMSolver(order=1, exact=True), "exact=True does nothing"),
        (lambda: UniPC(order=5), "1, 2, 3 or 4, found 5"),
        (lambda: UniPC(variant="bh3"), "bh1 or bh2, found 'bh3'"),
        (lambda: UniPC(variant="bh1", order=4, corrector=False, steps=0), "steps must be a whole number"),
        (lambda: SASolver(predictor=0), "predictor must be 1, 2, 3 or 4"),
        (lambda: SASolver(corrector=-1), "corrector must be 0, 1, 2, 3 or 4"),
        (lambda: SASolver(eta=-0.1), "eta must be in"),
        (lambda: DEIS(variable="sigma"), "t, rho or log_rho"),
        (lambda: DEIS(order=5), "found 5"),
        (lambda: LMS(coordinates="lambda"), "sigma or flow"),
        (lambda: PNDM(start="rk"), "ramp or heun"),
        (lambda: PNDM(order=1), "take start=ramp"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
