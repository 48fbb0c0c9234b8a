"""Samplers that choose their own steps: tolerances held, each sample by itself, the published controller, joint states."""

import math

import pytest
import torch
from ornstein.core.denoiser import Denoiser, as_time
from ornstein.core.oracle import FiniteSet, Mixture, point_mass
from ornstein.core.parametrization import V
from ornstein.core.posterior import Pair, Posterior
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import Confidence, Dopri5, DPMAdaptive
from ornstein.core.schedules import EDM, VE, VP, Cosine, LinearBeta, Rectified, Trigonometric
from ornstein.core.state import Encoded, Known

SCHEDULES = [Rectified(), Trigonometric(), Cosine(), VP(), VE(0.1, 5.0), EDM(80.0), LinearBeta()]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def world_of(schedule, tokens: int = 1) -> Mixture:
    means = torch.tensor([[-1.0], [0.5], [1.2]])[:, None].expand(3, tokens, 1)
    return Mixture(means, torch.tensor([0.25, 0.4, 0.15]), torch.tensor([1.0, 2.0, 1.0]), Gaussian(schedule, V()))


def noise(n: int, tokens: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, tokens, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draw(world, sampler, eps, encoded=None, **options):
    """The samples, and what the hooks saw."""
    seen = []
    encoded = world.blank(len(eps)) if encoded is None else encoded
    out = sampler.run(world, encoded, seed=0, prior={"x": eps}, hooks=[seen.append], **options)["x"]
    return out, seen


@each
def test_dopri5_is_exact_for_a_point_mass_and_one_gaussian(schedule):
    """y is linear in tau about a point; for N(0, s^2) the flow keeps x / sqrt(alpha^2 s^2 + sigma^2)."""
    eps, c = noise(5), torch.tensor([[0.7]])
    world, one = point_mass(c, Gaussian(schedule, V())), torch.ones((), dtype=torch.float64)
    out, seen = draw(world, Dopri5(), eps)
    assert not (out - c).abs().max() > 1e-12
    assert len(seen) <= 6
    world = Mixture(torch.zeros(1, 1, 1), 0.5, process=Gaussian(schedule, V()))
    alpha, sigma = schedule.alpha(one), schedule.sigma(one)
    exact = sigma * eps * 0.5 / torch.sqrt((alpha * 0.5) ** 2 + sigma**2)
    for tol in (1e-3, 1e-6, 1e-9):
        out, _ = draw(world, Dopri5(tol, tol), eps)
        assert (out - exact).abs().max() < 10 * tol


@pytest.mark.parametrize("schedule", [Rectified(), VP(), EDM(80.0)], ids=lambda s: type(s).__name__)
def test_the_error_of_dopri5_falls_with_its_tolerance(schedule):
    world, eps = world_of(schedule), noise(16)
    exact, _ = draw(world, Dopri5(1e-11, 1e-11), eps)
    tolerances, errors, calls = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8), [], []
    for tol in tolerances:
        out, seen = draw(world, Dopri5(tol, tol), eps)
        errors.append(float((out - exact).abs().max()))
        calls.append(int(seen[-1].evaluations.max()))
    slope = math.log(errors[0] / errors[-1]) / math.log(tolerances[0] / tolerances[-1])
    assert 0.8 < slope < 1.3, errors
    assert errors[3] < 1e-5
    assert calls[0] < 60 and calls == sorted(calls), calls  # noqa: PT018


def test_dopri5_beside_a_reference_integrator():
    """SciPy's RK45 is the same pair with another controller; its flow is written out here."""
    from scipy.integrate import solve_ivp

    world, eps = world_of(VP()), noise(3)

    def slope(t, y):
        x = torch.tensor(y).view(3, 1, 1)
        return world({"x": x}, float(t), world.blank(3).layout, {})["x"].flow.flatten().numpy()

    start = (VP().sigma(torch.ones((), dtype=torch.float64)) * eps).flatten().numpy()
    end = solve_ivp(slope, (1.0, 1e-8), start, rtol=1e-9, atol=1e-10).y[:, -1]
    out, _ = draw(world, Dopri5(1e-9, 1e-9), eps)
    torch.testing.assert_close(out.flatten(), torch.from_numpy(end), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "sampler", [Dopri5(1e-4, 1e-4), DPMAdaptive(), DPMAdaptive(order=2)], ids=lambda s: type(s).__name__
)
def test_a_sample_does_not_depend_on_its_batch(sampler):
    world, eps = world_of(VP(), 2), noise(7, 2)
    together, seen = draw(world, sampler, eps)
    count = seen[-1].evaluations
    assert len(set(count.tolist())) > 1  # each had its own steps
    for k in range(7):
        alone, own = draw(world, sampler, eps[k : k + 1], index=torch.tensor([k]))
        torch.testing.assert_close(alone[0], together[k], rtol=0, atol=1e-10)
        assert int(own[-1].evaluations) == int(count[k])


@pytest.mark.parametrize("sampler", [Dopri5(1e-5, 1e-5), DPMAdaptive()], ids=lambda s: type(s).__name__)
def test_hooks_see_rounds_times_and_evaluations(sampler):
    asked = []

    class Counting(Mixture):
        def forward(self, state_t, t, *rest, **named):
            asked.append(t)
            return super().forward(state_t, t, *rest, **named)

    plain = world_of(VP())
    world = Counting(plain.means, plain.std, plain.weights, plain.process)
    out, seen = draw(world, sampler, noise(1))
    assert [p.row for p in seen] == list(range(len(seen)))
    times = torch.stack([p.time for p in seen])
    assert (times.diff(dim=0) <= 0).all()
    assert times[-1] == 0
    assert ((times.diff(dim=0) < 0) == torch.stack([p.accepted for p in seen[1:]])).all()
    assert all((t > 0).all() for t in asked)  # nothing is asked at t = 0
    rejected = sum(not bool(p.accepted) for p in seen) if isinstance(sampler, DPMAdaptive) else 0
    assert int(seen[-1].evaluations) == len(asked) - rejected  # where it stays, the answer is the one it had
    torch.testing.assert_close(seen[-1].state["x"], out)
    for p in seen[:-1]:  # the posterior belongs to the state and the time beside it
        again = plain({"x": p.state["x"]}, p.time, plain.blank(1).layout, {})["x"]
        torch.testing.assert_close(p.posterior["x"].x0, again.x0, rtol=0, atol=1e-9)
        torch.testing.assert_close(p.posterior["x"].eps, again.eps, rtol=0, atol=1e-9)


def test_a_hook_may_replace_the_state():
    world = point_mass(torch.tensor([[0.75]]), Gaussian(Rectified(), V()))

    def flip(progress):
        if progress.row == 0:
            progress.state["x"] = -progress.state["x"]

    out = Dopri5().run(world, world.blank(2), seed=0, hooks=[flip])["x"]
    torch.testing.assert_close(out, torch.full_like(out, 0.75), rtol=0, atol=1e-12)


def published(model, x, order, rtol, atol=0.0078, h=0.05, p=0.0, i=1.0, d=0.0, safety=0.81):
    """One sample by DPM-Solver-12 or -23 over lambda with the PID controller, in VE coordinates; and its evaluations."""

    def eps(x, lam):
        return (x - model(x, math.exp(-lam))) / math.exp(-lam)

    s, end, low_before, inverse, calls = -math.log(80.0), -math.log(0.002), x, [], 0
    while s < end:
        t = min(end, s + h)
        span, calls = t - s, calls + order - 1
        e, rho = eps(x, s), math.exp(-t)
        if order == 2:
            low = x - rho * math.expm1(span) * e
            mid = eps(x - math.exp(-(s + span / 2)) * math.expm1(span / 2) * e, s + span / 2)
            high = low - rho * math.expm1(span) * (mid - e)
        else:
            r1, r2 = s + span / 3, s + span * 2 / 3
            d1 = eps(x - math.exp(-r1) * math.expm1(span / 3) * e, r1) - e
            low = x - rho * math.expm1(span) * (e + 1.5 * d1)
            bend = math.expm1(2 * span / 3) / (2 * span / 3) - 1
            d2 = eps(x - math.exp(-r2) * (math.expm1(2 * span / 3) * e + 2 * bend * d1), r2) - e
            high = x - rho * math.expm1(span) * e - rho * 1.5 * (math.expm1(span) / span - 1) * d2
        scale = (rtol * torch.maximum(low.abs(), low_before.abs())).clamp(min=atol)
        now = 1 / (float(((low - high) / scale).pow(2).mean().sqrt()) + 1e-8)
        inverse = inverse or [now, now]
        factor = now ** ((p + i + d) / order) * inverse[0] ** (-(p + 2 * d) / order) * inverse[1] ** (d / order)
        factor = 1 + math.atan(factor - 1)
        if factor >= safety:
            x, low_before, inverse, s, calls = high, low, [now, inverse[0]], t, calls + 1
        h *= factor
    return model(x, math.exp(-end)), calls + 1


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("pid", [(0.0, 1.0, 0.0), (0.2, 0.7, 0.1)])
def test_the_published_controller_sample_by_sample(order, pid):
    world, eps = world_of(EDM(80.0), 2), noise(4, 2)
    sampler = DPMAdaptive(order=order, pcoeff=pid[0], icoeff=pid[1], dcoeff=pid[2])
    out, seen = draw(world, sampler, eps)

    def model(x, sigma):
        return world({"x": x}, sigma / 80, world.blank(1).layout, {})["x"].x0

    for k in range(4):
        theirs, calls = published(model, 80 * eps[k : k + 1], order, 0.05, p=pid[0], i=pid[1], d=pid[2])
        torch.testing.assert_close(out[k : k + 1], theirs, rtol=0, atol=1e-8)
        assert int(seen[-1].evaluations[k]) == calls


@each
def test_dpm_adaptive_falls_with_its_tolerance(schedule):
    """Down to what starting at sigma_max without the data and ending at sigma_min leaves."""
    world, eps = world_of(schedule), noise(8)
    exact, loose, fine = (draw(world, DPMAdaptive(tol, tol / 10), eps)[0] for tol in (2e-4, 5e-2, 2e-3))
    assert (fine - exact).abs().max() < 0.5 * (loose - exact).abs().max()
    assert (exact - draw(world, Dopri5(1e-6, 1e-6), eps)[0]).abs().max() < 0.03


class Joint(Denoiser):
    """Two continuous fields on schedules of their own, and tokens beside them: each by itself, so that all is exact."""

    def __init__(self, first, second) -> None:
        super().__init__()
        self.worlds = {"x": world_of(first, 3), "y": world_of(second, 3)}
        self.tokens = FiniteSet(torch.tensor([[0, 1, 2], [2, 1, 0]]), process=Masked())
        renamed = {
            name: world.fields["x"].__class__(name, "continuous", 1, world.process)
            for name, world in self.worlds.items()
        }
        self.fields = renamed | {"tokens": self.tokens.fields["tokens"]}
        self.processes = {name: f.process for name, f in self.fields.items()}

    def blank(self, n: int) -> Encoded:
        x = self.worlds["x"].blank(n)
        return Encoded({"x": x.state["x"], "y": x.state["x"], "tokens": self.tokens.blank(n).state["tokens"]}, x.layout)

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        views = {name: world({"x": state_t[name]}, t, layout, cond)["x"] for name, world in self.worlds.items()}
        tokens = self.tokens({"tokens": state_t["tokens"]}, as_time(t, layout.mask), layout, cond)["tokens"]
        return Posterior(views | {"tokens": tokens})


@pytest.mark.parametrize(
    "pair", [(VP(), Rectified()), (Rectified(), VP()), (Cosine(), EDM(80.0))], ids=lambda p: type(p[0]).__name__
)
def test_joint_states_on_several_schedules(pair):
    joint, eps = Joint(*pair), noise(6, 3)
    alone = [draw(world, Dopri5(1e-9, 1e-9), eps)[0] for world in joint.worlds.values()]
    tokens = torch.zeros(6, 3, 2)
    seen = []
    prior = {"x": eps, "y": eps, "tokens": tokens}
    out = Dopri5(1e-7, 1e-7).run(joint, joint.blank(6), seed=0, prior=prior, hooks=[seen.append])
    torch.testing.assert_close(out["x"], alone[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(out["y"], alone[1], rtol=0, atol=1e-5)
    assert len(seen) < 150  # the end at t = 0 is no singularity in any order of the fields
    assert (out["tokens"] < 3).all()


def test_categorical_fields_move_by_each_samples_own_steps():
    joint, eps = Joint(VP(), VP()), noise(6, 3)
    encoded = joint.blank(6)

    def out(rows, index):
        part = {"x": eps[rows], "y": eps[rows], "tokens": torch.zeros(len(eps[rows]), 3, 2)}
        cut = Encoded({k: v[rows] for k, v in encoded.state.items()}, joint.blank(len(eps[rows])).layout)
        return Dopri5(1e-5, 1e-5).run(joint, cut, seed=3, index=index, prior=part)["tokens"]

    together = out(slice(None), torch.arange(6))
    assert len({tuple(row) for row in together.tolist()}) == 2
    for k in range(6):
        assert torch.equal(out(slice(k, k + 1), torch.tensor([k]))[0], together[k])


@pytest.mark.parametrize("sampler", [Dopri5(1e-6, 1e-6), DPMAdaptive(1e-2, 1e-3)], ids=lambda s: type(s).__name__)
def test_given_entries_stay_and_take_no_part_in_the_error(sampler):
    world, eps = world_of(VP(), 3), noise(4, 3)
    bits = torch.zeros(4, 3, 1, dtype=torch.bool)
    bits[:2, 0] = True
    values = torch.where(bits, 1e6, torch.zeros(4, 3, 1, dtype=torch.float64))
    encoded = world.blank(4)
    posed = Encoded(encoded.state, encoded.layout, known=Known({"x": bits}, {"x": values}))
    out, _ = draw(world, sampler, eps, posed)
    assert torch.equal(out[bits], values[bits])
    free, _ = draw(world, sampler, eps)
    torch.testing.assert_close(out[2:], free[2:], rtol=0, atol=1e-10)


def test_padding_takes_no_part():
    mask = torch.tensor([True, True, False])
    means = torch.tensor([[[-1.0], [0.5], [0.0]], [[1.0], [0.3], [0.0]]])
    padded = Mixture(means, 0.3, process=Gaussian(VP(), V()), mask=mask)
    short = Mixture(means[:, :2], 0.3, process=Gaussian(VP(), V()))
    eps = noise(3, 3)
    out, seen = draw(padded, Dopri5(1e-5, 1e-5), eps * mask[:, None])
    bare, own = draw(short, Dopri5(1e-5, 1e-5), eps[:, :2])
    torch.testing.assert_close(out[:, :2], bare, rtol=0, atol=1e-12)
    assert torch.equal(seen[-1].evaluations, own[-1].evaluations)


def test_float32_states_are_served():
    class Single(Mixture):
        def forward(self, state_t, t, *rest, **named):
            view = super().forward(state_t, t, *rest, **named)["x"]
            return Posterior({"x": Pair(view.x0.float(), view.eps.float(), state_t["x"], view.at)})

    plain, eps = world_of(VP()), noise(4)
    world = Single(plain.means, plain.std, plain.weights, plain.process)
    out, _ = draw(world, Dopri5(1e-4, 1e-4), eps.float(), world.blank(4).to("cpu", torch.float32))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), draw(plain, Dopri5(1e-4, 1e-4), eps)[0], rtol=0, atol=1e-3)


def test_what_does_not_arrive_is_named():
    world, eps = world_of(VP()), noise(3)
    with pytest.raises(ValueError, match=r"Dopri5\(.*did not arrive: 5 at t = 0\.\d+, .*max_steps=4 rounds"):
        draw(world, Dopri5(1e-9, 1e-9, max_steps=4), eps, index=torch.tensor([5, 6, 7]))

    class Broken(Mixture):
        def forward(self, state_t, t, *rest, **named):
            nan = {"x": torch.where(as_time(t, rest[0].mask).view(-1, 1, 1) < 0.5, math.nan, state_t["x"])}
            return super().forward(nan, t, *rest, **named)

    broken = Broken(world.means, world.std, world.weights, world.process)
    with pytest.raises(ValueError, match=r"did not arrive: 0 at t = 0\.5.*is the answer a number"):
        draw(broken, Dopri5(), eps)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dopri5(rtol=-1), "rtol must be at least 0"),
        (lambda: Dopri5(atol=0), "atol must be above 0"),
        (lambda: Dopri5(max_steps=0), "max_steps must be"),
        (lambda: Dopri5(max_steps=math.inf), "max_steps must be a whole number"),
        (lambda: DPMAdaptive(sigma_max=math.inf), "sigma_max must be above 0 and finite"),
        (lambda: DPMAdaptive(icoeff=math.nan), "must be finite"),
        (lambda: DPMAdaptive(order=4), "order must be 2 or 3, found 4"),
        (lambda: DPMAdaptive(sigma_min=2, sigma_max=1), "sigma_min < sigma_max"),
        (lambda: DPMAdaptive(accept_safety=1.5), "accept_safety"),
        (lambda: draw(world_of(VE(0.1, 5.0)), DPMAdaptive(sigma_min=6), noise(1)), "no less than the most .* VE"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_fields_that_it_cannot_serve():
    tokens = FiniteSet(torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="needs a Gaussian field; the fields are tokens"):
        Dopri5().run(tokens, tokens.blank(2), seed=0)
    with pytest.raises(ValueError, match="is for categorical fields; there is none"):
        draw(world_of(VP()), Dopri5(move=Confidence()), noise(1))
