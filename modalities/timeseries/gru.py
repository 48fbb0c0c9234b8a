"""Several small GRUs trained side by side: the runs, or folds, of a score cost little more together than one alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from ornstein.core.rng import key
from torch import Tensor, nn

_EVALUATED = 1024  # windows judged at once


class Recurrent(nn.Module):
    """R independent networks, each one GRU layer of H units and a linear layer to one number per step.

        z, r = sigmoid([x, h] W_g + 1),   c = tanh([x, r h] W_c),   h <- z h + (1 - z) c,   output = h w

    As in TimeGAN the reset gate acts before the product, the gates' biases start at 1 and all others at 0, and matrices
    are drawn from the uniform law of Glorot.

    Args:
        runs, inputs, hidden: R, channels of a step, H.
        draw: of the initial weights.

    Source: Cho et al. 2014, arXiv:1406.1078, section 2.3; Yoon et al. 2019, "Time-series generative adversarial networks".
    """

    def __init__(self, runs: int, inputs: int, hidden: int, draw: torch.Generator) -> None:
        super().__init__()

        def glorot(rows: int, columns: int) -> nn.Parameter:
            bound = math.sqrt(6 / (rows + columns))
            return nn.Parameter((2 * torch.rand(runs, rows, columns, generator=draw) - 1) * bound)

        self.inputs, self.hidden = inputs, hidden
        self.gates, self.gate_bias = glorot(inputs + hidden, 2 * hidden), nn.Parameter(torch.ones(runs, 1, 2 * hidden))
        self.new, self.new_bias = glorot(inputs + hidden, hidden), nn.Parameter(torch.zeros(runs, 1, hidden))
        self.out, self.out_bias = glorot(hidden, 1), nn.Parameter(torch.zeros(runs, 1, 1))

    def forward(self, x: Tensor, runs: slice = slice(None), last: bool = False) -> Tensor:
        """(R, B, T) numbers of the steps of windows x (R, B, T, inputs); (R, B), the last step's, with `last`.

        Args:
            runs: which of the networks x is for.
        """
        r, b, t, _ = x.shape
        gates, new, size = self.gates[runs], self.new[runs], r * self.hidden
        # One product for all networks, with their matrices along the diagonal: for matrices this small the zeros are free.
        parts = (gates[..., : self.hidden], gates[..., self.hidden :], new)  # (R, I + H, H) of reset, keep, new
        weights = torch.cat([torch.block_diag(*part[:, : self.inputs]) for part in parts], 1)
        bias = torch.cat(
            [self.gate_bias[runs].unflatten(2, (2, -1)).permute(2, 1, 0, 3).flatten(), self.new_bias[runs].flatten()]
        )
        told = torch.addmm(bias, x.permute(2, 1, 0, 3).reshape(t * b, r * self.inputs), weights).view(t, b, 3 * size)
        from_reset, from_keep, from_new = (torch.block_diag(*part[:, self.inputs :]) for part in parts)
        from_gates = torch.cat([from_reset, from_keep], 1)
        h, states = x.new_zeros(b, size), []
        for of_gates, of_new in zip(told[..., : 2 * size].unbind(0), told[..., 2 * size :].unbind(0), strict=True):
            reset, keep = torch.addmm(of_gates, h, from_gates).sigmoid().chunk(2, 1)
            h = torch.lerp(torch.addmm(of_new, reset * h, from_new).tanh(), h, keep)
            states.append(h)
        kept = h if last else torch.stack(states, 1)  # (B, R H) or (B, T, R H)
        numbers = (kept.unflatten(-1, (r, -1)) * self.out[runs, :, 0]).sum(-1) + self.out_bias[runs, 0, 0]
        return numbers.movedim(-1, 0)

    @torch.inference_mode()
    def judge(self, x: Tensor, run: int, last: bool = False) -> Tensor:
        """Numbers of one of the networks for windows x (n, T, inputs): (n, T), or (n,) with `last`."""
        parts = [self(part[None], slice(run, run + 1), last)[0] for part in x.split(_EVALUATED)]
        return torch.cat(parts)


def trained(
    runs: int,
    inputs: int,
    hidden: int,
    loss: Callable[[Recurrent, torch.Generator], Tensor],
    iterations: int,
    seed: int,
    word: str,
) -> Recurrent:
    """R networks after `iterations` steps of Adam (rate 1e-3) on the sum of their losses (R,)."""
    draw = torch.Generator().manual_seed(key(seed, "recurrent", word) >> 1)
    network = Recurrent(runs, inputs, hidden, draw)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for _ in range(iterations):
        optimizer.zero_grad(set_to_none=True)
        loss(network, draw).sum().backward()  # the networks share nothing: each has its own gradient
        optimizer.step()
    return network.eval().requires_grad_(False)


def batches(rows: Sequence[Tensor], size: int, draw: torch.Generator) -> Tensor:
    """(R, min(size, fewest rows)) of each run's own rows, none twice."""
    size = min(size, *map(len, rows))
    return torch.stack([own[torch.randperm(len(own), generator=draw)[:size]] for own in rows])
