"""Rotary positions against their formula."""

from dataclasses import replace

import pytest
import torch
from ornstein.core.backbones.layers import HeadNorm
from ornstein.core.backbones.rope import Rotary, prefix, rotate
from ornstein.core.state import Layout


def test_rotation_is_a_complex_product():
    """Pair k of a head turns by p base^(-k / n): z -> z exp(i angle)."""
    p = torch.tensor([[[0.0], [1.0], [2.5]]], dtype=torch.float64)
    rotation = Rotary(1, 4, 100.0)(Layout(torch.ones(1, 3, dtype=torch.bool), p), torch.float64)
    x = torch.randn(1, 3, 2, 1, 8, dtype=torch.float64)
    angle = p[0] * 100.0 ** (-torch.arange(4, dtype=torch.float64) / 4)
    expected = (
        torch.view_as_complex(x.unflatten(-1, (4, 2))) * torch.polar(torch.ones_like(angle), angle)[:, None, None]
    )
    torch.testing.assert_close(rotate(x, rotation), torch.view_as_real(expected).flatten(-2))


@pytest.mark.parametrize(("axes", "pairs"), [(1, 5), (2, 5), (3, 8), (4, 4)])
def test_pairs_are_split_over_the_axes(axes, pairs):
    rotary = Rotary(axes, pairs, 100.0)
    assert sum(rotary.pairs) == pairs
    assert max(rotary.pairs) - min(rotary.pairs) <= 1


def test_logits_depend_on_differences_only():
    rotary = Rotary(2, 6, 100.0)
    q, k = torch.randn(2, 1, 1, 1, 1, 12, dtype=torch.float64)

    def logit(a, b):
        at = [Layout(torch.ones(1, 1, dtype=torch.bool), torch.tensor([[p]], dtype=torch.float64)) for p in (a, b)]
        return (rotate(q, rotary(at[0], torch.float64)) * rotate(k, rotary(at[1], torch.float64))).sum()

    torch.testing.assert_close(logit((1.0, 2.0), (4.0, 0.5)), logit((-2.0, 12.0), (1.0, 10.5)))
    assert abs(logit((1.0, 2.0), (4.0, 0.5)) - logit((1.0, 2.0), (4.0, 2.5))) > 1e-4


@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_periodic_axis_returns_after_its_length(length):
    layout = replace(Layout.of_grid(1, (length,)), periodic=(True,))
    rotary = Rotary(1, 8, 100.0)
    far = replace(layout, positions=layout.positions + 3 * length)
    torch.testing.assert_close(rotary(layout, torch.float64), rotary(far, torch.float64))
    cos = rotary(layout, torch.float64)[0, :, -1, 0]  # the slowest pair goes round once
    torch.testing.assert_close(cos, torch.cos(2 * torch.pi * torch.arange(length, dtype=torch.float64) / length))


def test_prefix_does_not_turn():
    rotation = Rotary(1, 4, 100.0)(Layout.of_grid(2, (3,)), torch.float64)
    longer = prefix(rotation, 2)
    x = torch.randn(2, 5, 1, 1, 8, dtype=torch.float64)
    torch.testing.assert_close(rotate(x, longer)[:, :2], x[:, :2])
    torch.testing.assert_close(rotate(x, longer)[:, 2:], rotate(x[:, 2:], rotation))


def test_head_norm_makes_unit_mean_squares():
    norm, x = HeadNorm(2, 3), 40 * torch.randn(2, 5, 2, 3, 8)
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(2, 5, 2, 3))
    zero = torch.zeros(1, 1, 2, 3, 8, requires_grad=True)
    norm(zero).sum().backward()
    assert zero.grad.isfinite().all()
