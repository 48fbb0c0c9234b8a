"""Samplers side by side on a world whose answer is exact: error against calls of the denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .oracle import Mixture
from .parametrization import V
from .processes import Gaussian
from .samplers import RK4, Grid, Plan, TableSampler, run
from .schedules import VP, Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _gmm(process: Gaussian) -> Mixture:
    """Seven components on a ring and in its middle, of widths 0.03 to 0.3 and unequal weights, in two dimensions."""
    angles = torch.arange(6, dtype=torch.float64) * math.pi / 3
    ring = torch.stack([angles.cos(), angles.sin()], dim=1) * 1.3
    means = torch.cat([ring, torch.zeros(1, 2, dtype=torch.float64)])[:, None]
    stds = torch.tensor([0.3, 0.1, 0.03, 0.2, 0.05, 0.15, 0.1])
    return Mixture(means, stds, torch.tensor([3.0, 2, 1, 2, 1, 2, 2]), process)


def _line(process: Gaussian) -> Mixture:
    """Three components on a line."""
    means = torch.tensor([-1.0, 0.5, 1.2]).view(3, 1, 1)
    return Mixture(means, torch.tensor([0.25, 0.4, 0.15]), torch.tensor([1.0, 2.0, 1.0]), process)


def _cloud(process: Gaussian) -> Mixture:
    """Two shapes of eight points in space, nearly point masses."""
    g = torch.Generator().manual_seed(0)
    return Mixture(torch.randn(2, 8, 3, generator=g, dtype=torch.float64), 0.02, process=process)


WORLDS: dict[str, Callable[[Gaussian], Mixture]] = {"gmm": _gmm, "line": _line, "cloud": _cloud}


@dataclass(frozen=True)
class Line:
    """One sampler's figures: by the number of calls that was allowed, None where it cannot take so few.

    `same` are the names of others that have the same tables here.
    """

    name: str
    random: bool
    used: tuple[int | None, ...]
    figures: tuple[float | None, ...]
    same: tuple[str, ...] = ()

    @property
    def last(self) -> float:
        """What lines are sorted by: the figure with most calls."""
        found = next((v for v in reversed(self.figures) if v is not None), math.inf)
        return math.inf if math.isnan(found) else found


@dataclass(frozen=True)
class Comparison:
    """What each sampler reached with each number of calls.

    Deterministic samplers: root of the mean square of the distance to the exact solution from the same noise, over the
    standard deviation of the data. Random ones: the energy distance to exact samples, beside that of other exact ones (`floor`).
    """

    world: str
    schedule: str
    evaluations: tuple[int, ...]
    lines: tuple[Line, ...]
    floor: float
    refused: Mapping[str, str]

    def kind(self, random: bool) -> list[Line]:
        """The lines of random samplers, or of the others, the best first."""
        return sorted((line for line in self.lines if line.random == random), key=lambda line: line.last)

    def __str__(self) -> str:
        width = max([len(line.name) for line in self.lines] + [8]) + 2
        head = "".join(f"{n:>10}" for n in self.evaluations)
        blocks = [f"world {self.world}, schedule {self.schedule}"]
        for random, title in (
            (False, "distance from the exact path's end, in standard deviations"),
            (True, f"energy distance to exact samples (of other exact ones: {self.floor:.2g})"),
        ):
            if lines := self.kind(random):
                blocks.append(f"{title}, by calls\n{'':{width}}{head}")
                blocks += [f"{x.name:{width}}" + "".join(f"{_shown(v):>10}" for v in x.figures) for x in lines]
        blocks += [f"the same as {x.name} here: {', '.join(x.same)}" for x in self.lines if x.same]
        blocks += [f"left out: {name}: {why}" for name, why in self.refused.items()]
        return "\n".join(blocks)

    def csv(self) -> str:
        """sampler, random, calls allowed, calls used, figure: one line each."""
        rows = ["sampler,random,evaluations,used,figure"]
        for x in self.lines:
            for name in (x.name, *x.same):
                for n, used, value in zip(self.evaluations, x.used, x.figures, strict=True):
                    if value is not None:
                        rows.append(f"{name},{x.random},{n},{used},{value:.6g}")
        return "\n".join(rows) + "\n"

    def figure(self, most: int = 10) -> Figure:
        """Error against calls, both in logarithms, of the `most` best; the random samplers in a panel of their own."""
        from matplotlib.figure import Figure

        kinds = [kind for kind in (False, True) if self.kind(kind)]
        figure = Figure(figsize=(5.5 * max(len(kinds), 1), 4.5), layout="constrained")
        for i, random in enumerate(kinds):
            axes = figure.add_subplot(1, len(kinds), i + 1, xscale="log", yscale="log")
            lines = self.kind(random)
            for j, line in enumerate(lines[:most]):
                pairs = [
                    (u, v) for u, v in zip(line.used, line.figures, strict=True) if u is not None and v is not None
                ]
                calls, figures = [u for u, _ in pairs], [v for _, v in pairs]
                axes.plot(calls, figures, marker="os^vDP*Xph"[j % 10], label=line.name)
            if random:
                axes.axhline(self.floor, color="grey", linestyle=":", label="exact samples")
            axes.set_xticks(self.evaluations, [str(n) for n in self.evaluations], minor=False)
            axes.set_xticks([], minor=True)
            axes.set_xlabel("calls of the denoiser")
            axes.set_ylabel("energy distance" if random else "distance from the exact path's end")
            axes.set_title(f"the best {most} of {len(lines)}" if len(lines) > most else "", fontsize=9)
            axes.legend(fontsize=7)
        figure.suptitle(f"world {self.world}, schedule {self.schedule}", fontsize=10)
        return figure


@dataclass(frozen=True)
class _Fine(Grid):
    """Steps for the reference: dense in tau = sigma / (alpha + sigma) at both ends, from t = 1."""

    def times(self, steps: int, schedule: Schedule) -> np.ndarray:
        one = torch.ones((), dtype=torch.float64)
        top = float(schedule.sigma(one) / (schedule.alpha(one) + schedule.sigma(one)))
        u = np.linspace(1, 0, steps + 1)
        tau = top * np.sin(u * np.pi / 2) ** 4
        t = schedule.t_of(torch.from_numpy(2 * (np.log1p(-tau[1:-1]) - np.log(tau[1:-1])))).numpy()
        return np.concatenate([[1.0], t, [0.0]])


def compare(
    samplers: Mapping[str, TableSampler],
    world: str = "gmm",
    schedule: Schedule | None = None,
    evaluations: Sequence[int] = (5, 8, 10, 20, 40),
    n: int = 512,
    seed: int = 0,
) -> Comparison:
    """Run each sampler, by name, with as many steps as each number of calls allows.

    Samplers whose tables are the same are run once. One that cannot serve the schedule, or not with so few steps, is left out
    with its reason.

    Raises:
        LookupError: an unknown world.
        ValueError: numbers below 1.
    """
    if world not in WORLDS:
        raise LookupError(f"unknown world {world!r}; choose from {', '.join(WORLDS)}")
    if n < 2 or not evaluations or min(evaluations) < 1:
        raise ValueError(
            f"needs n of at least 2 and evaluations of at least 1, found n={n}, evaluations={list(evaluations)}"
        )
    budgets = tuple(sorted(set(evaluations)))
    process = Gaussian(schedule or VP(), V())
    oracle = WORLDS[world](process)
    groups: list[tuple[list[str], _Plans]] = []
    refused: dict[str, str] = {}
    for name, sampler in samplers.items():
        plans, why = _plans(sampler, budgets, oracle)
        if why:
            refused[name] = why
        if any(plans):
            twin = next((names for names, other in groups if _same(plans, other)), None)
            if twin is None:
                groups.append(([name], plans))
            else:
                twin.append(name)
    exact = [oracle.sample(n, torch.Generator().manual_seed(seed + 1 + k)) for k in range(9)]
    lines: tuple[Line, ...] = ()
    if groups:
        judge = _Judge(oracle, exact_flow(oracle, n, seed), exact[0], seed)
        lines = tuple(judge.line(names, plans) for names, plans in groups)
    floor = sum(energy_distance(other, exact[0]) for other in exact[1:]) / 8
    return Comparison(world, repr(process.schedule), budgets, lines, floor, refused)


def exact_flow(oracle: Mixture, n: int, seed: int, steps: int = 400) -> Tensor:
    """Where the probability flow leads the counted prior of n samples, by a fourth-order method with fine steps."""
    return RK4(steps, grid=_Fine()).run(oracle, oracle.blank(n), seed=seed)["x"]


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| over flattened samples: at least 0, and near 0 where the laws are the same.

    Every mean is over all pairs, a sample with itself among them, so two sets of one law are a little above 0.
    Source: Szekely and Rizzo 2013, Journal of Statistical Planning and Inference 143: the statistic, without its factor of n.
    """
    x, y = x.flatten(1), y.flatten(1)
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


_Plans = tuple[Plan | None, ...]


def _plans(sampler: TableSampler, budgets: Sequence[int], oracle: Mixture) -> tuple[_Plans, str]:
    """The plan for each number of calls, None where there is none, and why one was refused."""
    plans: list[Plan | None] = []
    reasons: dict[str, list[int]] = {}
    for allowed in budgets:
        fitting = None
        try:
            fitting = sampler.within(allowed, oracle.processes)
        except ValueError as error:
            reasons.setdefault(str(error), []).append(allowed)
        plans.append(None if fitting is None else fitting.plan(oracle.processes))
    told = [f"{why} ({', '.join(map(str, calls))} calls)" for why, calls in reasons.items()]
    return tuple(plans), "; ".join(told) if told or any(plans) else "one step needs more calls"


def _same(one: _Plans, other: _Plans) -> bool:
    """Whether two samplers are one: the same numbers in every table, to rounding."""
    return all(
        p is q is None or (p is not None and q is not None and _same_table(p, q))
        for p, q in zip(one, other, strict=True)
    )


def _same_table(p: Plan, q: Plan) -> bool:
    tables = [
        [
            (row.stage.time, row.stage.denoise, row.stage.end, len(k.b), len(k.c), k.a, *k.b, *k.c)
            + (k.remember if row.stage.denoise else ())
            for row in plan.rows
            for k in row.fields.values()
        ]
        for plan in (p, q)
    ]
    return [len(row) for row in tables[0]] == [len(row) for row in tables[1]] and all(
        np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(*tables, strict=True)
    )


@dataclass(frozen=True)
class _Judge:
    """A world, the end of its exact flow, and exact samples of it."""

    oracle: Mixture
    truth: Tensor
    exact: Tensor
    seed: int

    def line(self, names: Sequence[str], plans: _Plans) -> Line:
        """One sampler, under its names, with each of its plans."""
        random = any(plan is not None and plan.stochastic for plan in plans)
        used = tuple(None if plan is None else plan.evaluations for plan in plans)
        figures = tuple(None if plan is None else self._figure(plan, random) for plan in plans)
        return Line(names[0], random, used, figures, tuple(names[1:]))

    def _figure(self, plan: Plan, random: bool) -> float:
        state = run(self.oracle, plan, self.oracle.blank(len(self.truth)), seed=self.seed)["x"]
        if random:
            return energy_distance(state, self.exact)
        scale = self.exact.std(0).pow(2).mean().sqrt()
        return float((state - self.truth).pow(2).mean().sqrt() / scale)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}" if abs(value) >= 1e-3 else f"{value:.1e}"
