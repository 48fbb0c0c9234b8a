"""The contract of a sampler, and of those that are tables: times in, table out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import torch

from ..processes import CategoricalProcess, Gaussian, Process
from ..schedules import Rectified, Schedule
from .checks import check_choices, whole
from .grids import Grid, UniformGrid
from .moves import Ancestral, Move
from .plan import Coefficients, Curve, Plan, Row, Stage, one_stage
from .run import run
from .tokens import TokenGrid

if TYPE_CHECKING:
    from torch import Tensor

    from ..denoiser import Denoiser
    from ..state import Encoded, State
    from .run import Hook


class Exactness(NamedTuple):
    """What a table integrates without error once it is warm: `estimate` a polynomial in `variable` up to `degree`.

    estimate: x0, eps, or flow (eps - x0); variable: lambda = log(alpha / sigma), rho = sigma / alpha,
    tau = sigma / (alpha + sigma), or t.
    """

    estimate: Literal["x0", "eps", "flow"]
    variable: Literal["lambda", "rho", "tau", "t"]
    degree: int


class Sampler(ABC):
    """Draws states at t = 0 by asking a denoiser. Frozen dataclasses: all that a sampler is stands in its arguments.

    Raises:
        ValueError: an argument that is none of those its annotation, a `Literal`, lists.
    """

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def convergence(self) -> int:
        """Order of convergence with falling steps, as derived and tested: of the state where nothing is random, else of the
        moments."""
        return 1

    @abstractmethod
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
        """The state at t = 0; arguments as those of `samplers.run`."""

    def options(self) -> dict[str, Any]:
        """The arguments that differ from their defaults."""
        default = type(self)()
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value != getattr(default, name)}

    def describe(self) -> str:
        """One line: the class with its arguments."""
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.options().items())})"


@dataclass(frozen=True)
class TableSampler(Sampler):
    """A generator of plans. A new one is a subclass with `coefficients`, and `stages` where it denoises more than once a step.

    Args:
        steps: steps, at least 1.
        grid: where in time they lie.
        move: how categorical fields are un-noised.
        tokens: which step each token is at; None: all at the same.
        path: noise of one Brownian path, the same for any number of steps, instead of afresh at each step.

    Raises:
        ValueError: steps that are not a whole number of at least 1, a path for tokens with times of their own.
    """

    steps: int = 20
    _: KW_ONLY
    grid: Grid = field(default_factory=UniformGrid)
    move: Move = field(default_factory=Ancestral)
    tokens: TokenGrid | None = None
    path: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "steps", whole(self, "steps", self.steps))
        if self.path and self.tokens is not None:
            raise ValueError(
                f"{self.name}: tokens={self.tokens} and path=True do not go together: a path has one time for all tokens"
            )

    @property
    def name(self) -> str:
        """The class, for messages."""
        return type(self).__name__

    @property
    def calls(self) -> int:
        """Denoiser calls a step, once warm."""
        return 1

    @property
    def keeps_marginals(self) -> bool:
        """Whether each row gives a point mass its exact mean and standard deviation."""
        return True

    @property
    def exactness(self) -> Exactness | None:
        """Polynomials that the table integrates exactly; None: constants only."""
        return None

    def stages(self, times: Sequence[float], schedule: Schedule) -> list[Stage]:
        """The rows' times and marks; once a step unless overridden. `schedule` is that of the first Gaussian field."""
        return one_stage(times)

    @abstractmethod
    def coefficients(self, curve: Curve, stages: Sequence[Stage]) -> list[Coefficients]:
        """One for each stage; the first is `Coefficients()` with what the first denoising remembers.

        Raises:
            ValueError: a curve that the formula cannot serve.
        """

    @torch.no_grad()
    def plan(self, processes: Mapping[str, Process]) -> Plan:
        """The table for these processes; times come from the schedule of the first Gaussian field.

        Raises:
            ValueError: a process that neither a table nor a move serves, a grid that does not fall, options that do nothing.
        """
        gaussian = {name: p for name, p in processes.items() if isinstance(p, Gaussian)}
        categorical = {name: p for name, p in processes.items() if isinstance(p, CategoricalProcess)}
        for name in set(processes) - set(gaussian) - set(categorical):
            kind = type(processes[name]).__name__
            raise ValueError(f"{self.name}: the process {kind} of field {name!r} is neither Gaussian nor categorical")
        for name, process in categorical.items():
            self.move.check(name, process)
        if processes and not categorical and self.move != Ancestral():
            raise ValueError(f"{self.name}: move={self.move} is for categorical fields; there is none")
        clock = next((p.schedule for p in gaussian.values()), Rectified())
        stages = self.stages(self.grid.checked(self.steps, clock).tolist(), clock)
        times = [stage.time for stage in stages]
        columns = {name: self.coefficients(Curve.of(p.schedule, times), stages) for name, p in gaussian.items()}
        rows = tuple(Row(stage, {name: columns[name][i] for name in columns}) for i, stage in enumerate(stages))
        plan = Plan(self.describe(), rows, self.move, self.tokens, self.path)
        if self.path and processes and not gaussian:
            raise ValueError(f"{self.describe()}: a path is for Gaussian fields, and there is none; leave path out")
        if self.path and gaussian and self.steps > 1 and not plan.stochastic:
            raise ValueError(f"{self.describe()} draws no noise, so there is no path to follow; leave path out")
        if self.path and any(s > t for spans in plan.spans for t, s in spans):
            raise ValueError(f"{self.describe()} goes back in time, and a path leads one way; leave path out")
        return plan

    def within(self, evaluations: int, processes: Mapping[str, Process]) -> Self | None:
        """This sampler with the most steps whose plan asks at most so often; None where one step asks more.

        Raises:
            ValueError: as `plan`.
        """
        most = max(1, (evaluations - 2) // self.calls + 2)  # the first and the last step may ask once
        for steps in range(most, 0, -1):
            fitting = replace(self, steps=steps)
            if fitting.plan(processes).evaluations <= evaluations:
                return fitting
        return None

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
        """The plan for the denoiser's processes, run by the executor."""
        plan = self.plan(denoiser.processes)
        return run(denoiser, plan, encoded, seed=seed, index=index, hooks=hooks, prior=prior, origin=origin)

    def describe(self) -> str:
        """One line: the class with its steps and the arguments that are not defaults."""
        words = {"steps": self.steps, **self.options(), "grid": self.grid}
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in words.items())})"
