"""Times per token: every token follows its own table, whenever it is its turn."""

from dataclasses import replace

import pytest
import torch
from ornstein.core.denoiser import Denoiser, as_time
from ornstein.core.oracle import point_mass
from ornstein.core.parametrization import V
from ornstein.core.posterior import Categorical, Pair, Posterior
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import (
    DDIM,
    DDPM,
    Autoregressive,
    DPMpp,
    FullSequence,
    Heun,
    KarrasGrid,
    Pyramid,
    TokenGrid,
    run,
)
from ornstein.core.schedules import VP, Rectified
from ornstein.core.state import Encoded, Field, Known, Layout, expand_time

N = 6
FIELDS = (
    Field("x", "continuous", 2, Gaussian()),
    Field("e", "continuous", 1, Gaussian(VP(), V()), axes="pair"),
    Field("c", "categorical", 3, Masked()),
    Field("b", "categorical", 3, Masked(), axes="pair"),
)
GRIDS = [FullSequence(), Pyramid(), Pyramid(lag=3, block=2), Autoregressive(), Autoregressive(block=4)]
each = pytest.mark.parametrize("tokens", GRIDS, ids=str)


class Alone(Denoiser):
    """Every entry is denoised by itself: x_0 = tanh(x) + t / 3, and class 1 or 2 by the entry's own place."""

    def __init__(self, per_token_time: bool = True) -> None:
        super().__init__()
        self.fields = {f.name: f for f in FIELDS}
        self.processes = {f.name: f.process for f in FIELDS}
        self.per_token_time = per_token_time
        self.times: list[torch.Tensor] = []

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        t = as_time(t, layout.mask)
        self.times.append(t)
        views = {}
        for name, f in self.fields.items():
            x, time = state_t[name], expand_time(t, f)
            if f.kind == "continuous":
                x0, at = torch.tanh(x) + time / 3, self.processes[name].at(time)
                views[name] = Pair(x0, (x - at.alpha * x0) / at.sigma.clamp(min=1e-30), x, at)
            else:
                views[name] = Categorical(torch.tensor([-1e9, 0.0, 0.0]).expand(*x.shape, 3))
        return Posterior(views)


def blank(batch: int = 2) -> Encoded:
    real = {"x": torch.zeros(batch, N, 2).double(), "e": torch.zeros(batch, N, N, 1).double()}
    whole = {"c": torch.zeros(batch, N, dtype=torch.int64), "b": torch.zeros(batch, N, N, dtype=torch.int64)}
    return Encoded({**real, **whole}, Layout.of_grid(batch, (N,)))


@each
@pytest.mark.parametrize("sampler", [DDIM(5), Heun(4), DPMpp(6, grid=KarrasGrid())], ids=lambda s: type(s).__name__)
def test_a_token_that_does_not_see_the_others_ends_where_it_would(sampler, tokens):
    world, plain = Alone(), run(Alone(), sampler.plan(Alone().processes), blank(), seed=1)
    mine = run(world, replace(sampler, tokens=tokens).plan(world.processes), blank(), seed=1)
    for name in ("x", "e"):
        torch.testing.assert_close(mine[name], plain[name], rtol=1e-10, atol=1e-10)
    for name in ("c", "b"):
        assert int(mine[name].max()) < 3
    assert torch.equal(mine["b"], mine["b"].transpose(1, 2))


def test_a_full_sequence_is_the_plan_itself():
    """Also in its noise and its classes."""
    for sampler in (DDPM(6), DDIM(6, eta=0.5), Heun(4)):
        plain = run(Alone(), sampler.plan(Alone().processes), blank(), seed=2)
        mine = run(Alone(), replace(sampler, tokens=FullSequence()).plan(Alone().processes), blank(), seed=2)
        for name, x in plain.items():
            torch.testing.assert_close(mine[name], x, rtol=1e-12, atol=1e-12)


def test_tokens_rest_before_their_turn_and_after_it():
    world, plan = Alone(), DDIM(4, tokens=Autoregressive(block=2)).plan(Alone().processes)
    states = []
    run(world, plan, blank(), seed=0, hooks=[lambda p: states.append((p.time[0].clone(), p.state["x"].clone()))])
    assert len(states) == 3 * 5
    for k, (time, _) in enumerate(states):
        block, row = divmod(k, 5)
        expected = torch.tensor([0.0] * (2 * block) + [1 - row / 4] * 2 + [1.0] * (4 - 2 * block))
        torch.testing.assert_close(time.float(), expected)
    for k in range(1, len(states)):
        (before, old), (after, new) = states[k - 1], states[k]
        assert torch.equal(old[:, before == after], new[:, before == after])
    # the denoiser is not asked at rows that denoise nothing
    assert len(world.times) == 3 * 4


def test_a_pyramid_leans_by_its_lag():
    matrix = Pyramid(lag=2, block=2).matrix(4, Layout.of_grid(1, (5, 3)))
    assert matrix.shape == (8, 15)
    assert matrix[:, 0].tolist() == [0, 1, 2, 3, -1, -1, -1, -1]
    assert matrix[:, 3].tolist() == matrix[:, 0].tolist()
    assert matrix[:, 6].tolist() == [-1, -1, 0, 1, 2, 3, -1, -1]
    assert matrix[:, 14].tolist() == [-1, -1, -1, -1, 0, 1, 2, 3]


def test_a_set_has_each_token_alone():
    matrix = Autoregressive().matrix(3, Layout.of_sizes(torch.tensor([2, 3])))
    assert matrix.T.tolist() == [[0, 1, 2] + [-1] * 6, [-1] * 3 + [0, 1, 2] + [-1] * 3, [-1] * 6 + [0, 1, 2]]


@pytest.mark.parametrize("tokens", GRIDS[1:4], ids=str)
def test_noise_of_each_token_is_right_at_its_own_time(tokens):
    world = point_mass(torch.zeros(3, 1), Gaussian(Rectified(), V()))
    world.forward = lambda state, t, layout, cond, known=None, previous=None: Posterior(  # the mixture takes one time
        {"x": Pair(0 * state["x"], state["x"], state["x"], world.process.at(expand_time(t, world.fields["x"])))}
    )
    n = 6000
    encoded = Encoded({"x": torch.zeros(n, 3, 1).double()}, Layout.of_grid(n, (3,)))
    seen = []
    plan = DDPM(5, tokens=tokens).plan(world.processes)
    run(world, plan, encoded, seed=5, hooks=[lambda p: seen.append((p.time[0], p.state["x"].std(0)[:, 0]))])
    for time, std in seen:
        torch.testing.assert_close(std, time, rtol=3.5 / (2 * n) ** 0.5, atol=1e-12)


def test_known_tokens_stand_still_all_along():
    bits = {name: torch.zeros_like(x, dtype=torch.bool) for name, x in blank().state.items()}
    bits["x"][:, 2], bits["c"][:, 2] = True, True
    values = {name: torch.full_like(x, 2) for name, x in blank().state.items()}
    encoded = replace(blank(), known=Known(bits, values))
    seen = []
    plan = DDIM(4, tokens=Pyramid()).plan(Alone().processes)
    out = run(Alone(), plan, encoded, seed=0, hooks=[lambda p: seen.append(p.state["x"][:, 2])])
    assert all(torch.equal(x, torch.full_like(x, 2)) for x in seen)
    assert torch.equal(out["c"][:, 2], torch.full((2,), 2))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Pyramid(lag=0), "Pyramid: lag must be at least 1, found 0"),
        (lambda: Autoregressive(block=-1), "block must be at least 1, found -1"),
        (
            lambda: run(Alone(False), DDIM(2, tokens=Pyramid()).plan(Alone().processes), blank(), seed=0),
            "one time for all tokens, not one for each",
        ),
        (
            lambda: DDPM(2, tokens=Pyramid(), path=True),
            "do not go together",
        ),
        (lambda: DDIM(2, path=True).plan(Alone().processes), "draws no noise, so there is no path"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_samples_of_a_batch_share_their_places():
    layout = replace(Layout.of_grid(2, (3,)), positions=torch.tensor([[0.0, 1, 2], [0, 1, 3]])[..., None])
    with pytest.raises(ValueError, match="tokens at different places"):
        Pyramid().matrix(3, layout)


class Resting(TokenGrid):
    """Every token rests now and then, also in the middle of a step."""

    def starts(self, rows: int, groups: int) -> list[int]:
        return [0] * groups

    def matrix(self, rows: int, layout: Layout) -> torch.Tensor:
        out = torch.full((3 * rows, layout.tokens), -1)
        for token in range(layout.tokens):
            frames = [3 * row + (token * row) % 3 for row in range(rows)]
            out[frames, token] = torch.arange(rows)
        return out


@pytest.mark.parametrize("sampler", [DDIM(5), Heun(4), DPMpp(6)], ids=lambda s: type(s).__name__)
def test_a_token_may_rest_within_a_step(sampler):
    plain = run(Alone(), sampler.plan(Alone().processes), blank(), seed=1)
    states = []
    plan = replace(sampler, tokens=Resting()).plan(Alone().processes)
    mine = run(Alone(), plan, blank(), seed=1, hooks=[lambda p: states.append(p.state["x"])])
    torch.testing.assert_close(mine["x"], plain["x"], rtol=1e-10, atol=1e-10)
    matrix = Resting().matrix(len(plan.rows), blank().layout)
    for k in range(1, len(states)):
        still = matrix[k] < 0
        assert torch.equal(states[k][:, still], states[k - 1][:, still])
