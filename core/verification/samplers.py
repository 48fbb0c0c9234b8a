"""T3, T4, T5, T7: what the table of a sampler keeps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import torch

from ..conformance.rule import Broken, Skipped, require
from ..samplers import Sampler, TableSampler
from .quadrature import exact_errors
from .report import Rule, Worst
from .tables import Columns, Scripted, Tried, contents, scales, walk, where, width_of

COUNTS = (1, 2, 3, 6, 20)


def steps_are_a_whole_number(tried: Tried) -> str:
    """steps = 0, a negative one, a fraction, a bool, a word and NaN are refused with a ValueError."""
    _with_steps(tried.sampler, 3)
    for bad in (0, -1, 2.5, True, "ten", float("nan"), float("inf")):
        try:
            _with_steps(tried.sampler, bad)
        except ValueError:
            continue
        except Exception as error:
            raise _wrong_error(bad, error) from error
        require(False, f"steps={bad!r} is taken; wanted a ValueError")
    return "0, -1, 2.5, True, 'ten', nan and inf are refused"


def every_schedule_is_served(tried: Tried) -> str:
    """On every schedule there is a grid for which 1, 2, 3, 6 and 20 steps give a plan, of finite numbers alone."""
    _table(tried)
    for schedule in tried.schedules:
        for steps in COUNTS:
            plans = [plan for grid in tried.grids() if (plan := tried.plan(schedule, steps, grid)) is not None]
            reasons = [tried.refused.get(where(schedule, steps, grid), "") for grid in tried.grids()]
            require(bool(plans), f"{type(schedule).__name__}, {steps} steps: refused on every grid: {reasons[0]}")
            for plan in plans:
                numbers = [x for row in plan.rows for k in row.fields.values() for x in (k.a, *k.b, *k.c, *k.remember)]
                require(
                    bool(np.isfinite(numbers).all()), f"{type(schedule).__name__}, {steps} steps: not finite:\n{plan}"
                )
    count, all_ = len(tried.refused), len(tried.schedules) * len(tried.grids()) * len(COUNTS)
    reason = f"; refused {count} of {all_}: {next(iter(tried.refused.values()))}" if count else ""
    return f"{len(tried.schedules)} schedules, {len(tried.grids())} grids{reason}"


def calls_are_as_stated(tried: Tried) -> str:
    """One more step costs `calls` evaluations, and the last step at most as many."""
    sampler = _table(tried)
    plans = {n: tried.plan(tried.schedules[0], n, tried.grids()[1]) for n in (6, 12)}
    few, many = plans[6], plans[12]
    if few is None or many is None:
        raise Skipped("no plan of 6 and 12 steps")
    found = (many.evaluations - few.evaluations) / 6
    require(found == sampler.calls, f"{found:g} evaluations a step, {sampler.calls} stated")
    require(
        few.evaluations <= 6 * sampler.calls + 1, f"{few.evaluations} evaluations in 6 steps, {sampler.calls} a step"
    )
    return f"{sampler.calls} a step, {few.evaluations} in 6"


def tables_ask_for_what_is_remembered(tried: Tried) -> str:
    """No row weighs an estimate that was not made yet, and the last arrives at t = 0 and ends a step."""
    _table(tried)
    for plan, _, words in tried.tables(COUNTS):
        made = 0
        for i, row in enumerate(plan.rows):
            asked = max((j + 1 for j, b in enumerate(row.fields["x"].b) if b), default=0)
            require(asked <= made, f"row {i} weighs {asked} estimates where {made} are made ({words})")
            made += row.stage.denoise
        last = plan.rows[-1].stage
        require(last.time == 0 and last.end, f"the last row is at t = {last.time:g}, end {last.end} ({words})")
    return "in every row"


def executor_is_the_table(tried: Tried) -> str:
    """T3: run on basis vectors, the executor gives each row the coefficients that the table says."""
    _table(tried)
    worst = Worst()
    for schedule, grid in product(tried.schedules, tried.grids()[-2:]):
        plan, words = tried.plan(schedule, 6, grid), where(schedule, 6, grid)
        if plan is None:
            continue
        first = 1 + plan.evaluations
        width = first + width_of(plan)
        columns, calls = Columns(width, first), iter(range(1, first))
        sigma = scales(plan, schedule)[2][0]
        estimates = {i: columns.eye[next(calls)] for i, row in enumerate(plan.rows) if row.stage.denoise}
        table = walk(plan, sigma * columns.eye[0], partial(_scripted, estimates), columns)
        sampler = replace(tried.sampler, steps=6, grid=grid, path=False, tokens=None)  # type: ignore[type-var]
        seen = Scripted(schedule, width, first, lambda k: k + 1).run(sampler, 0)
        require(len(seen) == len(table), f"{len(seen)} rows are run of {len(table)} ({words})")
        for row, (_, found) in zip(table, seen, strict=True):
            worst.see((found - row) / max(np.abs(row).max(), 1), words)
    return worst.at_most(1e-12, "difference of coefficients")


def data_is_kept(tried: Tried) -> str:
    """T4: with x_0 known for sure, every row holds alpha_t of it; without noise, and sigma_t of the prior too."""
    _table(tried)
    worst = Worst()
    for plan, schedule, words in tried.tables(COUNTS):
        _, alpha, sigma = scales(plan, schedule)
        table = contents(plan, (float(alpha[0]), float(sigma[0])))
        worst.see(table[:, 0] - alpha, f"data, {words}")
        if not plan.stochastic:
            worst.see((table[:, 1] - sigma) / (1 + sigma), f"prior, {words}")
    if not tried.sampler.keeps_marginals and worst.error > 1e-9:  # type: ignore[attr-defined]
        raise Skipped(f"does not keep marginals by its own word: error up to {worst.error:.2g}")
    return worst.at_most(1e-9, "error in data or prior")


def noise_is_kept(tried: Tried) -> str:
    """T4: with x_0 known for sure, the noise of every row has variance sigma_t^2, at 1, 2, 3, 6 and 20 steps."""
    sampler = _table(tried)
    worst = Worst()
    for plan, schedule, words in tried.tables(COUNTS):
        _, alpha, sigma = scales(plan, schedule)
        table = contents(plan, (float(alpha[0]), float(sigma[0])))
        worst.see((np.linalg.norm(table[:, 1:], axis=1) - sigma) / (1 + sigma), words)
    if not sampler.keeps_marginals:
        raise Skipped(f"does not keep marginals by its own word: error up to {worst.error:.2g}")
    return worst.at_most(1e-9, "error in standard deviation")


def point_mass_has_its_std(tried: Tried) -> str:
    """T7: run on a point mass, the last state above t = 0 has standard deviation sigma_t, at 3, 6 and 20 steps."""
    worst, ratios = Worst(), []
    for schedule in tried.schedules:
        for steps in (3, 6, 20):
            sampler = _with_steps(tried.sampler, steps)
            try:
                seen = Scripted(schedule, 700, 2, lambda k: 0).run(sampler, 1)
            except ValueError as error:
                tried.refused[where(schedule, steps, getattr(sampler, "grid", None))] = str(error)
                continue
            above = [(t, x) for t, x in seen if t > 0]
            if not above:
                raise Skipped("its hooks see no state above t = 0")
            t, x = above[-1]
            ratio = float(np.linalg.norm(x[1:])) / float(schedule.sigma(torch.tensor(t, dtype=torch.float64)).detach())
            ratios.append(ratio)
            worst.see(ratio - 1, f"ratio {ratio:.4g}, {where(schedule, steps, getattr(sampler, 'grid', None))}")
            data = seen[-1][1][0]
            worst.see(data - 1 if seen[-1][0] == 0 else 0.0, f"{data:.6g} of the data in the end, {steps} steps")
    if not getattr(tried.sampler, "keeps_marginals", True):
        raise Skipped(f"does not keep marginals by its own word: ratios {min(ratios):.3g} to {max(ratios):.3g}")
    return worst.at_most(1e-9, "error of the ratio")


def polynomials_are_exact(tried: Tried) -> str:
    """T5: estimates that are polynomials up to the stated degree are integrated without error, once the table is warm."""
    exactness = _table(tried).exactness
    if exactness is None:
        raise Skipped("states that it is exact for constants only")
    worst = Worst()
    for plan, schedule, words in tried.tables((14,), tried.grids()[1:]):
        for degree in range(exactness.degree + 1):
            worst.see(exact_errors(plan, schedule, exactness, degree), f"degree {degree}, {words}")
    return worst.at_most(1e-12, f"{exactness.estimate} to degree {exactness.degree} in {exactness.variable}, error")


def _scripted(estimates: dict[int, np.ndarray], i: int, x: np.ndarray) -> np.ndarray:
    return estimates[i]


def _table(tried: Tried) -> TableSampler:
    if not isinstance(tried.sampler, TableSampler):
        raise Skipped("not a table")
    return tried.sampler


def _with_steps(sampler: Sampler, steps: object) -> Sampler:
    if not hasattr(sampler, "steps"):
        raise Skipped("has no steps")
    return replace(sampler, steps=steps)  # type: ignore[type-var]


def _wrong_error(bad: object, error: Exception) -> Exception:
    return Broken(f"steps={bad!r} raises {type(error).__name__}: {error}; wanted a ValueError")


RULES: tuple[Rule, ...] = (
    steps_are_a_whole_number,
    every_schedule_is_served,
    calls_are_as_stated,
    tables_ask_for_what_is_remembered,
    executor_is_the_table,
    data_is_kept,
    noise_is_kept,
    polynomials_are_exact,
    point_mass_has_its_std,
)
