"""A denoiser viewed under another schedule or parametrisation is the one that would have been trained under it."""

import itertools

import pytest
import torch
from ornstein.core import guidance, registry, viewed
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import NeuralDenoiser, entry_time, place_known, token_time
from ornstein.core.objective import Objective, draw_noise
from ornstein.core.oracle import FiniteSet, Mixture
from ornstein.core.parametrization import EDM, X0, Eps, Flow, Score, V
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import DDIM, DDPM, DPMpp, Heun, LogSNRGrid, UniformGrid, run
from ornstein.core.schedules import (
    VE,
    VP,
    Cosine,
    Learned,
    LinearBeta,
    Rectified,
    Retimed,
    Schedule,
    Shifted,
    Trigonometric,
)
from ornstein.core.state import Encoded, Field, Known, Layout

near = torch.testing.assert_close
TIMES = torch.tensor([0.0, 1e-3, 0.03, 0.2, 0.5, 0.8, 0.97, 0.999, 1.0], dtype=torch.float64)
MEANS = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def listed() -> dict[str, Schedule]:
    found = {name: registry.class_of("schedule", name)() for name in registry.TABLE["schedule"]}
    for schedule in found.values():
        if isinstance(schedule, Learned):
            schedule.requires_grad_(False)
    return found


ALL = listed()
END = {name: float(s.log_snr(torch.ones((), dtype=torch.float64))) for name, s in ALL.items()}


def reaches(old: str, new: str) -> bool:
    """Whether the new schedule stays within the log-SNR of the old one."""
    return END[new] >= END[old] or ALL[old].ends_at_noise


PAIRS = [pair for pair in itertools.permutations(ALL, 2) if reaches(*pair)]
TOO_FAR = [pair for pair in itertools.permutations(ALL, 2) if not reaches(*pair)]


def world(schedule: Schedule) -> Mixture:
    return Mixture(MEANS, torch.tensor([0.1, 0.3, 0.7]), torch.tensor([0.5, 0.3, 0.2]), Gaussian(schedule, V()))


def noised(denoiser, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    process = denoiser.processes["x"]
    return process.corrupt(denoiser.fields["x"], x0, t.view(-1, *(1,) * (x0.ndim - t.ndim), *(1,) * (t.ndim - 1)), eps)


def drawn(seed: int = 1, times: int = len(TIMES)) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return world(Rectified()).sample(times, g), torch.randn(times, 4, 2, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("pair", PAIRS, ids=" as ".join)
def test_a_viewed_world_is_the_world_of_the_new_schedule(pair):
    old, new = (ALL[name] for name in pair)
    seen, exact = viewed(world(old), new), world(new)
    x0, eps = drawn()
    layout = exact.blank(len(TIMES)).layout
    x_t = noised(exact, x0, eps, TIMES)
    mine, wanted = (d({"x": x_t}, TIMES, layout, {})["x"] for d in (seen, exact))
    near(mine.x0, wanted.x0, rtol=0, atol=1e-10)
    clean = TIMES == 0  # at sigma = 0 the world says eps = 0 for its point masses only
    near(mine.eps[~clean], wanted.eps[~clean], rtol=0, atol=1e-10)
    near(mine.v[~clean], wanted.v[~clean], rtol=0, atol=1e-8)  # a sigma of 80 times larger
    for i, t in enumerate(TIMES.tolist()):
        one = seen({"x": x_t[i : i + 1]}, t, layout.rows(0, 1), {})["x"]
        near(one.x0, mine.x0[i : i + 1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("pair", TOO_FAR, ids=" as ".join)
def test_a_schedule_beyond_what_the_denoiser_knows_is_refused(pair):
    old, new = (ALL[name] for name in pair)
    with pytest.raises(ValueError, match="viewed: the denoiser knows log-SNRs down to"):
        viewed(world(old), new)


def test_a_clamped_view_is_exact_inside_and_says_what_it_is_outside():
    old, new = LinearBeta(), Rectified()
    with pytest.raises(ValueError, match=r"sampling starts at t <= 0.9936"):
        viewed(world(old), new)
    seen, exact, inner = viewed(world(old), new, beyond="clamp"), world(new), world(old)
    t = torch.tensor([0.5, 0.99, 0.9999, 1.0], dtype=torch.float64)
    x0, eps = drawn(times=4)
    layout, x_t = exact.blank(4).layout, noised(exact, x0, eps, t)
    mine, wanted = (d({"x": x_t}, t, layout, {})["x"] for d in (seen, exact))
    near(mine.x0[:2], wanted.x0[:2], rtol=0, atol=1e-10)
    near(mine.eps[:2], wanted.eps[:2], rtol=0, atol=1e-10)
    at = new.alpha(t).view(-1, 1, 1), new.sigma(t).view(-1, 1, 1)
    near(at[0] * mine.x0 + at[1] * mine.eps, x_t, rtol=0, atol=1e-12)
    last = old.sigma(t[-1:]).hypot(old.alpha(t[-1:]))
    near(mine.x0[3:], inner({"x": x_t[3:] * last}, 1.0, layout.rows(0, 1), {})["x"].x0, rtol=0, atol=1e-12)
    run(seen, DDIM(5, grid=UniformGrid(0.99)).plan(seen.processes), exact.blank(2), seed=0)


PARAMETRIZATIONS = [Eps(), X0(), V(), Flow(), Score(), EDM()]


@pytest.mark.parametrize("new", PARAMETRIZATIONS, ids=str)
@pytest.mark.parametrize("schedule", [None, Trigonometric(), VP(), VE()], ids=str)
def test_the_raw_output_is_that_of_the_new_parametrization(new, schedule):
    f = Field("x", "continuous", 2, Gaussian(Trigonometric(), V(), sigma_data=0.5))
    network = awake(NeuralDenoiser(DiT([f], (), 0, width=16, depth=1, heads=2), [f]))
    held = schedule or Trigonometric()
    lacks = (new.needs_signal and held.ends_at_noise) or (new.needs_rates and not held.finite_rates)
    if lacks:
        with pytest.raises(ValueError, match="is undefined on"):
            viewed(network, schedule, new)
        return
    seen = viewed(network, schedule, new)
    assert seen.processes["x"] == Gaussian(held, new, 0.5)
    t = TIMES[2:-1]
    x_t, layout = torch.randn(len(t), 4, 2, dtype=torch.float64), Layout(torch.ones(len(t), 4, dtype=torch.bool))
    view = seen({"x": x_t}, t, layout, {})["x"]
    as_if = seen.processes["x"].view(f, view.output, x_t, t.view(-1, 1, 1))  # a network that says so means the same
    near(as_if.x0, view.x0, rtol=1e-7, atol=1e-9)
    near(as_if.eps, view.eps, rtol=1e-7, atol=1e-9)


def test_a_parametrization_that_the_new_schedule_lacks_becomes_v():
    seen = viewed(flow_network(), VP())
    assert seen.processes["x"].parametrization == V()
    assert viewed(flow_network(), Shifted(Rectified(), 3.0)).processes["x"].parametrization == Flow()


def awake(module: torch.nn.Module) -> torch.nn.Module:
    g = torch.Generator().manual_seed(0)
    for p in module.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.15)
    return module.double().eval()


def flow_network() -> NeuralDenoiser:
    f = Field("x", "continuous", 2, Gaussian())
    return awake(NeuralDenoiser(DiT([f], (), 0, width=16, depth=1, heads=2), [f]))


JOINT = (
    Field("a", "categorical", 4, Masked()),
    Field("x", "continuous", 3, Gaussian(Rectified(), Flow())),
    Field("h", "continuous", 2, Gaussian(Trigonometric(), V())),
    Field("e", "continuous", 1, Gaussian(), axes="pair"),
    Field("b", "categorical", 3, Masked(Trigonometric()), axes="pair"),
)


@pytest.fixture(scope="module")
def joint() -> NeuralDenoiser:
    return awake(NeuralDenoiser(DiT(JOINT, (), 0, width=16, depth=2, heads=2, pair_width=8), JOINT))


def blank(sizes=(4, 3)) -> Encoded:
    layout = Layout.of_sizes(torch.tensor(sizes))
    b, n = layout.mask.shape
    shapes = {"x": (b, n, 3), "h": (b, n, 2), "e": (b, n, n, 1)}
    state = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    state |= {"a": torch.zeros(b, n, dtype=torch.int64), "b": torch.zeros(b, n, n, dtype=torch.int64)}
    return Encoded(state, layout)


def corrupted(denoiser, encoded: Encoded, t: torch.Tensor) -> dict:
    noise = draw_noise(denoiser, encoded, 0, torch.arange(encoded.batch), "x")
    tokens = token_time(denoiser, t, encoded.mask, encoded.known)
    state = {
        name: denoiser.processes[name].corrupt(
            f, encoded.state[name], entry_time(denoiser, f, t, tokens, encoded.mask, encoded.known), noise[name]
        )
        for name, f in denoiser.fields.items()
    }
    return place_known(denoiser, state, t, encoded.mask, encoded.known, noise)


@pytest.mark.parametrize("new", [Trigonometric(), Cosine(), Shifted(Rectified(), 3.0)], ids=str)
@pytest.mark.parametrize("shape", ["number", "sample", "token"])
@pytest.mark.parametrize("given", [False, True])
def test_a_joint_state_is_asked_at_one_time_of_its_own(joint, new, shape, given):
    """The same x_0 and noise, corrupted under both, give the same posterior: u(t) holds for every field."""
    encoded = blank()
    g = torch.Generator().manual_seed(3)
    state = dict(encoded.state)
    for name in ("x", "h", "e"):
        state[name] = torch.randn(state[name].shape, generator=g, dtype=torch.float64)
    known = None
    if given:
        bits = {k: torch.zeros(v.shape, dtype=torch.bool) for k, v in state.items()}
        bits["x"][:, 0], bits["h"][:, 0], bits["a"][:, 0] = True, True, True  # a token known whole
        bits["x"][:, 1, :1] = True  # and a part of another
        known = Known(bits, state)
    encoded = Encoded(state, encoded.layout, known=known)
    seen = viewed(joint, new)
    t = {"number": torch.full((2,), 0.6), "sample": torch.tensor([0.3, 0.9]), "token": torch.rand(2, 4, generator=g)}[
        shape
    ]
    t = t.double()
    u = Rectified().t_of(new.log_snr(t))
    new_state, old_state = corrupted(seen, encoded, t), corrupted(joint, encoded, u)
    for name in "ab":
        assert torch.equal(new_state[name], old_state[name])
    times = (float(t[0]), float(u[0])) if shape == "number" else (t, u)
    with torch.no_grad():
        mine = seen(new_state, times[0], encoded.layout, {}, known)
        wanted = joint(old_state, times[1], encoded.layout, {}, known)
    for name, f in joint.fields.items():
        if f.kind == "categorical":
            near(mine[name].log_probs, wanted[name].log_probs, rtol=0, atol=1e-9)
        else:
            near(mine[name].x0, wanted[name].x0, rtol=0, atol=1e-9)
            near(mine[name].eps, wanted[name].eps, rtol=0, atol=1e-9)


def test_fields_on_the_clock_take_the_new_schedule_and_others_are_retimed(joint):
    new = Cosine()
    seen = viewed(joint, new)
    assert seen.processes["x"].schedule == seen.processes["e"].schedule == new
    assert seen.processes["h"].schedule == Retimed(Trigonometric(), Rectified(), new)
    assert seen.processes["a"].schedule == Retimed(Rectified(), Rectified(), new)
    assert seen.processes["h"].parametrization == V()
    back = viewed(seen, Rectified())
    t = torch.linspace(0.01, 0.99, 30, dtype=torch.float64)
    for name, process in joint.processes.items():
        near(back.processes[name].schedule.log_snr(t), process.schedule.log_snr(t), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", [DDIM, DDPM, DPMpp, Heun], ids=lambda s: s.__name__)
def test_sampling_on_a_grid_of_log_snr_is_the_same_trajectory(joint, sampler):
    """Under a view that ends alike, the same log-SNRs are visited, and x is the same but for its scale."""
    grid = LogSNRGrid(0.01, 50.0)
    trajectories = []
    for denoiser in (joint, viewed(joint, Trigonometric())):
        steps, plan = [], sampler(6, grid=grid).plan(denoiser.processes)
        first = Trigonometric() if denoiser is not joint else Rectified()

        def hook(progress, steps=steps, first=first):
            t = torch.tensor(progress.time, dtype=torch.float64)
            size = first.alpha(t).hypot(first.sigma(t))
            steps.append({**progress.state, "x": progress.state["x"] / size, "e": progress.state["e"] / size})

        steps.append(run(denoiser, plan, blank(), seed=5, hooks=[hook]))
        trajectories.append(steps)
    for one, other in zip(*trajectories, strict=True):
        for name in one:
            if one[name].is_floating_point():
                near(other[name], one[name], rtol=0, atol=1e-9)
            else:
                assert torch.equal(other[name], one[name])


def test_a_view_is_a_denoiser_like_guidance():
    denoiser = flow_network()
    denoiser.per_token_time = False
    denoiser.self_conditioning = True
    seen = viewed(denoiser, Trigonometric())
    assert (seen.fields, seen.conditions, seen.modality) == (denoiser.fields, denoiser.conditions, denoiser.modality)
    assert not seen.per_token_time
    assert seen.self_conditioning
    assert set(seen.parameters()) == set(denoiser.parameters())
    same = viewed(denoiser)
    x, layout = torch.randn(2, 4, 2, dtype=torch.float64), Layout(torch.ones(2, 4, dtype=torch.bool))
    near(same({"x": x}, 0.4, layout, {})["x"].output, denoiser({"x": x}, 0.4, layout, {})["x"].output)


def test_rows_and_mixtures_of_views_are_views():
    networks = [flow_network(), flow_network()]
    for p in networks[1].parameters():
        p.data.mul_(0.7)
    x, layout = torch.randn(2, 3, 2, dtype=torch.float64), Layout(torch.ones(2, 3, dtype=torch.bool))
    t = torch.tensor([0.2, 0.4], dtype=torch.float64)
    one, two = (viewed(net, Trigonometric(), X0())({"x": x}, t, layout, {})["x"] for net in networks)
    near(one.rows(1, 2).x0, one.x0[1:])
    for weight in (3.0, torch.tensor([0.5, 2.0])):
        w = weight.view(-1, 1, 1).double() if isinstance(weight, torch.Tensor) else weight
        mixed = one.mix(two, weight)
        near(mixed.x0, two.x0 + w * (one.x0 - two.x0))
        near(mixed.eps, two.eps + w * (one.eps - two.eps))
        near(mixed.output, mixed.x0)


def test_guidance_and_a_view_may_hold_each_other():
    def guided(schedule):
        return Mixture(MEANS, 0.2, None, Gaussian(schedule, V()))

    seen = viewed(guidance.CFG(guided(Rectified())), Cosine())
    x0, eps = drawn()
    exact = guided(Cosine())
    x_t, layout = noised(exact, x0, eps, TIMES), exact.blank(len(TIMES)).layout
    near(seen({"x": x_t}, TIMES, layout, {})["x"].x0, exact({"x": x_t}, TIMES, layout, {})["x"].x0, rtol=0, atol=1e-10)


def test_a_view_is_trained_as_any_denoiser():
    network = flow_network().train()
    seen = viewed(network, Cosine(), V())
    encoded = Encoded({"x": torch.randn(3, 4, 2, dtype=torch.float64)}, Layout(torch.ones(3, 4, dtype=torch.bool)))
    objective = Objective()
    draw = objective.draw(seen, encoded, 0, 0, torch.arange(3))
    objective(seen, encoded, draw).total.mean().backward()
    assert any(p.grad is not None and (p.grad != 0).any() for p in network.parameters())


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="none of the fields tokens is Gaussian"):
        viewed(FiniteSet(torch.tensor([[0, 1]])), Cosine())
    with pytest.raises(ValueError, match="beyond is refuse or clamp"):
        viewed(flow_network(), Cosine(), beyond="ignore")
    f = (Field("x", "continuous", 2, Gaussian()), Field("a", "categorical", 3, Masked()))
    network = NeuralDenoiser(DiT(f, (), 0, width=16, depth=1, heads=2), f)
    with pytest.raises(ValueError, match=r"'a' cannot follow VP.*Masked noise needs alpha = 0"):
        viewed(network, VP())
