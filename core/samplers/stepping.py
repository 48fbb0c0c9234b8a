"""Samplers with steps of a grid whose coefficients are no scalars of a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..denoiser import Denoiser, as_time
from ..objective import draw_noise
from ..posterior import Posterior
from ..state import Encoded, State
from .checks import whole
from .grids import Grid, UniformGrid
from .moves import Ancestral, Move
from .run import Hook, Progress
from .sampler import Sampler
from .walk import Walk


class Step(Protocol):
    """What a method does in each step of one run."""

    def __call__(self, i: int, state: State, posterior: Posterior, noise: State) -> State:
        """The Gaussian fields at time i + 1, from the state at time i and what the denoiser makes of it."""


@dataclass(frozen=True)
class SteppingSampler(Sampler):
    """Asks once at each time of a grid but the last, 0, and moves to the next.

    Args:
        steps: steps, at least 1.
        grid: where in time they lie.
        move: how categorical fields are un-noised.

    Raises:
        ValueError: steps that are not a whole number of at least 1.
    """

    steps: int = 20
    _: KW_ONLY
    grid: Grid = field(default_factory=UniformGrid)
    move: Move = field(default_factory=Ancestral)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "steps", whole(self, "steps", self.steps))

    @property
    def noisy(self) -> bool:
        """Whether Gaussian fields are given noise."""
        return False

    @abstractmethod
    def begin(self, walk: Walk, times: Sequence[float]) -> Step:
        """What to do in each step of this run.

        Raises:
            ValueError: fields, processes or times that the method cannot serve.
        """

    @torch.no_grad()
    def run(
        self,
        denoiser: Denoiser,
        encoded: Encoded,
        *,
        seed: int,
        index: Tensor | None = None,
        hooks: Sequence[Hook] = (),
        prior: State | None = None,
        origin: State | None = None,
    ) -> State:
        """The state at t = 0; arguments, hooks and the counting of noise as those of `samplers.run`."""
        walk = Walk(
            self.describe(),
            denoiser,
            encoded,
            self.move,
            seed=seed,
            index=index,
            hooks=hooks,
            prior=prior,
            origin=origin,
        )
        clock = next(iter(walk.gaussian.values())).schedule
        times = self.grid.checked(self.steps, clock).tolist()
        step, rows = self.begin(walk, times), len(times)
        drawn = list(denoiser.fields) if self.noisy else list(walk.categorical)
        state, posterior = walk.start(as_time(times[0], encoded.mask)), None
        for i in range(rows - 1):
            posterior = walk.ask(state, times[i], posterior)
            state = walk.shown(Progress(i, rows, times[i], dict(state), posterior))
            noise = draw_noise(denoiser, encoded, seed, walk.index, "step", i + 1, 0, only=drawn)
            t, s = (as_time(time, encoded.mask) for time in times[i : i + 2])
            moved = walk.moved(state, posterior, t, s, noise)
            state = walk.placed(step(i, state, posterior, noise) | moved, s)
        return walk.shown(Progress(rows - 1, rows, times[-1], state, posterior))
