"""DPM-Solver-v3: its special cases, its orders, and statistics that are what they claim."""

import math

import numpy as np
import pytest
import torch
from ornstein.core import statistics
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DEIS, DPMpp, DPMSolverV3, Grid, LogSNRGrid
from ornstein.core.samplers.dpm_v3 import Statistics, Table, constant
from ornstein.core.samplers.run import Progress
from ornstein.core.schedules import VE, VP, Cosine, Rectified, Schedule
from ornstein.core.state import Encoded, Field, Known, Layout

SCHEDULES = [Rectified(), VP(), VE(0.1, 5.0), Cosine()]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
F64 = torch.float64
EPS = torch.randn(16, 1, 2, dtype=F64, generator=torch.Generator().manual_seed(0))


class Open(Grid):
    """Equal steps in t from 0.98 to 0.05, then 0; the first, of order 1, is h^2: errors are judged at 0.05."""

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        first = 0.98 - steps**-2.0
        return np.concatenate([[0.98], np.linspace(first, 0.05, steps - 1), [0.0]])


def world_of(schedule) -> Mixture:
    means = torch.tensor([[[-1.0, 0.2]], [[0.5, 0.0]], [[1.2, -0.7]]])
    return Mixture(means, torch.tensor([0.25, 0.4, 0.15]), process=Gaussian(schedule, V()))


def gaussian(schedule, mean=0.0, std=0.5) -> Mixture:
    return Mixture(torch.full((1, 1, 2), mean), std, process=Gaussian(schedule, V()))


def draw(world, sampler, at: int = -1) -> torch.Tensor:
    seen = []
    sampler.run(world, world.blank(16), seed=0, prior={"x": EPS}, hooks=[lambda p: seen.append(p.state["x"])])
    return seen[at]


def probe(world, n: int = 512, **options) -> Statistics:
    data = world.sample(n, torch.Generator().manual_seed(1))
    return statistics.measure(world, Encoded({"x": data}, world.blank(n).layout), **options)


@each
@pytest.mark.parametrize("order", [1, 2])
def test_with_l_1_it_is_dpm_solver_pp(schedule, order):
    world = world_of(schedule)
    ours = draw(world, DPMSolverV3(8, order=order, corrector=False))
    torch.testing.assert_close(ours, draw(world, DPMpp(8, order=order, exact=order > 1)), rtol=0, atol=1e-10)
    told = DPMSolverV3(8, order=order, corrector=False, statistics=Statistics({"x": constant(1, 0, 0)}))
    assert torch.equal(draw(world, told), ours)


@each
@pytest.mark.parametrize("order", [1, 2, 3])
def test_with_l_0_and_s_minus_1_it_is_dpm_solver(schedule, order):
    """DPM-Solver extrapolates eps in lambda, as DEIS does there."""
    told = DPMSolverV3(8, order=order, corrector=False, statistics=Statistics({"x": constant(0, -1, 0)}))
    deis = DEIS(8, order=order, variable="log_rho")
    world = world_of(schedule)
    torch.testing.assert_close(draw(world, told), draw(world, deis), rtol=0, atol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("corrector", [False, True])
def test_orders_of_convergence_with_any_statistics(order, corrector):
    """The order is that of the extrapolation, whatever l, s and b: they only say of what. Beside the closed-form flow."""
    lam, counts = torch.linspace(-4, 4, 5, dtype=F64), (32, 64, 128)
    wavy = 0.3 + 0.1 * torch.stack([torch.sin(lam + c) for c in (0.0, 1.0)], 1)[:, None]
    for table in (
        constant(),
        constant(0.5, 0.4, 0.2),
        Table(lam, wavy[:1].expand(5, 1, 2), -wavy[:1].expand(5, 1, 2), 0 * wavy),
    ):
        options = {"order": order, "corrector": corrector, "statistics": Statistics({"x": table}), "grid": Open()}
        # of two widths the larger error: either may cross zero
        errors = [max(_error(DPMSolverV3(n, **options), std) for std in (0.3, 1.5)) for n in counts]
        slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert slope > order - 0.2, errors


def _error(sampler: DPMSolverV3, std: float) -> float:
    """At t = 0.05, beside the flow of N(0, std^2): x / sqrt(alpha^2 std^2 + sigma^2) stays."""
    schedule, t = VP(), torch.tensor([0.98, 0.05], dtype=F64)
    size = torch.sqrt((schedule.alpha(t) * std) ** 2 + schedule.sigma(t) ** 2)
    exact = schedule.sigma(t[0]) * EPS * size[1] / size[0]
    return float((draw(gaussian(schedule, std=std), sampler, -2) - exact).pow(2).mean().sqrt())


def test_the_linear_part_of_one_gaussian_is_its_gain():
    """sigma eps = (sigma^2 / n) (x - alpha mu), n = alpha^2 v + sigma^2: l = sigma^2 / n, f = -l mu, s = 0, b = -l' mu."""
    world = gaussian(VP(), mean=0.8)
    told = probe(world, 4, points=60, sigma_min=0.05, sigma_max=20.0).tables["x"]
    snr = torch.exp(2 * told.lam)
    gain = 1 / (snr * 0.25 + 1)
    torch.testing.assert_close(told.l[:, 0, 0], gain, rtol=0, atol=1e-9)
    assert told.s.abs().max() < 1e-8
    slope = 2 * snr * 0.25 * gain**2 * 0.8
    torch.testing.assert_close(told.b[1:-1, 0, 1], slope[1:-1], rtol=0, atol=3e-2)
    assert (told.b[1:-1, 0, 1] - slope[1:-1]).abs().mean() < 5e-3


def test_with_its_statistics_one_gaussian_takes_one_step():
    """g does not move, so that all is integrated; DPM-Solver++ is far off at as many steps."""
    schedule, std, mean = VP(), 0.5, 0.8
    world, grid = gaussian(schedule, mean, std), LogSNRGrid(sigma_min=0.05, sigma_max=20.0)
    told = probe(world, 4, points=200, sigma_min=0.05, sigma_max=20.0)
    t = torch.from_numpy(grid.times(2, schedule))[:2]
    size = torch.sqrt((schedule.alpha(t) * std) ** 2 + schedule.sigma(t) ** 2)
    start = schedule.sigma(t[0]) * EPS
    exact = schedule.alpha(t[1]) * mean + size[1] / size[0] * (start - schedule.alpha(t[0]) * mean)
    ours = draw(world, DPMSolverV3(2, order=1, statistics=told, grid=grid), -2)
    theirs = draw(world, DPMpp(2, order=1, grid=grid), -2)
    assert (ours - exact).abs().max() < 2e-3
    assert (theirs - exact).abs().max() > 0.1


def test_measured_statistics_are_better_than_none():
    """On a mixture, at the same steps; l alone, without s and b, is no gain."""
    world, grid = world_of(VP()), LogSNRGrid(sigma_min=0.02, sigma_max=20.0)
    told = probe(world, points=60, sigma_min=0.02, sigma_max=20.0)
    fine = draw(world, DPMSolverV3(200, order=3, grid=grid), -2)
    none, measured, only_l = (
        float((draw(world, DPMSolverV3(8, order=3, statistics=s, grid=grid), -2) - fine).abs().mean())
        for s in (None, told, _only_l(told))
    )
    assert measured < 0.4 * none
    assert measured < 0.4 * only_l


def _only_l(told: Statistics) -> Statistics:
    return Statistics({n: t._replace(s=0 * t.s, b=0 * t.b) for n, t in told.tables.items()})


def test_few_samples_and_levels_measure_nothing_absurd():
    """Where f hardly varies its slope is noise; the raw ratio is beyond 70 here, and its exponential an overflow."""
    told = probe(world_of(VP()), 16, points=12).tables["x"]
    assert told.s.abs().max() < 10


def test_levels_are_those_that_every_field_reaches():
    """A clock that ends at sigma = 50 is at t = 1 there, where another field has no signal left."""
    fields = (
        Field("x", "continuous", 1, Gaussian(VE(sigma_max=50.0), V())),
        Field("y", "continuous", 1, Gaussian(Rectified(), V())),
    )
    denoiser = NeuralDenoiser(DiT(fields, (), 1, width=16, depth=1, heads=2), fields)
    state = {name: torch.randn(8, 4, 1, generator=torch.Generator().manual_seed(k)) for k, name in enumerate("xy")}
    told = statistics.measure(denoiser, Encoded(state, Layout.of_grid(8, (4,))), points=5)
    for table in told.tables.values():
        assert all(torch.isfinite(x).all() for x in table)


def test_what_a_hook_does_to_the_state_stays():
    """The corrector moves the state; it does not put another in its place."""

    def nudge(progress: Progress) -> None:
        if progress.row == 3:
            progress.state = {"x": progress.state["x"] + 1}

    world = world_of(VP())
    plain, nudged = (DPMSolverV3(6).run(world, world.blank(4), seed=0, hooks=hooks)["x"] for hooks in ([], [nudge]))
    assert (plain - nudged).abs().max() > 1e-2


@each
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_both_ends_are_finite(schedule, steps):
    world = world_of(schedule)
    out = draw(world, DPMSolverV3(steps))
    assert torch.isfinite(out).all()
    if steps == 1:
        x = schedule.sigma(torch.ones((), dtype=F64)) * EPS
        mean = world({"x": x}, 1.0, world.blank(16).layout, {})["x"].x0
        torch.testing.assert_close(out, mean, rtol=0, atol=1e-12)


def test_a_point_mass_is_reached_without_statistics():
    world = Mixture(torch.full((1, 1, 2), 0.75), 0.0, process=Gaussian(VP(), V()))
    out = draw(world, DPMSolverV3(4, order=2))
    torch.testing.assert_close(out, torch.full_like(out, 0.75), rtol=0, atol=1e-12)


def test_given_entries_stay_and_samples_are_by_themselves():
    world, bits = world_of(VP()), torch.zeros(16, 1, 2, dtype=torch.bool)
    bits[3, 0, 1] = True
    values = torch.where(bits, 0.4, torch.zeros(16, 1, 2, dtype=F64))
    posed = Encoded(world.blank(16).state, world.blank(16).layout, known=Known({"x": bits}, {"x": values}))
    sampler, free = DPMSolverV3(6), draw(world, DPMSolverV3(6))
    out = sampler.run(world, posed, seed=0, prior={"x": EPS})["x"]
    assert out[3, 0, 1] == 0.4
    others = [k for k in range(16) if k != 3]
    torch.testing.assert_close(out[others], free[others], rtol=0, atol=1e-12)
    alone = sampler.run(world, world.blank(1), seed=0, prior={"x": EPS[5:6]})["x"]
    torch.testing.assert_close(alone[0], free[5], rtol=0, atol=1e-12)


def test_statistics_travel_as_plain_tensors(tmp_path):
    told = probe(world_of(VP()), 32, points=5)
    path = tmp_path / "statistics.safetensors"
    statistics.save(told, path)
    again = statistics.Saved(str(path))
    for a, b in zip(told.tables["x"], again.tables["x"], strict=True):
        assert torch.equal(a, b)
    world = world_of(VP())
    samplers = [DPMSolverV3(5, statistics=s) for s in (told, again)]
    assert torch.equal(*(draw(world, sampler) for sampler in samplers))
    assert "Saved" in samplers[1].describe()


def test_by_channel_serves_any_size():
    """All tokens alike: the mean over real tokens, of batches whose samples differ in size."""
    mask = torch.tensor([True, True, False])
    means = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(2))
    world = Mixture(means, 0.2, process=Gaussian(VP(), V()), mask=mask)
    data = world.sample(64, torch.Generator().manual_seed(1))
    encoded = Encoded({"x": torch.where(mask[:, None], data, math.nan)}, Layout(mask.expand(64, -1)))
    encoded.state["x"].nan_to_num_(1e3)
    told = statistics.measure(world, encoded, points=9, by="channel")
    assert told.tables["x"].l.shape == (9, 1, 2)
    inner = statistics.measure(world, Encoded({"x": data}, Layout(mask.expand(64, -1))), points=9, by="channel")
    torch.testing.assert_close(told.tables["x"].l, inner.tables["x"].l)
    out = DPMSolverV3(5, statistics=told).run(world, world.blank(3), seed=0)["x"]
    assert torch.isfinite(out[:, :2]).all()
    with pytest.raises(ValueError, match="take by='channel'"):
        statistics.measure(world, encoded, points=9)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DPMSolverV3(order=4), "order must be 1, 2 or 3, found 4"),
        (lambda: DPMSolverV3(0), "steps must be a whole number"),
        (lambda: draw(world_of(VP()), DPMSolverV3(2, statistics=Statistics({}))), "none of field 'x'"),
        (
            lambda: draw(world_of(VP()), DPMSolverV3(2, statistics=_wide())),
            r"entries \(1, 2\), its statistics \(1, 3\)",
        ),
        (lambda: Statistics({"x": _wide().tables["x"]._replace(lam=torch.zeros(2))}), "rising values"),
        (lambda: probe(world_of(VP()), 4, points=1), "points >= 2"),
        (lambda: probe(world_of(VP()), 4, by="token"), "by is entry or channel"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def _wide() -> Statistics:
    return Statistics({"x": Table(torch.arange(2.0), *(torch.ones(2, 1, 3) for _ in range(3)))})


def test_a_file_of_something_else_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weights": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="holds no statistics"):
        statistics.Saved(str(tmp_path / "other.safetensors"))
