"""Noising processes: marginals, transitions and losses, mostly by exact counting over a grid of uniforms."""

import math

import pytest
import torch
from ornstein.core import rng
from ornstein.core.oracle import FiniteSet
from ornstein.core.parametrization import V
from ornstein.core.posterior import Categorical
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import DDIM, Heun, run
from ornstein.core.schedules import VP, Rectified, Trigonometric
from ornstein.core.state import CentreFree, Field, expand_time

K = 3
SCHEDULES = [Rectified(), Trigonometric()]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def field_of(process: Masked, axes: str = "token") -> Field:
    return Field("a", "categorical", K, process, axes=axes)


def at(t: float) -> torch.Tensor:
    return torch.full((1, 1), t, dtype=torch.float64)


def uniforms(n: int = 1000) -> torch.Tensor:
    """(1, n n, 2): all pairs of the mid-points of n equal parts of [0, 1)."""
    u = (torch.arange(n) + 0.5) / n
    return torch.cartesian_prod(u, u)[None]


def belief(*probs: float) -> Categorical:
    return Categorical(torch.tensor(probs, dtype=torch.float64).log())


def share(x: torch.Tensor, value: int) -> float:
    return float((x == value).double().mean())


@each
def test_corruption_keeps_a_class_with_probability_alpha(schedule):
    process = Masked(schedule)
    f, u = field_of(process), uniforms()
    x0 = torch.full(u.shape[:2], 2)
    for t in (0.0, 0.2, 0.7, 1.0):
        x_t = process.corrupt(f, x0, at(t), u)
        assert share(x_t, 2) == pytest.approx(float(schedule.alpha(at(t))), abs=2e-3)
        assert share(x_t, K) == pytest.approx(1 - float(schedule.alpha(at(t))), abs=2e-3)
    assert share(process.corrupt(f, x0, at(0.0), u), 2) == 1


@each
@pytest.mark.parametrize(("t", "s"), [(0.9, 0.5), (0.5, 0.1), (0.3, 0.0), (1.0, 0.99)])
def test_reverse_step_is_the_posterior_of_the_absorbing_chain(schedule, t, s):
    """q(x_s | x_t, x_0) by Bayes from the transition matrices, averaged over the believed x_0."""
    process, u = Masked(schedule), uniforms()
    believed = [0.5, 0.2, 0.3]
    a_t, a_s = (float(schedule.alpha(at(v))) for v in (t, s))
    keep = a_t / a_s
    eye, absorbed = torch.eye(K + 1, dtype=torch.float64), torch.zeros(K + 1, K + 1, dtype=torch.float64)
    absorbed[:, K] = 1
    to_s, s_to_t = a_s * eye + (1 - a_s) * absorbed, keep * eye + (1 - keep) * absorbed
    torch.testing.assert_close(to_s @ s_to_t, a_t * eye + (1 - a_t) * absorbed)  # the chain composes
    for x_t in range(K + 1):
        expected = torch.zeros(K + 1, dtype=torch.float64)
        for c, p in enumerate(believed):
            joint = to_s[c] * s_to_t[:, x_t]
            if joint.sum() > 1e-9:
                expected += p * joint / joint.sum()
        if expected.sum() == 0:
            continue  # at t = 1 nothing is seen
        expected /= expected.sum()
        x = torch.full(u.shape[:2], x_t)
        moved = process.move(field_of(process), x, at(t), at(s), belief(*believed), u)
        for value in range(K + 1):
            assert share(moved, value) == pytest.approx(float(expected[value]), abs=3e-3)


@each
def test_upward_move_is_forward_noising(schedule):
    """corrupt to t, then up to s, has the marginal of corrupt to s; masks never come off."""
    process, f = Masked(schedule), field_of(Masked(schedule))
    n = 1000
    x_t = process.corrupt(f, torch.ones(1, n, dtype=torch.int64), at(0.3), torch.rand(1, n, 2))
    x_t = x_t.repeat_interleave(n, 1)
    u = uniforms(n)
    u = u.view(n, n, 2).transpose(0, 1).reshape(1, -1, 2)
    up = process.move(f, x_t, at(0.3), at(0.8), belief(0, 1, 0), u)
    ratio = float(schedule.alpha(at(0.8)) / schedule.alpha(at(0.3)))
    assert share(up[x_t == 1], 1) == pytest.approx(ratio, abs=2e-3)
    assert (up[x_t == K] == K).all()
    rest = process.move(f, x_t, at(0.3), at(0.3), belief(0, 1, 0), u)
    assert torch.equal(rest, x_t)


def test_no_class_of_probability_zero_is_drawn_at_either_end():
    process = Masked()
    f, masked = field_of(process), torch.full((1, 1), K)
    for dtype in (torch.float32, torch.float64):
        ends = torch.tensor([0.0, 1 - 2.0**-24], dtype=torch.float32)
        for u in ends:
            noise = torch.stack([torch.zeros(1, 1), u.expand(1, 1)], -1)
            for probs, only in (([0, 1, 0], 1), ([0, 0, 1], 2), ([1, 0, 0], 0)):
                view = Categorical(torch.where(torch.tensor(probs) > 0, 0.0, -1e9).to(dtype))
                assert int(process.move(f, masked, at(1.0), at(0.0), view, noise)) == only
            halves = belief(0, 0.3, 0.7) if dtype == torch.float64 else Categorical(torch.tensor([-1e9, -1.2, -0.36]))
            assert int(process.move(f, masked, at(1.0), at(0.0), halves, noise)) == (1 if u == 0 else 2)


def test_a_seen_token_is_what_it_is():
    process = Masked()
    f = field_of(process)
    view = process.view(f, torch.randn(1, 4, K), torch.tensor([[0, 1, 2, K]]), at(0.5))
    torch.testing.assert_close(view.probs[0, :3], torch.eye(3), rtol=0, atol=1e-6)
    assert view.x0[0, :3].tolist() == [0, 1, 2]
    assert torch.isfinite(view.log_probs).all()


@each
def test_the_bound_on_the_likelihood_of_an_ignorant_model_is_log_k(schedule):
    """E_t E_x_t [elbo loss] = int -alpha' / (1 - alpha) (1 - alpha) log K dt = log K; and only masked entries count."""
    process = Masked(schedule, elbo=True)
    f, n = field_of(process), 2000
    t = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    u = ((torch.arange(500) + 0.5) / 500).view(1, -1, 1).expand(n, -1, 2)
    x0 = torch.ones(n, 500, dtype=torch.int64)
    x_t = process.corrupt(f, x0, t, u)
    view = process.view(f, torch.zeros(n, 500, K, dtype=torch.float64), x_t, t)
    loss = process.loss(f, view, x0, u, x_t, t)
    assert float(loss.mean()) == pytest.approx(math.log(K), rel=5e-3)
    assert (loss[x_t != K] == 0).all()
    plain = Masked(schedule).loss(f, view, x0, u, x_t, t)
    torch.testing.assert_close(plain[x_t == K], torch.full_like(plain[x_t == K], math.log(K)))
    clean = process.view(f, torch.zeros(1, 1, K), torch.ones(1, 1, dtype=torch.int64), at(0.0))
    assert (
        process.loss(f, clean, torch.ones(1, 1, dtype=torch.int64), u, torch.ones(1, 1, dtype=torch.int64), at(0.0))
        == 0
    )


def test_bonds_stay_symmetric():
    process = Masked()
    f = field_of(process, "pair")
    keys = rng.keys(0, torch.arange(4))
    mask = torch.ones(4, 6, dtype=torch.bool)
    u = process.noise(f, keys, mask, None, torch.zeros(4, 6, 6, dtype=torch.int64))
    t, s = (expand_time(torch.full((4,), v, dtype=torch.float64), f) for v in (0.7, 0.4))
    x = process.corrupt(f, torch.ones(4, 6, 6, dtype=torch.int64), t, u)
    logits = torch.randn(4, 6, 6, K)
    moved = process.move(f, x, t, s, Categorical(logits + logits.transpose(1, 2)), u)
    for state in (x, moved):
        assert torch.equal(state, state.transpose(1, 2))
        assert len(state.unique()) > 1


SUPPORT = torch.tensor([[0, 1, 2], [0, 2, 2], [1, 1, 0], [2, 0, 0]])
PROBS = torch.tensor([0.1, 0.2, 0.3, 0.4])


@each
def test_many_steps_draw_the_joint_distribution(schedule):
    """Chi-square over the support; what several tokens revealed in one step get wrong is below its resolution."""
    world, n = FiniteSet(SUPPORT, PROBS, process=Masked(schedule)), 4000
    x = run(world, DDIM(300).plan(world.processes), world.blank(n), seed=1)["tokens"]
    hits = (x[:, None] == SUPPORT).all(2)
    counts = hits.sum(0).double()
    assert float(counts.sum()) > 0.98 * n
    expected = PROBS.double() * counts.sum()
    assert float(((counts - expected) ** 2 / expected).sum()) < 16.3  # 3 degrees of freedom, one in a thousand


@pytest.mark.parametrize("sampler", [DDIM(1), DDIM(4), Heun(5)], ids=["one", "four", "heun"])
def test_marginals_of_single_tokens_are_exact_at_any_number_of_steps(sampler):
    """Tokens revealed together are drawn apart, each from its own marginal; a corrector's second move repeats the first."""
    table = torch.tensor([[5.0, 1.0, 1.0], [1.0, 8.0, 2.0], [3.0, 1.0, 1.0]], dtype=torch.float64)
    world = FiniteSet(torch.cartesian_prod(torch.arange(K), torch.arange(K)), table.flatten())
    n = 40_000
    x = run(world, sampler.plan(world.processes), world.blank(n), seed=2)["tokens"]
    assert int(x.max()) < K
    for token, marginal in enumerate((table.sum(1), table.sum(0))):
        expected = marginal / marginal.sum() * n
        counts = torch.bincount(x[:, token], minlength=K)
        assert float(((counts - expected) ** 2 / expected).sum()) < 13.8  # 2 degrees of freedom, one in a thousand


def test_gaussian_noise_lives_in_its_space_and_corrupts_by_alpha_and_sigma():
    f = Field("x", "continuous", 3, Gaussian(VP(), V()), space=CentreFree())
    mask = torch.arange(5)[None] < torch.tensor([[5], [3]])
    like = torch.zeros(2, 5, 3, dtype=torch.float64)
    eps = f.process.noise(f, rng.keys(0, torch.arange(2)), mask, None, like)
    assert eps.dtype == torch.float64
    assert float(eps.sum(1).abs().max()) < 1e-12
    assert (eps[1, 3:] == 0).all()
    given = torch.zeros(2, 5, 3, dtype=torch.bool)
    given[1, 0] = True  # placed by what is given: its noise is not centred either
    free = f.process.noise(f, rng.keys(0, torch.arange(2)), mask, given, like)
    assert torch.equal(free[0], eps[0])
    assert torch.equal(free[1, :3], rng.normal(rng.keys(0, torch.arange(2)), f, 5, torch.float64)[1, :3])
    x0, t = torch.randn(2, 5, 3, dtype=torch.float64), expand_time(torch.tensor([0.2, 0.9], dtype=torch.float64), f)
    alpha, sigma = VP().alpha(t), VP().sigma(t)
    torch.testing.assert_close(f.process.corrupt(f, x0, t, eps), alpha * x0 + sigma * eps)
    torch.testing.assert_close(f.process.prior(f, t, eps), sigma * eps)
    e = Field("e", "continuous", 2, Gaussian(), axes="pair")
    pairs = e.process.noise(e, rng.keys(0, torch.arange(2)), mask, None, torch.zeros(2, 5, 5, 2))
    assert torch.equal(pairs, pairs.transpose(1, 2))
    assert (pairs[1, 3:] == 0).all()
    assert (pairs[1, :, 3:] == 0).all()


def test_the_clock_of_the_network_is_log_sigma_over_alpha_and_finite():
    for schedule in (VP(), Rectified(), Trigonometric()):
        t = torch.linspace(0, 1, 101, dtype=torch.float64)
        c = Gaussian(schedule, V()).c_noise(t)
        assert c[0] == -3
        assert torch.isfinite(c).all()
        assert (c.diff() >= 0).all()
        inner = t[10:90]
        expected = torch.log(schedule.sigma(inner) / schedule.alpha(inner)) / 4
        torch.testing.assert_close(c[10:90], expected, rtol=1e-9, atol=1e-12)
        assert float(c[1:].min()) >= -2.5
        assert float(c.max()) <= 2.5


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Masked(VP()), "alpha = 0 at t = 1, which VP does not reach"),
        (lambda: Gaussian(sigma_data=0.0), "sigma_data must be above 0"),
        (lambda: Masked().check(Field("x", "continuous", 1, Gaussian())), "'x' is continuous"),
        (lambda: Gaussian().check(field_of(Masked())), "'a' is categorical"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_what_inference_has_kept_serves_gradients_too():
    process, t = Gaussian(VP(), V()), torch.tensor(0.123456, dtype=torch.float64)
    with torch.inference_mode():
        process.at(t)
    output = torch.ones(1, 2, 1, requires_grad=True)
    view = process.view(Field("x", "continuous", 1, process), output, torch.ones(1, 2, 1), t)
    (gradient,) = torch.autograd.grad(view.v.sum(), output)
    torch.testing.assert_close(gradient, torch.ones_like(gradient))  # v is the output itself
