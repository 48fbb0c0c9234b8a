"""The oneDNN product is PyTorch's linear layer: values, derivatives of every kind, and when it steps aside."""

import pytest
import torch
from ornstein.core.backbones import linear
from ornstein.core.backbones.linear import Linear
from torch.nn import functional as F

SHAPES = [(5,), (1, 5), (7, 5), (2, 3, 5), (2, 3, 4, 5), (0, 5)]


def operands(shape, bias=True):
    torch.manual_seed(0)
    layer = Linear(5, 9, bias=bias)
    return layer, torch.randn(shape, requires_grad=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(shape, bias):
    layer, x = operands(shape, bias)
    inputs = [x, *layer.parameters()]
    weights = torch.randn(*shape[:-1], 9)
    expected = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), inputs) for y in (layer(x), expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif(not linear.onednn_serves(), reason="this build of PyTorch has no oneDNN")
def test_float32_on_a_cpu_goes_to_onednn(monkeypatch):
    calls = []
    product = linear._product
    monkeypatch.setattr(linear, "_product", lambda *args: calls.append(1) or product(*args))
    layer, x = operands((4, 5))
    layer(x)
    assert len(calls) == 1
    layer.double()(x.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(x).dtype == torch.bfloat16
    torch.compile(layer, backend="eager", fullgraph=True)(x)
    assert len(calls) == 1


def test_strided_inputs():
    layer, x = operands((4, 6, 5))
    torch.testing.assert_close(layer(x.transpose(0, 1)), layer(x).transpose(0, 1))
    torch.testing.assert_close(layer(x[:, ::2]), layer(x)[:, ::2])
    grad = torch.autograd.grad(layer(x).sum(), x)[0]  # the incoming gradient has stride 0
    torch.testing.assert_close(grad, layer.weight.sum(0).expand_as(x))


def test_second_derivatives():
    layer, x = operands((3, 5))

    def curvature(product):
        y = product(x, layer.weight, layer.bias)
        (first,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        return torch.autograd.grad((first**2).sum(), [x, layer.weight, layer.bias])

    ours = curvature(linear._Product.apply if linear.onednn_serves() else F.linear)
    torch.testing.assert_close(ours, curvature(F.linear), rtol=1e-4, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch 2.14 warns of its own forward mode
def test_function_transforms():
    """Forward mode and per-sample gradients, as likelihoods and influence scores use them."""
    layer, x = operands((3, 5))
    v = torch.randn(3, 5)
    torch.testing.assert_close(torch.func.jvp(layer, (x,), (v,))[1], v @ layer.weight.T)
    parameters = dict(layer.named_parameters())

    def loss(p, row):
        return torch.func.functional_call(layer, p, row).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    expected = 2 * torch.einsum("bo,bi->boi", layer(x), x)
    torch.testing.assert_close(each["weight"], expected, rtol=1e-4, atol=1e-4)
