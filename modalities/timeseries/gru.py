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
        flat = x.transpose(1, 2).reshape(r, t * b, self.inputs)  # step by step
        gates, new = self.gates[runs], self.new[runs]
        of_gates = torch.baddbmm(self.gate_bias[runs], flat, gates[:, : self.inputs]).view(r, t, b, -1).unbind(1)
        of_new = torch.baddbmm(self.new_bias[runs], flat, new[:, : self.inputs]).view(r, t, b, -1).unbind(1)
        from_gates, from_new = gates[:, self.inputs :].contiguous(), new[:, self.inputs :].contiguous()
        h, states = x.new_zeros(r, b, self.hidden), []
        for step in range(t):
            reset, keep = torch.baddbmm(of_gates[step], h, from_gates).sigmoid().chunk(2, -1)
            h = torch.lerp(torch.baddbmm(of_new[step], reset * h, from_new).tanh(), h, keep)
            states.append(h)
        kept = h if last else torch.stack(states, 2).reshape(r, b * t, self.hidden)
        numbers = torch.baddbmm(self.out_bias[runs], kept, self.out[runs]).squeeze(-1)
        return numbers if last else numbers.view(r, b, t)

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
