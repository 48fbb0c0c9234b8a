"""DPM-Solver-v3: exponential integrators whose linear part was measured on the network, for each entry by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..posterior import Posterior
from ..schedules import Schedule
from ..state import State
from .plan import Curve
from .stepping import Step, SteppingSampler
from .walk import Walk

PANELS, NODES = 4, 8  # of the quadrature of a step


class Table(NamedTuple):
    """The statistics of one field: l, s, b at M values of lambda, (M, N or 1, C), or (M, N or 1, N or 1, C) of pairs."""

    lam: Tensor  # (M,), rising
    l: Tensor  # noqa: E741 - the paper's letter
    s: Tensor
    b: Tensor

    def at(self, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(l, s, b) at lam (n,), linear between its values and constant outside them."""
        if len(self.lam) == 1:
            return tuple(x.expand(len(lam), *x.shape[1:]) for x in self[1:])  # type: ignore[return-value]
        i = (torch.searchsorted(self.lam, lam) - 1).clamp(0, len(self.lam) - 2)
        share = ((lam - self.lam[i]) / (self.lam[i + 1] - self.lam[i])).clamp(0, 1)
        share = share.view(-1, *(1,) * (self.l.ndim - 1))
        return tuple(torch.lerp(x[i], x[i + 1], share) for x in self[1:])  # type: ignore[return-value]


class Statistics:
    """Tables by field, float64 on the host: what `ornstein.core.statistics.measure` makes."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.tables = {name: Table(*(x.detach().to("cpu", torch.float64) for x in t)) for name, t in tables.items()}
        for name, (lam, *parts) in self.tables.items():
            if not (lam.diff() > 0).all() or any(len(x) != len(lam) for x in parts):
                raise ValueError(
                    f"statistics of {name!r}: l, s and b are needed at each of some rising values of lambda"
                )

    def __repr__(self) -> str:
        return f"Statistics({', '.join(self.tables)})"


def constant(l: float = 1.0, s: float = 0.0, b: float = 0.0) -> Table:  # noqa: E741 - the paper's letter
    """The same at every lambda and in every entry."""
    parts = (torch.full((1, 1, 1), x, dtype=torch.float64) for x in (l, s, b))
    return Table(torch.zeros(1, dtype=torch.float64), *parts)


@dataclass(frozen=True)
class DPMSolverV3(SteppingSampler):
    """Multistep predictor and corrector for z = x / alpha over lambda = log(alpha / sigma), each entry with its own l, s and b.

        dz / dlambda = -l z - f,    f = (sigma eps - l x) / alpha,
        df / dlambda = s f + b + exp(S) dg / dlambda,    S = int s,

    where l takes the linear part of the network out and (s, b) what f then does on its own, so that g hardly moves: only g is
    extrapolated, by a polynomial through its last `order` values; all else is integrated exactly. The corrector repeats a step
    with the value at its end in place of the oldest, at no further call. (l, s, b) = (1, 0, 0) is DPM-Solver++ and (0, -1, 0)
    DPM-Solver; without statistics it is the former. The first steps have the orders 1, 2, ...; that from alpha = 0 is DDIM's and
    not remembered, that to sigma = 0 gives x_0.
    Source: Zheng et al. 2023, arXiv:2310.13268, equations 7 to 16 and algorithms 1 and 2.

    Args:
        order: of the predictor, 1 to 3.
        statistics: of this network; None: l = 1, s = b = 0.
        corrector: whether to correct; nothing to do at order 1.
    """

    order: Literal[1, 2, 3] = 3
    _: KW_ONLY
    statistics: Statistics | None = None
    corrector: bool = True

    @property
    def convergence(self) -> int:
        """That of the predictor."""
        return self.order

    def begin(self, walk: Walk, times: Sequence[float]) -> Step:
        """One solver for each field.

        Raises:
            ValueError: statistics that lack a field or do not fit it.
        """
        solvers = {}
        for name, process in walk.gaussian.items():
            table = constant() if self.statistics is None else self._table(walk, name)
            solvers[name] = _Solver(self, process.schedule, times, table)

        def step(i: int, state: State, posterior: Posterior, noise: State) -> State:
            views = walk.continuous(posterior)
            return {name: solver(i, state[name], views[name].x0) for name, solver in solvers.items()}

        return step

    def _table(self, walk: Walk, name: str) -> Table:
        assert self.statistics is not None
        if name not in self.statistics.tables:
            raise ValueError(f"{self.statistics} has none of field {name!r}: measure them on this network")
        table, entry = self.statistics.tables[name], walk.encoded.state[name].shape[1:]
        found = table.l.shape[1:]
        if len(found) != len(entry) or any(a not in (1, b) for a, b in zip(found, entry, strict=True)):
            raise ValueError(
                f"{self.statistics}: field {name!r} has entries {tuple(entry)}, its statistics {tuple(found)}: "
                "measure them at this size, or by channel"
            )
        return table


class _Solver:
    """One field in one run. History: values of g, the latest first, as seen from the present base."""

    def __init__(self, sampler: DPMSolverV3, schedule: Schedule, times: Sequence[float], table: Table) -> None:
        self.sampler, self.table = sampler, table
        self.curve = Curve.of(schedule, times)
        self.lam = self.curve.lam
        self.past: list[Tensor] = []
        # for the corrector: the base, where the step led, its g, the interval
        self.last: tuple[Tensor, Tensor, list[Tensor], _Interval] | None = None

    def __call__(self, i: int, x: Tensor, x0: Tensor) -> Tensor:
        """The field at time i + 1, from x and x_0 at time i."""
        alpha, sigma, s = self.curve.alpha[i], self.curve.sigma[i], self.curve.sigma[i + 1]
        if alpha == 0:
            return self.curve.alpha[i + 1] * x0 + s / sigma * x
        linear = self.table.at(torch.from_numpy(self.lam[i : i + 1]))[0][0].to(x.device, x.dtype)
        z = x / alpha
        f = (1 - linear) * z - x0  # (sigma eps - l x) / alpha
        if self.last is not None and self.sampler.corrector:
            z = self._corrected(z, f, i)
        if s == 0:
            return (1 - linear) * z - f
        order = min(self.sampler.order, len(self.past) + 1)
        values = [f, *self.past][:order]
        interval = _Interval.of(self.table, self.lam[i], self.lam[i + 1], order, x)
        z_next = interval.step(z, _derivatives(values, self.lam[[i - j for j in range(order)]] - self.lam[i]))
        self.last = (z, z_next, values, interval)
        self.past = [interval.carried(g) for g in [f, *self.past][: self.sampler.order - 1]]
        return z_next * self.curve.alpha[i + 1]

    def _corrected(self, z: Tensor, f: Tensor, i: int) -> Tensor:
        """z moved by what the last step changes with the value at its end in place of the oldest: what hooks did to z stays."""
        assert self.last is not None
        base, predicted, values, interval = self.last
        if len(values) == 1:
            return z
        used = [values[0], interval.relative(f), *values[1:-1]]
        at = [i - 1, i, *(i - 2 - j for j in range(len(values) - 2))]
        return z + (interval.step(base, _derivatives(used, self.lam[at] - self.lam[i - 1])) - predicted)


class _Interval(NamedTuple):
    """What a step from lambda_s to lambda_t needs, for each entry: S and B over it, exp(-L), and the integrals of
    exp(L + S) B and exp(L + S) mu^k / k!, mu = lambda - lambda_s, B = int exp(-S) b."""

    s: Tensor
    b: Tensor
    decay: Tensor
    drift: Tensor
    moments: list[Tensor]

    @staticmethod
    def of(table: Table, start: float, end: float, order: int, like: Tensor) -> _Interval:
        """By Gauss's quadrature in each of some panels, and by that of its interpolant up to each node."""
        nodes, weights, partial = _gauss()
        width = (end - start) / PANELS
        mu = ((torch.arange(PANELS, dtype=torch.float64)[:, None] + nodes) * width).flatten()
        l, s, b = (x.unflatten(0, (PANELS, NODES)) for x in table.at(start + mu))  # noqa: E741

        def total(x: Tensor) -> Tensor:
            return width * torch.einsum("j,pj...->...", weights, x)

        def until(x: Tensor) -> Tensor:
            whole = width * torch.einsum("j,pj...->p...", weights, x)
            return (whole.cumsum(0) - whole)[:, None] + width * torch.einsum("ij,pj...->pi...", partial, x)

        growth, shift = until(s), torch.exp(-until(s)) * b
        kernel = torch.exp(until(l) + growth)
        powers = mu.view(PANELS, NODES, *(1,) * (l.ndim - 2))
        moments = [total(kernel * powers**k / math.factorial(k)) for k in range(order)]
        parts = [total(s), total(shift), torch.exp(-total(l)), total(kernel * until(shift)), *moments]
        cast = [x.to(like.device, like.dtype) for x in parts]
        return _Interval(cast[0], cast[1], cast[2], cast[3], cast[4:])

    def step(self, z: Tensor, derivatives: list[Tensor]) -> Tensor:
        """z at the end, where g is a polynomial with these derivatives at the start."""
        return self.decay * (z - self.drift - sum(m * g for m, g in zip(self.moments, derivatives, strict=True)))

    def carried(self, g: Tensor) -> Tensor:
        """A value of g as seen from the end."""
        return torch.exp(self.s) * (g + self.b)

    def relative(self, f: Tensor) -> Tensor:
        """The value of g, as seen from the start, of f at the end."""
        return torch.exp(-self.s) * f - self.b


def _derivatives(values: list[Tensor], offsets: np.ndarray) -> list[Tensor]:
    """g and its derivatives at offset 0, where the first value stands, of the polynomial through all."""
    n = len(values) - 1
    powers = [[offset**k / math.factorial(k) for k in range(1, n + 1)] for offset in offsets[1:]]
    inverse = np.linalg.inv(np.array(powers).reshape(n, n)).tolist()
    rises = [value - values[0] for value in values[1:]]
    return [values[0], *(torch.stack([w * r for w, r in zip(row, rises, strict=True)]).sum(0) for row in inverse)]


@lru_cache(maxsize=1)
def _gauss() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes and weights on [0, 1], and the weights of the integrals from 0 to each node."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    nodes = (x + 1) / 2
    powers = np.arange(NODES)
    partial = (nodes[:, None] ** (powers + 1) / (powers + 1)) @ np.linalg.inv(nodes[:, None] ** powers)
    return torch.from_numpy(nodes), torch.from_numpy(w / 2), torch.from_numpy(partial)
