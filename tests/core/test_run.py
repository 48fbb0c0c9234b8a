"""The executor: pure, blind to batch and padding, equal to its table, one clock for all kinds of fields."""

import re
import weakref

import pytest
import torch
from ornstein.core import rng
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import Denoiser, NeuralDenoiser
from ornstein.core.objective import draw_noise
from ornstein.core.oracle import FiniteSet, centred_clouds, point_mass
from ornstein.core.parametrization import V
from ornstein.core.posterior import Categorical, Pair, Posterior
from ornstein.core.processes import Gaussian, Masked, Process
from ornstein.core.samplers import DDIM, DDPM, DPMpp, Heun, Plan, Row, Stage, run
from ornstein.core.schedules import VP, Rectified, Trigonometric
from ornstein.core.state import CentreFree, Encoded, Field, Layout, expand_time

FIELDS = (
    Field("x", "continuous", 3, Gaussian(), space=CentreFree()),
    Field("h", "continuous", 2, Gaussian(VP(), V())),
    Field("a", "categorical", 4, Masked()),
    Field("e", "continuous", 1, Gaussian(), axes="pair"),
    Field("b", "categorical", 3, Masked(), axes="pair"),
)
SAMPLERS = [DDIM(6), DDPM(6), Heun(4), DPMpp(6)]
each = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)


def awake(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights everywhere: networks start at 0."""
    g = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.15)
    return module.double().eval()


def blank(sizes, tokens: int | None = None) -> Encoded:
    layout = Layout.of_sizes(torch.as_tensor(sizes), tokens)
    b, n = layout.mask.shape
    real = torch.float64
    state = {"x": torch.zeros(b, n, 3, dtype=real), "h": torch.zeros(b, n, 2, dtype=real)}
    state |= {"a": torch.zeros(b, n, dtype=torch.int64), "e": torch.zeros(b, n, n, 1, dtype=real)}
    return Encoded({**state, "b": torch.zeros(b, n, n, dtype=torch.int64)}, layout)


@pytest.fixture(scope="module")
def network() -> NeuralDenoiser:
    return awake(NeuralDenoiser(DiT(FIELDS, (), 0, width=16, depth=2, heads=2, pair_width=8), FIELDS))


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0 if not a.is_floating_point() else 1e-9)


@each
def test_samples_do_not_see_their_batch_nor_the_padding(network, sampler):
    sizes = [5, 3, 4, 1, 2]
    plan = sampler.plan(network.processes)
    full = run(network, plan, blank(sizes), seed=7)
    for k, size in enumerate(sizes):
        alone = run(network, plan, blank([size]), seed=7, index=torch.tensor([k]))
        padded = run(network, plan, blank([size], 6), seed=7, index=torch.tensor([k]))
        for name, x in full.items():
            real = (slice(0, size),) * (2 if name in "eb" else 1)
            off = ~torch.eye(size, dtype=torch.bool) if name in "eb" else torch.ones(size, dtype=torch.bool)
            same(x[k][real][off], alone[name][0][real][off])
            same(x[k][real][off], padded[name][0][real][off])
    assert float(full["x"].std()) > 0.1
    assert float((full["x"].sum(1)).abs().max()) < 1e-9  # the space is kept
    for name in "eb":
        same(full[name], full[name].transpose(1, 2))
    assert int(full["a"].max()) < 4
    assert int(full["b"].max()) < 3


@each
def test_runs_are_pure_and_may_be_nested(network, sampler):
    plan, encoded = sampler.plan(network.processes), blank([4, 3])
    before = {k: v.clone() for k, v in encoded.state.items()}
    first = run(network, plan, encoded, seed=1)
    inner = []
    again = run(
        network, plan, encoded, seed=1, hooks=[lambda p: inner.append(run(network, plan, encoded, seed=2)["x"])]
    )
    other = run(network, plan, encoded, seed=2)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert torch.equal(encoded.state[name], before[name])
    assert all(torch.equal(x, other["x"]) for x in inner)
    assert not torch.equal(first["x"], other["x"])


class Count(Denoiser):
    """A linear denoiser, x_0 = 0.3 x_t + 0.1, that keeps the times and states that it was asked for."""

    def __init__(self, process: Process | None = None) -> None:
        super().__init__()
        process = process or Gaussian()
        self.fields, self.processes = {"x": Field("x", "continuous", 1, process)}, {"x": process}
        self.calls: list[tuple] = []

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        x = state_t["x"]
        self.calls.append((t, x, previous))
        at = self.processes["x"].at(torch.full((len(x), 1, 1), t, dtype=x.dtype))
        x0 = 0.3 * x + 0.1
        return Posterior({"x": Pair(x0, (x - at.alpha * x0) / at.sigma, x, at)})


def encoded_of(n: int = 3) -> Encoded:
    return Encoded({"x": torch.zeros(n, 2, 1, dtype=torch.float64)}, Layout(torch.ones(n, 2, dtype=torch.bool)))


@each
def test_the_executor_does_what_the_table_says(sampler):
    """Every row by hand from the definition in plan.py, with the counted noise of its step."""
    world, encoded, index = Count(), encoded_of(), torch.tensor([4, 9, 2])
    plan = sampler.plan(world.processes)
    seen = []
    run(world, plan, encoded, seed=3, index=index, hooks=[lambda p: seen.append((p.row, p.time, p.state["x"]))])
    assert [t for t, _, _ in world.calls] == [r.stage.time for r in plan.rows if r.stage.denoise]
    assert [i for i, _, _ in seen] == list(range(len(plan.rows)))
    f = world.fields["x"]
    state = rng.normal(rng.keys(3, index, "prior", "x"), f, 2, torch.float64)  # sigma(1) = 1
    base, memory, step = state, [], 0
    for row, (_, time, found) in zip(plan.rows, seen, strict=True):
        k = row.fields["x"]
        assert time == row.stage.time
        if row is not plan.rows[0]:
            state = k.a * base
            for b, m in zip(k.b, memory, strict=False):
                state = state + b * m
            for j, c in enumerate(k.c):
                state = state + c * rng.normal(rng.keys(3, index, "step", step, j, "x"), f, 2, torch.float64)
        if row.stage.denoise:
            memory.insert(0, k.remember[0] * state + k.remember[1] * (0.3 * state + 0.1))
        if row.stage.end:
            base, step = state, step + 1
        torch.testing.assert_close(found, state, rtol=1e-10, atol=1e-10)


def test_hooks_may_replace_the_state_and_see_the_posterior():
    world, rows = Count(), []

    def hook(progress):
        rows.append((progress.row, progress.rows, progress.posterior["x"].x0))
        if progress.row == 2:
            progress.state["x"] = torch.full_like(progress.state["x"], 5.0)

    plan = DDIM(4).plan(world.processes)
    run(world, plan, encoded_of(), seed=0, hooks=[hook])
    assert [r[:2] for r in rows] == [(i, 5) for i in range(5)]
    torch.testing.assert_close(rows[1][2], 0.3 * world.calls[1][1] + 0.1)
    k = plan.rows[3].fields["x"]
    expected = k.a * 5 + k.b[0] * (0.3 * world.calls[2][1] + 0.1)
    torch.testing.assert_close(world.calls[3][1], expected)


def test_each_call_gets_the_last_posterior():
    world = Count()
    run(world, DDIM(3).plan(world.processes), encoded_of(), seed=0)
    previous = [p for _, _, p in world.calls]
    assert previous[0] is None
    torch.testing.assert_close(previous[1]["x"].x0, 0.3 * world.calls[0][1] + 0.1)


@pytest.mark.parametrize("steps", [3, 6, 20])
@pytest.mark.parametrize("sampler", [DDPM, lambda n: DDIM(n, eta=0.5)], ids=["ddpm", "half"])
def test_noise_of_a_point_mass_is_right_at_any_number_of_steps(steps, sampler):
    """The spread at every row is sigma_t, though every step adds noise and takes some away."""
    world, n = point_mass(torch.zeros(1, 1), Gaussian(Trigonometric(), V())), 6000
    stds = []
    plan = sampler(steps).plan(world.processes)
    run(world, plan, world.blank(n), seed=5, hooks=[lambda p: stds.append((p.time, float(p.state["x"].std())))])
    for t, std in stds:
        assert std == pytest.approx(float(Trigonometric().sigma(torch.tensor(t))), rel=3.5 / (2 * n) ** 0.5, abs=1e-12)


def test_a_permuted_prior_gives_permuted_samples():
    encoded, order = blank([5, 5]), torch.tensor([3, 0, 4, 2, 1])
    fields = [f for f in FIELDS if f.kind == "continuous"]  # classes draw their own uniforms
    only = awake(NeuralDenoiser(DiT(fields, (), 0, width=16, depth=2, heads=2, pair_width=8), fields))
    encoded = Encoded({f.name: encoded.state[f.name] for f in fields}, encoded.layout)
    noise = draw_noise(only, encoded, 0, torch.arange(2), "prior")
    turned = {k: v[:, order][:, :, order] if k == "e" else v[:, order] for k, v in noise.items()}
    straight, permuted = (run(only, DDIM(5).plan(only.processes), encoded, seed=0, prior=p) for p in (noise, turned))
    same(straight["x"][:, order], permuted["x"])
    same(straight["h"][:, order], permuted["h"])
    assert float(straight["x"].std()) > 0.1


def test_centred_clouds_stay_centred_and_become_clouds():
    g = torch.Generator().manual_seed(0)
    world = centred_clouds(torch.randn(2, 5, 3, generator=g, dtype=torch.float64) * 2, 0.0, 4)
    x = run(world, DDPM(40).plan(world.processes), world.blank(64), seed=0)["x"]
    nearest = (x[:, None] - world.means).flatten(2).norm(dim=2).min(1)
    assert float(nearest.values.max()) < 0.05
    assert len(nearest.indices.unique()) == 2


class Sign(Denoiser):
    """c is 0 with probability 0.3, else 1; x | c ~ N((-1, 2)[c], 0.3^2): exact given both noised fields."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = {"x": Field("x", "continuous", 1, Gaussian()), "c": Field("c", "categorical", 2, Masked())}
        self.processes = {n: f.process for n, f in self.fields.items()}

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        x, c = state_t["x"], state_t["c"]
        at = self.processes["x"].at(expand_time(torch.full((len(x),), t, dtype=x.dtype), self.fields["x"]))
        means, prior = torch.tensor([-1.0, 2.0], dtype=x.dtype), torch.tensor([0.3, 0.7], dtype=x.dtype)
        variance = at.alpha**2 * 0.09 + at.sigma**2
        log = prior.log() - (x - at.alpha * means) ** 2 / (2 * variance)
        log = torch.where(c[..., None] == 2, log, torch.where(c[..., None] == torch.arange(2), 0.0, -1e9))
        each = means + at.alpha * 0.09 / variance * (x - at.alpha * means)
        x0 = (log.softmax(-1) * each).sum(-1, keepdim=True)
        return Posterior({"x": Pair(x0, (x - at.alpha * x0) / at.sigma, x, at), "c": Categorical(log)})


@pytest.mark.parametrize("sampler", [DDPM(150), DDIM(150), Heun(150)], ids=lambda s: type(s).__name__)
def test_kinds_of_fields_are_drawn_jointly(sampler):
    world, n = Sign(), 4000
    layout = Layout(torch.ones(n, 1, dtype=torch.bool))
    state = {"x": torch.zeros(n, 1, 1, dtype=torch.float64), "c": torch.zeros(n, 1, dtype=torch.int64)}
    out = run(world, sampler.plan(world.processes), Encoded(state, layout), seed=0)
    x, c = out["x"].flatten(), out["c"].flatten()
    assert float((c == 0).double().mean()) == pytest.approx(0.3, abs=0.025)
    for k, mean in enumerate((-1.0, 2.0)):
        assert float(x[c == k].mean()) == pytest.approx(mean, abs=0.05)
        assert float(x[c == k].std()) == pytest.approx(0.3, abs=0.04)


def test_classes_move_from_the_base_of_their_step_and_up_again():
    """A stage may lie beyond the end of its step: the last move of a step, from its base, stands; rising is masking."""
    world, n = FiniteSet(torch.arange(3)[:, None]), 20_000
    stages = [Stage(1.0), Stage(0.4, end=False), Stage(0.7), Stage(0.2), Stage(0.5), Stage(0.0, denoise=False)]
    shares = []
    plan = Plan("by hand", tuple(Row(stage, {}) for stage in stages))
    run(
        world,
        plan,
        world.blank(n),
        seed=0,
        hooks=[lambda p: shares.append(float((p.state["tokens"] == 3).double().mean()))],
    )
    assert shares == pytest.approx([stage.time for stage in stages], abs=0.015)


class Still(Process):
    """A process without coefficients and without a move."""

    kind = "categorical"
    check = corrupt = inputs = view = loss = None

    def noise(self, f, keys, mask, known, like):
        return torch.zeros(like.shape)

    def prior(self, f, t, noise):
        return noise.long()


def test_a_field_that_nothing_moves_is_refused():
    world = Sign()
    still = Still()
    world.fields, world.processes = (
        {**world.fields, "c": Field("c", "categorical", 2, still)},
        {**world.processes, "c": still},
    )
    encoded = Encoded(
        {"x": torch.zeros(1, 1, 1), "c": torch.zeros(1, 1, dtype=torch.int64)}, Layout(torch.ones(1, 1) > 0)
    )
    with pytest.raises(ValueError, match="the process Still of field 'c' is neither Gaussian nor categorical"):
        run(world, DDIM(2).plan(world.processes), encoded, seed=0)


def test_fields_of_different_schedules_each_follow_their_own():
    """Two point masses in one state: each row holds alpha and sigma of the field's own schedule."""
    one, two = Gaussian(Rectified()), Gaussian(VP(), V())
    plan = DDIM(7).plan({"x": one, "y": two})
    alone = DDIM(7).plan({"y": two})
    assert [r.fields["y"] for r in plan.rows] == [r.fields["y"] for r in alone.rows]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index": torch.arange(1)}, "index: 3 sample numbers are needed, found shape (1,)"),
        ({"prior": {}}, "prior: noise for the fields x is needed, found none"),
        ({"prior": {"y": torch.zeros(3)}}, "fields x is needed, found y"),
    ],
)
def test_what_does_not_fit_the_batch_is_refused(options, words):
    world = point_mass(torch.zeros(2, 1), Gaussian(VP(), V()))
    with pytest.raises(ValueError, match=re.escape(words)):
        DDIM(3).run(world, world.blank(3), seed=0, **options)


def test_a_path_without_a_gaussian_field_is_refused():
    with pytest.raises(ValueError, match="a path is for Gaussian fields"):
        DDIM(3, path=True).plan({"a": Masked()})


@pytest.mark.parametrize(("sampler", "histories"), [(DDIM(12), 1), (DPMpp(12), 2), (Heun(6), 2)], ids=str)
def test_what_a_step_no_longer_needs_is_let_go(sampler, histories):
    """Of the network's answers those that rows still read are alive, and the last one; however many came before."""
    alive, most = [], []

    class Answer(Pair):
        """A view that can be watched."""

    class Watched(Count):
        def forward(self, *args, **options):
            view = super().forward(*args, **options)["x"]
            answer = Answer(view.x0.clone(), view.eps, view.x_t, view.at)
            alive.append(weakref.ref(answer.x0))
            self.calls.clear()
            return Posterior({"x": answer})

    def look(progress):
        most.append(sum(answer() is not None for answer in alive))

    plan = sampler.plan(Count().processes)
    assert plan.memory == histories
    run(Watched(), plan, encoded_of(), seed=0, hooks=[look])
    assert max(most) <= histories + 1
    assert len(alive) == plan.evaluations
