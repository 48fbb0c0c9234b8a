"""The oracles against Bayes' rule by other roads: the score of their density, Monte Carlo, regression, enumeration."""

import itertools
import math

import pytest
import torch
from ornstein.core.oracle import FiniteSet, GaussianWorld, Mixture, centred_clouds, point_mass
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import VE, VP, Rectified, Trigonometric
from ornstein.core.state import CentreFree

SCHEDULES = [Rectified(), Trigonometric(), VP(), VE(0.01, 5.0)]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mixture(schedule, n: int = 4, **kwargs) -> Mixture:
    std, weights = torch.tensor([0.3, 0.7, 0.1]), torch.tensor([1.0, 2.0, 3.0])
    return Mixture(randn(3, n, 2), std, weights, Gaussian(schedule, V()), **kwargs)


def posterior(world, x: torch.Tensor, t: float | torch.Tensor):
    encoded = world.blank(len(x))
    return world({next(iter(world.fields)): x}, t, encoded.layout, {})[next(iter(world.fields))]


@each
@pytest.mark.parametrize("t", [0.05, 0.4, 0.95])
def test_mean_of_the_noise_is_the_score_of_the_density(schedule, t):
    """eps = -sigma grad log p_t (Tweedie), in the space of the noise."""
    mask = torch.tensor([True, True, True, False])
    for world in (mixture(schedule), mixture(schedule, space=CentreFree(), mask=mask)):
        full = world.mask.expand(5, -1)
        x = world.space.project(randn(5, 4, 2, seed=1), full).requires_grad_()
        time = torch.full((5,), t, dtype=torch.float64)
        score = world.space.project(torch.autograd.grad(world.log_prob(x, time).sum(), x)[0], full)
        view = posterior(world, x.detach(), t)
        sigma, alpha = schedule.sigma(time)[0], schedule.alpha(time)[0]
        torch.testing.assert_close(view.eps, -sigma * score, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(alpha * view.x0 + sigma * view.eps, x.detach(), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(view.score, score, rtol=1e-9, atol=1e-9)


def test_density_integrates_to_one():
    world = Mixture(torch.tensor([[[-1.0]], [[2.0]]]), torch.tensor([0.2, 0.5]), torch.tensor([1.0, 3.0]))
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64).view(-1, 1, 1)
    for t in (0.1, 0.9):
        density = world.log_prob(x, torch.full((len(x),), t, dtype=torch.float64)).exp()
        assert float(torch.trapezoid(density, x.flatten())) == pytest.approx(1, abs=1e-9)


def test_mixture_posterior_is_bayes_by_monte_carlo():
    world, t = mixture(Rectified(), n=1), 0.6
    x0 = world.sample(400_000, torch.Generator().manual_seed(3))
    x_t = torch.tensor([[[0.3, -0.2]]], dtype=torch.float64)
    weight = torch.softmax(-((x_t - (1 - t) * x0) ** 2).flatten(1).sum(1) / (2 * t**2), 0)
    expected = (weight[:, None, None] * x0).sum(0)
    assert float((weight**2).sum()) < 1e-4  # enough of them count
    torch.testing.assert_close(posterior(world, x_t, t).x0[0], expected, rtol=0, atol=0.02)


def test_samples_of_a_mixture_have_its_moments():
    world = mixture(Rectified())
    x = world.sample(100_000, torch.Generator().manual_seed(0))
    w = (torch.tensor([1.0, 2.0, 3.0]) / 6).double().view(-1, 1, 1)
    mean = (w * world.means).sum(0)
    second = (w * (world.means**2 + torch.tensor([0.3, 0.7, 0.1]).double().view(-1, 1, 1) ** 2)).sum(0)
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.02)
    torch.testing.assert_close((x**2).mean(0), second, rtol=0, atol=0.05)


@each
def test_gaussian_world_is_the_regression_on_its_own_noise(schedule):
    """The gain of E[x_0 | x_t] solves cov(x_0, x_t) = G cov(x_t); a mixture of one component agrees."""
    root = randn(6, 6)
    world = GaussianWorld(randn(3, 2, seed=1), root @ root.T / 6, Gaussian(schedule, V()))
    t = 0.35
    u = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = schedule.alpha(u), schedule.sigma(u)
    noisy = alpha**2 * world.covariance + sigma**2 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(world.gain(t) @ noisy, alpha * world.covariance)
    same = GaussianWorld(world.mean, 0.49 * torch.eye(6, dtype=torch.float64), Gaussian(schedule, V()))
    one = Mixture(world.mean[None], 0.7, process=Gaussian(schedule, V()))
    x = randn(5, 3, 2, seed=2)
    for name in ("x0", "eps"):
        a, b = (getattr(posterior(w, x, t), name) for w in (same, one))
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_gaussian_world_draws_its_covariance():
    root = randn(4, 4)
    world = GaussianWorld(randn(2, 2), root @ root.T / 4)
    x = world.sample(200_000, torch.Generator().manual_seed(0)).flatten(1)
    torch.testing.assert_close(x.T.cov(), world.covariance, rtol=0, atol=0.03)
    with pytest.raises(ValueError, match="one number"):
        posterior(world, randn(2, 2, 2), torch.rand(2))


def test_finite_set_conditions_on_what_is_seen():
    support = torch.tensor([[0, 1, 2], [0, 2, 2], [1, 1, 0], [2, 0, 0]])
    probs = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    world = FiniteSet(support, probs)
    for seen in itertools.product(range(4), repeat=3):
        x = torch.tensor([seen])
        agree = torch.tensor([all(s in (3, c) for s, c in zip(seen, row, strict=True)) for row in support.tolist()])
        if not agree.any():
            continue
        view, weight = posterior(world, x, 0.5), probs * agree / (probs * agree).sum()
        expected = torch.stack([torch.stack([weight[support[:, n] == k].sum() for k in range(3)]) for n in range(3)])
        torch.testing.assert_close(view.probs[0], expected, rtol=0, atol=1e-12)


def test_point_mass_is_certain():
    c = randn(3, 2)
    view = posterior(point_mass(c), randn(4, 3, 2, seed=1), 0.7)
    torch.testing.assert_close(view.x0, c.expand(4, 3, 2), rtol=0, atol=1e-12)


def test_centred_clouds_have_no_centre_and_no_padding():
    world = centred_clouds(randn(3, 5, 3) + 4, 0.1, 4)
    x = world.sample(50, torch.Generator().manual_seed(0))
    assert (x[:, 4] == 0).all()
    assert float(x.sum(1).abs().max()) < 1e-12
    view = posterior(world, x, 0.3)
    assert float(view.x0.sum(1).abs().max()) < 1e-12
    t = torch.tensor([0.3], dtype=torch.float64)
    # degrees of freedom 3 x 3: at a far point the log-density's normaliser shows them
    variance = (0.7 * 0.1) ** 2 + 0.3**2
    lone = centred_clouds(randn(1, 5, 3), 0.1, 4)
    at_mean = lone.log_prob(0.7 * lone.means, t)
    assert float(at_mean) == pytest.approx(-4.5 * math.log(2 * math.pi * variance), rel=1e-12)
