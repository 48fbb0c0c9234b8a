"""Inversion: the noise behind an item, and what lies between two."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.inversion import interpolate, invert
from ornstein.core.modality import Item, Modality
from ornstein.core.oracle import GaussianWorld
from ornstein.core.parametrization import EDM, Eps, Flow
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DDIM, DDPM, Heun, run
from ornstein.core.schedules import VP, Rectified
from ornstein.core.state import Condition, Encoded, Field, Layout
from toy import Toy, figures


class Dots(Modality):
    """Sets of points in the plane; an item's data is (N, 2). The class says nothing."""

    name, symmetries, extensions, axes = "dots", ("permutation",), (), 0
    fields = (Field("x", "continuous", 2, Gaussian(Rectified(), Flow())),)
    conditions = (ConditionSpec("label", "class", 3),)

    def read(self, file, row):
        raise NotImplementedError

    write = metrics = datasets = read

    def encode(self, items, known, rng):
        n = max(len(item.data) for item in items)
        x = torch.zeros(len(items), n, 2)
        for row, item in zip(x, items, strict=True):
            row[: len(item.data)] = torch.from_numpy(item.data)
        label = torch.tensor([item.cond.get("label", 0) for item in items])
        cond = {"label": Condition(label, torch.ones(len(items), dtype=torch.bool))}
        layout = Layout.of_sizes(torch.tensor([len(item.data) for item in items]))
        return Encoded({"x": x}, layout, cond, aux={"name": [item.key for item in items]})

    def blank(self, n, cond, rng, size=None):
        raise NotImplementedError

    def decode(self, state, mask, aux):
        return [(name, x[real].numpy()) for name, x, real in zip(aux["name"], state["x"], mask, strict=True)]


def awake(denoiser):
    """Random weights everywhere: networks start at 0."""
    g = torch.Generator().manual_seed(0)
    for p in denoiser.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.1)
    return denoiser.eval()


@pytest.fixture(scope="module")
def dots():
    net = DiT(Dots.fields, Dots.conditions, 0, width=16, depth=2, heads=2)
    return awake(NeuralDenoiser(net, Dots.fields, Dots.conditions, modality=Dots()))


def items(*labels, n=9):
    g = np.random.default_rng(0)
    return [Item(g.normal(size=(n, 2)), {"label": label}, key=f"dots{i}") for i, label in enumerate(labels)]


@pytest.mark.parametrize("schedule", [Rectified(), VP()], ids=lambda s: type(s).__name__)
def test_the_noise_of_a_gaussian_is_its_standard_score(schedule):
    """x_0 = m + s z leads to z (on VP to z and what alpha(1) leaves of the mean)."""
    mean, std, errors = 0.7, 0.6, []
    law = GaussianWorld(torch.full((3, 1), mean), std**2 * torch.eye(3), Gaussian(schedule, EDM()))
    encoded = law.blank(5)
    z = torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alpha, sigma = (float(f(torch.tensor(1.0, dtype=torch.float64))) for f in (schedule.alpha, schedule.sigma))
    expected = (alpha * mean + math.sqrt(alpha**2 * std**2 + sigma**2) * z) / sigma
    for steps in (20, 400):
        noise = invert(law, replace(encoded, state={"x": mean + std * z}), steps)["x"]
        errors.append(float((noise - expected).abs().max()))
    assert errors[1] < min(0.01, errors[0] / 5)  # what begins at t = 0.001 instead of 0 misses


@pytest.mark.parametrize("parametrization", [Flow(), EDM(), Eps()], ids=lambda p: type(p).__name__)
def test_what_is_inverted_comes_back(parametrization):
    """There and back through a network of random weights; finer steps, less error."""
    schedule = VP() if isinstance(parametrization, Eps) else Rectified()
    fields = (Field("x", "continuous", 2, Gaussian(schedule, parametrization)),)
    net = awake(NeuralDenoiser(DiT(fields, (), 1, width=16, depth=2, heads=2), fields)).double()
    layout = Layout.of_grid(4, (6,))
    x = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    encoded, errors = Encoded({"x": x}, layout.to("cpu", torch.float64)), []
    for steps in (3, 80):
        noise = invert(net, encoded, steps)
        back = run(net, Heun(steps).plan(net.processes), encoded, seed=0, prior=noise)["x"]
        errors.append(float((back - x).square().mean().sqrt()))
    assert errors[1] < min(0.01, errors[0] / 3), errors


def test_the_ends_of_the_way_are_the_items_and_padding_changes_nothing(dots):
    first, second = items(1, 1)
    made = interpolate(dots, first, second, Heun(60), shares=[0.0, 0.5, 1.0], steps=60)
    assert [name for name, _ in made] == ["dots0", "dots0", "dots1"]  # aux of the nearer one
    assert np.abs(made[0][1] - first.data).max() < 0.01
    near = np.abs(made[2][1][:, None] - second.data[None]).sum(-1)  # in the order of the first
    assert near.min(0).max() < 0.01
    assert near.min(1).max() < 0.01
    assert np.abs(made[1][1] - first.data).max() > 0.05


def test_a_set_in_another_order_is_the_same_set(dots):
    """Tokens are matched: between a set and its permutation there is the set and nothing else."""
    (first,) = items(1)
    order = np.random.default_rng(1).permutation(9)
    made = interpolate(dots, first, replace(first, data=first.data[order]), Heun(60), shares=[0.3, 0.5], steps=60)
    for _, x in made:
        assert np.abs(x - first.data).max() < 0.01


def test_conditions_that_are_not_shared_are_left_out(dots, monkeypatch):
    seen = []
    forward = type(dots).forward

    def spy(self, state, t, layout, cond, *more):
        seen.append(cond["label"].present.tolist())
        return forward(self, state, t, layout, cond, *more)

    monkeypatch.setattr(type(dots), "forward", spy)
    interpolate(dots, *items(1, 1), DDIM(2), steps=1, shares=[0.5])
    assert seen[0] == [True, True]
    assert seen[-1] == [True]
    seen.clear()
    interpolate(dots, *items(1, 2), DDIM(2), steps=1, shares=[0.5])
    assert not any(any(row) for row in seen)


def test_what_cannot_be_done_is_said(dots):
    first, second = items(1, 1)
    short = replace(second, data=second.data[:4])
    with pytest.raises(ValueError, match="dots0 has 9 tokens and dots1 4"):
        interpolate(dots, first, short, DDIM(2))
    with pytest.raises(ValueError, match=r"draws noise of its own"):
        interpolate(dots, first, second, DDPM(2))
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        interpolate(dots, first, second, DDIM(2), shares=[1.5])
    with pytest.raises(ValueError, match="at least 1 step"):
        interpolate(dots, first, second, DDIM(2), steps=0)
    toy = Toy()
    read = [toy.read(row.file, row.values) for row in figures(2).rows()]
    toy.fit(read)
    net = DiT(toy.fields, toy.conditions, toy.axes, width=16, depth=1, heads=2, pair_width=8)
    with pytest.raises(ValueError, match="is categorical"):
        invert(
            NeuralDenoiser(net, toy.fields, toy.conditions, modality=toy),
            toy.encode(read[:1], None, np.random.default_rng(0)),
        )
