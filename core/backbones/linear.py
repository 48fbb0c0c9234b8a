"""The linear layer of the backbones: on a CPU in float32 it goes to oneDNN, elsewhere it is PyTorch's own."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """y = x W^T + b, with the parameters of `torch.nn.Linear`.

    Eager PyTorch hands float32 products on a CPU to MKL, which leaves half the speed of AMD processors unused; oneDNN,
    which PyTorch also carries and to which it sends bfloat16, does not. Same arithmetic, another order of the sums.
    Compiled code keeps the product that PyTorch's compiler chooses.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        plain = (
            x.device.type != "cpu"
            or torch.compiler.is_compiling()
            or not (x.dtype == self.weight.dtype == torch.float32)
            or torch.is_autocast_enabled("cpu")
            or x.numel() == 0
            or not onednn_serves()
        )
        return F.linear(x, self.weight, self.bias) if plain else _Product.apply(x, self.weight, self.bias)


@cache
def onednn_serves() -> bool:
    """Whether this build of PyTorch has the product of oneDNN that its own compiler uses."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """x W^T + b by oneDNN; its derivatives, of any order, are such products again."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _product(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        need_x, need_weight, need_bias = ctx.needs_input_grad
        return (
            _Product.apply(grad, weight.t(), None) if need_x else None,
            _Product.apply(rows.t(), x.reshape(-1, x.shape[-1]).t(), None) if need_weight else None,
            rows.sum(0) if need_bias else None,
        )

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor | None, weight_dot: Tensor | None, bias_dot: Tensor | None) -> Tensor | None:
        x, weight = ctx.saved_tensors
        terms = [] if x_dot is None else [F.linear(x_dot, weight)]
        terms += [] if weight_dot is None else [F.linear(x, weight_dot)]
        terms += [] if bias_dot is None else [bias_dot.expand(*x.shape[:-1], -1)]
        return sum(terms[1:], terms[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return torch.vmap(F.linear, in_dims)(*inputs), 0
