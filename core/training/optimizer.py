"""How the weights move: AdamW, with Muon where asked for, their groups, and the learning rate over the steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ..backbones.backbone import Backbone
from .muon import MuonAdamW


class AdamW:
    """AdamW with a linear warm-up and, where asked for, a cosine decay to zero at the last step.

        rate(k) = lr min(1, k / warmup) [1/2 (1 + cos(pi (k - warmup) / (steps - warmup)))],   k = 1, 2, ...

    Args:
        lr: learning rate after the warm-up.
        betas: shares of the old first and second moment.
        weight_decay: decoupled decay; biases, norms, embeddings and other parameters of one dimension are left out.
        eps: added to the root of the second moment.
        warmup: steps until the full rate; 0: none.
        decay: `none` keeps the rate, `cosine` lowers it to zero at the trainer's last step.
        muon: rate of Muon, which then moves the hidden matrices of the network in place of AdamW, on the same curve; 0: AdamW
            moves them too. 0.02 is usual.

    Raises:
        ValueError: a number outside its range, an unknown decay.

    Source: Loshchilov, Hutter 2017, arXiv:1711.05101, Algorithm 2; Muon: see `MuonAdamW`.
    """

    def __init__(
        self,
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        warmup: int = 500,
        decay: Literal["none", "cosine"] = "none",
        muon: float = 0.0,
    ) -> None:
        if lr <= 0 or eps <= 0 or min(weight_decay, warmup, muon) < 0:
            raise ValueError(
                f"optimizer: lr={lr} and eps={eps} must be positive, weight_decay={weight_decay}, warmup={warmup} and "
                f"muon={muon} not negative"
            )
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"optimizer: betas={tuple(betas)} must lie in [0, 1)")
        if decay not in ("none", "cosine"):
            raise ValueError(f"optimizer: decay={decay!r} does not exist; choose none or cosine")
        self.lr = lr
        self.betas = betas
        self.weight_decay = weight_decay
        self.eps = eps
        self.warmup = warmup
        self.decay = decay
        self.muon = muon

    def build(self, module: nn.Module, steps: int, fused: bool = True) -> tuple[torch.optim.AdamW, LambdaLR]:
        """The optimizer of a module's trainable weights and its schedule.

        Args:
            module: what is trained.
            steps: the last step, needed by `cosine`; -1 where there is none.
            fused: one kernel for all weights, where every device of the module has it.

        Raises:
            ValueError: `cosine` without a last step, or with one inside the warm-up; `muon` for a network that names no matrices.
        """
        if self.decay == "cosine" and steps <= self.warmup:
            raise ValueError(
                f"optimizer: decay=cosine over {steps} steps, warmup={self.warmup}: set trainer.max_steps above it"
            )
        groups = self._groups(module)
        fused = fused and all(w.device.type in ("cpu", "cuda") for g in groups for w in g["params"])
        kind = MuonAdamW if self.muon else torch.optim.AdamW
        optimizer = kind(groups, lr=self.lr, betas=(self.betas[0], self.betas[1]), eps=self.eps, fused=fused)
        return optimizer, LambdaLR(optimizer, lambda k: self.factor(k + 1, steps))

    def factor(self, step: int, steps: int) -> float:
        """rate(k) / lr at step k = 1, 2, ... of `steps`."""
        rise = min(1.0, step / self.warmup) if self.warmup else 1.0
        if self.decay == "none" or step <= self.warmup:
            return rise
        share = min(1.0, (step - self.warmup) / (steps - self.warmup))
        return 0.5 * (1.0 + math.cos(math.pi * share))

    def _groups(self, module: nn.Module) -> list[dict]:
        trainable = {id(w): w for w in module.parameters() if w.requires_grad}
        bare = {id(w) for w in _undecayed(module)} | {i for i, w in trainable.items() if w.ndim < 2}
        hidden = {id(w) for w in _hidden(module)} & set(trainable) if self.muon else set()
        if self.muon and not hidden:
            names = sorted({type(part).__name__ for part in module.modules() if isinstance(part, Backbone)})
            raise ValueError(
                f"optimizer: muon={self.muon} moves hidden matrices, and {', '.join(names) or 'what is trained'} has none "
                "that are trained; leave it 0"
            )
        moved = [w for i, w in trainable.items() if i in hidden]
        decayed = [w for i, w in trainable.items() if i not in bare | hidden]
        rest = [w for i, w in trainable.items() if i in bare]
        groups = [
            {"params": moved, "weight_decay": self.weight_decay, "lr": self.muon, "muon": True},
            {"params": decayed, "weight_decay": self.weight_decay, "muon": False},
            {"params": rest, "weight_decay": 0.0, "muon": False},
        ]
        return [g for g in groups if g["params"]]


def _hidden(module: nn.Module) -> Iterable[torch.Tensor]:
    """The matrices that the networks within a module name."""
    for part in module.modules():
        if isinstance(part, Backbone):
            yield from part.hidden()


def _undecayed(module: nn.Module) -> Iterable[nn.Parameter]:
    """Weights of embeddings and norms, whatever their number of dimensions."""
    norms = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
    for part in module.modules():
        if isinstance(part, norms):
            yield from part.parameters(recurse=False)
