"""Tables of samplers: what each row keeps, what it integrates exactly, how fast it converges, and who agrees."""

import math
from itertools import pairwise
from typing import Literal, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from ornstein.core import registry, schedules
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import (
    DDIM,
    DDPM,
    DPMpp,
    Euler,
    Grid,
    Heun,
    KarrasGrid,
    LogSNRGrid,
    Plan,
    Sampler,
    UniformGrid,
)
from ornstein.core.schedules import VE, VP, LinearBeta, Rectified, Schedule

CLASSES = [registry.class_of("sampler", name) for name in registry.TABLE["sampler"]]
GRIDS = [registry.class_of("grid", name)() for name in registry.TABLE["grid"]]
SCHEDULES = [registry.class_of("schedule", name)() for name in registry.TABLE["schedule"]]


def variants() -> list[tuple[type[Sampler], dict]]:
    """Every sampler with every choice that its signature lists, and eta at both ends and between."""
    found = []
    for cls in CLASSES:
        choices = [{}]
        for name, hint in get_type_hints(cls).items():
            values = (0.0, 0.3, 1.0) if name == "eta" else getattr(hint, "__args__", None)
            if values and get_origin(hint) in (Literal, None):
                choices = [{**c, name: v} for c in choices for v in values]
        found += [(cls, c) for c in choices]
    return found


VARIANTS = variants()
each = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join([v[0].__name__, *map(str, v[1].values())]))


def plans(variant, schedule: Schedule, steps: int):
    cls, options = variant
    process = Gaussian(schedule, V())
    for grid in GRIDS:
        divides = options.get("coordinates") == "sigma" and schedule.ends_at_noise
        if divides and isinstance(grid, UniformGrid):
            continue  # refused, as tested below
        yield cls(steps=steps, grid=grid, **options).plan({"x": process})


def contents(plan: Plan, schedule: Schedule, x0) -> np.ndarray:
    """(rows, 2 + noises): how much of (1, prior noise, noises...) the state of each row holds, by the rule of `plan.py`.

    `x0(t, state)` is the denoiser, in the same coordinates.
    """
    width = 2 + sum(len(row.fields["x"].c) for row in plan.rows)
    state, noises = np.zeros(width), 2
    state[1] = float(schedule.sigma(torch.tensor(plan.rows[0].stage.time, dtype=torch.float64)))
    base, memory, out = state, [], []
    for i, row in enumerate(plan.rows):
        k = row.fields["x"]
        if i:
            state = k.a * base + sum((b * m for b, m in zip(k.b, memory, strict=False)), np.zeros(width))
            state[noises : noises + len(k.c)] += k.c
            noises += len(k.c)
        if row.stage.denoise:
            p, q = k.remember
            memory.insert(0, p * state + q * x0(row.stage.time, state))
        if row.stage.end:
            base = state
        out.append(state)
    return np.array(out)


def one(width: int) -> np.ndarray:
    return np.eye(width)[0]


@each
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_rows_keep_the_marginals_of_a_point_mass(variant, schedule):
    """With x_0 known for sure, every row holds alpha_t of it and noise of variance sigma_t^2, at any number of steps."""
    count = 0
    for steps in (1, 2, 3, 8, 20):
        for plan in plans(variant, schedule, steps):
            t = torch.tensor([row.stage.time for row in plan.rows], dtype=torch.float64)
            table = contents(plan, schedule, lambda _, state: one(len(state)))
            assert plan.rows[-1].stage.time == 0
            # the prior's mean is taken as 0, so the alpha_T of data that it lacks shrinks with sigma
            lacking = float(schedule.alpha(t[0]) / schedule.sigma(t[0])) * schedule.sigma(t).numpy()
            if plan.stochastic:
                lacking = table[:, 1] / float(schedule.sigma(t[0])) * float(schedule.alpha(t[0]))
            np.testing.assert_allclose(table[:, 0], schedule.alpha(t).numpy() - lacking, rtol=0, atol=1e-9)
            std = np.sqrt((table[:, 1:] ** 2).sum(1))
            np.testing.assert_allclose(std, schedule.sigma(t), rtol=1e-9, atol=1e-9)
            assert np.isfinite(table).all()
            count += 1
    assert count >= 5


@each
def test_the_number_of_calls_is_what_the_class_says(variant):
    cls, options = variant
    for steps in (1, 2, 7):
        plan = cls(steps=steps, grid=KarrasGrid(), **options).plan({"x": Gaussian()})
        assert plan.evaluations == cls(**options).calls * (steps - 1) + 1
        assert plan.stochastic == (cls is DDPM or options.get("eta", 0) > 0) or steps == 1


@each
def test_rows_move_a_categorical_field_alone_too(variant):
    """Without a Gaussian field the plan is times alone."""
    cls, options = variant
    plan = cls(steps=5, **options).plan({})
    ends = [row.stage.time for row in plan.rows if row.stage.end]
    np.testing.assert_allclose(ends, [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-12)
    assert all(not row.fields for row in plan.rows)


def test_ancestral_is_ddim_with_all_its_noise():
    for schedule in SCHEDULES:
        one_, other = (s.plan({"x": Gaussian(schedule, V())}) for s in (DDPM(9), DDIM(9, eta=1.0)))
        assert one_.rows == other.rows


def test_ancestral_rows_are_those_of_the_paper():
    """Ho et al. 2020, equation 7, in betas, at all 1,000 steps."""
    schedule = LinearBeta()
    rows = DDPM(1000).plan({"x": Gaussian(schedule, V())}).rows[1:]
    beta = np.linspace(1e-4, 0.02, 1000)[::-1]
    bar = np.cumprod(1 - beta[::-1])[::-1]
    before = np.append(bar[1:], 1.0)
    of_x = np.sqrt(1 - beta) * (1 - before) / (1 - bar)
    of_x0 = np.sqrt(before) * beta / (1 - bar)
    std = np.sqrt((1 - before) / (1 - bar) * beta)
    np.testing.assert_allclose([r.fields["x"].a for r in rows], of_x, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([r.fields["x"].b[0] for r in rows], of_x0, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([sum(r.fields["x"].c) for r in rows], std, rtol=1e-6, atol=1e-9)


def test_euler_of_flow_matching_and_heun_in_t():
    """On the rectified schedule x_s = x + (s - t) flow, and Heun takes the mean of the flows at both ends."""
    rows = Euler(4).plan({"x": Gaussian()}).rows
    for before, row in pairwise(rows):
        t, s = before.stage.time, row.stage.time
        # flow = (x - x0) / t, as eps - x0 with eps = (x - (1 - t) x0) / t
        assert row.fields["x"].a == pytest.approx(1 + (s - t) / t)
        assert row.fields["x"].b[0] == pytest.approx(-(s - t) / t)
    rows = Heun(4).plan({"x": Gaussian()}).rows
    for row in rows[:-1]:
        assert row.fields["x"].remember == pytest.approx((1 / row.stage.time, -1 / row.stage.time))
    assert [row.fields["x"].b for row in rows[1:]] == [
        pytest.approx(b) for b in [(-0.25,), (-0.125, -0.125)] * 3 + [(-0.25,)]
    ]
    assert all(row.fields["x"].a == pytest.approx(1) for row in rows)


@pytest.mark.parametrize("schedule", [VP(), Rectified(), VE()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("grid", [LogSNRGrid(), KarrasGrid()], ids=lambda g: type(g).__name__)
def test_multistep_integrates_x0_that_is_constant_or_linear_in_log_snr(schedule, grid):
    """The exact step is (sigma_s / sigma_t) x + sigma_s int e^l x_0(l) dl.

    A constant is exact. Of a linear x_0 the published "2M" keeps the value at the middle of the step times the integral of the
    weight, alpha_s (1 - e^-h) (lambda_t + h / 2), which is off by alpha_s h^3 / 12 + O(h^4): order 2, though not exact.
    """
    plan = DPMpp(12, order=2, grid=grid).plan({"x": Gaussian(schedule, V())})
    t = torch.tensor([row.stage.time for row in plan.rows], dtype=torch.float64)
    alpha, lam = schedule.alpha(t).numpy(), schedule.log_snr(t).numpy() / 2
    for i in range(1, len(plan.rows) - 1):
        k, h = plan.rows[i].fields["x"], lam[i] - lam[i - 1]
        assert sum(k.b) == pytest.approx(alpha[i] * -math.expm1(-h), rel=1e-9)
        if i == 1:
            assert len(k.b) == 1
            continue
        kept = k.b[0] * lam[i - 1] + k.b[1] * lam[i - 2]
        assert kept == pytest.approx(alpha[i] * -math.expm1(-h) * (lam[i - 1] + h / 2), rel=1e-9)
        exact = alpha[i] * (lam[i] - 1 - math.exp(-h) * (lam[i - 1] - 1))
        assert abs(kept - exact) == pytest.approx(alpha[i] * h**3 / 12, rel=h)
    last = plan.rows[-1].fields["x"]
    assert (last.a, last.b) == (0, (1,))


@each
def test_moments_of_a_gaussian_converge(variant):
    """Exact propagation of N(0.4, 0.6^2) through the table: the final mean and standard deviation approach the data's."""
    cls, options = variant
    schedule, mean, var = VP(), 0.4, 0.36

    def x0(t, state):
        at = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = float(schedule.alpha(at)), float(schedule.sigma(at))
        gain = alpha * var / (alpha**2 * var + sigma**2)
        return mean * one(len(state)) + gain * (state - alpha * mean * one(len(state)))

    errors = []
    for steps in (20, 40, 80, 160):
        final = contents(cls(steps=steps, **options).plan({"x": Gaussian(schedule, V())}), schedule, x0)[-1]
        errors.append(math.hypot(final[0] - mean, math.sqrt((final[1:] ** 2).sum()) - math.sqrt(var)))
    assert errors[-1] < 0.03
    assert -np.polyfit(np.log([20, 40, 80, 160]), np.log(errors), 1)[0] > 0.7


# Grids and refusals.


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: type(g).__name__)
def test_grids_fall_to_zero_and_are_spaced_as_they_say(grid):
    for schedule in SCHEDULES:
        for steps in (1, 2, 3, 50):
            t = grid.checked(steps, schedule)
            assert len(t) == steps + 1
        noise = np.exp(-schedule.log_snr(torch.from_numpy(t[:-1])).numpy() / 2)
        spaced = {"UniformGrid": t, "KarrasGrid": noise ** (1 / 7), "LogSNRGrid": np.log(noise)}[type(grid).__name__]
        np.testing.assert_allclose(np.diff(spaced), np.diff(spaced)[0], rtol=1e-6)
        if type(grid) is not UniformGrid:
            assert noise[-1] == pytest.approx(0.002, rel=1e-6)
            assert noise[0] <= 80 * (1 + 1e-9)


class Rising(Grid):
    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        return np.linspace(0.0, 1.0, steps + 1)


class Resting(Grid):
    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        return np.append(np.full(steps, 0.5), 0.0)


def test_a_uniform_grid_may_start_later():
    np.testing.assert_allclose(UniformGrid(0.6).times(3, Rectified()), [0.6, 0.4, 0.2, 0])


@pytest.mark.parametrize(
    ("build", "words"),
    [(lambda s=s: DDIM(s), f"whole number of at least 1, found {s!r}") for s in (0, -1, 2.5, True, "ten", math.nan, math.inf)]
    + [
        (lambda: DDIM(5, eta=1.5), "eta must be in"),
        (lambda: DDIM(5, eta=-0.1), "eta must be in"),
        (lambda: DPMpp(5, order=3), "order must be 1 or 2, found 3"),
        (lambda: Heun(5, coordinates="lambda"), "flow or sigma"),
        (lambda: UniformGrid(0.0), "start must be in"),
        (lambda: KarrasGrid(sigma_min=0), "0 < sigma_min"),
        (lambda: LogSNRGrid(sigma_min=2, sigma_max=1), "sigma_min < sigma_max"),
        (lambda: DDIM(5, grid=Rising()).plan({}), "Rising with 5 steps does not fall"),
        (lambda: DDIM(5, grid=Resting()).plan({}), "Resting with 5 steps does not fall"),
        (lambda: DDIM(5, grid=KarrasGrid(1.0)).plan({"x": Gaussian(schedules.EDM(0.5), V())}), "sigma_min=1.0 is not below"),
        (lambda: Heun(5, coordinates="sigma").plan({"x": Gaussian()}), "divide by alpha"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_sigma_coordinates_look_at_the_times_that_are_used():
    """The clock is the first field's: with a VP clock the Karras grid starts at t = 1, where a rectified field has no signal."""
    fields = {"a": Gaussian(VP(), V()), "b": Gaussian(Rectified(), V())}
    sampler = Heun(6, coordinates="sigma", grid=KarrasGrid(sigma_max=1e4))
    with pytest.raises(ValueError, match="divide by alpha"):
        sampler.plan(fields)
    assert np.isfinite([r.fields["a"].a for r in sampler.plan({"a": fields["a"]}).rows]).all()


def test_a_plan_can_be_read():
    text = str(DDPM(2).plan({"x": Gaussian()}))
    assert text.splitlines()[0].startswith("DDPM(steps=2")
    assert "t=0.500000" in text
    assert "c=+" in text
