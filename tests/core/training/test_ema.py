import math

import pytest
import torch
from ornstein.core.training.ema import ConstantEMA, PowerEMA, gamma_of
from torch import nn


def walk(ema, values):
    """The mean of a one-weight module that takes the given values."""
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(values[0])
        ema.start(module)
        for value in values[1:]:
            module.weight.fill_(value)
            ema.update(module)
    return module, ema.mean["weight"].item()


def test_a_constant_decay_is_the_geometric_mean_of_the_past():
    values = [3.0, 1.0, -2.0, 0.5]
    _, mean = walk(ConstantEMA(0.9, warmup=False), values)
    closed = 0.9**3 * 3.0 + 0.1 * (0.9**2 * 1.0 + 0.9 * -2.0 + 0.5)
    assert mean == pytest.approx(closed, abs=1e-6)


def test_the_warmup_forgets_the_start():
    values = [100.0] + [0.0] * 200
    _, slow = walk(ConstantEMA(0.9999, warmup=False), values)
    _, warm = walk(ConstantEMA(0.9999, warmup=True), values)
    assert slow > 90
    assert warm < 1e-6
    assert ConstantEMA(0.9).beta(10**6) == 0.9


@pytest.mark.parametrize("length", [0.02, 0.05, 0.1, 0.2, math.sqrt(1 / 12)])
def test_gamma_inverts_the_relative_length(length):
    gamma = gamma_of(length)
    assert math.sqrt(gamma + 1) / (gamma + 2) / math.sqrt(gamma + 3) == pytest.approx(length, rel=1e-6)


def test_the_power_mean_weighs_by_a_power_of_the_step_and_has_its_length():
    steps, ema = 4000, PowerEMA(0.1)
    weights = torch.ones(1, dtype=torch.float64)
    for k in range(1, steps + 1):
        beta = ema.beta(k)
        weights = torch.cat([weights * beta, torch.tensor([1 - beta], dtype=torch.float64)])
    k = torch.arange(steps + 1, dtype=torch.float64)
    expected = k**ema.gamma / (k**ema.gamma).sum()
    assert weights[0] == 0
    assert (weights - expected).abs().max() < 2e-3 * expected.max()
    mean = (weights * k).sum()
    std = ((weights * (k - mean) ** 2).sum()).sqrt() / steps
    assert std == pytest.approx(0.1, rel=0.01)


def test_applied_puts_the_mean_in_and_the_weights_back_whatever_happens():
    module, mean = walk(ConstantEMA(0.5), [1.0, 2.0, 4.0])
    ema = ConstantEMA(0.5)
    ema.mean = {"weight": torch.tensor([[mean]])}
    with ema.applied(module):
        assert module.weight.item() == mean
    assert module.weight.item() == 4.0
    with pytest.raises(RuntimeError, match="inside"), ema.applied(module):
        raise RuntimeError("inside")
    assert module.weight.item() == 4.0


def test_the_mean_is_float32_for_half_weights_and_survives_small_steps():
    module = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    ema = ConstantEMA(0.999, warmup=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
        ema.start(module)
        module.weight.fill_(2.0)
        for _ in range(100):
            ema.update(module)
    assert ema.mean["weight"].dtype == torch.float32
    assert ema.mean["weight"].item() == pytest.approx(2 - 0.999**100, rel=1e-4)


def test_frozen_weights_are_not_averaged_and_a_foreign_mean_is_refused():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    ema = ConstantEMA()
    ema.start(module)
    assert set(ema.mean) == {"1.weight", "1.bias"}
    with pytest.raises(ValueError, match=r"another network: 4 entries"):
        ema.start(nn.Linear(2, 2))


@pytest.mark.parametrize("bad", [lambda: ConstantEMA(1.0), lambda: PowerEMA(0.0), lambda: PowerEMA(0.5)])
def test_lengths_outside_their_range_are_refused(bad):
    with pytest.raises(ValueError, match="lies in"):
        bad()
