"""The autopilot: its reference against closed forms, its measure against runs, its choice against hindsight."""

import itertools
import math
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from ornstein.core.autopilot import autopilot, measure, optimise_grid
from ornstein.core.autopilot.candidates import gather, local_error, registered_grids, registered_samplers
from ornstein.core.autopilot.optimise import shortest, step_costs
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.guidance import Guidance
from ornstein.core.oracle import FiniteSet, GaussianWorld, Mixture, point_mass
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import (
    DDIM,
    DDPM,
    LMS,
    DiscreteGrid,
    DPMpp,
    Euler,
    Heun,
    KarrasGrid,
    ListGrid,
    Pyramid,
    UniformGrid,
)
from ornstein.core.schedules import EDM, VE, VP, Cosine, Rectified, Trigonometric
from ornstein.core.state import Encoded, Field, Known, Layout


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def modes() -> Mixture:
    return Mixture(draws(8, 4, 4), torch.linspace(0.1, 0.4, 8), process=Gaussian(VP(), V()))


FEW = {"ddim": DDIM(), "dpmpp_2m": DPMpp(), "lms": LMS(coordinates="flow", order=2)}


# The reference.


@pytest.mark.parametrize("schedule", [Rectified(), VP(), VE(), EDM(), Cosine()], ids=lambda s: type(s).__name__)
def test_the_reference_is_the_flow_of_a_gaussian(schedule):
    """Along the flow of N(m, s^2), (x_t - alpha m) / sqrt(alpha^2 s^2 + sigma^2) does not change."""
    mean, std = 0.7, 0.3
    world = Mixture(torch.tensor([[[mean, -mean]]]), std, process=Gaussian(schedule, V()))
    reference = measure(world, world.blank(16), seed=3)

    def spread(t):
        t = torch.tensor(t, dtype=torch.float64)
        return float(schedule.alpha(t)), math.hypot(schedule.alpha(t) * std, schedule.sigma(t))

    means = world.means[0]
    alpha, s = spread(1.0)
    fixed = (reference.at(1.0)[0]["x"] - alpha * means) / s
    for t in (0.0, 0.003, 0.11, 0.5, 0.83, 0.999):
        alpha, s = spread(t)
        x, x0 = (state["x"] for state in reference.at(t))
        expected = alpha * means + s * fixed
        torch.testing.assert_close(x, expected, rtol=0, atol=5e-4 * max(s, 0.1))
        torch.testing.assert_close(x0, means + alpha * std**2 / s**2 * (expected - alpha * means), rtol=0, atol=3e-3)
    wrong = float((reference.result["x"] - means - std * fixed).square().mean().sqrt()) / reference.std["x"]
    assert wrong < max(2 * reference.error, 1e-4) < 1e-2
    assert reference.evaluations <= 1.5 * 128


def test_one_step_from_the_reference_is_the_run_itself():
    world = modes()
    reference = measure(world, world.blank(8), seed=1)
    sampler = DDIM(1)
    run = reference.error_of(sampler.run(world, world.blank(8), seed=1))
    assert local_error(reference, sampler.plan(world.processes)) == pytest.approx(run, rel=1e-9)


@pytest.mark.parametrize(("cls", "order"), [(DDIM, 1), (Heun, 2)])
def test_local_errors_added_up_are_near_the_error_of_the_run(cls, order):
    """And fall with the order of the method, without one call of the network."""
    covariance = 0.3 * torch.eye(2).double() + 0.1
    world = GaussianWorld(draws(2, 1), covariance, process=Gaussian(Rectified(), V()))
    reference = measure(world, world.blank(8), nodes=800)
    samplers = [cls(n) for n in (8, 16, 32, 64)]
    local = [local_error(reference, s.plan(world.processes)) for s in samplers]
    run = [reference.error_of(s.run(world, world.blank(8), seed=0)) for s in samplers]
    np.testing.assert_allclose(local, run, rtol=0.35)
    assert -np.polyfit(np.log([8, 16, 32, 64]), np.log(local), 1)[0] == pytest.approx(order, abs=0.2)


def test_errors_count_real_and_unknown_entries_only():
    world = modes()
    blank = world.blank(4)
    bits = torch.zeros(4, 4, 4, dtype=torch.bool)
    bits[:, 1] = bits[:, 2, 1] = True
    given = Encoded(blank.state, blank.layout, known=Known({"x": bits}, {"x": draws(4, 4, 4, seed=5)}))
    reference = measure(world, given)
    result = {"x": torch.where(bits, 1e6, reference.result["x"])}
    assert reference.error_of(result) == 0
    moved = {"x": torch.where(bits, 0.0, 2 * reference.std["x"]) + reference.result["x"]}
    assert reference.error_of(moved) == pytest.approx(2)
    padded = Mixture(draws(3, 4, 2), 0.2, process=Gaussian(VP(), V()), mask=torch.tensor([True, True, True, False]))
    reference = measure(padded, padded.blank(4))
    assert reference.error_of({"x": reference.result["x"] + torch.tensor([0.0, 0, 0, 9]).view(1, 4, 1)}) == 0


# The optimised grid.


def test_the_shortest_path_is_the_shortest_of_all():
    rng = np.random.default_rng(0)
    times = np.linspace(1, 0, 9)
    costs = np.where(np.triu(np.ones((9, 9)), 1) > 0, rng.random((9, 9)), np.inf)
    for steps, coefficient in itertools.product((1, 2, 4, 8), (1.0, 1.15, 3.0)):
        found = shortest(SimpleNamespace(times=times), costs, coefficient, steps)
        paths = [(0, *inner, 8) for inner in itertools.combinations(range(1, 8), steps - 1)]
        price = [sum(coefficient**k * costs[p] for k, p in enumerate(itertools.pairwise(path))) for path in paths]
        np.testing.assert_array_equal(found.values, times[list(paths[int(np.argmin(price))])])


def test_a_cost_is_the_error_of_one_step():
    """From the first time to the last it is the error of DDIM with one step."""
    world = modes()
    reference = measure(world, world.blank(8))
    costs = step_costs(reference)
    assert costs[0, -1] == pytest.approx(reference.error_of(DDIM(1).run(world, world.blank(8), seed=0)), rel=1e-9)
    assert np.isinf(np.tril(costs)).sum() == np.tril(np.ones_like(costs)).sum()


def test_the_optimised_grid_is_deterministic_and_better_than_the_usual_ones():
    world = modes()
    exact, fresh = measure(world, world.blank(256), seed=9), world.blank(256)
    for steps in (6, 12):
        grid = optimise_grid(world, world.blank(32), steps)
        assert grid == optimise_grid(world, world.blank(32), steps)
        assert len(grid.values) == steps + 1
        grids = {"ours": grid, **registered_grids()}
        errors = {n: exact.error_of(DDIM(steps, grid=g).run(world, fresh, seed=9)) for n, g in grids.items()}
        assert errors["ours"] < 0.9 * min(errors[n] for n in ("uniform", "karras", "log_snr", "beta", "trailing"))
        assert errors["ours"] < 1.15 * min(errors.values())  # the best in hindsight
    assert optimise_grid(world, world.blank(2), 1) == ListGrid((1.0, 0.0))


# Joint states, guidance, real networks.


class Mixed(Backbone):
    """A smooth function of two continuous fields and the share of masked tokens, in float32."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes = tuple(fields), (), 0
        self.mix = torch.nn.Linear(3, 3)
        torch.nn.init.orthogonal_(self.mix.weight, generator=torch.Generator().manual_seed(0))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        masked = (inputs["tokens"] == 3).float().mean(1)[:, None, None]
        both = torch.cat([inputs["a"], inputs["b"]], dim=-1)
        out = self.dropout(torch.tanh(self.mix(both)) + 0.3 * masked)
        logits = out.sum(-1, keepdim=True) * torch.tensor([1.0, -1.0, 0.5])
        return {"a": out[..., :2], "b": out[..., 2:], "tokens": logits}


FIELDS = (
    Field("a", "continuous", 2, Gaussian(VP(), V())),
    Field("b", "continuous", 1, Gaussian(Rectified(), V())),
    Field("tokens", "categorical", 3, Masked()),
)


def joint(batch: int) -> Encoded:
    """Five tokens, the first of which is given but for one of its channels."""
    shapes = {"a": (batch, 5, 2), "b": (batch, 5, 1)}
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    state["tokens"] = torch.zeros(batch, 5, dtype=torch.int64)
    bits = {name: torch.zeros(state[name].shape, dtype=torch.bool) for name in ("a", "tokens")}
    bits["a"][:, 0] = bits["tokens"][:, 0] = True
    values = {name: torch.ones_like(state[name]) for name in bits}
    return Encoded(state, Layout.of_sizes(torch.full((batch,), 5)), known=Known(bits, values))


class Counted(Guidance):
    """Counts its calls, and answers in between what it holds and the same."""

    calls = 0

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        type(self).calls += 1
        posterior = self.denoiser(state_t, t, layout, cond, known, previous)
        return posterior.mix(posterior, 3.0)


def test_a_joint_state_with_known_entries_behind_guidance():
    network = NeuralDenoiser(Mixed(FIELDS), FIELDS).train()
    guided = Counted(network)
    choice = autopilot(guided, joint(8), 6, candidates=FEW, finalists=4)
    assert network.training
    assert network.backbone.dropout.training
    best = choice.table[0]
    assert best.trial < 0.3
    assert choice.reference_error < 0.05
    Counted.calls = 0
    state = choice.sampler.run(guided, joint(8), seed=4)
    assert Counted.calls == best.evaluations <= 6
    assert torch.equal(state["a"][:, 0], torch.ones(8, 2))
    assert (state["tokens"] < 3).all()


def test_a_field_counts_in_units_of_its_own_spread():
    """A field a thousand times as large as another changes nothing in what is chosen."""
    both = [Field("x", "continuous", 2, Gaussian(VP(), V(), sigma_data=s)) for s in (1.0, 1000.0)]
    small, large = (
        Mixture(s * draws(4, 3, 2), 0.2 * s, process=f.process) for s, f in zip((1.0, 1000.0), both, strict=True)
    )
    reference = measure(small, small.blank(4))
    assert reference.error_of({"x": reference.result["x"] + reference.std["x"]}) == pytest.approx(1)
    assert measure(large, large.blank(4)).std["x"] > 100 * reference.std["x"]


# The choice.


def test_every_candidate_keeps_to_the_budget_and_its_table_is_its_own():
    world = modes()
    reference = measure(world, world.blank(4))
    samplers, left_out = registered_samplers()
    grids = {"uniform": lambda steps: UniformGrid(), "karras": lambda steps: KarrasGrid()}
    for budget in (1, 2, 5, 7):
        found, refused = gather(reference, budget, samplers, grids)
        for c in found:
            plan = c.sampler.plan(world.processes)
            assert c.evaluations == plan.evaluations <= budget
            assert not plan.stochastic
            assert math.isfinite(c.local)
        names = {c.name for c in found}
        assert "ddpm" in refused or budget == 1
        assert all(
            any(word.split(" on ")[0] == name for word in {**refused, **left_out}) or name in names for name in samplers
        )
    assert "draws noise" in refused["ddpm"]
    assert "is the table of ddim on uniform" in refused["euler on uniform"]


def test_a_candidate_that_refuses_the_schedule_is_reported():
    world = Mixture(draws(3, 1, 2), 0.2, process=Gaussian(Rectified(), V()))
    grids = {"uniform": UniformGrid(), "trailing": DiscreteGrid(timesteps=4), "karras": KarrasGrid()}
    choice = autopilot(world, world.blank(8), 6, candidates={**FEW, "churn": DDIM(tokens=Pyramid())}, grids=grids)
    assert "6 steps of a network trained on 4" in choice.left_out["ddim on trailing"]
    assert "tokens times of their own" in choice.left_out["churn"]
    assert {c.grid for c in choice.table} == {"uniform", "karras"}
    assert "ddim on trailing" in str(choice)


def test_the_choice_explains_itself():
    world = modes()
    choice = autopilot(world, world.blank(16), 8, candidates={**FEW, "ddpm": DDPM(), "euler": Euler()}, finalists=5)
    run = [c for c in choice.table if c.trial is not None]
    assert len(run) == 5 < len(choice.table)
    assert run == sorted(run, key=lambda c: c.trial)
    assert choice.sampler == run[0].sampler
    text = str(choice)
    for word in (run[0].name, run[1].name, "runner-up", "times)", "local errors", "ddpm", "draws noise", "8 of 8"):
        assert word in text
    assert run[0].trial == pytest.approx(
        measure(world, world.blank(16)).error_of(choice.sampler.run(world, world.blank(16), seed=0))
    )
    again = autopilot(world, world.blank(16), 8, candidates=FEW, finalists=5)
    assert again.sampler == choice.sampler


def test_where_everything_is_exact_the_report_says_that_nothing_tells_them_apart():
    world = point_mass(draws(2, 2), Gaussian(VP(), V()))
    choice = autopilot(world, world.blank(4), 4, candidates=FEW)
    assert choice.table[0].trial < 1e-6
    assert "raise nodes" in choice.why


def test_seconds_become_evaluations(monkeypatch):
    world = modes()
    forward = Mixture.forward

    def slow(self, *args, **kwargs):
        time.sleep(0.004)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Mixture, "forward", slow)
    choice = autopilot(world, world.blank(4), seconds=0.03, candidates={"ddim": DDIM()}, finalists=1, nodes=16)
    assert 1 <= choice.evaluations == int(0.03 / choice.seconds_per_evaluation) <= 7
    assert "One evaluation took" in choice.why
    with pytest.raises(ValueError, match="less than one evaluation"):
        autopilot(world, world.blank(4), seconds=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either evaluations or seconds, found evaluations=None, seconds=None"),
        ({"evaluations": 5, "seconds": 1.0}, "either evaluations or seconds"),
        ({"evaluations": 0}, "evaluations must be a whole number of at least 1, found 0"),
        ({"evaluations": -2}, "found -2"),
        ({"evaluations": 2.5}, "found 2.5"),
        ({"evaluations": True}, "found True"),
        ({"evaluations": "ten"}, "found 'ten'"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"seconds": math.inf}, "seconds must be above 0, found inf"),
        ({"evaluations": 5, "finalists": 0}, "finalists must be a whole number"),
        ({"evaluations": 5, "nodes": 2}, "at least 8 nodes, found 2"),
        ({"evaluations": 5, "candidates": {"ddpm": DDPM()}}, "no candidate serves 5 evaluations: ddpm: draws noise"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(options, words):
    world = point_mass(draws(2, 2), Gaussian(VP(), V()))
    with pytest.raises(ValueError, match=words):
        autopilot(world, world.blank(2), **options)


def test_what_cannot_be_measured_is_refused():
    world = FiniteSet(torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="fields tokens: none is Gaussian"):
        autopilot(world, world.blank(2), 5)
    broken = Mixture(torch.full((1, 1, 2), math.nan), 0.1, process=Gaussian(VP(), V()))
    with pytest.raises(ValueError, match="answers for x are not finite"):
        autopilot(broken, broken.blank(2), 5)
    good = modes()
    for steps in (0, 2.5, True, 200):
        with pytest.raises(ValueError, match=r"whole number|through a trajectory of 127: raise nodes"):
            optimise_grid(good, good.blank(2), steps)
    with pytest.raises(ValueError, match="coefficient must be above 0"):
        optimise_grid(good, good.blank(2), 3, coefficient=0.0)


WORLDS = {
    "rectified": lambda: Mixture(2 * draws(5, 2, 1), 0.2, process=Gaussian(Rectified(), V())),
    "vp": modes,
    "edm": lambda: Mixture(draws(6, 1, 3), 0.15, process=Gaussian(EDM(), V())),
    "trigonometric": lambda: GaussianWorld(
        draws(3, 2), draws(6, 6, seed=1) @ draws(6, 6, seed=1).T + 0.01 * torch.eye(6), Gaussian(Trigonometric(), V())
    ),
}


def ratio(world, budget: int, probe: int = 128, **options) -> float:
    """Error of the choice over that of the best candidate, both on fresh noise, which the choice never saw."""
    fresh = world.blank(512)
    exact = measure(world, fresh, seed=99, nodes=400)
    table = autopilot(world, world.blank(probe), budget, **options).table
    errors = [exact.error_of(c.sampler.run(world, fresh, seed=99)) for c in table]
    best = int(np.argmin(errors))
    print(f"{budget:3d} calls: {table[0]} {errors[0]:.3g}; in hindsight {table[best]} {errors[best]:.3g}")
    return errors[0] / errors[best]


def test_a_few_candidates_in_hindsight():
    assert ratio(WORLDS["vp"](), 8, probe=64, candidates=FEW, finalists=8) < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_the_choice_is_near_the_best_in_hindsight(name):
    """Issue: within 1.5 times in 9 of 12 worlds and budgets; here at most one of three may miss in any world."""
    ratios = [ratio(WORLDS[name](), budget) for budget in (5, 8, 12)]
    assert sorted(ratios)[1] < 1.5, ratios
    assert max(ratios) < 3, ratios
