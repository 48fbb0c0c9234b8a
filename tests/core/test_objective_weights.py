"""Weights: each against its published formula, the same number under every parametrisation, the same minimiser, finite ends."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from ornstein.core import registry, schedules
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.objective import (
    P2,
    EDMWeight,
    LearnedUncertainty,
    Likelihood,
    LogitNormal,
    LossAware,
    MinSNR,
    Objective,
    SoftMinSNR,
    TimeDensity,
    TruncatedSNR,
    Uniform,
    Unit,
)
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import EDM, X0, Eps, Flow, Score, V
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.schedules import VE, VP, Cosine, Learned, Rectified, Trigonometric
from ornstein.core.state import Encoded, Field, Layout

S = 0.6  # sigma_data
SCHEDULES = [Rectified(), Trigonometric(), VP(), VE(0.01, 20.0), schedules.EDM(10.0), Cosine()]
VIEWS = [Eps(), X0(), V(), Flow(), Score(), EDM()]
WEIGHTS = [registry.class_of("weight", name)() for name in registry.TABLE["weight"]]
PUBLISHED = {  # on x_0, of the SNR and of its derivative
    EDMWeight: lambda snr, rate: snr + 1 / S**2,
    MinSNR: lambda snr, rate: snr.clamp(max=5),
    SoftMinSNR: lambda snr, rate: 1 / (1 / snr + 1 / 4),
    TruncatedSNR: lambda snr, rate: snr.clamp(min=1),
    P2: lambda snr, rate: snr / (1 + snr),
    Likelihood: lambda snr, rate: -rate / 2,
    LearnedUncertainty: lambda snr, rate: snr + 1 / S**2,
}


def processes():
    """Every parametrisation on every schedule that serves it."""
    for schedule in SCHEDULES:
        for view in VIEWS:
            try:
                yield Gaussian(schedule, view, sigma_data=S)
            except ValueError:
                continue


def names(process) -> str:
    return f"{type(process.schedule).__name__}-{type(process.parametrization).__name__}"


each_process = pytest.mark.parametrize("process", list(processes()), ids=names)
each_weight = pytest.mark.parametrize("weight", WEIGHTS, ids=lambda w: type(w).__name__)


def snr_and_rate(schedule, t):
    t = t.clone().requires_grad_()
    snr = torch.exp(schedule.log_snr(t))
    return snr.detach(), torch.autograd.grad(snr.sum(), t)[0]


@each_process
def test_every_weight_is_its_formula_whatever_is_predicted(process):
    """w (x_0 - x_0')^2 with the published w on x_0 = the weighted error of the raw outputs, for two pairs of one x_t."""
    t = torch.linspace(0.03, 0.97, 21, dtype=torch.float64)
    at, view = process.at(t), process.parametrization
    x0, eps, guess = torch.randn(3, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    guessed_eps = (at.alpha * x0 + at.sigma * eps - at.alpha * guess) / at.sigma
    error = view.target(x0, eps, at) - view.target(guess, guessed_eps, at)
    snr, rate = snr_and_rate(process.schedule, t)
    assert set(PUBLISHED) | {Unit} == {type(w) for w in WEIGHTS}
    for weight in WEIGHTS:
        found = weight.of_output(at, view) * error**2
        expected = error**2 if isinstance(weight, Unit) else PUBLISHED[type(weight)](snr, rate) * (x0 - guess) ** 2
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_forms_on_eps_and_v_and_f():
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    at, snr = Gaussian(VP(), sigma_data=S, parametrization=V()).at(t), torch.exp(VP().log_snr(t))
    rate = -0.5 * torch.autograd.functional.jacobian(VP().log_snr, t).diagonal()
    forms = [
        (P2(0.5, 2.0), Eps(), (2 + snr) ** -0.5),
        (P2(0.0), Eps(), torch.ones_like(t)),
        (TruncatedSNR(), Eps(), (1 / snr).clamp(min=1)),
        (SoftMinSNR(5.0), Eps(), 5 / (5 + snr)),
        (SoftMinSNR(5.0), V(), snr * 5 / (snr + 5) / (snr + 1)),
        (EDMWeight(), EDM(), torch.ones_like(t)),
        (Likelihood(), Eps(), rate),  # g^2 / (2 sigma^2)
        (MinSNR(3.0), Score(), snr.clamp(max=3) / snr * at.sigma**2),
    ]
    for weight, view, expected in forms:
        torch.testing.assert_close(weight.of_output(at, view), expected, rtol=1e-9, atol=0)
    sigma, alpha = at.sigma, at.alpha
    g2 = 2 * sigma * at.d_sigma - 2 * at.d_alpha / alpha * sigma**2
    torch.testing.assert_close(rate, g2 / (2 * sigma**2), rtol=1e-9, atol=0)


@each_process
@each_weight
def test_weights_are_finite_at_both_ends(weight, process):
    for dtype, least in ((torch.float32, 1e-9), (torch.float64, 1e-30)):
        ends = torch.tensor([0.0, least, 1.0], dtype=dtype)
        found = weight.of_output(process.at(ends), process.parametrization)
        assert torch.isfinite(found).all()
        assert (found >= 0).all()


@pytest.mark.parametrize(
    "schedule", [Rectified(), Trigonometric(), schedules.EDM(10.0)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("view", [V(), Flow(), EDM()], ids=lambda v: type(v).__name__)
def test_weights_at_the_ends_are_limits(schedule, view):
    process = Gaussian(schedule, view, sigma_data=S)
    for weight in [w for w in WEIGHTS if not isinstance(w, Likelihood)]:
        for end, near in ((0.0, 1e-7), (1.0, 1 - 1e-7)):
            at = [process.at(torch.tensor(t, dtype=torch.float64)) for t in (end, near)]
            limit, close = (weight.of_output(a, view) for a in at)
            torch.testing.assert_close(limit, close, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "schedule", [Rectified(), Trigonometric(), VP(), VE(0.01, 20.0)], ids=lambda s: type(s).__name__
)
def test_the_likelihood_weight_integrates_to_the_information(schedule):
    """int -1/2 SNR' mmse dt = 1/2 log(1 + v SNR) between the ends for N(0, v) data (Guo et al. 2005), on every schedule."""
    v, weight = 0.7, Likelihood(max_log_snr=9.0)
    begin = float(schedule.t_of(torch.tensor(9.0, dtype=torch.float64)))
    t = torch.logspace(math.log10(begin * (1 + 1e-9)), 0, 200_001, dtype=torch.float64)
    at = Gaussian(schedule, X0()).at(t)
    mmse = v * at.sigma**2 / (at.alpha**2 * v + at.sigma**2)
    found = torch.trapezoid(weight.of_output(at, X0()) * mmse, t)
    expected = 0.5 * (math.log1p(v * math.exp(9.0)) - torch.log1p(v * torch.exp(schedule.log_snr(t[-1]))))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    assert float(weight.of_output(Gaussian(schedule, X0()).at(t[:1] * 0.999), X0())) == 0


@dataclass(frozen=True)
class Among(TimeDensity):
    """A few times, equally likely."""

    times: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)

    def quantile(self, u, schedule):
        return torch.tensor(self.times, dtype=torch.float64)[(u * len(self.times)).long()]


class Gains(Backbone):
    """F = a_k x at the k-th time: linear in its parameters, so that the loss is quadratic and one Newton step solves it."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields, c_noise) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes, self.c_noise = tuple(fields), (), 0, c_noise
        self.a = torch.nn.Parameter(torch.zeros(len(c_noise), dtype=torch.float64))

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        k = (c_noise[:, None] - self.c_noise).abs().argmin(1)
        return {"x": self.a[k].view(-1, 1, 1) * inputs["x"]}


@pytest.mark.parametrize("view", [Eps(), X0(), V(), Flow(), EDM()], ids=lambda v: type(v).__name__)
def test_all_weights_have_one_minimiser_and_it_is_the_exact_gain(view):
    n, var, times = 4000, S**2, Among()
    process = Gaussian(VE(0.01, 4.0) if not isinstance(view, Flow) else Trigonometric(), view, sigma_data=S)
    field, t = Field("x", "continuous", 2, process), torch.tensor(times.times, dtype=torch.float64)
    net = Gains([field], process.c_noise(t))
    denoiser = NeuralDenoiser(net, [field])
    x0 = S * torch.randn(n, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    encoded = Encoded({"x": x0}, Layout(torch.ones(n, 3, dtype=torch.bool)))
    solved = []
    for weight in WEIGHTS:
        objective = Objective(times, weight)
        objective.prepare(denoiser)
        draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(n))
        slopes = []
        for value in (0.0, 1.0):
            net.a.data.fill_(value)
            slopes.append(torch.autograd.grad(objective(denoiser, encoded, draw).total.mean(), net.a)[0])
        solved.append(slopes[0] / (slopes[0] - slopes[1]))
    for gains in solved[1:]:
        torch.testing.assert_close(gains, solved[0], rtol=1e-6, atol=1e-6)  # float32 where u is learnt
    at = process.at(t)
    p, q = view.mix(at)
    exact = (p * at.alpha * var + q * at.sigma) / at.scale  # E[F x_in], since E[x_in^2] = 1
    spread = float((p * p * var + q * q).sqrt().max()) / math.sqrt(n * 6 / len(times.times))
    torch.testing.assert_close(solved[0], exact, rtol=0, atol=5 * spread)


def world_and_data(n: int):
    world = Mixture(torch.zeros(1, 1, 1), torch.tensor([S]), torch.ones(1), Gaussian(VP(), V(), sigma_data=S))
    data = world.sample(n, torch.Generator().manual_seed(2))
    return world, Encoded({next(iter(world.fields)): data}, world.blank(n).layout)


def test_the_uncertainty_becomes_the_logarithm_of_the_loss():
    """At its minimum u is the log of the exact expected loss: the posterior variance of the world times the weight inside."""
    weight = LearnedUncertainty(Unit(), frequencies=6)
    objective = Objective(weight=weight)
    world, encoded = world_and_data(20_000)
    objective.prepare(world)
    name = next(iter(world.fields))
    with torch.no_grad():
        draw = objective.draw(world, encoded, 0, 0, torch.arange(20_000))
        loss = objective(world, encoded, draw)
    torch.testing.assert_close(loss.total, loss.fields[name])  # u is 0 at first
    c_noise = world.c_noise(draw.t)
    optimizer = torch.optim.LBFGS(weight.parameters(), max_iter=80, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = weight.settle(name, loss.fields[name], c_noise).mean()
        value.backward()
        return value

    optimizer.step(closure)
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    at = world.processes[name].at(t)
    error = S**2 * at.sigma**2 / at.scale**2 / V().solve(at).b ** 2  # of F
    found = weight.u(name, world.c_noise(t)).detach().double()
    torch.testing.assert_close(found, error.log(), rtol=0, atol=0.12)
    settled = weight.settle(name, loss.fields[name], c_noise).detach()
    assert float(settled.mean()) < float(loss.total.mean())
    inner = (settled - weight.u(name, c_noise).detach()).view(-1)
    low, high = inner[draw.t < 0.2].mean(), inner[draw.t > 0.8].mean()
    assert float(low) == pytest.approx(1.0, abs=0.08)  # exp(-u) loss is 1 on average at every level
    assert float(high) == pytest.approx(1.0, abs=0.08)


def test_the_uncertainty_is_in_the_total_of_the_continuous_fields_alone():
    fields = (Field("x", "continuous", 2, Gaussian()), Field("a", "categorical", 3, Masked()))

    class Zeros(Gains):
        def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
            return {"x": self.a.sum() + 0 * inputs["x"], "a": torch.zeros(*inputs["a"].shape, 3, dtype=torch.float64)}

    denoiser = NeuralDenoiser(Zeros(fields, torch.zeros(1)), fields)
    state = {"x": torch.ones(4, 2, 2, dtype=torch.float64), "a": torch.zeros(4, 2, dtype=torch.int64)}
    encoded = Encoded(state, Layout(torch.ones(4, 2, dtype=torch.bool)))
    weight = LearnedUncertainty(Unit())
    objective = Objective(weight=weight)
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(4))
    with pytest.raises(LookupError, match=r"knows the fields none, not 'x': call Objective\.prepare"):
        objective(denoiser, encoded, draw)
    objective.prepare(denoiser)
    assert [tuple(p.shape) for p in objective.parameters()] == [(33,)]
    weight.rows[0].data[-1] = math.log(4.0)
    loss = objective(denoiser, encoded, draw)
    torch.testing.assert_close(
        loss.total, loss.fields["x"] / 4 + math.log(4.0) + loss.fields["a"], rtol=1e-6, atol=1e-6
    )
    before = weight.rows[0]
    objective.prepare(denoiser)
    assert weight.rows[0] is before  # what was learnt stays


@pytest.mark.parametrize("aware", [False, True])
def test_a_learned_schedule_gets_the_gradient_of_the_squared_loss(monkeypatch, aware):
    """And the network, and all else, that of the loss; with loss-aware times each sample at its importance."""
    schedule = Learned(units=4)
    fields = (
        Field("x", "continuous", 2, Gaussian(schedule, V())),
        Field("y", "continuous", 1, Gaussian(schedule, V())),
    )

    class Line(Gains):
        def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
            return {n: self.a[0] * x + self.a[1] * c_noise[:, None, None] for n, x in inputs.items()}

    net = Line(fields, torch.zeros(2))
    denoiser = NeuralDenoiser(net, fields)
    g = torch.Generator().manual_seed(0)
    state = {f.name: torch.randn(6, 3, f.channels, dtype=torch.float64, generator=g) for f in fields}
    encoded = Encoded(state, Layout(torch.ones(6, 3, dtype=torch.bool)))
    times = Uniform(schedule.start)
    if aware:
        times = LossAware(times, bins=2, history=1)
        times.observe(torch.tensor([0.2, 0.8]), torch.tensor([1.0, 3.0]))
    objective = Objective(times, Likelihood())
    objective.check(denoiser)
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(6))
    objective(denoiser, encoded, draw).total.mean().backward()
    shape, found = list(schedule.parameters()), net.a.grad.clone()
    squared = [w.grad.clone() for w in shape]
    monkeypatch.setattr(Learned, "scale_gradients", lambda self, losses: losses)
    plain = objective(denoiser, encoded, draw).total
    torch.testing.assert_close(torch.autograd.grad(plain.mean(), net.a, retain_graph=True)[0], found)
    importance = torch.ones(6) if draw.weight is None else draw.weight
    expected = torch.autograd.grad((plain**2 / importance).mean(), shape)
    for one, other in zip(squared, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert sum(float(w.abs().sum()) for w in squared) > 0


def test_a_learned_schedule_needs_the_bound():
    field = Field("x", "continuous", 2, Gaussian(Learned(units=4), V()))
    denoiser = NeuralDenoiser(Gains([field], torch.zeros(1)), [field])
    for objective in (
        Objective(),
        Objective(LogitNormal(), Likelihood()),
        Objective(weight=LearnedUncertainty(Likelihood())),
    ):
        with pytest.raises(ValueError, match="take weight likelihood and times uniform"):
            objective.check(denoiser)
    denoiser.schedules.requires_grad_(False)
    Objective().check(denoiser)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: SoftMinSNR(0.0), "gamma must be above 0"),
        (lambda: MinSNR(-1.0), "gamma must be above 0"),
        (lambda: P2(-0.5), "gamma must not be negative"),
        (lambda: P2(1.0, 0.0), "k must be above 0"),
        (lambda: LearnedUncertainty(LearnedUncertainty()), "holds a fixed weight"),
        (lambda: LearnedUncertainty(frequencies=1), "count >= 2"),
        (lambda: LearnedUncertainty().prepare(()), "there are none"),
        (lambda: Objective(LossAware(), LearnedUncertainty()), "take one"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("build", [lambda: P2(gamma=math.nan), lambda: Likelihood(math.nan), lambda: MinSNR(math.inf)])
def test_numbers_that_are_none_are_refused(build):
    with pytest.raises(ValueError, match="must"):
        build()


def test_uncertainty_serves_a_network_of_half_precision():
    weight = LearnedUncertainty()
    weight.prepare(["x"])
    weight = weight.to(torch.bfloat16)
    assert weight.settle("x", torch.ones(2), torch.tensor([0.1, 0.5], dtype=torch.float64)).tolist() == [1.0, 1.0]
