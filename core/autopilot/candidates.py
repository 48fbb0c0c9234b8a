"""What the autopilot chooses from: the deterministic tables of the registry on every grid, cut to a number of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..registry import TABLE, class_of
from ..samplers import Grid, Plan, Row, TableSampler
from ..state import State
from .reference import Reference

GridOf = Callable[[int], Grid]  # for a number of steps


@dataclass(frozen=True)
class Candidate:
    """A sampler with its measured errors, in units of the data's standard deviation.

    Attributes:
        name, grid: of the sampler and of its grid.
        sampler: with steps and grid.
        evaluations: calls of the denoiser.
        local: the errors of its steps, each begun on the reference, added up.
        trial: the error of its result on the probe; None where it was not run.
    """

    name: str
    grid: str
    sampler: TableSampler
    evaluations: int
    local: float
    trial: float | None = None

    def __str__(self) -> str:
        return f"{self.name} on {self.grid}, {self.sampler.steps} steps"


def registered_samplers() -> tuple[dict[str, TableSampler], dict[str, str]]:
    """Every table of the registry by name, and why others are left out."""
    found, left_out = {}, {}
    for name, entry in TABLE["sampler"].items():
        cls = class_of("sampler", name)
        if issubclass(cls, TableSampler):
            found[name] = cls(**entry.options)
        else:
            left_out[name] = "is no table of fixed steps"
    return found, left_out


def registered_grids() -> dict[str, Grid]:
    """Every grid of the registry by name, but lists, which are a user's own."""
    return {name: class_of("grid", name)(**e.options) for name, e in TABLE["grid"].items() if name != "list"}


def gather(
    reference: Reference, evaluations: int, samplers: Mapping[str, TableSampler], grids: Mapping[str, GridOf]
) -> tuple[list[Candidate], dict[str, str]]:
    """Every sampler on every grid, cut to the budget, smallest local error first; and why others are left out.

    Args:
        reference: what errors are measured against.
        evaluations: the budget.
        samplers: by name; their steps and grids do not count.
        grids: by name, for a number of steps.
    """
    found: dict[bytes, Candidate] = {}
    left_out: dict[str, str] = {}
    for (name, sampler), (grid_name, grid) in product(samplers.items(), grids.items()):
        words = f"{name} on {grid_name}"
        if name in left_out:
            continue
        if sampler.tokens is not None:
            left_out[name] = "gives tokens times of their own"
            continue
        try:
            cut = within(sampler, grid, evaluations, reference.denoiser)
        except ValueError as error:
            left_out[words] = str(error)
            continue
        if cut is None:
            left_out[name] = f"asks more than {evaluations} times in one step"
            continue
        sampler_cut, plan = cut
        table = _table(plan)
        if plan.stochastic:
            left_out[name] = "draws noise, so its error is no single number"
        elif not np.isfinite(table).all():
            left_out[words] = "has coefficients that are not finite"
        elif table.tobytes() in found:
            left_out[words] = f"is the table of {found[table.tobytes()]}"
        else:
            candidate = Candidate(name, grid_name, sampler_cut, plan.evaluations, local_error(reference, plan))
            found[table.tobytes()] = candidate
    return sorted(found.values(), key=lambda c: c.local), left_out


def within(
    sampler: TableSampler, grid: GridOf, evaluations: int, denoiser: Denoiser
) -> tuple[TableSampler, Plan] | None:
    """The sampler with the most steps whose plan asks the denoiser at most so often; None where one step is too many.

    Raises:
        ValueError: the sampler cannot serve the denoiser's processes, or its grid not their schedule.
    """
    for steps in range(min(evaluations, evaluations // sampler.calls + 2), 0, -1):
        cut = replace(sampler, steps=steps, grid=grid(steps))
        plan = cut.plan(denoiser.processes)
        if plan.evaluations <= evaluations:
            return cut, plan
    return None


def _table(plan: Plan) -> np.ndarray:
    """The numbers of a plan, rounded, to tell which samplers are one."""
    numbers: list[float] = []
    for row in plan.rows:
        numbers += [row.stage.time, row.stage.denoise, row.stage.end]
        for k in row.fields.values():
            numbers += [k.a, *k.b, *(k.remember if row.stage.denoise else ())]
    return np.round(numbers, 10) + 0.0  # no -0


def local_error(reference: Reference, plan: Plan) -> float:
    """The errors that the steps of a plan make when each starts on the reference, added up as vectors.

    Every base state and every remembered estimate is the reference's, so nothing is asked of the network. An error at time t
    counts in units of the spread of x_t, in which it would reach t = 0 if the data were Gaussian; errors of opposite sign
    cancel, as they do in a run. The first is that of the prior, where the plan starts below t = 1.
    """
    times = sorted({row.stage.time for row in plan.rows}, reverse=True)
    points = {t: reference.at(t) for t in times}
    misses: dict[str, list[Tensor]] = {name: [] for name in reference.y}
    memory: list[Row] = []
    base = plan.rows[0]
    for i, row in enumerate(plan.rows):
        states = points[row.stage.time][0]
        if row.stage.end:
            for name, k in row.fields.items():
                x = reference.prior(name, row.stage.time)
                if i:
                    x = k.a * points[base.stage.time][0][name]
                    for factor, before in zip(k.b, memory, strict=False):
                        x = x + factor * _estimate(points[before.stage.time], before, name)
                misses[name].append((x - states[name]) / float(reference.spread(name, row.stage.time)[0]))
            base = row
        if row.stage.denoise:
            memory.insert(0, row)
    return float(reference.sizes({name: torch.stack(x).sum(0, keepdim=True) for name, x in misses.items()})[0])


def _estimate(point: tuple[State, State], row: Row, name: str) -> Tensor:
    """What a row remembers on the reference: p x + q x_0."""
    p, q = row.fields[name].remember
    return p * point[0][name] + q * point[1][name]
