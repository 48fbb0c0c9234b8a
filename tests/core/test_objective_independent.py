"""Times of their own for the places on the first axis: where they are drawn, what they mean, and who refuses them."""

import numpy as np
import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.objective import LogitNormal, LossAware, Objective, Uniform
from ornstein.core.objective.weights import LearnedUncertainty
from ornstein.core.processes import Gaussian
from ornstein.core.state import Encoded, Field, Known, Layout

FIELD = Field("x", "continuous", 2, Gaussian())
GRID = (4, 3)


def denoiser(**options):
    torch.manual_seed(0)
    net = DiT([FIELD], (), 2, width=16, depth=1, heads=1, **options)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return NeuralDenoiser(net, [FIELD])


def batch(n=64, known=False):
    layout = Layout.of_grid(n, GRID)
    x = torch.randn(n, 12, 2, generator=torch.Generator().manual_seed(0))
    bits = torch.zeros(n, 12, 2, dtype=torch.bool)
    bits[:, :3] = True
    return Encoded({"x": x}, layout, known=Known({"x": bits}, {"x": x * bits}) if known else None)


def drawn(objective, encoded, step=0, index=None):
    return objective.draw(denoiser(), encoded, 0, step, torch.arange(encoded.batch) if index is None else index, 64)


def test_every_place_has_a_time_of_the_density_and_its_tokens_share_it():
    t = torch.stack([drawn(Objective(LogitNormal(), independent=1.0), batch(), step).t for step in range(20)])
    places = t.view(20, 64, *GRID)
    assert (places == places[..., :1]).all()
    z = torch.logit(places[..., 0]).flatten(0, 1)  # (1280, 4)
    assert abs(float(z.mean())) < 0.05
    assert float(z.std()) == pytest.approx(1, abs=0.05)
    assert (torch.corrcoef(z.T) - torch.eye(4)).abs().max() < 0.12


def test_the_share_of_samples_is_as_asked_and_the_others_keep_their_one_time():
    together = torch.stack([drawn(Objective(), batch(), step).t for step in range(20)])
    mixed = torch.stack([drawn(Objective(independent=0.25), batch(), step).t for step in range(20)])
    apart = (mixed != mixed[..., :1]).any(-1)
    assert float(apart.double().mean()) == pytest.approx(0.25, abs=0.04)
    assert torch.equal(mixed[..., 0][~apart], together[~apart])


def test_a_sample_draws_the_same_wherever_it_stands():
    objective = Objective(independent=1.0)
    whole = drawn(objective, batch())
    part = objective.draw(denoiser(), batch(8), 0, 0, torch.arange(20, 28), 64)
    assert torch.equal(part.t, whole.t[20:28])


def test_the_loss_noises_each_token_to_its_own_time():
    encoded, net, objective = batch(), denoiser(), Objective(independent=1.0)
    draw = drawn(objective, encoded)
    loss = objective(net, encoded, draw)
    t, x, eps = draw.t[..., None], encoded.state["x"].double(), draw.noise["x"].double()
    out = net({"x": ((1 - t) * x + t * eps).float()}, draw.t, encoded.layout, {})["x"]
    assert torch.allclose(loss.total.double(), ((out.flow - (eps - x)) ** 2).flatten(1).mean(1).double(), atol=1e-4)
    assert torch.allclose(loss.t, draw.t.mean(1))
    assert loss.total.shape == (64,)


def test_known_tokens_stand_at_zero_whatever_time_their_place_drew():
    encoded, net, objective = batch(8, known=True), denoiser(), Objective(independent=1.0)
    draw = drawn(objective, encoded)
    other = draw.t.clone()
    other[:, :3] = 0.9
    again = objective(net, encoded, type(draw)(other, draw.noise, draw.drop))
    assert torch.allclose(objective(net, encoded, draw).total, again.total)


def test_a_set_draws_a_time_for_each_token():
    encoded = Encoded({"x": torch.zeros(16, 5, 2)}, Layout.of_sizes(torch.tensor([5] * 16)))
    torch.manual_seed(0)
    net = NeuralDenoiser(DiT([FIELD], (), 0, width=16, depth=1, heads=1), [FIELD])
    t = Objective(independent=1.0).draw(net, encoded, 0, 0, torch.arange(16)).t
    assert len(np.unique(t.numpy())) == 80


def test_what_it_cannot_serve_is_refused():
    with pytest.raises(ValueError, match="share of samples"):
        Objective(independent=1.5)
    with pytest.raises(ValueError, match="LossAware"):
        Objective(LossAware(Uniform()), independent=0.5)
    with pytest.raises(ValueError, match="LearnedUncertainty"):
        Objective(weight=LearnedUncertainty(), independent=0.5)
    net = denoiser()
    net.per_token_time = False
    with pytest.raises(ValueError, match="one for all"):
        Objective(independent=0.5).prepare(net)
