"""Masked and uniform noise as Markov chains: transitions, posteriors, bounds and laws against matrices and enumeration."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from ornstein.core import rng
from ornstein.core.oracle import FiniteSet
from ornstein.core.posterior import Categorical
from ornstein.core.processes import Gaussian, Masked, Uniform
from ornstein.core.samplers import DDIM, DPMpp, Heun, run
from ornstein.core.schedules import VP, Rectified, Trigonometric
from ornstein.core.state import Encoded, Field, Known, Layout, expand_time

K = 3
PROCESSES = [kind(schedule) for kind in (Masked, Uniform) for schedule in (Rectified(), Trigonometric())]
each = pytest.mark.parametrize(
    "process", PROCESSES, ids=lambda p: f"{type(p).__name__}-{type(p.schedule).__name__}".lower()
)


def field_of(process, axes: str = "token") -> Field:
    return Field("a", "categorical", K, process, axes=axes)


def at(t: float) -> torch.Tensor:
    return torch.full((1, 1), t, dtype=torch.float64)


def kernel(process, t: float, s: float) -> torch.Tensor:
    """q(x_s | x_t) forward, s >= t, by its definition: keep alpha_s / alpha_t, else pure noise."""
    n = K + isinstance(process, Masked)
    keep = float(process.schedule.alpha(at(s)) / process.schedule.alpha(at(t)))
    noise = torch.full((n, n), 1 / n, dtype=torch.float64)
    if isinstance(process, Masked):
        noise = torch.zeros(n, n, dtype=torch.float64)
        noise[:, K] = 1
    return keep * torch.eye(n, dtype=torch.float64) + (1 - keep) * noise


def uniforms(n: int = 400) -> torch.Tensor:
    """(1, n n, 2): all pairs of the mid-points of n equal parts of [0, 1)."""
    u = (torch.arange(n) + 0.5) / n
    return torch.cartesian_prod(u, u)[None]


def shares(x: torch.Tensor, n: int) -> torch.Tensor:
    return torch.bincount(x.flatten(), minlength=n).double() / x.numel()


@each
def test_steps_of_the_forward_chain_multiply_to_its_marginal(process):
    """The matrices of `move` upwards, by counting, have the product that `corrupt` has in one go."""
    f, u, times = field_of(process), uniforms(), np.linspace(0, 0.9, 7).tolist()
    n = K + isinstance(process, Masked)
    whole = torch.eye(n, dtype=torch.float64)
    view = Categorical(torch.zeros(1, 1, K, dtype=torch.float64))
    for t, s in pairwise(times):
        rows = [shares(process.move(f, torch.full(u.shape[:2], k), at(t), at(s), view, u), n) for k in range(n)]
        step = torch.stack(rows)
        torch.testing.assert_close(step, kernel(process, t, s), rtol=0, atol=3e-3)
        whole = whole @ kernel(process, t, s)
    torch.testing.assert_close(whole, kernel(process, 0.0, times[-1]))
    for k in range(K):
        corrupted = process.corrupt(f, torch.full(u.shape[:2], k), at(times[-1]), u)
        torch.testing.assert_close(shares(corrupted, n), whole[k], rtol=0, atol=3e-3)
    pure = shares(process.prior(f, at(1.0), u), n)
    torch.testing.assert_close(pure, kernel(process, 0.0, 1.0)[0], rtol=0, atol=3e-3)


@each
@pytest.mark.parametrize(("t", "s"), [(0.9, 0.5), (0.5, 0.1), (0.3, 0.0), (1.0, 0.6)])
def test_a_step_back_is_bayes_averaged_over_the_belief(process, t, s):
    """q(x_s | x_t) of one entry, its output the belief without its own evidence: the whole chain by Bayes."""
    f, u, n = field_of(process), uniforms(), K + isinstance(process, Masked)
    belief = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    to_s, s_to_t = kernel(process, 0.0, s)[:K], kernel(process, s, t)
    joint = belief @ to_s  # (x_s)
    for x_t in range(n):
        expected = joint * s_to_t[:, x_t]
        if expected.sum() == 0:
            continue  # at t = 1 nothing is seen
        x = torch.full(u.shape[:2], x_t)
        view = process.view(f, belief.log().expand(*u.shape[:2], K), x, at(t))
        seen = belief * kernel(process, 0.0, t)[:K, x_t]
        torch.testing.assert_close(view.probs[0, 0], seen / seen.sum(), rtol=1e-9, atol=1e-12)
        moved = process.move(f, x, at(t), at(s), view, u)
        torch.testing.assert_close(shares(moved, n), expected / expected.sum(), rtol=0, atol=4e-3)


@each
def test_rates_are_those_of_short_steps(process):
    """The chance to be at y after a step back of length h, over h, tends to the rate."""
    f, n, t, h = field_of(process), K + isinstance(process, Masked), 0.6, 1e-6
    belief = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    joint = belief @ kernel(process, 0.0, t - h)[:K]
    for x_t in range(n):
        after = joint * kernel(process, t - h, t)[:, x_t]
        after[x_t] = 0
        x = torch.full((1, 1), x_t)
        expected = after / (belief @ kernel(process, 0.0, t)[:K])[x_t] / h
        rate, to = process.rates(f, x, at(t), process.view(f, belief.log()[None, None], x, at(t)))
        torch.testing.assert_close((rate[..., None] * to)[0, 0], expected[:K], rtol=1e-4, atol=1e-9)
        assert float(to.sum()) == pytest.approx(1) if float(rate) > 0 else x_t < K


@each
def test_a_step_from_pure_noise_and_a_rest_have_no_nan(process):
    f, u = field_of(process), uniforms(20)
    for t, s in [(1.0, 1.0), (1.0, 0.999), (1.0, 0.0), (0.5, 0.5), (1e-12, 0.0), (0.0, 0.0)]:
        x = process.corrupt(f, torch.full(u.shape[:2], 1), at(t), u)
        view = process.view(f, torch.zeros(*u.shape[:2], K), x, at(t))
        assert torch.isfinite(view.log_probs).all()
        moved = process.move(f, x, at(t), at(s), view, u)
        assert torch.equal(moved, x) if t == s else True
        assert int(moved.max()) < K + (s > 0 and isinstance(process, Masked))
        if t == 0:
            assert float(process.loss(f, view, x, u, x, at(t)).abs().max()) < 1e-6


START = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
STEP = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.05, 0.05, 0.9]], dtype=torch.float64)


def chain(process) -> FiniteSet:
    """Three steps of a Markov chain, all 27 sequences."""
    support = torch.cartesian_prod(*[torch.arange(K)] * 3)
    probs = START[support[:, 0]] * STEP[support[:, 0], support[:, 1]] * STEP[support[:, 1], support[:, 2]]
    return FiniteSet(support, probs, process=process)


def q(process, x_t: torch.Tensor, x0: torch.Tensor, t: float) -> torch.Tensor:
    """q(x_t | x_0) of whole sequences."""
    return kernel(process, 0.0, t)[x0, x_t].prod(-1)


@each
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_the_posterior_of_a_finite_set_is_bayes_over_its_sequences(process, t):
    world = chain(process)
    n = K + isinstance(process, Masked)
    x = torch.cartesian_prod(*[torch.arange(n)] * 3)
    weight = q(process, x[:, None], world.support, t) * world.probs
    weight = weight / weight.sum(1, keepdim=True)
    expected = torch.einsum("bs,snk->bnk", weight, torch.nn.functional.one_hot(world.support, K).double())
    view = world({"tokens": x}, t, world.blank(len(x)).layout, {})["tokens"]
    torch.testing.assert_close(view.probs, expected, rtol=1e-6, atol=1e-7)


def bound(process, temper: float = 1.0) -> float:
    """The mean over data, x_t and t of the loss of all tokens, by enumeration and Gauss's rule."""
    world, kind = chain(process), type(process)(process.schedule, elbo=True)
    n = K + isinstance(process, Masked)
    x = torch.cartesian_prod(*[torch.arange(n)] * 3)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    nodes, weights = ((nodes + 1) / 2) ** 2, weights * (nodes + 1) / 2  # the loss grows as log(1 / t) near 0
    total, layout, f = 0.0, world.blank(len(x)).layout, world.fields["tokens"]
    for t, w in zip(nodes, weights, strict=True):
        logits = world({"tokens": x}, float(t), layout, {})["tokens"].log_probs * temper
        time = torch.full((1, 1, 1), float(t), dtype=torch.float64)
        x0 = world.support[:, None].expand(-1, len(x), -1)
        view = Categorical(logits.expand(len(x0), -1, -1, -1))
        loss = kind.loss(f, view, x0, None, x.expand_as(x0), time).sum(-1)
        total += w * float((world.probs[:, None] * q(process, x, world.support[:, None], float(t)) * loss).sum())
    return total


@each
def test_the_bound_of_the_exact_posterior_is_the_entropy_of_the_data(process):
    """In continuous time one token moves at a time, so nothing is lost; a posterior that is off is above."""
    world = chain(process)
    entropy = float(-(world.probs * world.probs.log()).sum())
    assert bound(process) == pytest.approx(entropy, rel=1e-5)
    assert bound(process, temper=0.7) > entropy + 0.02


SUPPORT = torch.tensor([[0, 1, 2], [0, 2, 2], [1, 1, 0], [2, 0, 0]])
PROBS = torch.tensor([0.1, 0.2, 0.3, 0.4])


def law(process, steps: int) -> torch.Tensor:
    """The exact law of ancestral sampling over all sequences, each token by itself within a step."""
    world, n = FiniteSet(SUPPORT, PROBS, process=process), K + isinstance(process, Masked)
    x = torch.cartesian_prod(*[torch.arange(n)] * 3)
    mass, layout = kernel(process, 0.0, 1.0)[0][x].prod(1), world.blank(len(x)).layout
    for t, s in pairwise(np.linspace(1, 0, steps + 1).tolist()):
        probs = world({"tokens": x}, t, layout, {})["tokens"].probs
        ahead = probs / kernel(process, 0.0, t)[:K].T[x].clamp(min=1e-300)
        each = (ahead @ kernel(process, 0.0, s)[:K]) * kernel(process, s, t).T[x]  # (states, token, x_s)
        if isinstance(process, Masked):  # what is seen stays, also where drawing apart has left the support
            each = torch.where((x == K)[..., None], each, torch.eye(n, dtype=torch.float64)[x])
        mass = mass @ each[:, torch.arange(3), x].prod(-1)
    return mass


def exact(process) -> torch.Tensor:
    n = K + isinstance(process, Masked)
    mass = torch.zeros(n, n, n, dtype=torch.float64)
    mass[tuple(SUPPORT.T)] = PROBS.double()
    return mass.flatten()


@each
def test_the_law_of_ancestral_sampling_tends_to_the_data_as_one_over_the_steps(process):
    """What drawing tokens apart within a step gets wrong; the executor's samples have that law."""
    counts = (32, 64, 128, 256)
    errors = [float((law(process, steps) - exact(process)).abs().sum()) for steps in counts]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert 0.9 < slope < 1.2, errors
    world, n = FiniteSet(SUPPORT, PROBS, process=process), 20_000
    x = run(world, DDIM(6).plan(world.processes), world.blank(n), seed=1)["tokens"]
    base = (K + isinstance(process, Masked)) ** torch.arange(2, -1, -1)
    expected = law(process, 6) * n
    counted = torch.bincount((x * base).sum(1), minlength=len(expected)).double()
    assert (counted[expected < 1e-6] == 0).all()
    often = expected > 5
    assert float(((counted - expected)[often] ** 2 / expected[often]).sum()) < 60  # at most 26 degrees of freedom


@pytest.mark.parametrize("sampler", [DDIM(1), DDIM(5), Heun(5), DPMpp(5)], ids=["one", "five", "heun", "dpmpp"])
def test_tokens_by_themselves_are_exact_at_any_number_of_steps(sampler):
    """One token under uniform noise: its steps compose without error; second moves of a step are on the same uniforms."""
    probs = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    world, n = FiniteSet(torch.arange(K)[:, None], probs, process=Uniform()), 40_000
    x = run(world, sampler.plan(world.processes), world.blank(n), seed=2)["tokens"]
    tolerance = 0.02 if isinstance(sampler, Heun) else 4 * 0.5 / n**0.5
    torch.testing.assert_close(shares(x, K), probs, rtol=0, atol=tolerance)


@each
def test_known_tokens_condition_the_others(process):
    """Given the first token, the sequences that begin with it come in their shares."""
    world, n = FiniteSet(SUPPORT, PROBS, process=process), 4000
    bits = torch.tensor([True, False, False]).expand(n, -1)
    blank = world.blank(n)
    known = Known({"tokens": bits}, {"tokens": torch.zeros(n, 3, dtype=torch.int64)})
    x = run(world, DDIM(60).plan(world.processes), Encoded(blank.state, blank.layout, known=known), seed=1)["tokens"]
    assert (x[:, 0] == 0).all()
    assert (x[:, 2] == 2).double().mean() > 0.97
    assert float((x[:, 1] == 2).double().mean()) == pytest.approx(2 / 3, abs=0.04)


def test_the_mask_class_never_occurs_under_uniform_noise_and_pairs_stay_symmetric():
    process = Uniform()
    f = field_of(process, "pair")
    mask = torch.ones(4, 6, dtype=torch.bool)
    u = process.noise(f, rng.keys(0, torch.arange(4)), mask, None, torch.zeros(4, 6, 6, dtype=torch.int64))
    t, s = (expand_time(torch.full((4,), v, dtype=torch.float64), f) for v in (0.7, 0.4))
    x = process.corrupt(f, torch.ones(4, 6, 6, dtype=torch.int64), t, u)
    logits = torch.randn(4, 6, 6, K, generator=torch.Generator().manual_seed(0))
    view = process.view(f, logits + logits.transpose(1, 2), x, t)
    for state in (x, process.prior(f, t, u), process.move(f, x, t, s, view, u), process.move(f, x, s, t, view, u)):
        assert torch.equal(state, state.transpose(1, 2))
        assert 0 <= int(state.min()) <= int(state.max()) < K
        assert len(state.unique()) > 1
    ends = process.pure(f, torch.tensor([0.0, 1 - 2.0**-24]))
    assert ends.tolist() == [0, K - 1]


def test_the_loss_of_uniform_noise_is_the_cross_entropy_of_every_entry():
    process, t = Uniform(), at(0.4)
    f, x_t = field_of(process), torch.tensor([[0, 1, 2]])
    x0 = torch.tensor([[0, 2, 2]])
    view = process.view(f, torch.zeros(1, 3, K), x_t, t)
    seen, other = 0.6 + 0.4 / 3, 0.4 / 3
    expected = -torch.tensor([[math.log(seen), math.log(other), math.log(seen)]])
    torch.testing.assert_close(process.loss(f, view, x0, None, x_t, t), expected)


def test_single_precision_does_not_drown_the_bound_where_little_is_left_of_the_data():
    """Its terms cancel to the order of alpha^2, which float32 cannot hold."""
    process, t = Uniform(elbo=True), at(1 - 1e-4)
    f = field_of(process)
    x_t, x0 = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
    logits = torch.tensor([[[1.0, 0.2, -0.3]] * 3])
    narrow, wide = (
        process.loss(f, process.view(f, logits.to(d), x_t, t), x0, None, x_t, t) for d in (torch.float32, torch.float64)
    )
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-3, atol=0)


def test_uniform_noise_needs_a_schedule_that_ends_at_noise():
    with pytest.raises(ValueError, match="Uniform noise needs alpha = 0 at t = 1, which VP does not reach"):
        Uniform(VP())
    with pytest.raises(ValueError, match="Uniform noise serves categorical fields; 'x' is continuous"):
        Uniform().check(Field("x", "continuous", 1, Gaussian()))


def test_times_of_tokens_may_differ():
    """Per-token time: each token's step is that of its own times."""
    process = Uniform()
    f, n = field_of(process), 50_000
    t, s = torch.tensor([[0.9, 0.5, 0.3]], dtype=torch.float64), torch.tensor([[0.4, 0.5, 0.6]], dtype=torch.float64)
    u = torch.rand(n, 3, 2, generator=torch.Generator().manual_seed(0))
    x = torch.zeros(n, 3, dtype=torch.int64)
    belief = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    moved = process.move(f, x, t, s, process.view(f, belief.log().expand(n, 3, K), x, t), u)
    back = (belief @ kernel(process, 0.0, 0.4)) * kernel(process, 0.4, 0.9)[:, 0]
    torch.testing.assert_close(shares(moved[:, 0], K), back / back.sum(), rtol=0, atol=0.01)
    assert (moved[:, 1] == 0).all()
    torch.testing.assert_close(shares(moved[:, 2], K), kernel(process, 0.3, 0.6)[0], rtol=0, atol=0.01)


def test_a_layout_with_padding_draws_the_same():
    f, process = field_of(Uniform()), Uniform()
    layouts = [Layout.of_sizes(torch.tensor([3]), size) for size in (3, 6)]
    a, b = (process.noise(f, rng.keys(0, torch.arange(1)), at.mask, None, torch.zeros(1)) for at in layouts)
    assert torch.equal(a, b[:, :3])
