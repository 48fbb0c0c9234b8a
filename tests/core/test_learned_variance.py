"""The learnt variance: what minimises its bound, what the sampler draws, and that both go the whole way."""

import math
import warnings
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from lightning.pytorch import Trainer
from ornstein.core import checkpoint
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.guidance import CFG
from ornstein.core.objective import Objective, Unit, draw_noise
from ornstein.core.oracle import Mixture
from ornstein.core.parametrization import Eps, V
from ornstein.core.posterior import Posterior
from ornstein.core.processes import Gaussian, LearnedVariance
from ornstein.core.processes.learned_variance import Bridge, Ranged
from ornstein.core.samplers import DDPM, LearnedDDPM
from ornstein.core.sampling import sample
from ornstein.core.schedules import EDM, VP, Cosine, LinearBeta, Rectified
from ornstein.core.state import CentreFree, Condition, Encoded, Field, Isotropic, Layout
from ornstein.core.training.data import OrnsteinDataModule
from ornstein.core.training.equipment import equipment
from ornstein.core.training.module import DiffusionModule
from ornstein.core.training.optimizer import AdamW
from torch.distributions import Normal, kl_divergence
from toy import Toy

SCHEDULES = [Rectified(), VP(), EDM(5.0), Cosine()]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
F64 = torch.float64


def at(t: float) -> torch.Tensor:
    return torch.tensor(t, dtype=F64)


class Told(Mixture):
    """A world whose every answer carries one share."""

    share = 0.0

    def forward(self, state_t, t, *rest, **named):
        view = super().forward(state_t, t, *rest, **named)["x"]
        share = torch.full_like(view.output, self.share)
        return Posterior({"x": Ranged(view.output, share, view.x_t, view.at, V())})


def told(schedule, share: float, std: float = 0.3) -> Told:
    means = torch.tensor([[[-1.0, 0.5]], [[0.5, 1.0]]]) if std != 1 else torch.zeros(1, 1, 2)
    world = Told(means, std, process=LearnedVariance(schedule, V()))
    world.share = share
    return world


@each
def test_the_bridge_is_bayes_rule(schedule):
    """q(x_s | x_t, x_0) q(x_t | x_0) = q(x_s | x_0) q(x_t | x_s) for any x."""
    t, s = at(0.7), at(0.45)
    bridge = Bridge.of(schedule, t, s)
    x0, xs, xt = at(0.3), at(-0.8), at(1.1)
    forward = Normal(schedule.alpha(t) / schedule.alpha(s) * xs, bridge.large.sqrt())
    small = bridge.large * bridge.ratio
    back = Normal(bridge.on_x0 * x0 + bridge.on_xt * xt, small.sqrt())
    noised = [Normal(schedule.alpha(u) * x0, schedule.sigma(u)) for u in (t, s)]
    left = back.log_prob(xs) + noised[0].log_prob(xt)
    torch.testing.assert_close(left, noised[1].log_prob(xs) + forward.log_prob(xt), rtol=0, atol=1e-12)
    assert bridge.std(0.0) == pytest.approx(math.sqrt(small))
    assert bridge.std(1.0) == pytest.approx(math.sqrt(bridge.large))
    assert bridge.std(0.5) == pytest.approx((small * bridge.large) ** 0.25)  # half the way in the logarithm


@each
def test_the_added_loss_is_the_divergence_of_the_step_in_bits(schedule):
    process = LearnedVariance(schedule, V(), vlb=0.01, timesteps=50)
    f = Field("x", "continuous", 2, process)
    g = torch.Generator().manual_seed(0)
    x0, eps, output = (torch.randn(4, 3, c, generator=g, dtype=F64) for c in (2, 2, 4))
    for time in (0.9, 0.3, 0.03, 0.001):
        t = torch.full((4, 1, 1), time, dtype=F64)
        x_t = process.corrupt(f, x0, t, eps)
        view = process.view(f, output, x_t, t)
        s = at(max(time - 1 / 50, time / 2))
        bridge = Bridge.of(schedule, at(time), s)
        small = bridge.large * bridge.ratio
        q = Normal(bridge.on_x0 * x0 + bridge.on_xt * x_t, small.sqrt())
        v = output[..., 2:]
        log_variance = (v + 1) / 2 * bridge.large.log() + (1 - v) / 2 * small.log()
        p = Normal(bridge.on_x0 * view.x0 + bridge.on_xt * x_t, (log_variance / 2).exp())
        expected = 0.01 * 50 * kl_divergence(q, p) / math.log(2)
        torch.testing.assert_close(process.added_loss(f, view, x0, x_t, t), expected, rtol=1e-6, atol=1e-9)


def test_its_gradient_does_not_reach_the_mean():
    process = LearnedVariance(VP(), Eps())
    f, t = Field("x", "continuous", 1, process), torch.full((1, 1, 1), 0.5, dtype=F64)
    output = torch.ones(1, 1, 2, dtype=F64, requires_grad=True)
    x = torch.ones(1, 1, 1, dtype=F64)
    process.added_loss(f, process.view(f, output, x, t), 2 * x, x, t).sum().backward()
    assert output.grad[0, 0, 0] == 0
    assert output.grad[0, 0, 1] != 0


@pytest.mark.parametrize("std", [0.0, 0.3, 1.0])
def test_what_minimises_it_is_the_variance_of_the_true_reverse_step(std):
    """For N(0, std^2): small + on_x0^2 Var(x_0 | x_t), which on VP is the small one for a point and the large one at std 1."""
    schedule, time, steps = VP(), 0.4, 20
    process = LearnedVariance(schedule, V(), timesteps=steps)
    f, t, s = Field("x", "continuous", 1, process), at(time), at(time - 1 / steps)
    bridge = Bridge.of(schedule, t, s)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    left = std**2 * sigma**2 / (alpha**2 * std**2 + sigma**2)  # Var(x_0 | x_t)
    true = bridge.large * bridge.ratio + bridge.on_x0**2 * left
    share = ((true / bridge.large).log() / bridge.ratio.log() - 1).neg().requires_grad_()
    if std in (0.0, 1.0):
        assert share.item() == pytest.approx(std, abs=1e-6)
    x_t = torch.full((1, 1, 1), 0.7, dtype=F64)
    mean = alpha * std**2 / (alpha**2 * std**2 + sigma**2) * x_t
    deviations = torch.tensor([-1.0, 1.0], dtype=F64).view(2, 1, 1) * left.sqrt()  # the moments of x_0 | x_t
    view = Ranged(
        V().target(mean, (x_t - alpha * mean) / sigma, process.at(t)), share.expand(2, 1, 1), x_t, process.at(t), V()
    )
    loss = process.added_loss(f, view, mean + deviations, x_t, t.expand(2, 1, 1)).mean()
    (gradient,) = torch.autograd.grad(loss, share)
    assert abs(gradient.item()) < 1e-6 * max(1.0, loss.item())


@each
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_with_the_small_variance_it_is_ddpm(schedule, steps):
    world = told(schedule, 0.0)
    options = {"seed": 1, "index": torch.arange(3, 7)}
    ours = LearnedDDPM(steps).run(world, world.blank(4), **options)["x"]
    torch.testing.assert_close(ours, DDPM(steps).run(world, world.blank(4), **options)["x"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [3, 6, 20])
def test_with_the_learnt_optimum_unit_data_keeps_its_variance_at_every_step(steps):
    """On VP x_t is N(0, 1) throughout; the best share is 1, and with the small variance the spread shrinks."""
    n, spread = 4000, {}
    for share in (0.0, 1.0):
        seen = []
        world = told(VP(), share, std=1.0)
        LearnedDDPM(steps).run(world, world.blank(n), seed=0, hooks=[lambda p, seen=seen: seen.append(p.state["x"])])
        spread[share] = [float(x.std()) for x in seen[1:-1]]
    assert all(abs(x - 1) < 4 / math.sqrt(4 * n) for x in spread[1.0])
    assert min(spread[0.0]) < 0.97


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_beside_diffusers():
    diffusers = pytest.importorskip("diffusers")
    schedule, steps = LinearBeta(), 50
    world = told(schedule, 0.65)
    theirs = diffusers.DDPMScheduler(
        1000, variance_type="learned_range", clip_sample=False, timestep_spacing="trailing"
    )
    theirs.betas = torch.linspace(1e-4, 0.02, 1000, dtype=F64)  # its own table is float32
    theirs.alphas = 1 - theirs.betas
    theirs.alphas_cumprod, theirs.one = theirs.alphas.cumprod(0), torch.tensor(1.0, dtype=F64)
    theirs.set_timesteps(steps)
    encoded, index = world.blank(8), torch.arange(8)
    seen = []
    LearnedDDPM(steps).run(world, encoded, seed=0, hooks=[lambda p: seen.append(p.state["x"])])
    for i, timestep in enumerate(theirs.timesteps):
        time = (int(timestep) + 1) / 1000
        view = world({"x": seen[i]}, time, encoded.layout, {})["x"]
        noise = draw_noise(world, encoded, 0, index, "step", i + 1, 0)["x"]
        if i == steps - 1:  # with fewer steps than timesteps it adds noise to the sample itself, between beta and 1e-20
            noise = torch.zeros_like(noise)
        output = torch.cat([view.eps, 2 * view.share - 1], dim=1)  # channels stand second there
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, noise=noise, **k: noise)
            after = theirs.step(output, timestep, seen[i]).prev_sample
        torch.testing.assert_close(seen[i + 1], after, rtol=0, atol=1e-6)


def ranged(mean: float, share: float) -> Ranged:
    t = torch.full((2, 1, 1), 0.5, dtype=F64)
    one = torch.ones(2, 3, 1, dtype=F64)
    return Ranged(mean * one, share * one, one, Gaussian().at(t), V())


@pytest.mark.parametrize(("weight", "share"), [(-1.0, 0.2), (0.0, 0.2), (0.5, 0.5), (1.0, 0.8), (4.0, 0.8)])
def test_guidance_mixes_means_and_never_extrapolates_the_variance(weight, share):
    for w in (weight, torch.tensor([weight] * 2)):
        mixed = ranged(2.0, 0.8).mix(ranged(1.0, 0.2), w)
        assert isinstance(mixed, Ranged)
        torch.testing.assert_close(mixed.share, torch.full_like(mixed.share, share), rtol=0, atol=1e-12)
        torch.testing.assert_close(mixed.output, torch.full_like(mixed.output, 1 + weight))
    assert torch.equal(mixed.rows(1, 2).share, mixed.share[1:])


class Flat(Backbone):
    """C or 2 C numbers for each entry, those of the class added."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields, conditions=(), axes=0) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes = tuple(fields), tuple(conditions), axes
        self.out = torch.nn.Parameter(torch.linspace(-0.5, 0.5, 2 * fields[0].outputs).view(2, -1))

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        f, label = self.fields[0], cond.get("label")
        rows = torch.zeros(len(inputs[f.name]), dtype=torch.int64) if label is None else label.present.long()
        return {f.name: self.out[rows][:, None].expand(-1, inputs[f.name].shape[1], -1).to(c_noise.dtype)}


def test_cfg_goes_the_whole_way():
    f, spec = Field("x", "continuous", 2, LearnedVariance(VP(), V())), ConditionSpec("label", "class", 2)
    denoiser = NeuralDenoiser(Flat([f], [spec]), [f], [spec])
    told = {"label": Condition(torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.bool))}
    encoded = Encoded({"x": torch.zeros(3, 4, 2)}, Layout.of_sizes(torch.tensor([4, 4, 4])), told)
    view = CFG(denoiser, 3.0)(encoded.state, 0.5, encoded.layout, told)["x"]
    plain = denoiser(encoded.state, 0.5, encoded.layout, told)["x"]
    torch.testing.assert_close(view.share, plain.share)
    assert not torch.allclose(view.output, plain.output)
    out = LearnedDDPM(3).run(CFG(denoiser, 3.0), encoded, seed=0)["x"]
    assert torch.isfinite(out).all()


def test_networks_give_as_much_as_the_process_asks_for():
    learned = Field("x", "continuous", 3, LearnedVariance())
    pair = Field("p", "continuous", 2, LearnedVariance(), axes="pair")
    plain = Field("y", "continuous", 3, Gaussian())
    assert [f.outputs for f in (learned, pair, plain)] == [6, 4, 3]
    net = DiT([learned, pair, plain], width=16, depth=1, heads=2, pair_width=8)
    state = {"x": torch.randn(2, 4, 3), "p": torch.zeros(2, 4, 4, 2), "y": torch.randn(2, 4, 3)}
    out = net(state, torch.zeros(2), Layout.of_sizes(torch.tensor([4, 3])), {})
    assert {name: x.shape[-1] for name, x in out.items()} == {"x": 6, "p": 4, "y": 3}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LearnedVariance(vlb=0), "vlb must be above 0"),
        (lambda: LearnedVariance(timesteps=1), "timesteps at least 2"),
        (
            lambda: LearnedVariance(VP(), Eps()).check(Field("x", "continuous", 3, Gaussian(), space=CentreFree())),
            "CentreFree",
        ),
        (lambda: LearnedVariance(Rectified(), Eps()), "Eps is undefined on Rectified"),
        (lambda: LearnedDDPM(0), "steps must be a whole number"),
        (lambda: LearnedDDPM(2).run(plain_world(), plain_world().blank(1), seed=0), "nothing was learnt: take DDPM"),
        (lambda: LearnedDDPM(2).run(lost_world(), lost_world().blank(1), seed=0), "lost its learnt variance"),
        (lambda: too_narrow(), "gives 3 channels for field 'x', 2 x 3 are needed"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def plain_world() -> Mixture:
    return Mixture(torch.zeros(1, 1, 1), 1.0, process=Gaussian(VP(), V()))


def lost_world() -> Mixture:
    return Mixture(torch.zeros(1, 1, 1), 1.0, process=LearnedVariance(VP(), V()))


def too_narrow() -> None:
    f, x = Field("x", "continuous", 3, Gaussian()), {"x": torch.zeros(1, 2, 3)}
    denoiser = NeuralDenoiser(Flat([f]), [f], processes={"x": LearnedVariance()})
    denoiser(x, 0.5, Layout.of_sizes(torch.tensor([2])), {})


class Placed(Toy):
    """The toy with positions anywhere in space."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Without the centre-free space."""
        first, *rest = super().fields
        return (replace(first, space=Isotropic()), *rest)


def test_a_recipe_trains_saves_and_samples_it(tmp_path):
    """The process of the recipe, not the modality's default, sizes the network; the bound falls beside the rest of the loss."""
    toy = Placed(60)
    process = {"positions": LearnedVariance(Cosine(), V(), vlb=0.001, timesteps=1000)}

    def small(fields, conditions, axes):
        return DiT(fields, conditions, axes, width=32, depth=1, heads=4, pair_width=8)

    data = OrnsteinDataModule(toy, batch_size=16)
    module = DiffusionModule(toy, small, Objective(), process=process, optimizer=AdamW(lr=1e-2, warmup=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"accelerator": "cpu", "devices": 1, "max_steps": 30, "log_every_n_steps": 10}
        Trainer(**options, limit_val_batches=0, **equipment(tmp_path, every=30, pictures=0)).fit(module, data)
    head = module.network.backbone.outputs[0]
    assert head.out_features == 6
    assert head.weight[3:].abs().max() > 1e-3  # the variance's half has learnt: from zero, by the bound alone
    denoiser = checkpoint.load(tmp_path)
    assert denoiser.processes["positions"] == process["positions"]
    assert denoiser.fields["positions"].outputs == 6
    samples = sample(denoiser, LearnedDDPM(4), 3, seed=1)
    assert all(torch.isfinite(torch.from_numpy(atoms.positions)).all() for atoms in samples)


def test_the_objective_adds_it_unweighted():
    """Total = weight * squared error + bound, whatever the weight."""
    f = Field("x", "continuous", 2, LearnedVariance(VP(), V()))
    denoiser = NeuralDenoiser(Flat([f]), [f])
    x0 = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    encoded = Encoded({"x": x0}, Layout.of_sizes(torch.full((4,), 3)))

    class Half(Unit):
        def of_output(self, at, parametrization):
            return 0.5 * torch.ones_like(at.alpha)

    objective = Objective(weight=Half(), dropout=0.0)
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(4))
    loss = objective(denoiser, encoded, draw).total
    process, t = denoiser.processes["x"], draw.t.view(-1, 1, 1)
    x_t = process.corrupt(f, x0, t, draw.noise["x"])
    view = denoiser({"x": x_t}, draw.t, encoded.layout, {})["x"]
    parts = (
        0.5 * process.loss(f, view, x0, draw.noise["x"], x_t, t),
        process.added_loss(f, view, x0, x_t, t),
    )
    torch.testing.assert_close(loss, sum(parts).mean((1, 2)))
    assert (parts[1] >= 0).all()
