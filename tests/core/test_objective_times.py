"""Densities of t against their published densities, and times that learn where the loss is: unbiased, calmer, never forgetful."""

import math

import pytest
import torch
from ornstein.core.objective import CosMap, LogitNormal, LossAware, Mode, Objective, TimeDensity, Uniform
from ornstein.core.oracle import Mixture
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified, Trigonometric
from ornstein.core.state import Encoded

U = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000


@pytest.mark.parametrize(
    ("density", "published"),
    [
        (CosMap(), lambda t: 2 / (math.pi - 2 * math.pi * t + 2 * math.pi * t**2)),
        (Mode(0.0), torch.ones_like),
        (
            LogitNormal(0.2, 0.9),
            lambda t: (
                torch.exp(-((torch.logit(t) - 0.2) ** 2) / 2 / 0.81) / (0.9 * math.sqrt(2 * math.pi) * t * (1 - t))
            ),
        ),
    ],
)
def test_quantiles_have_the_published_density(density, published):
    """dt/du = 1 / density(t), by finite differences."""
    t = density.quantile(U, None)
    slope = (t[1:] - t[:-1]) * len(U)
    middle = (t[1:] + t[:-1]) / 2
    inner = (U[1:] > 0.001) & (U[1:] < 0.999)
    torch.testing.assert_close(
        (slope * published(middle))[inner], torch.ones(int(inner.sum()), dtype=t.dtype), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("scale", [-0.9, 0.81, 1.29, 1.75])
def test_mode_is_the_published_map_and_rises(scale):
    """f(u) = 1 - u - s (cos^2(pi u / 2) - 1 + u) of uniform u, the same distribution as ours of 1 - u."""
    published = 1 - U - scale * (torch.cos(math.pi * U / 2) ** 2 - 1 + U)
    ours = Mode(scale).quantile(U, None)
    torch.testing.assert_close(ours, published.flip(0), rtol=0, atol=1e-12)
    assert (ours.diff() > 0).all()
    density = 1 / (ours.diff() * len(U))
    assert float(density[0]) == pytest.approx(1 / (1 + scale), rel=1e-3)
    assert float(density[len(U) // 2]) == pytest.approx(1 / (1 + scale - math.pi * scale / 2), rel=1e-3)


def test_cosmap_gives_the_rectified_schedule_the_noise_levels_of_the_cosine_one():
    u = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    t = CosMap().quantile(u, None)
    torch.testing.assert_close(Rectified().log_snr(t), Trigonometric().log_snr(u), rtol=1e-12, atol=1e-12)
    ends = CosMap().quantile(torch.tensor([0.0, 1.0], dtype=torch.float64), None)
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-15)


def loss_of(place):
    """A loss that is 50 times larger at the end, and noisy."""
    noise = torch.rand(
        len(place), dtype=torch.float64, generator=torch.Generator().manual_seed(int(1e6 * float(place[0])))
    )
    return (0.1 + 4.9 * place**4) * (0.5 + noise)


def taught(bins: int = 20, history: int = 10, times: TimeDensity | None = None) -> LossAware:
    density = LossAware(times, bins, history)
    for step in range(40):
        u = (torch.arange(64, dtype=torch.float64) + 0.37 * step % 1.0) / 64
        place, _ = density.focus(u)
        density.observe(place, loss_of(place))
    assert (density.counts >= history).all()
    return density


def test_loss_aware_times_are_unbiased_and_calmer():
    density = taught()
    place, weight = density.focus(U)
    mean = lambda x: float(x.mean())  # noqa: E731
    assert mean(weight) == pytest.approx(1.0, rel=1e-4)
    for f in (loss_of, torch.ones_like, lambda v: torch.sin(9 * v) ** 2):
        assert mean(weight * f(place)) == pytest.approx(mean(f(U)), rel=2e-3)
    aware, alike = (weight * loss_of(place)).var(), loss_of(U).var()
    assert float(aware) < 0.25 * float(alike)


def test_loss_aware_shares_are_the_roots_of_the_second_moments():
    density = taught(bins=20, times=LogitNormal())
    place, weight = density.focus(U)
    p = density.shares()
    size = density.squares.mean(1).sqrt()
    torch.testing.assert_close(p, 0.999 * size / size.sum() + 0.001 / 20)
    found = torch.histc(place, 20, 0, 1).double() / len(U)
    torch.testing.assert_close(found, p, rtol=0, atol=1e-4)
    bins = (place * 20).long()
    torch.testing.assert_close(weight, 1 / (20 * p[bins]))
    assert float(weight.max()) <= 1000
    t = density.quantile(place, None)
    torch.testing.assert_close(t, LogitNormal().quantile(place, None))


def test_before_every_bin_has_its_history_all_are_drawn_alike_and_in_evaluation_too():
    fresh = LossAware(bins=10, history=3)
    fresh.observe(torch.tensor([0.05, 0.05, 0.05, 0.95]), torch.tensor([9.0, 9.0, 9.0, 1.0]))
    place, weight = fresh.focus(U)
    torch.testing.assert_close(place, U)
    torch.testing.assert_close(weight, torch.ones_like(U))
    density = taught().eval()
    place, weight = density.focus(U)
    assert weight is None
    assert torch.equal(place, U)
    silent = LossAware(bins=4, history=1)
    silent.observe(torch.tensor([0.1, 0.3, 0.6, 0.9]), torch.zeros(4))
    assert torch.equal(silent.shares(), torch.full((4,), 0.25, dtype=torch.float64))


def test_the_history_is_the_last_losses_of_each_bin():
    """Against lists, for batches that fill a bin several times over and losses that are no number."""
    density, lists = LossAware(bins=4, history=3), [[] for _ in range(4)]
    g = torch.Generator().manual_seed(0)
    for step in range(30):
        place, loss = torch.rand(7, generator=g, dtype=torch.float64) ** 2, torch.randn(7, generator=g)
        loss[step % 7] = [math.nan, math.inf, 0.5][step % 3]
        density.observe(place, loss)
        for v, value in zip(place.tolist(), loss.tolist(), strict=True):
            if math.isfinite(value):
                lists[int(4 * v)].append(value**2)
        assert density.counts.tolist() == [len(x) for x in lists]
        for row, expected in zip(density.squares, lists, strict=True):
            last = [0.0] * 3 + expected
            torch.testing.assert_close(row.sort().values, torch.tensor(last[-3:], dtype=torch.float64).sort().values)


def test_the_history_is_in_the_state_and_goes_on_alike():
    density, again = taught(), LossAware(bins=20)
    again.load_state_dict(density.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(density.focus(U), again.focus(U), strict=True))
    place, _ = density.focus(U[::5000])
    for each in (density, again):
        each.observe(place, loss_of(place))
    assert torch.equal(density.squares, again.squares)


def test_the_loss_counts_samples_by_their_importance():
    world = Mixture(torch.randn(3, 2, 2), 0.3, process=Gaussian())
    encoded = Encoded({"x": world.sample(16, torch.Generator().manual_seed(0))}, world.blank(16).layout)
    objective = Objective(taught())
    draw = objective.draw(world, encoded, 0, 0, torch.arange(16))
    assert float(draw.weight.max()) > 2 * float(draw.weight.min())
    loss = objective(world, encoded, draw)
    plain = Objective()(world, encoded, type(draw)(draw.t, draw.noise))
    torch.testing.assert_close(loss.total, draw.weight * plain.total)
    torch.testing.assert_close(loss.fields["x"], draw.weight * plain.total)
    place, seen = objective.evidence(draw, loss)
    torch.testing.assert_close(seen, plain.total)
    torch.testing.assert_close(objective.times.quantile(place, None), draw.t)
    part = objective.draw(world, encoded.rows(4, 8), 0, 0, torch.arange(4, 8), total=16)
    assert torch.equal(part.t, draw.t[4:8])
    assert torch.equal(part.weight, draw.weight[4:8])
    with pytest.raises(ValueError, match="nothing to observe"):
        objective.evidence(type(draw)(draw.t, draw.noise), loss)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Mode(-1.0), r"\(-1, 1\.7519\)"),
        (lambda: Mode(1.76), r"found 1\.76"),
        (lambda: LossAware(bins=1), "at least 2 bins"),
        (lambda: LossAware(history=0), "history=0"),
        (lambda: LossAware(uniform=0.0), "uniform=0"),
        (lambda: LossAware(LossAware()), "LossAware learns its own"),
        (lambda: Uniform(0.3, 0.2), "low < high"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_history_keeps_its_precision_where_the_network_is_of_another():
    aware = LossAware(bins=2, history=1).to(torch.bfloat16)
    aware.observe(torch.tensor([0.1, 0.9], dtype=torch.float64), torch.tensor([1.001, 3.003]))
    assert torch.equal(aware.squares.sqrt().float(), torch.tensor([[1.001], [3.003]]))
    assert aware.focus(torch.tensor([0.3], dtype=torch.float64))[0].dtype == torch.float64
