"""Samplers side by side on a world whose answer is exact: error against calls of the denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """One sampler's figures: by the number of calls that was allowed, None where it cannot take so few."""

    name: str
    random: bool
    used: tuple[int | None, ...]
    figures: tuple[float | None, ...]


@dataclass(frozen=True)
class Comparison:
    """What each sampler reached with each number of calls.

    Deterministic samplers: root of the mean square of the distance to the exact solution from the same noise, over the
    standard deviation of the data. Random ones: the energy distance to exact samples, beside that of two exact sets (`floor`).
    """

    world: str
    schedule: str
    evaluations: tuple[int, ...]
    lines: tuple[Line, ...]
    floor: float
    refused: Mapping[str, str]

    def __str__(self) -> str:
        width = max([len(line.name) for line in self.lines] + [8]) + 2
        head = "".join(f"{n:>10}" for n in self.evaluations)
        blocks = [f"world {self.world}, schedule {self.schedule}"]
        for random, title in (
            (False, "error of the path"),
            (True, f"energy distance (exact samples: {self.floor:.2g})"),
        ):
            lines = sorted((x for x in self.lines if x.random == random), key=_last)
            if lines:
                blocks.append(f"{title}, by calls\n{'':{width}}{head}")
                blocks += [f"{x.name:{width}}" + "".join(f"{_shown(v):>10}" for v in x.figures) for x in lines]
        blocks += [f"left out: {name}: {why}" for name, why in self.refused.items()]
        return "\n".join(blocks)

    def csv(self) -> str:
        """sampler, random, allowed, used, figure: one line each."""
        rows = ["sampler,random,evaluations,used,figure"]
        for x in self.lines:
            for n, used, value in zip(self.evaluations, x.used, x.figures, strict=True):
                if value is not None:
                    rows.append(f"{x.name},{x.random},{n},{used},{value:.6g}")
        return "\n".join(rows) + "\n"

    def figure(self) -> Figure:
        """Error against calls, both in logarithms; the random samplers in a panel of their own."""
        from matplotlib.figure import Figure

        kinds = [kind for kind in (False, True) if any(x.random == kind for x in self.lines)]
        figure = Figure(figsize=(6.5 * len(kinds), 5.5), layout="constrained")
        for i, random in enumerate(kinds):
            axes = figure.add_subplot(1, len(kinds), i + 1, xscale="log", yscale="log")
            for j, line in enumerate(sorted((x for x in self.lines if x.random == random), key=_last)):
                points = [
                    (u, v) for u, v in zip(line.used, line.figures, strict=True) if u is not None and v is not None
                ]
                axes.plot(
                    *zip(*points, strict=True), marker="os^vD"[j // 10 % 5], markersize=4, linewidth=1, label=line.name
                )
            if random:
                axes.axhline(self.floor, color="grey", linestyle=":", label="two exact sets")
            axes.set_xticks(self.evaluations, [str(n) for n in self.evaluations], minor=False)
            axes.set_xticks([], minor=True)
            axes.set_xlabel("calls of the denoiser")
            axes.set_ylabel("energy distance" if random else "error of the path")
            axes.legend(fontsize=6, ncols=2)
        figure.suptitle(f"world {self.world}, schedule {self.schedule}")
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

    Raises:
        LookupError: an unknown world.
        ValueError: numbers below 1.
    """
    if world not in WORLDS:
        raise LookupError(f"unknown world {world!r}; choose from {', '.join(WORLDS)}")
    if n < 2 or not evaluations or min(evaluations) < 1:
        raise ValueError(f"needs n of at least 2 and evaluations of at least 1, found n={n}, evaluations={evaluations}")
    process = Gaussian(schedule or VP(), V())
    oracle = WORLDS[world](process)
    exact = [oracle.sample(n, torch.Generator().manual_seed(seed + k)) for k in (1, 2)]
    judge = _Judge(oracle, exact_flow(oracle, n, seed), exact[0], seed)
    lines, refused = [], {}
    for name, sampler in samplers.items():
        try:
            lines.append(judge.line(name, sampler, evaluations))
        except ValueError as error:
            refused[name] = str(error)
    floor = energy_distance(*exact)
    return Comparison(world, repr(process.schedule), tuple(evaluations), tuple(lines), floor, refused)


def exact_flow(oracle: Mixture, n: int, seed: int, steps: int = 800) -> Tensor:
    """Where the probability flow leads the counted prior of n samples, by a fourth-order method with fine steps."""
    return RK4(steps, grid=_Fine()).run(oracle, oracle.blank(n), seed=seed)["x"]


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| over flattened samples: 0 where the laws are the same.

    Source: Szekely and Rizzo 2013, Journal of Statistical Planning and Inference 143, equation 2 (unbiased form).
    """
    x, y = x.flatten(1), y.flatten(1)
    within = sum(torch.cdist(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y))
    return float(2 * torch.cdist(x, y).mean() - within)


@dataclass(frozen=True)
class _Judge:
    """A world, the end of its exact flow, and exact samples of it."""

    oracle: Mixture
    truth: Tensor
    exact: Tensor
    seed: int

    def line(self, name: str, sampler: TableSampler, evaluations: Sequence[int]) -> Line:
        """One sampler at each number of calls."""
        used: list[int | None] = []
        figures: list[float | None] = []
        random = replace(sampler, steps=3).plan(self.oracle.processes).stochastic
        for allowed in evaluations:
            fitting = sampler.within(allowed, self.oracle.processes)
            plan = fitting.plan(self.oracle.processes) if fitting is not None else None
            used.append(None if plan is None else plan.evaluations)
            figures.append(None if plan is None else self._figure(plan, random))
        return Line(name, random, tuple(used), tuple(figures))

    def _figure(self, plan: Plan, random: bool) -> float:
        state = run(self.oracle, plan, self.oracle.blank(len(self.truth)), seed=self.seed)["x"]
        if random:
            return energy_distance(state, self.exact)
        scale = self.exact.std(0).pow(2).mean().sqrt()
        return float((state - self.truth).pow(2).mean().sqrt() / scale)


def _last(line: Line) -> float:
    """What lines are sorted by: the figure with most calls."""
    return next((v for v in reversed(line.figures) if v is not None), math.inf)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}" if abs(value) >= 1e-3 else f"{value:.1e}"
