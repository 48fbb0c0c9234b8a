"""A plan walked by hand, and by the executor on basis vectors: what each row holds of data, prior and noises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser, as_time
from ..parametrization import V
from ..posterior import Pair, Posterior
from ..processes import Gaussian
from ..samplers import Grid, KarrasGrid, Plan, Sampler, TableSampler, UniformGrid
from ..samplers.run import Progress
from ..schedules import EDM, VP, Cosine, Rectified, Schedule
from ..state import Conditions, Encoded, Field, Known, Layout, State, expand_time

SCHEDULES: tuple[Schedule, ...] = (Rectified(), VP(), Cosine(), EDM(10.0))


@dataclass(frozen=True)
class _Uneven(Grid):
    """Steps that alternate between short and long, from `start` to 0: coefficients must not lean on equal ones."""

    start: float = 0.97

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """A zigzag around equal steps."""
        t = np.linspace(self.start, 0.0, steps + 1)
        t[1:-1:2] += 0.3 * self.start / steps
        return t


@dataclass(frozen=True)
class _Open(Grid):
    """Equal steps in lambda from at least -2.5 to at most 2, then 0: errors are judged before the last step."""

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        """t of lambda_i, within what the schedule has between t = 0.98 and 0.02."""
        low, high = (schedule.log_snr(torch.tensor([0.98, 0.02], dtype=torch.float64)).detach() / 2).tolist()
        lam = torch.linspace(max(low, -2.5), min(high, 2.0), steps, dtype=torch.float64)
        return np.append(schedule.t_of(2 * lam).detach().numpy(), 0.0)


UNEVEN, OPEN = _Uneven(), _Open()


@dataclass
class Tried:
    """A sampler with the schedules that it is tried on; its plans are made once."""

    sampler: Sampler
    schedules: Sequence[Schedule] = SCHEDULES
    refused: dict[str, str] = field(default_factory=dict)
    _plans: dict[tuple[int, Grid, int, int], Plan | None] = field(default_factory=dict)

    def grids(self) -> list[Grid]:
        """The sampler's own, and others that differ from it."""
        return list(dict.fromkeys([getattr(self.sampler, "grid", UniformGrid()), KarrasGrid(), UNEVEN]))

    def plan(self, schedule: Schedule, steps: int, grid: Grid, clock: Schedule | None = None) -> Plan | None:
        """The table of a field "x" on this schedule, None where it is refused; another field's schedule may set the times."""
        key = id(schedule), grid, steps, id(clock)
        if key not in self._plans:
            assert isinstance(self.sampler, TableSampler)
            sampler = replace(self.sampler, steps=steps, grid=grid, path=False, tokens=None)
            first = {} if clock is None else {"clock": Gaussian(clock, V())}
            try:
                self._plans[key] = sampler.plan({**first, "x": Gaussian(schedule, V())})
            except ValueError as error:
                self.refused[where(schedule, steps, grid)] = str(error)
                self._plans[key] = None
        return self._plans[key]

    def tables(
        self, counts: Sequence[int], grids: Sequence[Grid] | None = None
    ) -> Iterator[tuple[Plan, Schedule, str]]:
        """The plans that are not refused, their schedules, and words for messages."""
        for schedule in self.schedules:
            for grid in self.grids() if grids is None else grids:
                for steps in counts:
                    plan = self.plan(schedule, steps, grid)
                    if plan is not None:
                        yield plan, schedule, where(schedule, steps, grid)


def where(schedule: Schedule, steps: int, grid: object) -> str:
    """Words for messages."""
    return f"{type(schedule).__name__}, {steps} steps, {type(grid).__name__}"


def scales(plan: Plan, schedule: Schedule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t, alpha and sigma of the rows."""
    t = torch.tensor([row.stage.time for row in plan.rows], dtype=torch.float64)
    return t.numpy(), schedule.alpha(t).detach().numpy(), schedule.sigma(t).detach().numpy()


def walk(
    plan: Plan,
    state: np.ndarray,
    x0: Callable[[int, np.ndarray], np.ndarray],
    noise: Callable[[int, int], np.ndarray] | None = None,
    settle: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> list[np.ndarray]:
    """The states of all rows, by the rule of `samplers.plan`.

    Args:
        plan: of one field, "x".
        state: at the first row.
        x0: (row, state) -> estimate.
        noise: (step, j) -> noise; none is added without it.
        settle: (row, state) -> what stands in its place, for rows that end a step.
    """
    base, memory, out, step = state, list[np.ndarray](), list[np.ndarray](), 0
    length = plan.memory
    for i, row in enumerate(plan.rows):
        k = row.fields["x"]
        if i:
            state = k.a * base
            for b, m in zip(k.b, memory, strict=False):
                state = state + b * m
            for j, c in enumerate(k.c):
                state = state if noise is None else state + c * noise(step, j)
            state = settle(i, state) if settle and row.stage.end else state
        if row.stage.denoise:
            p, q = k.remember
            memory = [p * state + q * x0(i, state), *memory[: max(length - 1, 0)]]
        if row.stage.end:
            base, step = state, step + 1
        out.append(state)
    return out


class Columns:
    """Basis vectors, one for each noise of each step in the order in which they are asked for, after the first few."""

    def __init__(self, width: int, first: int) -> None:
        self.eye, self.next = np.eye(width), first
        self.of: dict[tuple[int, int], int] = {}

    def __call__(self, step: int, j: int) -> np.ndarray:
        """That of noise j of a step."""
        if (step, j) not in self.of:
            self.of[step, j] = self.next
            self.next += 1
        return self.eye[self.of[step, j]]


def width_of(plan: Plan) -> int:
    """Room for the noises of all steps."""
    return sum(row.stage.end for row in plan.rows) * max(plan.noises("x"), 1)


def contents(plan: Plan, start: tuple[float, float], gains: Sequence[tuple[float, float]] | None = None) -> np.ndarray:
    """(rows, 2 + noises): how much of (1, prior, noises...) each state holds.

    At row i, x_0 = p + q x with (p, q) = gains[i]; without gains it is 1.
    """
    width = 2 + width_of(plan)
    columns = Columns(width, 2)
    state = np.zeros(width)
    state[:2] = start

    def x0(i: int, x: np.ndarray) -> np.ndarray:
        shift, slope = (1.0, 0.0) if gains is None else gains[i]
        return shift * columns.eye[0] + slope * x

    return np.array(walk(plan, state, x0, columns))


class _Basis(Gaussian):
    """Gaussian noising whose draws are the basis vectors of the channels, one after the other; counted noise keeps its own."""

    def __init__(self, schedule: Schedule, first: int) -> None:
        super().__init__(schedule, V())
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "drawn", {})

    def noise(self, f: Field, keys: Tensor, mask: Tensor, known: Tensor | None, like: Tensor) -> Tensor:
        """That of the key: the next one where it is new.

        Raises:
            ValueError: there are more draws than channels.
        """
        drawn: dict[int, int] = self.drawn  # type: ignore[attr-defined]
        place = drawn.setdefault(int(keys), self.first + len(drawn))  # type: ignore[attr-defined]
        if place >= f.channels:
            raise ValueError(f"more than {f.channels} noises are drawn")
        x = torch.zeros(1, 1, f.channels, dtype=torch.float64)
        x[..., place] = 1.0
        return x


class Scripted(Denoiser):
    """A denoiser of one token whose channels are basis vectors: the k-th estimate is x0(k)."""

    def __init__(self, schedule: Schedule, width: int, first: int, x0: Callable[[int], int]) -> None:
        super().__init__()
        self.process, self.width, self.x0, self.calls = _Basis(schedule, first), width, x0, 0
        self.fields = {"x": Field("x", "continuous", width, self.process)}
        self.processes = {"x": self.process}

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The next estimate."""
        x = state_t["x"]
        at = self.process.at(expand_time(as_time(t, layout.mask), self.fields["x"]))
        x0 = torch.zeros_like(x)
        x0[..., self.x0(self.calls)] = 1.0
        self.calls += 1
        return Posterior({"x": Pair(x0, (x - at.alpha * x0) / at.sigma, x, at)})

    def run(self, sampler: Sampler, prior: int) -> list[tuple[float, np.ndarray]]:
        """Time and contents of the state after each row."""
        seen: list[tuple[float, np.ndarray]] = []

        def look(progress: Progress) -> None:
            seen.append((float(progress.time), progress.state["x"][0, 0].numpy()))

        first = torch.zeros(1, 1, self.width, dtype=torch.float64)
        first[..., prior] = 1.0
        encoded = Encoded({"x": torch.zeros_like(first)}, Layout(torch.ones(1, 1, dtype=torch.bool)))
        sampler.run(self, encoded, seed=0, hooks=[look], prior={"x": first})
        return seen
