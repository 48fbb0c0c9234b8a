"""One Brownian path: its law, its ends, and that runs on it converge path by path."""

import math
from itertools import pairwise

import pytest
import torch
from ornstein.core.oracle import Mixture, centred_clouds, point_mass
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DDIM, run
from ornstein.core.samplers.path import LEAF, Path
from ornstein.core.schedules import VE, VP, Cosine, Rectified, Trigonometric

SCHEDULES = [Rectified(), Trigonometric(), VP(), VE(), Cosine()]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def path_of(schedule, n: int = 1, seed: int = 0, tokens: int = 1):
    world = point_mass(torch.zeros(tokens, 1), Gaussian(schedule, V()))
    return Path(world, world.blank(n), seed, torch.arange(n))


def v_of(schedule, t: float) -> float:
    return float(torch.exp(schedule.log_snr(torch.tensor(t, dtype=torch.float64))))


@each
def test_increments_are_standard_and_independent_over_disjoint_intervals(schedule):
    n = 20_000
    path, times = path_of(schedule, n), [1.0, 0.93, 0.6, 0.597, 0.2, 1e-3, 1e-9, 0.0]
    drawn = torch.stack([path.increment("x", t, s).flatten() for t, s in pairwise(times)])
    torch.testing.assert_close(drawn.mean(1), torch.zeros(len(drawn)).double(), rtol=0, atol=4.5 / n**0.5)
    torch.testing.assert_close(drawn @ drawn.T / n, torch.eye(len(drawn)).double(), rtol=0, atol=5 * (2 / n) ** 0.5)
    kurtosis = (drawn**4).mean(1)
    torch.testing.assert_close(kurtosis, torch.full_like(kurtosis, 3), rtol=0, atol=5 * (96 / n) ** 0.5)


@each
def test_increments_of_halves_sum_to_that_of_the_whole(schedule):
    """sqrt(dv) times the increment is additive, whatever is asked first, and for a path made anew."""
    for t, m, s in [(1.0, 0.7, 0.3), (0.5, 0.4999, 0.2), (1.0, 0.01, 1e-6), (0.3, 0.1, 0.01)]:
        whole = path_of(schedule, 50).increment("x", t, s)
        other = path_of(schedule, 50)
        second, first = other.increment("x", m, s), other.increment("x", t, m)
        v = [0.0 if x == 1.0 and schedule.ends_at_noise else v_of(schedule, x) for x in (t, m, s)]
        parts = math.sqrt((v[1] - v[0]) / (v[2] - v[0])) * first + math.sqrt((v[2] - v[1]) / (v[2] - v[0])) * second
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-10)


def test_a_range_of_v_over_thirty_decades_keeps_its_digits():
    n = 20_000
    path = path_of(Rectified(), n)
    for t, s in [(1.0, 1 - 1e-9), (1 - 1e-15, 1e-15), (1e-12, 1e-13)]:
        assert float(path.increment("x", t, s).std()) == pytest.approx(1, abs=4.5 / (2 * n) ** 0.5)


def final(world, steps: int, n: int, path: bool) -> torch.Tensor:
    prior = {
        "x": torch.randn(n, *world.means.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    }
    plan = DDIM(steps, eta=1.0, path=path).plan(world.processes)
    return run(world, plan, world.blank(n), seed=3, prior=prior)["x"]


@pytest.mark.parametrize("schedule", [Rectified(), VP()], ids=lambda s: type(s).__name__)
def test_more_steps_on_one_path_converge_path_by_path(schedule):
    """Noise that does not depend on the state: strong order 1. Fresh noise ends anywhere."""
    means = torch.tensor([[[-1.0]], [[0.5]], [[1.2]]])
    world, n = Mixture(means, 0.9, process=Gaussian(schedule, V())), 200
    counts = (20, 40, 80, 160)
    for path in (True, False):
        ends = [final(world, steps, n, path) for steps in counts]
        apart = [float((a - b).pow(2).mean().sqrt()) for a, b in pairwise(ends)]
        slope = math.log2(apart[0] / apart[-1]) / (len(apart) - 1)
        assert slope > 0.7 if path else abs(slope) < 0.15, (path, slope, apart)


def test_a_path_does_not_see_its_batch_and_stays_in_its_space():
    clouds = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    world = centred_clouds(clouds, 0.1, 4)
    together = Path(world, world.blank(4), 7, torch.tensor([0, 5, 2, 9])).increment("x", 0.8, 0.5)
    alone = Path(world, world.blank(1), 7, torch.tensor([5])).increment("x", 0.8, 0.5)
    assert torch.equal(together[1], alone[0])
    assert float(together.sum(1).abs().max()) < 1e-12
    assert (together[:, 4:] == 0).all()
    assert not torch.equal(together[0], together[1])
    other = Path(world, world.blank(1), 8, torch.tensor([5])).increment("x", 0.8, 0.5)
    assert not torch.equal(other, alone)


@pytest.mark.parametrize(("t", "s"), [(0.3, 0.5), (0.5, 0.5), (0.5, 0.5 - LEAF / 16)])
def test_what_a_path_cannot_serve_is_refused(t, s):
    with pytest.raises(ValueError, match=r"a path leads from noise to data.*leave path out"):
        path_of(Rectified()).increment("x", t, s)
