"""How categorical fields are un-noised: laws, orders of revealing, and what every move must keep."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.cli.objects import build
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.oracle import FiniteSet
from ornstein.core.posterior import Categorical
from ornstein.core.processes import Gaussian, Masked, Uniform
from ornstein.core.samplers import (
    DDPM,
    Ancestral,
    Autoregressive,
    Confidence,
    DPMpp,
    EntropyBound,
    Heun,
    Pyramid,
    Remasking,
    Sampler,
    TauLeaping,
    run,
)
from ornstein.core.schedules import Rectified, Trigonometric
from ornstein.core.state import CentreFree, Encoded, Field, Known, Layout

K = 3
SERVES = {
    Ancestral(): (Masked, Uniform),
    Ancestral(0.7): (Masked, Uniform),
    TauLeaping(): (Masked, Uniform),
    Confidence(): (Masked,),
    EntropyBound(): (Masked,),
    Remasking(): (Masked,),
}
MOVES = list(SERVES)
SCHEDULES = [Rectified(), Trigonometric()]
every = pytest.mark.parametrize("move", MOVES, ids=str)


def at(t: float) -> torch.Tensor:
    return torch.full((1, 1), t, dtype=torch.float64)


def drawn(world: FiniteSet, move, steps: int, n: int, seed: int = 0, hooks=()) -> torch.Tensor:
    plan = DDPM(steps, move=move).plan(world.processes)
    return run(world, plan, world.blank(n), seed=seed, hooks=hooks)["tokens"]


def call(move, x, view, t: float, s: float, u=None, open=None, process=None, axes="token"):
    """One move of a field by hand, on fixed uniforms."""
    f = Field("a", "categorical", K, process or Masked(), axes=axes)
    u = torch.full((*x.shape, 2), 0.5) if u is None else u
    open = torch.ones_like(x, dtype=torch.bool) if open is None else open
    return move(f, f.process, x, at(t), at(s), view, u, open)


# The temperature of classes


P = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 3.0])
@pytest.mark.parametrize("process", [Masked(), Uniform()], ids=lambda p: type(p).__name__)
def test_classes_are_drawn_from_the_posterior_to_the_power_of_1_over_t(temperature, process):
    """One step to s = 0 from nothing known: by counting, and entry by entry as its uniform says."""
    n = 100_000
    u = torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    view, x = Categorical(P.log().expand(1, n, K) + 5.0), process.pure(Field("a", "categorical", K, process), u[..., 0])
    law = P ** (1 / temperature) / (P ** (1 / temperature)).sum()
    out = call(Ancestral(temperature), x, view, 1.0, 0.0, u, process=process)
    torch.testing.assert_close(torch.bincount(out[0], minlength=K).double() / n, law, rtol=0, atol=0.006)
    expected = torch.bucketize(u[0, :, 1], law.cumsum(0)[:-1], right=True)
    assert float((out[0] == expected).double().mean()) > 0.9999


def test_a_temperature_of_half_squares_what_a_single_token_is_drawn_from():
    """Through a whole run: revealed one by one, each class as p^2."""
    x = drawn(FiniteSet(torch.arange(K)[:, None], P), Ancestral(0.5), 4, 50_000)
    torch.testing.assert_close(torch.bincount(x.flatten()).double() / 50_000, P**2 / (P**2).sum(), rtol=0, atol=0.008)


def test_towards_0_the_most_probable_class_is_taken_and_at_0_equal_ones_are_shared():
    n = 1000
    x, u = torch.full((1, n), K), torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(1, n, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for temperature in (0.0, 1e-9):
        for view in (Categorical(logits), Categorical((100 * logits).float()), Categorical(1e9 * logits)):
            assert torch.equal(call(Ancestral(temperature), x, view, 1.0, 0.0, u), view.logits.argmax(-1))
    even = Categorical(torch.tensor([2.0, -1e9, 2.0]).expand(1, n, K))
    counts = torch.bincount(call(Ancestral(0.0), x, even, 1.0, 0.0, u)[0], minlength=K)
    assert counts[1] == 0
    assert counts[0] / n == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("process", [Masked(), Uniform()], ids=lambda p: type(p).__name__)
def test_a_temperature_of_1_is_the_move_of_the_process_to_the_bit(process):
    g, f = torch.Generator().manual_seed(0), Field("a", "categorical", K, process)
    x = torch.randint(K + isinstance(process, Masked), (4, 500), generator=g)
    u, view = torch.rand(4, 500, 2, generator=g), process.view(f, torch.randn(4, 500, K, generator=g), x, at(0.6))
    own = process.move(f, x, at(0.6), at(0.4), view, u)
    assert torch.equal(call(Ancestral(), x, view, 0.6, 0.4, u, process=process), own)
    assert torch.equal(call(Ancestral(1.0), x, view, 0.6, 0.4, u, process=process), own)
    assert not torch.equal(call(Ancestral(0.2), x, view, 0.6, 0.4, u, process=process), own)
    assert Ancestral(1.0) == Ancestral()


def test_a_recipe_gives_the_temperature_and_the_plan_names_it():
    sampler = build(Sampler, "sampler", {"name": "ddpm", "steps": 3, "move": {"name": "ancestral", "temperature": 0.7}})
    assert sampler.move == Ancestral(0.7)
    assert "move=Ancestral(temperature=0.7)" in sampler.plan({"a": Masked()}).name
    with pytest.raises(ValueError, match="is for categorical fields; there is none"):
        sampler.plan({"x": Gaussian()})


# The law of a leap


@pytest.mark.parametrize("process", [kind(s) for kind in (Masked, Uniform) for s in SCHEDULES], ids=str)
def test_leaps_tend_to_the_law_of_a_token_at_order_one(process):
    """A single token at half time, by counting: how many masks are left, and how the classes are spread."""
    probs, n = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), 100_000
    world = FiniteSet(torch.arange(K)[:, None], probs, process=process)
    counts, errors = (4, 8, 16), []
    for steps in counts:
        at_half = []
        hooks = [lambda p: at_half.append(p.state["tokens"]) if abs(p.time - 0.5) < 1e-9 else None]  # noqa: B023
        x = drawn(world, TauLeaping(), steps, n, hooks=hooks)
        assert int(x.max()) < K
        alpha = float(process.schedule.alpha(at(0.5)))
        expected = alpha * probs + (0 if isinstance(process, Masked) else (1 - alpha) / K)
        found = torch.bincount(at_half[0].flatten(), minlength=K + 1)[:K].double() / n
        errors.append(float((found - expected).abs().sum()))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert 0.8 < slope < 1.35, errors


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_the_masks_that_leaps_leave_are_those_of_frozen_rates(schedule):
    """prod exp(-h rate(t_i)), in closed form."""
    world, n, steps = FiniteSet(torch.arange(K)[:, None], process=Masked(schedule)), 100_000, 10
    shares = {}
    drawn(world, TauLeaping(), steps, n, hooks=[lambda p: shares.update({round(p.time, 6): p.state["tokens"] == K})])
    left = 1.0
    for i in range(steps, 1, -1):
        t = at(i / steps)
        left *= math.exp(float(schedule.d_alpha(t) / (1 - schedule.alpha(t))) / steps)
        assert float(shares[round((i - 1) / steps, 6)].double().mean()) == pytest.approx(left, abs=0.007)
    assert not shares[0.0].any()  # the last step is ancestral


# Masking again


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("rate", [0.0, 2.0, 20.0, 1e6])
def test_masking_again_keeps_the_share_of_masks_and_the_law_of_a_token(schedule, rate):
    """Whatever the rate, in any number of steps, by counting at every step."""
    n, shares = 100_000, {}
    world = FiniteSet(torch.arange(K)[:, None], P, process=Masked(schedule))
    x = drawn(
        world,
        Remasking(rate),
        5,
        n,
        hooks=[lambda p: shares.update({p.time: (p.state["tokens"] == K).double().mean()})],
    )
    for s, share in shares.items():
        assert float(share) == pytest.approx(1 - float(schedule.alpha(at(s))), abs=0.008)
    torch.testing.assert_close(torch.bincount(x.flatten(), minlength=K).double() / n, P, rtol=0, atol=0.008)


def test_without_a_rate_nothing_is_masked_again():
    g = torch.Generator().manual_seed(0)
    x, u = torch.randint(K + 1, (4, 500), generator=g), torch.rand(4, 500, 2, generator=g)
    view = Categorical(torch.randn(4, 500, K, generator=g))
    for temperature in (0.5, 1.0):
        assert torch.equal(
            call(Remasking(0.0, temperature), x, view, 0.6, 0.4, u), call(Ancestral(temperature), x, view, 0.6, 0.4, u)
        )


@pytest.mark.parametrize("rate", [1.0, 3.0, 1e6])
def test_the_share_that_is_masked_again_is_that_of_its_rate_up_to_the_bound(rate):
    """Nothing masked before: beta are masked after, and the others keep their class."""
    n, t, s = 200_000, 0.6, 0.4
    x, u = torch.arange(n)[None] % K, torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0))
    out = call(Remasking(rate), x, Categorical(torch.zeros(1, n, K)), t, s, u)
    beta = min(1 - math.exp(-rate * (t - s)), s / (1 - t))
    assert float((out == K).double().mean()) == pytest.approx(beta, abs=0.005)
    assert torch.equal(out[out != K], x[out != K])
    assert not (call(Remasking(rate), x, Categorical(torch.zeros(1, n, K)), t, 0.0, u) == K).any()


def test_masking_again_mends_what_was_drawn_before_the_network_knew_better():
    """A network that knows nothing down to t = 1/2 and everything below: a third is wrong where nothing is mended."""
    n, steps, g = 20_000, 20, torch.Generator().manual_seed(0)
    early, late = Categorical(torch.zeros(1, n, K)), Categorical(torch.tensor([0.0, -1e9, -1e9]).expand(1, n, K))
    wrong = {}
    for move in (Ancestral(), Remasking(2.0), Remasking(20.0)):
        x = torch.full((1, n), K)
        for i in range(steps, 0, -1):
            view = early if i > steps // 2 else late
            x = call(move, x, view, i / steps, (i - 1) / steps, torch.rand(1, n, 2, generator=g))
        wrong[move] = float((x != 0).double().mean())
    assert wrong[Ancestral()] == pytest.approx(1 / 3, abs=0.02)
    times = [i / steps for i in range(steps // 2, -1, -1)]
    for rate in (2.0, 20.0):
        kept = math.prod(1 - min(1 - math.exp(-rate / steps), s / (1 - t)) for t, s in itertools.pairwise(times))
        assert wrong[Remasking(rate)] == pytest.approx(kept / 3, abs=0.01)


@pytest.mark.parametrize("fault", [{"rate": -1.0}, {"rate": math.inf}, {"temperature": -0.1}, {"rate": math.nan}])
def test_masking_again_refuses_what_is_no_rate_and_no_temperature(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        Remasking(**fault)


# The order of revealing


def view_of(*rows) -> Categorical:
    """Class probabilities of each token."""
    return Categorical(torch.tensor([rows], dtype=torch.float64).clamp(min=1e-30).log())


CERTAIN, LIKELY, EVEN, FLAT = [1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [1 / 3] * 3


def entropy(p) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


def test_the_most_confident_are_revealed_first():
    x = torch.full((1, 4), K)
    view, u = view_of(EVEN, CERTAIN, FLAT, LIKELY), torch.full((1, 4, 2), 0.3)
    order = [1, 3, 0, 2]
    for s, count in [(0.99, 1), (0.75, 1), (0.74, 2), (0.5, 2), (0.26, 3), (0.25, 3), (0.2, 4), (0.0, 4)]:
        out = call(Confidence(0.0), x, view, 1.0, s, u)
        assert (out[0] != K).nonzero().flatten().tolist() == sorted(order[:count])
        assert (out[0][out[0] != K] == 0).all()  # the class that u draws
    noisy = [call(Confidence(5.0), x, view, 1.0, 0.7, torch.rand(1, 4, 2)) for _ in range(200)]
    hits = torch.stack([o[0] != K for o in noisy]).double()
    assert (hits.sum(1) == 2).all()
    assert (hits.mean(0) > 0.2).all()  # the noise lets any be first


@pytest.mark.parametrize("gamma", [0.0, 0.2, 0.4, 1.1, 5.0])
def test_as_many_are_revealed_as_the_bound_on_their_entropies_allows(gamma):
    rows = [EVEN, CERTAIN, FLAT, LIKELY]
    order, spent, expected = [1, 3, 0, 2], 0.0, []
    for i in order:
        if spent <= gamma:  # the sum less the largest is what came before
            expected.append(i)
        spent += entropy(rows[i])
    out = call(EntropyBound(gamma), torch.full((1, 4), K), view_of(*rows), 1.0, 0.9)
    assert (out[0] != K).nonzero().flatten().tolist() == sorted(expected)
    assert (call(EntropyBound(gamma), torch.full((1, 4), K), view_of(*rows), 0.3, 0.0) != K).all()


def test_copies_are_drawn_together_once_one_of_them_is_seen():
    """Two free bits, three copies of each: bounded by entropy three steps do, drawn apart they do not."""
    bits = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    world, n = FiniteSet(bits.repeat_interleave(3, 1)), 2000

    def right(move) -> float:
        x = drawn(world, move, 3, n)
        return float((x[:, None] == world.support).all(2).any(1).double().mean())

    assert right(EntropyBound(0.0)) == 1
    assert right(EntropyBound(10.0)) < 0.2
    assert right(Ancestral()) < 0.65
    assert right(Confidence(0.0)) > right(Ancestral()) + 0.1


def test_fixed_tokens_come_before_free_ones():
    support = torch.tensor([[0, 1, 2, 0], [1, 1, 2, 1], [2, 1, 2, 2]])  # the middle is fixed, the ends are copies
    world, seen = FiniteSet(support), []
    for move, ends in ((Confidence(0.0), 0), (EntropyBound(0.0), 2)):
        seen.clear()
        x = drawn(world, move, 4, 500, hooks=[lambda p: seen.append(p.state["tokens"] != K)])
        assert (x[:, None] == support).all(2).any(1).all()
        assert seen[2][:, 1:3].all()  # after two steps of four
        assert (seen[2][:, [0, 3]].sum(1) == ends).all()


def test_equal_entries_are_in_an_order_of_their_own_that_rounding_does_not_change():
    x, g = torch.full((64, 8), K), torch.Generator().manual_seed(0)
    u, logits = torch.rand(64, 8, 2, generator=g), torch.zeros(64, 8, K, dtype=torch.float64)
    for move in (Confidence(0.0), EntropyBound(0.0)):
        first, again = (
            call(move, x, Categorical(logits + 1e-9 * scale * torch.randn(64, 8, K, generator=g)), 1.0, 0.8, u) != K
            for scale in (0, 1)
        )
        assert torch.equal(first, again)
        assert (first.double().mean(0) > 0.02).all()  # no place is always first


# What every move keeps


FIELDS = (
    Field("x", "continuous", 3, Gaussian(), space=CentreFree()),
    Field("a", "categorical", 4, Masked()),
    Field("b", "categorical", 3, Masked(Trigonometric()), axes="pair"),
    Field("u", "categorical", 5, Uniform()),
    Field("p", "categorical", 3, Uniform(Trigonometric()), axes="pair"),
)


def network_of(move) -> NeuralDenoiser:
    """Random weights everywhere, for the fields that the move serves."""
    fields = [f for f in FIELDS if not isinstance(f.process, (Masked, Uniform)) or isinstance(f.process, SERVES[move])]
    module = NeuralDenoiser(DiT(fields, (), 0, width=16, depth=2, heads=2, pair_width=8), fields)
    g = torch.Generator().manual_seed(0)
    for p in module.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.3)
    return module.double().eval()


def blank(network, sizes, tokens: int | None = None) -> Encoded:
    layout = Layout.of_sizes(torch.as_tensor(sizes), tokens)
    b, n = layout.mask.shape
    state = {}
    for f in network.fields.values():
        shape = (b, n, n) if f.axes == "pair" else (b, n)
        continuous = f.kind == "continuous"
        state[f.name] = (
            torch.zeros(*shape, f.channels, dtype=torch.float64) if continuous else torch.zeros(shape).long()
        )
    return Encoded(state, layout)


def classes(network, state) -> dict:
    return {n: state[n] for n, f in network.fields.items() if f.kind == "categorical"}


@every
@pytest.mark.parametrize("sampler", [DDPM(7), Heun(4), DPMpp(7)], ids=lambda s: type(s).__name__)
def test_a_joint_state_is_drawn_without_seeing_its_batch_or_padding(move, sampler):
    network, sizes = network_of(move), [5, 3, 4, 1]
    plan = replace(sampler, move=move).plan(network.processes)
    full = run(network, plan, blank(network, sizes), seed=7)
    for k, size in enumerate(sizes):
        for tokens in (size, 7):
            alone = run(network, plan, blank(network, [size], tokens), seed=7, index=torch.tensor([k]))
            torch.testing.assert_close(full["x"][k, :size], alone["x"][0, :size], rtol=0, atol=1e-9)
            for name, x in classes(network, full).items():
                cut = (slice(0, size),) * (x.ndim - 1)
                real = ~torch.eye(size, dtype=torch.bool) if x.ndim == 3 else torch.ones(size, dtype=torch.bool)
                assert torch.equal(x[k][cut][real], alone[name][0][cut][real])
    for name, x in classes(network, full).items():
        assert (
            0 <= int(x.min()) <= int(x.max()) < network.fields[name].channels
        )  # nothing is left masked, padding neither
        assert len(x.unique()) > 1
        if x.ndim == 3:
            assert torch.equal(x, x.transpose(1, 2))


@every
@pytest.mark.parametrize("tokens", [Pyramid(lag=2), Autoregressive(block=2)], ids=lambda g: type(g).__name__)
def test_tokens_with_times_of_their_own_end_clean(move, tokens):
    network, sizes = network_of(move), [6, 4]
    plan = DDPM(5, move=move, tokens=tokens).plan(network.processes)
    full = run(network, plan, blank(network, sizes), seed=3)
    alone = run(network, plan, blank(network, [4], 6), seed=3, index=torch.tensor([1]))
    for name, x in classes(network, full).items():
        assert int(x.max()) < network.fields[name].channels
        cut = (1, *(slice(0, 4),) * (x.ndim - 1))
        real = ~torch.eye(4, dtype=torch.bool) if x.ndim == 3 else torch.ones(4, dtype=torch.bool)
        assert torch.equal(x[cut][real], alone[name][(0, *cut[1:])][real])
        if x.ndim == 3:
            assert torch.equal(x, x.transpose(1, 2))


@pytest.mark.parametrize("known", [False, True])
def test_confidence_leaves_as_many_masked_as_the_schedule_says(known):
    """In each sample, of its real and unknown entries, pairs once."""
    move = Confidence()
    network, sizes, seen = network_of(move), [6, 3, 4], []
    encoded = blank(network, sizes)
    bits = {
        "a": torch.arange(6).expand(3, -1) < 2 * known,
        "b": (torch.zeros(3, 6, 6) > 0)
        | (known * torch.ones(6, 6).tril(-4).bool() | known * torch.ones(6, 6).triu(4).bool()),
    }
    told = Known(
        {k: b & known for k, b in bits.items()}, {k: torch.ones_like(v) for k, v in encoded.state.items() if k in bits}
    )
    encoded = Encoded(encoded.state, encoded.layout, known=told if known else None)
    plan = DDPM(9, move=move).plan(network.processes)
    run(network, plan, encoded, seed=0, hooks=[lambda p: seen.append((p.time, p.state))])
    for name, f in network.fields.items():
        if f.kind == "continuous":
            continue
        mask = encoded.mask
        open = (mask[:, :, None] & mask[:, None, :]).triu(1) if f.axes == "pair" else mask
        open = open & ~told.bits[name] if known else open
        for time, state in seen[1:]:
            expected = open.flatten(1).sum(1) * float(1 - f.process.schedule.alpha(at(time)))
            masked = (open & (state[name] == f.channels)).flatten(1).sum(1)
            assert torch.equal(masked, torch.floor(expected + 1e-9).long()), (name, time)


@every
def test_given_entries_stay_and_do_not_count(move):
    """Known values are put back; with all others given, one open entry is revealed alone at the last step or before."""
    world = FiniteSet(torch.cartesian_prod(*[torch.arange(K)] * 3), process=Masked())
    n = 50
    bits = torch.tensor([True, True, False]).expand(n, -1)
    blank_ = world.blank(n)
    known = Known({"tokens": bits}, {"tokens": torch.full((n, 3), 2)})
    seen = []
    plan = DDPM(4, move=move).plan(world.processes)
    x = run(
        world,
        plan,
        Encoded(blank_.state, blank_.layout, known=known),
        seed=0,
        hooks=[lambda p: seen.append(p.state["tokens"])],
    )["tokens"]
    assert all((state[:, :2] == 2).all() for state in seen)
    assert len(x[:, 2].unique()) == K


@every
def test_upwards_every_move_is_forward_noising(move):
    n = 20_000
    x, u = torch.zeros(1, n, dtype=torch.int64), torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0))
    view = Categorical(torch.zeros(1, n, K, dtype=torch.float64))
    up = call(move, x, view, 0.2, 0.6, u)
    assert float((up == K).double().mean()) == pytest.approx(0.5, abs=0.015)
    assert torch.equal(call(move, x, view, 0.2, 0.2, u), x)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Ancestral(-0.1), "temperature must be a number of at least 0, found -0.1"),
        (lambda: Ancestral(float("nan")), "temperature must be a number of at least 0"),
        (lambda: Confidence(-1.0), "temperature must be at least 0, found -1.0"),
        (lambda: EntropyBound(-0.1), "gamma must be at least 0 nats, found -0.1"),
        (lambda: EntropyBound(float("nan")), "gamma must be at least 0"),
        (
            lambda: DDPM(move=Confidence()).plan({"u": Uniform()}),
            "the process of field 'u' is Uniform; this move serves Masked",
        ),
        (lambda: DDPM(move=EntropyBound()).plan({"u": Uniform(), "a": Masked()}), "field 'u' is Uniform"),
        (lambda: DDPM(move=TauLeaping()).plan({"x": Gaussian()}), "is for categorical fields; there is none"),
    ],
)
def test_what_a_move_cannot_serve_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
