"""Samplers that choose their own steps: each sample has a time and a step of its own, and does not depend on its batch.

The probability flow is followed in a clock variable u, (B,), that rises from noise to data. Every Gaussian field has its own
coordinate y = x / unit and its own schedule; all fields of a sample share u and one error, of which 1 is what rtol and atol
allow. Given entries, padding and categorical fields are no part of it. A sample that has arrived is masked out. No denoiser is
asked at t = 0, and one with self-conditioning is asked without its last answer: a slope is a function of state and time alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .. import rng
from ..denoiser import Denoiser, as_time
from ..objective import draw_noise
from ..posterior import Pair, Posterior
from ..state import Encoded, State
from .checks import check_positive, whole
from .line import Estimates, Line
from .moves import Ancestral, Move
from .run import Hook, Progress
from .sampler import Sampler
from .walk import Walk


@dataclass
class AdaptiveProgress(Progress):
    """What a hook sees after each round: `row` is the round, `time` (B,), and the posterior that at `time`, or the last one.

    Attributes:
        evaluations: (B,) answers of the denoiser that each sample has needed so far.
        accepted: (B,) bool, which samples moved in this round.
    """

    evaluations: Tensor
    accepted: Tensor


class Trial(NamedTuple):
    """A step that was tried.

    Attributes:
        y: coordinates of the Gaussian fields where it leads.
        low: what the scale of the next error looks back at.
        error: (B,), at most 1 where rtol and atol hold.
        estimates: at `y`, where they are known already.
        calls: (B,) answers that each sample needed.
        closing: (B,) bool, which samples went to t = 0.
    """

    y: State
    low: State
    error: Tensor
    estimates: Estimates | None
    calls: Tensor
    closing: Tensor


class Controller(ABC):
    """Accepts steps and sizes the next ones, for each sample by itself."""

    @abstractmethod
    def judge(self, error: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Which samples (B,) move, and the factor of their steps; only what `active` samples did is remembered."""


@dataclass(frozen=True)
class AdaptiveSampler(Sampler):
    """Follows the probability flow with steps that hold the error of each to about rtol |y| and atol.

    Args:
        rtol: allowed error of a step relative to the state.
        atol: allowed error where the state is 0.
        move: how categorical fields are un-noised, at each accepted step.
        max_steps: rounds after which it is an error that a sample has not arrived.

    Raises:
        ValueError: tolerances or rounds that are not positive.
    """

    rtol: float = 1e-3
    atol: float = 1e-3
    _: KW_ONLY
    move: Move = field(default_factory=Ancestral)
    max_steps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "atol")
        if not 0 <= self.rtol < math.inf:
            raise ValueError(f"{type(self).__name__}: rtol must be at least 0 and finite, found {self.rtol}")
        object.__setattr__(self, "max_steps", whole(self, "max_steps", self.max_steps))

    @abstractmethod
    def line(self, walk: Walk) -> Line:
        """The clock variable and the coordinates.

        Raises:
            ValueError: schedules that the method cannot serve.
        """

    @abstractmethod
    def controller(self) -> Controller:
        """A fresh one."""

    @abstractmethod
    def first_step(self, line: Line, y: State, slopes: State) -> Tensor:
        """(B,) the size of the first step in u."""

    @abstractmethod
    def attempt(self, line: Line, y: State, low: State, slopes: State, u: Tensor, h: Tensor) -> Trial:
        """A step of size h (B,), at most what is left, from u (B,)."""

    def next_step(self, trial: Trial, h: Tensor, factor: Tensor, accepted: Tensor) -> Tensor:
        """(B,) the size of the next step in u."""
        return h * factor

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
        """The state at t = 0; arguments as those of `samplers.run`. Hooks see an `AdaptiveProgress` after each round.

        Raises:
            ValueError: a sample that did not arrive within `max_steps` rounds, or whose step fell below what its time resolves.
        """
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
        return _Run(self, walk).state()


class _Run:
    """One call of `AdaptiveSampler.run`: where each sample is."""

    def __init__(self, sampler: AdaptiveSampler, walk: Walk) -> None:
        self.sampler, self.walk, self.line = sampler, walk, sampler.line(walk)
        ones = torch.ones_like(as_time(0.0, walk.encoded.mask))
        self.u, self.t = self.line.first * ones, self.line.start * ones
        self.y = self.line.y(walk.start(self.t), self.t)
        self.low = self.y
        self.estimates, self.posterior = self.line.ask(self.y, self.t)
        self.calls, self.count = ones.long(), 0 * ones.long()
        self.alive = ones.bool()

    def state(self) -> State:
        """Rounds until all have arrived."""
        sampler, line = self.sampler, self.line
        h, control = sampler.first_step(line, self.y, line.slopes(self.estimates, self.t)), sampler.controller()
        for n in range(sampler.max_steps):
            # a sample that has arrived is asked somewhere else than at t = 0, and the answer thrown away
            u = torch.where(self.alive, self.u, line.rest)
            step = torch.where(self.alive, torch.minimum(h, line.last - u), line.last - line.rest)
            t = torch.where(self.alive, self.t, line.start)
            trial = sampler.attempt(line, self.y, self.low, line.slopes(self.estimates, t), u, step)
            accepted, factor = control.judge(trial.error, self.alive)
            accepted = accepted & self.alive
            self.calls += torch.where(self.alive, trial.calls, 0)
            self._advance(trial, u, step, accepted)
            h = sampler.next_step(trial, torch.where(accepted, h, step), factor, accepted)
            going, stuck = torch.stack([self.alive.any(), (self.alive & (self.u + h == self.u)).any()]).tolist()
            self._settle(n, trial, accepted, going)
            if not going:
                return self.line.x(self.y, self.t)
            if stuck:
                raise self._lost("the step fell below what the time resolves: is the answer a number?")
        raise self._lost(f"max_steps={sampler.max_steps} rounds are over: allow more")

    def _advance(self, trial: Trial, u: Tensor, h: Tensor, accepted: Tensor) -> None:
        """Move the accepted samples."""
        walk, line = self.walk, self.line
        reached = torch.where(h >= line.last - u, line.last, u + h)
        t = torch.where(accepted, torch.where(trial.closing, 0.0, line.time(reached)), self.t)
        new = dict(self.y) | trial.y
        if walk.categorical:
            new |= walk.moved(self.y, self.posterior, self.t, t, self._noise())
        y = {name: torch.where(like(accepted, x), new[name], x) for name, x in self.y.items()}
        self.low = {
            name: torch.where(like(accepted, x), trial.low[name], self.low[name]) for name, x in trial.low.items()
        }
        self.u, self.t, self.count = torch.where(accepted, reached, self.u), t, self.count + accepted
        self.alive = self.alive & ~(accepted & trial.closing)
        self.y = y if walk.encoded.known is None else line.y(line.x(y, t), t)

    def _settle(self, n: int, trial: Trial, accepted: Tensor, going: bool) -> None:
        """Estimates where the samples are now, then the hooks."""
        walk, line = self.walk, self.line
        if trial.estimates is not None and not walk.categorical:
            self._take(trial.estimates, accepted)
        elif going:
            self._ask(accepted)
        if not walk.hooks:
            return
        x = line.x(self.y, self.t)
        views = dict(self.posterior) | {
            name: Pair(*pair, x[name], walk.point(name, self.t)) for name, pair in self.estimates.items()
        }
        seen = self.calls.clone(), accepted
        progress = AdaptiveProgress(n, self.sampler.max_steps, self.t, dict(x), Posterior(views), *seen)
        for hook in walk.hooks:
            hook(progress)
        if any(progress.state[name] is not x[name] for name in x):
            self.y = line.y(progress.state, self.t)
            if going:
                self._ask(self.alive)

    def _ask(self, which: Tensor) -> None:
        """Ask at the present states; the answers to `which` samples are new."""
        t = torch.where(self.alive, self.t, self.line.start)
        estimates, self.posterior = self.line.ask(self.y, t)
        self._take(estimates, which)
        self.calls += which & self.alive

    def _take(self, estimates: Estimates, which: Tensor) -> None:
        """New estimates for `which` samples, unless they have arrived."""
        which = which & self.alive
        old = self.estimates
        self.estimates = {
            name: tuple(torch.where(like(which, a), a, b) for a, b in zip(pair, old[name], strict=True))  # type: ignore[misc]
            for name, pair in estimates.items()
        }

    def _noise(self) -> State:
        """The noise of the categorical fields, by the number of each sample's accepted step."""
        walk = self.walk
        keys = rng.keys(walk.seed, walk.index, "step") + self.count
        return draw_noise(walk.denoiser, walk.encoded, walk.seed, keys, "accepted", only=list(walk.categorical))

    def _lost(self, why: str) -> ValueError:
        """Which samples did not arrive."""
        left = self.alive.nonzero()[:, 0]
        found = ", ".join(f"{int(self.walk.index[i])} at t = {float(self.t[i]):.3g}" for i in left[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        loosen = "loosen rtol and atol, or compute in float64"
        return ValueError(f"{self.sampler.describe()}: samples that did not arrive: {found}{more}; {why}, {loosen}")


def like(which: Tensor, x: Tensor) -> Tensor:
    """(B,) to broadcast with x."""
    return which.view(-1, *(1,) * (x.ndim - 1))
