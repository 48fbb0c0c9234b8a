"""Classifier-free guidance against its formula in every view, and against Gaussians whose tilt is known."""

import inspect
from typing import ClassVar

import pytest
import torch
from ornstein.core import registry
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.backbones.dit import DiT
from ornstein.core.checkpoint import load, save
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.denoiser import Denoiser, NeuralDenoiser
from ornstein.core.guidance import CFG, Guidance
from ornstein.core.parametrization import EDM, X0, V
from ornstein.core.posterior import Continuous, Pair, Posterior
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import DDIM, run
from ornstein.core.schedules import VP
from ornstein.core.state import Condition, Encoded, Field, Known, Layout

X, A = Field("x", "continuous", 2, Gaussian(VP(), V())), Field("a", "categorical", 3, Masked())
SPECS = (ConditionSpec("label", "class", 4), ConditionSpec("size", "scalar"))
N, B = 3, 5


class Told(Backbone):
    """Outputs that depend on everything: inputs, time, presence and value of each condition, given bits, last estimate."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields, conditions=SPECS, axes=0, self_conditioning=False) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes, self.self_conditioning = fields, conditions, axes, self_conditioning
        self.calls: list[dict] = []

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        self.calls.append({"batch": len(layout.mask), "cond": cond, "previous": previous, "known": known})
        told = c_noise.reshape(len(c_noise), -1).mean(1)
        for k, (name, c) in enumerate(sorted(cond.items())):
            told = told + torch.where(c.present, 1 + c.value * (0.3 + k) + len(name), 0)
        if previous is not None:
            told = told + previous["x"].mean((1, 2))
        told = told.view(-1, 1, 1).to(inputs["x"].dtype)
        logits = torch.linspace(0, 1, 3, dtype=inputs["x"].dtype) * told
        return {"x": torch.sin(inputs["x"] + told), "a": logits.expand(-1, inputs["a"].shape[1], -1)}


class Louder(Told):
    def forward(self, *inputs):
        return {name: 1.5 * x for name, x in super().forward(*inputs).items()}


def setting(**options):
    net = Told((X, A), **options)
    denoiser = NeuralDenoiser(net, (X, A), SPECS)
    g = torch.Generator().manual_seed(0)
    state = {"x": torch.randn(B, N, 2, generator=g, dtype=torch.float64), "a": torch.randint(0, 4, (B, N), generator=g)}
    layout = Layout.of_sizes(torch.tensor([3, 3, 2, 1, 3]))
    cond = {
        "label": Condition(torch.tensor([0, 1, 2, 3, 1]), torch.tensor([True, True, True, False, True])),
        "size": Condition(torch.linspace(0, 1, B), torch.tensor([True, False, True, False, True])),
    }
    return denoiser, state, layout, cond


def hidden(cond):
    return {k: c.dropped(torch.ones(B, dtype=torch.bool)) for k, c in cond.items()}


def same(a: Posterior, b: Posterior) -> None:
    for name in ("x0", "eps", "v", "flow", "score"):
        torch.testing.assert_close(getattr(a["x"], name), getattr(b["x"], name), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(a["a"].log_probs, b["a"].log_probs, rtol=1e-10, atol=1e-10)


TIMES = [0.4, torch.linspace(0.1, 0.9, B, dtype=torch.float64), torch.rand(B, N, dtype=torch.float64).clamp(0.05)]
at_times = pytest.mark.parametrize("t", TIMES, ids=["number", "per-sample", "per-token"])


@at_times
@pytest.mark.parametrize("scale", [0.0, 0.5, 2.7])
def test_every_view_is_the_extrapolation(scale, t):
    denoiser, state, layout, cond = setting()
    with_, without = denoiser(state, t, layout, cond), denoiser(state, t, layout, hidden(cond))
    denoiser.backbone.calls.clear()
    guided = CFG(denoiser, scale)(state, t, layout, cond)
    assert [c["batch"] for c in denoiser.backbone.calls] == [2 * B]  # one call for both halves
    real = layout.mask
    for name in ("x0", "eps", "v", "flow", "score"):
        a, b = (getattr(p["x"], name) for p in (with_, without))
        torch.testing.assert_close(getattr(guided["x"], name)[real], (b + scale * (a - b))[real], rtol=1e-9, atol=1e-9)
    a, b = with_["a"].log_probs, without["a"].log_probs
    expected = torch.log_softmax(b + scale * (a - b), -1)
    torch.testing.assert_close(guided["a"].log_probs[real], expected[real], rtol=1e-9, atol=1e-9)
    assert guided["a"].probs.sum(-1).allclose(torch.ones(B, N, dtype=torch.float64))
    seen = state["a"] < 3
    assert torch.equal(guided["a"].x0[seen], state["a"][seen])  # what is seen stays sure, and finite
    if scale == 0:
        for name in ("x0", "eps"):
            torch.testing.assert_close(getattr(guided["x"], name), getattr(without["x"], name))


@at_times
def test_scale_one_is_the_conditional_model_for_one_call(t):
    denoiser, state, layout, cond = setting()
    expected = denoiser(state, t, layout, cond)
    denoiser.backbone.calls.clear()
    same(CFG(denoiser, 1.0)(state, t, layout, cond), expected)
    assert [c["batch"] for c in denoiser.backbone.calls] == [B]


def test_outside_the_interval_the_scale_is_one():
    denoiser, state, layout, cond = setting()
    guided, always = CFG(denoiser, 2.7, interval=(0.3, 0.6)), CFG(denoiser, 2.7)
    for t, inside in ((0.29, False), (0.3, True), (0.6, True), (0.61, False)):
        denoiser.backbone.calls.clear()
        found = guided(state, t, layout, cond)
        assert [c["batch"] for c in denoiser.backbone.calls] == [2 * B if inside else B]
        same(found, always(state, t, layout, cond) if inside else denoiser(state, t, layout, cond))
    t = torch.tensor([0.1, 0.3, 0.5, 0.6, 0.9], dtype=torch.float64)
    found, on, off = (d(state, t, layout, cond)["x"].x0 for d in (guided, always, denoiser))
    for k, inside in enumerate((False, True, True, True, False)):
        torch.testing.assert_close(found[k], (on if inside else off)[k], rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="one time per sample"):
        guided(state, torch.rand(B, N), layout, cond)


def test_a_negative_condition_takes_the_place_of_none():
    denoiser, state, layout, cond = setting()
    guided = CFG(denoiser, 2.0, negative={"label": 3})
    found = guided(state, 0.4, layout, cond)["x"].x0
    away = {**hidden(cond), "label": Condition(torch.full((B,), 3), torch.ones(B, dtype=torch.bool))}
    with_, without = (denoiser(state, 0.4, layout, c)["x"].x0 for c in (cond, away))
    torch.testing.assert_close(found, without + 2 * (with_ - without))
    only = guided(state, 0.4, layout, {})["x"].x0  # nothing given: away from the negative
    with_, without = (denoiser(state, 0.4, layout, c)["x"].x0 for c in ({}, {"label": away["label"]}))
    torch.testing.assert_close(only, without + 2 * (with_ - without))


def test_nothing_given_is_the_unconditional_model():
    denoiser, state, layout, _ = setting()
    same(CFG(denoiser, 4.0)(state, 0.5, layout, {}), denoiser(state, 0.5, layout, {}))


def test_masks_of_condition_tokens_travel_with_both_halves():
    spec = ConditionSpec("words", "tokens", 2, "cross")
    denoiser, state, layout, _ = setting()
    net = denoiser.backbone
    denoiser.conditions = (spec,)
    mask = torch.tensor([[True, True]] * 4 + [[True, False]])
    words = Condition(torch.rand(B, 2, 2), torch.ones(B, dtype=torch.bool), mask)

    def forward(inputs, c_noise, layout, cond, *rest):
        net.calls.append({"cond": cond})
        return {"x": inputs["x"], "a": torch.zeros(*inputs["a"].shape, 3)}

    net.forward = forward
    CFG(denoiser, 2.0)(state, 0.4, layout, {"words": words})
    joined = net.calls[-1]["cond"]["words"]
    assert torch.equal(joined.mask, torch.cat([mask, mask]))
    assert joined.present.tolist() == [True] * B + [False] * B
    CFG(denoiser, 2.0, negative={"words": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]})(state, 0.4, layout, {"words": words})
    joined = net.calls[-1]["cond"]["words"]  # of another length: padded
    assert joined.mask.sum(1).tolist() == [2, 2, 2, 2, 1] + [3] * B
    assert torch.equal(joined.value[:B, :2], words.value)
    assert joined.value[B].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_given_entries_and_the_last_estimate_reach_both_halves():
    denoiser, state, layout, cond = setting(self_conditioning=True)
    known = Known({"x": torch.rand(B, N, 2) > 0.5}, {"x": torch.zeros(B, N, 2, dtype=torch.float64)})
    first = denoiser(state, 0.5, layout, cond, known)
    guided = CFG(denoiser, 3.0)
    assert guided.self_conditioning
    found = guided(state, 0.4, layout, cond, known, first)
    call = denoiser.backbone.calls[-1]
    assert torch.equal(call["previous"]["x"], torch.cat([first["x"].x0] * 2))
    assert torch.equal(call["previous"]["a"], torch.cat([first["a"].probs] * 2))
    assert torch.equal(call["known"].bits["x"], torch.cat([known.bits["x"]] * 2))
    with_, without = (denoiser(state, 0.4, layout, c, known, first)["x"].x0 for c in (cond, hidden(cond)))
    torch.testing.assert_close(found["x"].x0, without + 3 * (with_ - without))


def test_the_executor_makes_one_call_an_evaluation_and_carries_the_estimate():
    denoiser, state, layout, cond = setting(self_conditioning=True)
    guided = CFG(denoiser, 3.0, interval=(0.0, 0.5))
    plan = DDIM(8).plan(guided.processes)
    run(guided, plan, Encoded(state, layout, cond), seed=0)
    assert [c["batch"] for c in denoiser.backbone.calls] == [B] * 4 + [2 * B] * 4  # t = 1 .. 5/8, then 4/8 .. 1/8
    assert [c["previous"] is None for c in denoiser.backbone.calls] == [True] + [False] * 7


class TwoGaussians(Denoiser):
    """x | label ~ N(mean_label, 0.4^2), x ~ N(0, 1) where there is no label: exact posteriors of both."""

    conditions = (ConditionSpec("label", "class", 2),)

    def __init__(self) -> None:
        super().__init__()
        self.fields, self.processes = {"x": X}, {"x": X.process}

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        x = state_t["x"]
        time = t if isinstance(t, torch.Tensor) else torch.full((len(x),), t, dtype=torch.float64)
        at = X.process.at(time.view(-1, 1, 1))
        c = cond["label"]
        on = c.present.view(-1, 1, 1)
        mean = torch.where(on, torch.tensor([-1.0, 2.0], dtype=x.dtype)[c.value].view(-1, 1, 1), 0.0)
        var = torch.where(on, 0.16, torch.ones((), dtype=x.dtype))
        x0 = mean + at.alpha * var / (at.alpha**2 * var + at.sigma**2) * (x - at.alpha * mean)
        return Posterior({"x": Pair(x0, (x - at.alpha * x0) / at.sigma, x, at)})


def test_guided_score_is_that_of_the_tilted_density():
    """The score of p(x | c)^w p(x)^(1 - w) at each noise level, by autograd of the two Gaussians."""
    world, w, t = TwoGaussians(), 2.5, 0.3
    x = torch.randn(B, N, 2, dtype=torch.float64, requires_grad=True)
    cond = {"label": Condition(torch.tensor([0, 1, 0, 1, 1]), torch.ones(B, dtype=torch.bool))}
    at = X.process.at(torch.full((B, 1, 1), t, dtype=torch.float64))
    mean = torch.tensor([-1.0, 2.0], dtype=torch.float64)[cond["label"].value].view(-1, 1, 1)

    def log(mean, var):
        return (-((x - at.alpha * mean) ** 2) / (2 * (at.alpha**2 * var + at.sigma**2))).sum()

    score = torch.autograd.grad(w * log(mean, 0.16) + (1 - w) * log(0.0, 1.0), x)[0]
    guided = CFG(world, w)({"x": x.detach()}, t, Layout(torch.ones(B, N, dtype=torch.bool)), cond)["x"]
    torch.testing.assert_close(guided.score, score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda d: CFG(d, 2.0, interval=(0.5, 0.5)), "0 <= low < high <= 1"),
        (lambda d: CFG(d, 2.0, interval=(0.0, 1.5)), "0 <= low < high <= 1"),
        (lambda d: CFG(d, 2.0, negative={"lable": 1}), "unknown condition 'lable'; the model takes label"),
        (lambda d: CFG(d, 2.0, negative={"label": 4}), "out of range"),
        (lambda d: CFG(NeuralDenoiser(Told((X, A), ()), (X, A)), 2.0), "no conditions"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build(setting()[0])


def test_guidance_passes_on_what_the_denoiser_has():
    denoiser = setting(self_conditioning=True)[0]
    denoiser.modality = "anything"
    for name in registry.TABLE["guidance"]:
        cls = registry.class_of("guidance", name)
        assert issubclass(cls, Guidance)
        assert not inspect.isabstract(cls)
        held = cls(denoiser)
        for part in ("fields", "processes", "conditions", "modality", "per_token_time", "self_conditioning"):
            assert getattr(held, part) == getattr(denoiser, part)


def test_views_of_different_kinds_mix_as_pairs():
    x_t, x0, eps = (torch.randn(B, N, 2, dtype=torch.float64) for _ in range(3))
    at = Gaussian(VP(), V()).at(torch.full((B, 1, 1), 0.4, dtype=torch.float64))
    x_t = at.alpha * x0 + at.sigma * eps
    views = [Continuous(p.target(x0, eps, at), x_t, at, p) for p in (V(), X0(), EDM())] + [Pair(x0, eps, x_t, at)]
    for a in views:
        for b in views:
            mixed = a.mix(b, 2.5)
            torch.testing.assert_close(mixed.x0, x0, rtol=0, atol=1e-12)
            torch.testing.assert_close(mixed.eps, eps, rtol=0, atol=1e-12)
    apart = Pair(x0, -eps, x_t, at)  # as of two calls: x0 and eps do not add up to x_t
    torch.testing.assert_close(apart.mix(views[0], 0.5).eps, 0 * eps)
    assert torch.equal(apart.rows(1, 2).eps, -eps[1:2])


def test_nothing_asked_for_costs_one_half():
    denoiser, state, layout, _ = setting()
    CFG(denoiser, 3.0)(state, 0.5, layout, {})
    assert denoiser.backbone.calls[-1]["batch"] == B


def test_a_condition_that_was_never_declared_is_refused():
    denoiser, state, layout, _ = setting()
    stray = {"lable": Condition(torch.zeros(B), torch.ones(B, dtype=torch.bool))}
    with pytest.raises(ValueError, match="unknown condition lable; the model takes label, size"):
        CFG(denoiser, 3.0)(state, 0.5, layout, stray)


def test_a_weaker_model_answers_in_place_of_the_other_half():
    strong, state, layout, cond = setting()
    weak = NeuralDenoiser(Louder((X, A)), (X, A), SPECS)
    for t in TIMES:
        guided = CFG(strong, 2.5, weak=weak)(state, t, layout, cond)
        good, bad = (d(state, t, layout, cond) for d in (strong, weak))
        torch.testing.assert_close(guided["x"].x0, bad["x"].x0 + 2.5 * (good["x"].x0 - bad["x"].x0))
        assert not torch.allclose(good["x"].x0, bad["x"].x0)
    strong.backbone.calls.clear()
    CFG(strong, 2.5, weak=weak)(state, 0.5, layout, {})
    assert [call["batch"] for call in strong.backbone.calls] == [B]  # once, with nothing asked for too


def test_at_scale_one_and_outside_the_interval_the_weaker_model_is_not_asked():
    strong, state, layout, cond = setting()
    weak = NeuralDenoiser(Louder((X, A)), (X, A), SPECS)
    for guided in (CFG(strong, 1.0, weak=weak), CFG(strong, 3.0, (0.6, 1.0), weak=weak)):
        same(guided(state, 0.5, layout, cond), strong(state, 0.5, layout, cond))
    assert weak.backbone.calls == []


def test_a_weaker_model_may_come_from_its_folder(tmp_path):
    fields = (X,)
    models = [NeuralDenoiser(DiT(fields, width=8, depth=1, heads=1), fields) for _ in range(2)]
    for model in models:
        torch.nn.init.normal_(model.backbone.outputs[0].weight)
    save(models[1], tmp_path)
    state, layout = {"x": torch.randn(B, N, 2)}, Layout.of_sizes(torch.full((B,), N))
    with torch.no_grad():
        found = CFG(models[0], 2.0, weak=load(tmp_path))(state, 0.4, layout, {})
        wanted = [model.eval()(state, 0.4, layout, {})["x"].x0 for model in models]
    torch.testing.assert_close(found["x"].x0, 2 * wanted[0] - wanted[1])


def test_a_weaker_model_of_other_noise_or_fields_is_refused():
    strong, *_ = setting()
    other = Field("x", "continuous", 2, Gaussian(VP(), X0()))
    for fields, what in (((other, A), "fields"), ((A,), "fields")):
        with pytest.raises(ValueError, match=f"other {what}"):
            CFG(strong, 2.0, weak=NeuralDenoiser(Told(fields), fields, SPECS))
    with pytest.raises(ValueError, match="other processes"):
        CFG(strong, 2.0, weak=NeuralDenoiser(Told((X, A)), (X, A), SPECS, {"x": other.process}))
    with pytest.raises(ValueError, match="leave out negative"):
        CFG(strong, 2.0, negative={"label": 1}, weak=strong)
