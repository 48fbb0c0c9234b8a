"""Every sampler of the registry, with every choice that its signature lists, keeps every rule; and what some are."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from ornstein.core import registry, verify
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
    Sampler,
    TableSampler,
    UniformGrid,
)
from ornstein.core.schedules import VE, VP, LinearBeta, Rectified, Schedule, Trigonometric
from ornstein.core.verification import rules_of
from ornstein.core.verification.orders import order_holds_at_another_fields_times
from ornstein.core.verification.report import report
from ornstein.core.verification.tables import Tried

ENTRIES = registry.TABLE["sampler"]
SCHEDULES = {name: registry.class_of("schedule", name)(**e.options) for name, e in registry.TABLE["schedule"].items()}
PRESETS = {name: registry.class_of("sampler", name)(**entry.options) for name, entry in ENTRIES.items()}


def variants() -> dict[Sampler, str]:
    """Each preset with another choice for one argument: a word or flag that its signature lists, or eta at 0, 0.3 and 1."""
    found: dict[Sampler, str] = {}
    for name, preset in PRESETS.items():
        for argument, hint in get_type_hints(type(preset)).items():
            listed = hint.__args__ if get_origin(hint) is Literal else (False, True) if hint is bool else ()
            for value in (0.0, 0.3, 1.0) if argument == "eta" else () if argument == "path" else listed:
                try:
                    found.setdefault(replace(preset, **{argument: value}), f"{name}-{argument}={value}")
                except ValueError:  # refused at construction, as the tests of its family show
                    continue
    return {sampler: name for sampler, name in found.items() if sampler not in PRESETS.values()}


@pytest.mark.parametrize("name", ENTRIES)
def test_presets_keep_every_rule(name):
    verify(PRESETS[name]).raise_if_failed()


@pytest.mark.parametrize(("sampler", "name"), [pytest.param(*v, id=v[1]) for v in variants().items()])
def test_variants_keep_every_rule(sampler, name):
    verify(sampler, schedules=[Rectified()]).raise_if_failed()


@pytest.mark.parametrize("name", SCHEDULES)
def test_tables_are_right_on_every_schedule(name):
    """By every rule but the one that brings its schedules along."""
    for sampler in (Heun(), DPMpp(eta=1.0)):
        rules = [rule for rule in rules_of(sampler) if rule is not order_holds_at_another_fields_times]
        report(sampler.describe(), rules, Tried(sampler, [SCHEDULES[name]])).raise_if_failed()


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if isinstance(preset, TableSampler)])
def test_facts_of_the_registry_are_those_of_the_class(name):
    preset, facts = PRESETS[name], ENTRIES[name].facts
    plan = replace(preset, steps=12, grid=KarrasGrid()).plan({"x": Gaussian(VP(), V())})
    assert facts["order"] in ("-", str(preset.convergence))
    assert facts["calls"] == str(preset.calls)
    switch = facts["noise"]
    assert plan.stochastic == (switch == "yes" or (switch != "no" and getattr(preset, switch) > 0))


def test_only_those_keep_no_marginals_whose_papers_do_not():
    """The large variance of DDPM, the scalings of LCM and Langevin steps without a predictor are only nearly right."""
    loose = {name for name, preset in PRESETS.items() if not getattr(preset, "keeps_marginals", True)}
    assert loose == {"ddpm_large", "lcm", "annealed_langevin"}


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if isinstance(preset, TableSampler)])
def test_rows_move_a_categorical_field_alone_too(name):
    """Without a Gaussian field the plan is times alone."""
    plan = replace(PRESETS[name], steps=5).plan({})
    ends = [row.stage.time for row in plan.rows if row.stage.end]
    assert ends[0] > ends[-1] == 0
    assert all(not row.fields for row in plan.rows)


def test_ancestral_is_ddim_with_all_its_noise():
    for schedule in SCHEDULES.values():
        one, other = (s.plan({"x": Gaussian(schedule, V())}) for s in (DDPM(9), DDIM(9, eta=1.0)))
        assert one.rows == other.rows


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
def test_published_multistep_takes_a_linear_x0_at_the_middle(schedule, grid):
    """The exact step is (sigma_s / sigma_t) x + sigma_s int e^l x_0(l) dl.

    Of a linear x_0 the published "2M" keeps the value at the middle of the step times the integral of the weight,
    alpha_s (1 - e^-h) (lambda_t + h / 2), which is off by alpha_s h^3 / 12 + O(h^4): order 2, though not exact.
    """
    plan = DPMpp(12, order=2, grid=grid).plan({"x": Gaussian(schedule, V())})
    t = torch.tensor([row.stage.time for row in plan.rows], dtype=torch.float64)
    alpha, lam = schedule.alpha(t).numpy(), schedule.log_snr(t).numpy() / 2
    for i in range(2, len(plan.rows) - 1):
        k, h = plan.rows[i].fields["x"], lam[i] - lam[i - 1]
        kept = k.b[0] * lam[i - 1] + k.b[1] * lam[i - 2]
        assert kept == pytest.approx(alpha[i] * -math.expm1(-h) * (lam[i - 1] + h / 2), rel=1e-9)
        exact = alpha[i] * (lam[i] - 1 - math.exp(-h) * (lam[i - 1] - 1))
        assert abs(kept - exact) == pytest.approx(alpha[i] * h**3 / 12, rel=h)
    last = plan.rows[-1].fields["x"]
    assert (last.a, *last.b) == pytest.approx((0, 1), abs=1e-12)


class Rising(Grid):
    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        return np.linspace(0.0, 1.0, steps + 1)


class Resting(Grid):
    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        return np.append(np.full(steps, 0.5), 0.0)


@pytest.mark.parametrize(
    ("build", "words"),
    [(lambda s=s: DDIM(s), f"whole number of at least 1, found {s!r}") for s in (0, -1, 2.5, True, "ten", math.nan, math.inf)]
    + [
        (lambda: DDIM(5, eta=1.5), "eta must be in"),
        (lambda: DDIM(5, eta=-0.1), "eta must be in"),
        (lambda: DPMpp(5, order=9), "order must be"),
        (lambda: Heun(5, coordinates="lambda"), "flow or sigma"),
        (lambda: DDIM(5, grid=Rising()).plan({}), "Rising with 5 steps does not fall"),
        (lambda: DDIM(5, grid=Resting()).plan({}), "Resting with 5 steps does not fall"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_a_plan_can_be_read():
    text = str(DDPM(2).plan({"x": Gaussian(Trigonometric(), V())}))
    assert text.splitlines()[0].startswith("DDPM(steps=2")
    assert "0.500000" in text


def test_a_uniform_grid_may_start_later():
    np.testing.assert_allclose(UniformGrid(0.6).times(3, Rectified()), [0.6, 0.4, 0.2, 0])
