"""Muon: momentum whose matrices are made orthogonal, beside AdamW for all else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.95
_QUINTIC = (3.4445, -4.7750, 2.0315)  # steep at 0, for which singular values end near 1 and not at it
_STEPS = 5


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but for the groups with `muon=True`, whose matrices W (R, C) with the gradient G move by

        M <- M + (1 - beta) (G - M),    W <- (1 - rate decay) W - rate sqrt(max(1, R / C)) orthogonal(G + beta (M - G)),

    beta = 0.95, `orthogonal` as below: every direction of a matrix moves at the same rate, where AdamW leaves rare ones behind.
    `torch.optim.Muon` has the same law, for matrices alone. It multiplies them one by one in bfloat16, which is slow where the
    processor has none; here those of one shape are one product in float32.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all weights that have a gradient. Those of Muon's matrices are used up: they are None afterwards."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                self._move(group)
        super().step()
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for w in group["params"]:
            if w.grad is not None:
                alike[w.shape].append(w)
        for (rows, columns), weights in alike.items():
            steps = orthogonal(torch.stack([self._momentum(w) for w in weights]))
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            for w, step in zip(weights, steps, strict=True):
                w.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=rate)
                w.grad = None  # so that AdamW leaves it alone

    def _momentum(self, w: Tensor) -> Tensor:
        """The gradient as Nesterov's momentum has it, in float32; `step` is there since AdamW looks for it in every state."""
        state = self.state[w]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(w)
        assert w.grad is not None
        state["step"] += 1
        state["momentum"].lerp_(w.grad, 1 - _MOMENTUM)
        return w.grad.lerp(state["momentum"], _MOMENTUM).float()


def orthogonal(x: Tensor) -> Tensor:
    """Matrices (n, R, C) with the singular vectors of x and singular values near 1, by the iteration of Newton and Schulz.

    They end between 0.68 and 1.14; those below a thousandth of the root of the sum of their squares stay smaller.
    """
    if x.shape[-2] > x.shape[-1]:
        return orthogonal(x.mT).mT
    a, b, c = _QUINTIC
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
