"""Ancestral sampling with the variances that the network has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..posterior import Continuous, Posterior
from ..processes import LearnedVariance
from ..processes.learned_variance import Bridge, Ranged
from ..state import State
from .stepping import Step, SteppingSampler
from .walk import Walk


@dataclass(frozen=True)
class LearnedDDPM(SteppingSampler):
    """x_s drawn from N(E[x_s | x_t, x_0], var) at the predicted x_0, var between the step's small and large one as learnt.

    Fields without a learnt variance take the small one, as DDPM does. Order 1: the choice of the variance fades with the step.
    Source: Nichol and Dhariwal 2021, arXiv:2102.09672, equation 15, for any (alpha, sigma) and any two times.
    """

    @property
    def noisy(self) -> bool:
        """They are."""
        return True

    def begin(self, walk: Walk, times: Sequence[float]) -> Step:
        """One bridge a step for each field.

        Raises:
            ValueError: no field whose variance is learnt.
        """
        if not any(isinstance(process, LearnedVariance) for process in walk.gaussian.values()):
            raise ValueError(
                f"{self.describe()}: the process of no field is LearnedVariance, so nothing was learnt: take DDPM"
            )
        t = torch.tensor(times, dtype=torch.float64)
        bridges = {name: Bridge.of(process.schedule, t[:-1], t[1:]) for name, process in walk.gaussian.items()}

        def step(i: int, state: State, posterior: Posterior, noise: State) -> State:
            out = {}
            for name, view in walk.continuous(posterior).items():
                bridge = bridges[name].at(i)
                out[name] = bridge.on_xt.item() * state[name] + bridge.on_x0.item() * view.x0
                if bridge.ratio > 0:  # no noise in the last step
                    learnt = isinstance(walk.gaussian[name], LearnedVariance)
                    out[name] = out[name] + bridge.std(_share(name, view) if learnt else 0.0) * noise[name]
            return out

        return step


def _share(name: str, view: Continuous) -> Tensor:
    """What the network says of the variance."""
    if not isinstance(view, Ranged):
        raise ValueError(
            f"the answer for field {name!r} has lost its learnt variance on the way (CFG keeps it, a network viewed under "
            "another schedule does not): take DDPM"
        )
    return view.share
