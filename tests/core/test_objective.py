"""The loss: where its times lie, what its weights are, what it counts, and what minimises it."""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from ornstein.core import registry
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.objective import CosMap, LogitNormal, LogNormal, LossAware, MinSNR, Mode, Objective, Uniform
from ornstein.core.parametrization import EDM, X0, Eps, Flow, V
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.schedules import VP, Rectified
from ornstein.core.state import Condition, Encoded, Field, Layout

WEIGHTS = [registry.class_of("weight", name)() for name in registry.TABLE["weight"]]
SPECS = (ConditionSpec("label", "class", 3), ConditionSpec("size", "scalar"))


class Affine(Backbone):
    """F = a x + b with a and b for all times: the smallest network that learns."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields, conditions=(), axes=0, self_conditioning=False) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes, self.self_conditioning = fields, conditions, axes, self_conditioning
        self.a, self.b = (torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (0.2, 0.1))
        self.calls: list[dict] = []

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        self.calls.append({"cond": cond, "previous": previous, "inputs": inputs})
        out = {}
        for f in self.fields:
            x = inputs[f.name]
            out[f.name] = (
                self.a * x + self.b if f.kind == "continuous" else x[..., None] * torch.linspace(0, 0.1, f.channels)
            )
        return out


def batch(fields, n: int = 8, tokens: int = 4, cond=None) -> tuple[NeuralDenoiser, Encoded]:
    g = torch.Generator().manual_seed(0)
    state = {}
    for f in fields:
        shape = (n, tokens, tokens) if f.axes == "pair" else (n, tokens)
        if f.kind == "continuous":
            x = torch.randn(*shape, f.channels, generator=g, dtype=torch.float64)
        else:
            x = torch.randint(0, f.channels, shape, generator=g)
        if f.axes == "pair":
            x = x + x.transpose(1, 2) if f.kind == "continuous" else torch.triu(x) + torch.triu(x, 1).transpose(1, 2)
        state[f.name] = x
    layout = Layout.of_sizes(torch.tensor([tokens, tokens - 1] * (n // 2)))
    return NeuralDenoiser(Affine(fields), fields, SPECS if cond else ()), Encoded(state, layout, cond or {})


def one_field(process=None) -> tuple[Field]:
    return (Field("x", "continuous", 2, process or Gaussian()),)


def all_times(times, steps: int = 200, n: int = 64, stratified: bool = True, schedule=None) -> torch.Tensor:
    denoiser, encoded = batch(one_field(Gaussian(schedule or VP(), V())), n)
    objective = Objective(times, stratified=stratified)
    return torch.stack([objective.draw(denoiser, encoded, 0, step, torch.arange(n)).t for step in range(steps)])


def ks(sample: torch.Tensor, cdf) -> float:
    u = cdf(sample.double().flatten()).sort().values
    grid = torch.arange(len(u) + 1, dtype=torch.float64) / len(u)
    return float(torch.maximum(grid[1:] - u, u - grid[:-1]).max()) * math.sqrt(len(u))


def mode_cdf(s: float):
    """From the published map f(u) = 1 - u - s (cos^2(pi u / 2) - 1 + u), which falls, by interpolation of its inverse."""
    u = torch.linspace(0, 1, 20001, dtype=torch.float64).flip(0)
    t = 1 - u - s * (torch.cos(math.pi * u / 2) ** 2 - 1 + u)
    return lambda x: torch.from_numpy(np.interp(x.numpy(), t.numpy(), (1 - u).numpy()))


@pytest.mark.parametrize("stratified", [False, True])
def test_times_have_the_stated_density(stratified):
    densities = [
        (Uniform(0.1, 0.7), lambda t: (t - 0.1) / 0.6),
        (LogNormal(-0.4, 1.1), lambda t: torch.special.ndtr((-VP().log_snr(t) / 2 + 0.4) / 1.1)),
        (LogitNormal(0.3, 0.8), lambda t: torch.special.ndtr((torch.logit(t) - 0.3) / 0.8)),
        (Mode(1.2), mode_cdf(1.2)),
        (CosMap(), lambda t: 0.5 + 2 / math.pi * torch.atan(2 * t - 1)),
        (LossAware(LogitNormal(0.3, 0.8)), lambda t: torch.special.ndtr((torch.logit(t) - 0.3) / 0.8)),
    ]
    assert {type(d) for d, _ in densities} == {registry.class_of("times", n) for n in registry.TABLE["times"]}
    for density, cdf in densities:
        assert ks(all_times(density, stratified=stratified), cdf) < 1.95


def test_stratified_times_lie_one_in_each_part_and_move():
    t = all_times(None, steps=50).sort(dim=1).values
    torch.testing.assert_close(t.diff(dim=1), torch.full((50, 63), 1 / 64, dtype=torch.float64))
    assert ks(t[:, 0] * 64, lambda u: u) < 1.95
    assert float(t.min()) > 0
    assert float(t.max()) < 1


def test_lognormal_needs_a_schedule():
    denoiser, encoded = batch((Field("a", "categorical", 3, Masked()),))
    with pytest.raises(ValueError, match="log-normal times need a Gaussian field"):
        Objective(LogNormal()).draw(denoiser, encoded, 0, 0, torch.arange(8))


def test_all_randomness_depends_on_the_place_in_the_global_batch_alone():
    fields = (*one_field(), Field("a", "categorical", 3, Masked()))
    cond = {"label": Condition(torch.zeros(8, dtype=torch.int64), torch.ones(8, dtype=torch.bool))}
    denoiser, encoded = batch(fields, cond=cond)
    for objective in (Objective(), Objective(stratified=False)):
        whole = objective.draw(denoiser, encoded, 3, 5, torch.arange(8))
        for index in (torch.arange(0, 8, 2), torch.tensor([7, 1])):
            part = Encoded({k: v[index] for k, v in encoded.state.items()}, Layout(encoded.mask[index]))
            draw = objective.draw(denoiser, part, 3, 5, index, total=8)
            assert torch.equal(draw.t, whole.t[index])
            assert all(torch.equal(draw.noise[k], whole.noise[k][index]) for k in draw.noise)
            assert all(torch.equal(draw.drop[k], whole.drop[k][index]) for k in draw.drop)
            assert draw.self_condition == whole.self_condition
        for seed, step in ((3, 6), (4, 5)):
            other = objective.draw(denoiser, encoded, seed, step, torch.arange(8))
            assert not torch.equal(other.t, whole.t)
            assert not torch.equal(other.noise["x"], whole.noise["x"])


@pytest.mark.parametrize("weight", WEIGHTS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("view", [Eps(), X0(), V(), EDM()], ids=lambda v: type(v).__name__)
def test_the_loss_of_the_exact_answer_is_its_minimum(weight, view):
    """At one time, of all F = a x + b, least squares to the conditional mean of the target is best, under every weight."""
    schedule, mean, var, t = VP(), 0.7, 0.5, 0.4
    fields = one_field(Gaussian(schedule, view))
    n = 4000
    denoiser, _ = batch(fields)
    g = torch.Generator().manual_seed(1)
    x0 = mean + math.sqrt(var) * torch.randn(n, 2, 2, generator=g, dtype=torch.float64)
    encoded = Encoded({"x": x0}, Layout(torch.ones(n, 2, dtype=torch.bool)))
    objective = Objective(Uniform(t - 1e-9, t + 1e-9), weight)
    objective.prepare(denoiser)
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(n))
    at = fields[0].process.at(torch.tensor(t, dtype=torch.float64))
    marginal = at.alpha**2 * var + at.sigma**2
    p, q = view.mix(at)
    net = denoiser.backbone
    slope = (p * at.alpha * var + q * at.sigma) / marginal  # cov(F, x_t) / var(x_t)
    net.a.data = slope * at.scale
    net.b.data = p * mean - slope * at.alpha * mean
    best = objective(denoiser, encoded, draw).total.mean()
    gradient = torch.autograd.grad(best, [net.a, net.b])
    assert all(abs(float(g.detach())) < 0.15 * max(1.0, float(best.detach())) for g in gradient)  # noise of the sample
    for a, b in ((0.2, 0.0), (-0.2, 0.0), (0.0, 0.2), (0.0, -0.2)):
        net.a.data, net.b.data = net.a.data + a, net.b.data + b
        assert float(objective(denoiser, encoded, draw).total.mean().detach()) > float(best.detach())
        net.a.data, net.b.data = net.a.data - a, net.b.data - b


def test_the_loss_by_hand():
    """Mean over real entries within a sample; the field's weight in the total; pairs i < j once, without the diagonal."""
    e = Field("e", "continuous", 1, Gaussian(), axes="pair", weight=0.5)
    fields = (
        Field("x", "continuous", 2, Gaussian(), weight=3.0),
        e,
        Field("b", "categorical", 3, Masked(), axes="pair"),
    )
    denoiser, encoded = batch(fields, n=4)
    objective = Objective(weight=MinSNR())
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(4))
    loss = objective(denoiser, encoded, draw)
    net = denoiser.backbone
    for k in range(4):
        size, t = int(encoded.mask[k].sum()), draw.t[k]
        w = ((1 - t) / t) ** 2
        w = w.clamp(max=5.0) * t**2  # x_0 = x_t - t F
        scale = ((1 - t) ** 2 + t**2).sqrt()
        x_t = (1 - t) * encoded.state["x"][k] + t * draw.noise["x"][k]
        error = net.a * x_t / scale + net.b - (draw.noise["x"][k] - encoded.state["x"][k])
        x_loss = w * (error[:size] ** 2).mean()
        torch.testing.assert_close(loss.fields["x"][k], x_loss)
        pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
        e_t = (1 - t) * encoded.state["e"][k] + t * draw.noise["e"][k]
        error = net.a * e_t / scale + net.b - (draw.noise["e"][k] - encoded.state["e"][k])
        e_loss = w * torch.stack([error[i, j] ** 2 for i, j in pairs]).mean()
        torch.testing.assert_close(loss.fields["e"][k], e_loss)
        kept = draw.noise["b"][k, ..., 0] < 1 - t
        logits = 3 * torch.linspace(0, 0.1, 3, dtype=torch.float64)  # the network sees the mask class, 3
        each = -logits.log_softmax(0)[encoded.state["b"][k]] * ~kept
        ce = torch.stack([each[i, j] for i, j in pairs])
        torch.testing.assert_close(loss.fields["b"][k].double(), ce.double().mean(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(loss.total[k].double(), 3 * x_loss + 0.5 * e_loss + loss.fields["b"][k])
    assert torch.equal(loss.t, draw.t)


def test_conditions_are_dropped_apart_and_at_their_rates():
    n = 4000
    cond = {
        "label": Condition(torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.bool)),
        "size": Condition(torch.zeros(n), torch.arange(n) % 2 == 0),
    }
    denoiser, encoded = batch(one_field(), n, 2, cond)
    objective = Objective(dropout={"label": 0.3, "size": 0.6})
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(n))
    label, size = draw.drop["label"].double(), draw.drop["size"].double()
    assert float(label.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(size.mean()) == pytest.approx(0.6, abs=0.03)
    assert float((label * size).mean()) == pytest.approx(0.18, abs=0.03)
    objective(denoiser, encoded, draw)
    shown = denoiser.backbone.calls[-1]["cond"]
    assert torch.equal(shown["label"].present, ~draw.drop["label"])
    assert torch.equal(shown["size"].present, ~draw.drop["size"] & (torch.arange(n) % 2 == 0))
    for rate in (0.0, 1.0):
        draw = Objective(dropout=rate).draw(denoiser, encoded, 0, 0, torch.arange(n))
        assert all((d == bool(rate)).all() for d in draw.drop.values())
    only = Objective(dropout={"size": 1.0}).draw(denoiser, encoded, 0, 0, torch.arange(n))
    assert not only.drop["label"].any()


def test_self_conditioning_shows_the_first_estimate_in_its_share_of_steps():
    denoiser, encoded = batch(one_field())
    denoiser.self_conditioning = True
    objective = Objective(self_conditioning=0.4)
    draws = [objective.draw(denoiser, encoded, 0, step, torch.arange(8)) for step in range(400)]
    assert sum(d.self_condition for d in draws) / 400 == pytest.approx(0.4, abs=0.08)
    net = denoiser.backbone
    on = next(d for d in draws if d.self_condition)
    loss = objective(denoiser, encoded, on)
    assert [c["previous"] is None for c in net.calls] == [True, False]
    shown = net.calls[1]["previous"]["x"]
    assert not shown.requires_grad
    x_t = net.calls[0]["inputs"]["x"] * ((1 - on.t) ** 2 + on.t**2).sqrt().view(-1, 1, 1)
    estimate = x_t - on.t.view(-1, 1, 1) * (net.a * net.calls[0]["inputs"]["x"] + net.b) * encoded.mask[..., None]
    torch.testing.assert_close(shown, estimate.detach())
    assert loss.total.requires_grad
    net.calls.clear()
    objective(denoiser, encoded, next(d for d in draws if not d.self_condition))
    assert len(net.calls) == 1


def test_the_objective_looks_at_the_denoiser():
    cond = {"label": Condition(torch.zeros(8, dtype=torch.int64), torch.ones(8, dtype=torch.bool))}
    denoiser, _ = batch(one_field(), cond=cond)
    Objective().check(denoiser)
    with pytest.raises(ValueError, match="dropout of labels: the conditions are label, size"):
        Objective(dropout={"labels": 0.1}).check(denoiser)
    with pytest.raises(ValueError, match=r"backbone\.self_conditioning=true"):
        Objective(self_conditioning=0.5).check(denoiser)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Objective(dropout=1.5), "dropout of all"),
        (lambda: Objective(dropout={"label": -0.1}), "dropout of label"),
        (lambda: Objective(self_conditioning=2.0), "share of steps"),
        (lambda: Uniform(0.5, 0.5), "low < high"),
        (lambda: Uniform(0.0, 1.1), "high <= 1"),
        (lambda: MinSNR(0.0), "gamma must be above 0"),
        (lambda: LogNormal(std=0.0), "std must be above 0"),
        (lambda: LogitNormal(std=-1.0), "std must be above 0"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_flow_weight_of_a_rectified_field_is_the_flow_matching_loss():
    denoiser, encoded = batch(one_field(Gaussian(Rectified(), Flow())))
    draw = Objective().draw(denoiser, encoded, 0, 0, torch.arange(8))
    net = denoiser.backbone
    loss = Objective()(denoiser, encoded, draw).total[0]
    error = net.a * net.calls[-1]["inputs"]["x"][0] + net.b - (draw.noise["x"] - encoded.state["x"])[0]
    torch.testing.assert_close(loss, (error**2).mean())


def test_what_a_process_adds_is_weighed_by_it_alone():
    class Extra(Gaussian):
        def added_loss(self, f, view, x0, x_t, t):
            return x_t**2

    losses = []
    for process in (Gaussian(), Extra()):
        denoiser, encoded = batch(one_field(process))
        objective = Objective(weight=MinSNR())
        losses.append(objective(denoiser, encoded, objective.draw(denoiser, encoded, 0, 0, torch.arange(8))).total)
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(8))
    t = draw.t.view(-1, 1, 1)
    x_t = (1 - t) * encoded.state["x"] + t * draw.noise["x"]
    expected = [(x[:size] ** 2).mean() for x, size in zip(x_t, encoded.mask.sum(1), strict=True)]
    torch.testing.assert_close(losses[1] - losses[0], torch.stack(expected))


def test_entries_of_unknown_truth_carry_no_loss():
    """Whatever stands there, the loss is the mean over the others, and their gradient is untouched."""
    denoiser, encoded = batch(one_field())
    missing = torch.zeros_like(encoded.state["x"], dtype=torch.bool)
    missing[:, 1] = True
    objective, index = Objective(), torch.arange(8)
    gapped = replace(encoded, missing={"x": missing})
    draw = objective.draw(denoiser, gapped, 0, 0, index)
    loss = objective(denoiser, gapped, draw).total
    other = replace(gapped, state={"x": torch.where(missing, 1e3, encoded.state["x"])})
    torch.testing.assert_close(objective(denoiser, other, draw).total, loss)
    whole = objective(denoiser, encoded, draw).total
    assert not torch.allclose(loss, whole)
    rows = gapped.rows(2, 5)
    assert torch.equal(rows.missing["x"], missing[2:5])
