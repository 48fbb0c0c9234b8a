"""Running means of the weights: what is validated, drawn, exported and sampled."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class EMA(ABC):
    """A running mean of the trainable weights, held in float32 whatever the precision of training.

        mean_k = beta_k mean_{k-1} + (1 - beta_k) theta_k,   mean_0 = theta_0,   k = 1, 2, ... optimizer steps.

    Buffers and frozen weights are not averaged: they are what the network holds.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.mean: dict[str, Tensor] = {}

    @abstractmethod
    def beta(self, step: int) -> float:
        """The share of the old mean at step k = 1, 2, ..."""

    def start(self, module: nn.Module) -> None:
        """Begin at the weights of `module`, or bring a restored mean to their device.

        Raises:
            ValueError: a restored mean belongs to another network.
        """
        weights = _trainable(module)
        if not self.mean:
            self.mean = {name: w.detach().to(torch.float32, copy=True) for name, w in weights.items()}
        self._check(weights)
        self.mean = {name: self.mean[name].to(w.device) for name, w in weights.items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after an optimizer step: one fused call where all are float32."""
        self.steps += 1
        weights = _trainable(module)
        means = [self.mean[name] for name in weights]
        values = [w.detach().float() for w in weights.values()]
        torch._foreach_lerp_(means, values, 1.0 - self.beta(self.steps))

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within the block `module` holds the mean; its own weights come back bit for bit, whatever is raised inside."""
        weights = [(w, self.mean[name]) for name, w in _trainable(module).items() if name in self.mean]
        own = [w.detach().clone() for w, _ in weights]
        try:
            _copy([w for w, _ in weights], [mean for _, mean in weights])
            yield
        finally:
            _copy([w for w, _ in weights], own)

    def state_dict(self) -> dict[str, Any]:
        """Steps and means, as plain types."""
        return {"steps": self.steps, "mean": dict(self.mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.steps = int(state["steps"])
        self.mean = {name: mean.to(torch.float32, copy=True) for name, mean in state["mean"].items()}

    def _check(self, weights: Mapping[str, Tensor]) -> None:
        differ = set(weights) ^ set(self.mean) or {n for n in weights if weights[n].shape != self.mean[n].shape}
        if differ:
            raise ValueError(
                f"the averaged weights belong to another network: {len(differ)} entries differ, {min(differ)!r} among them"
            )


class ConstantEMA(EMA):
    """An exponential mean of constant decay, with a warm-up in which the mean is shorter.

        beta_k = min(decay, (1 + k) / (10 + k)) with the warm-up, else decay.

    Args:
        decay: share of the old mean, in [0, 1); 0.9999 remembers about 10,000 steps.
        warmup: let the mean grow from a tenth of the weights' age, so that it forgets their random start.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    def __init__(self, decay: float = 0.9999, warmup: bool = True) -> None:
        super().__init__()
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"ema decay is {decay}; it lies in [0, 1), for example 0.999")
        self.decay = decay
        self.warmup = warmup

    def beta(self, step: int) -> float:
        """min(decay, (1 + k) / (10 + k))."""
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay


class PowerEMA(EMA):
    """The power-function mean, whose length is a share of the training so far.

        beta_k = (1 - 1/k)^(gamma + 1),   so that theta_j counts as j^gamma,
        relative length sigma_rel = (gamma + 1)^(1/2) (gamma + 2)^-1 (gamma + 3)^(-1/2).

    Args:
        length: sigma_rel, the standard deviation of the profile over the number of steps, in (0, 0.288].

    Raises:
        ValueError: a length outside (0, 0.288].

    Source: Karras et al. 2023, arXiv:2312.02696, section 3.1 and Algorithm 2.
    """

    def __init__(self, length: float = 0.1) -> None:
        super().__init__()
        if not 0.0 < length <= math.sqrt(1 / 12):
            raise ValueError(f"ema length is {length}; it lies in (0, 0.288], for example 0.05 or 0.1")
        self.length = length
        self.gamma = gamma_of(length)

    def beta(self, step: int) -> float:
        """(1 - 1/k)^(gamma + 1)."""
        return (1.0 - 1.0 / step) ** (self.gamma + 1.0)


def gamma_of(length: float) -> float:
    """The exponent gamma >= 0 of a relative length: the largest root of g^3 + 7 g^2 + (16 - s) g + 12 - s, s = length^-2."""
    import numpy as np

    s = length**-2
    return max(0.0, float(np.roots([1.0, 7.0, 16.0 - s, 12.0 - s]).real.max()))


def _trainable(module: nn.Module) -> dict[str, Tensor]:
    return {name: w for name, w in module.named_parameters() if w.requires_grad}


@torch.no_grad()
def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
