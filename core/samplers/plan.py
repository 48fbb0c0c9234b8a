"""A sampler as a table.

A `Plan` is a list of rows in float64 on the host. For each field a row says

    state <- a (the step's base state) + sum_j b_j (the estimate remembered j denoisings ago) + sum_j c_j (noise j of the step)

which brings the state to `time`; then, where `denoise`, the denoiser is asked there and p x + q x_0 is remembered (so estimates
of x_0, eps and flow are all expressible); then, where `end`, the state becomes the next step's base. Categorical fields have no
coefficients: they move from their base to `time` by the plan's `move`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

import numpy as np
import torch

from ..schedules import Schedule
from .moves import Ancestral, Move
from .tokens import TokenGrid


@dataclass(frozen=True)
class Stage:
    """Where a row brings the state, and what happens there."""

    time: float
    denoise: bool = True
    end: bool = True


@dataclass(frozen=True)
class Coefficients:
    """One field's numbers in one row; b[0] belongs to the latest remembered estimate."""

    a: float = 1.0
    b: tuple[float, ...] = ()
    c: tuple[float, ...] = ()
    remember: tuple[float, float] = (0.0, 1.0)  # (p, q)


@dataclass(frozen=True)
class Row:
    """A stage with the coefficients of each continuous field."""

    stage: Stage
    fields: Mapping[str, Coefficients]


@dataclass(frozen=True)
class Plan:
    """Rows, the first of which leaves the prior as it is and denoises it.

    Args:
        name: of the sampler that made it.
        rows: the table.
        move: how categorical fields are un-noised.
        tokens: which row each token is at; None: all at the same.
        path: noise comes from one Brownian path, the same for any number of steps, instead of afresh at each step.
    """

    name: str
    rows: tuple[Row, ...]
    move: Move = field(default_factory=Ancestral)
    tokens: TokenGrid | None = None
    path: bool = False

    @property
    def evaluations(self) -> int:
        """Calls of the denoiser, where all tokens move together."""
        return sum(row.stage.denoise for row in self.rows)

    @property
    def stochastic(self) -> bool:
        """Whether any row of a continuous field adds noise."""
        return any(any(c.c) for row in self.rows for c in row.fields.values())

    @property
    def memory(self) -> int:
        """How many estimates are remembered."""
        return max((len(c.b) for row in self.rows for c in row.fields.values()), default=0)

    @property
    def uses(self) -> int:
        """How many rows read one estimate, at most."""
        read: list[int] = []  # by how many rows, latest estimate first
        most, kept = 0, self.memory - 1
        for row in self.rows:
            weights = [any(w) for w in zip_longest(*(k.b for k in row.fields.values()), fillvalue=0.0)]
            read = [n + used for n, used in zip_longest(read, weights[: len(read)], fillvalue=0)]
            most = max([most, *read])
            read = [0, *read[:kept]] if row.stage.denoise else read
        return most

    def noises(self, name: str) -> int:
        """How many noises a step draws for a field; a categorical one, without coefficients, needs one."""
        return max((len(row.fields[name].c) if name in row.fields else 1 for row in self.rows), default=1)

    @property
    def spans(self) -> list[tuple[tuple[float, float], ...]]:
        """For each row the intervals of its step's noises: between the times that the step visits, in order."""
        spans: list[tuple[tuple[float, float], ...]] = []
        visited = [self.rows[0].stage.time]
        for row in self.rows:
            if row.stage.time != visited[-1]:
                visited.append(row.stage.time)
            spans.append(tuple(pairwise(visited)))
            visited = visited[-1:] if row.stage.end else visited
        return spans

    def __str__(self) -> str:
        head = ("row", "t", "", "field", "a", "b: estimates, latest first", "c: noises", "remembers")
        lines = [head]
        for i, row in enumerate(self.rows):
            marks = " ".join([*["denoise"] * row.stage.denoise, *["end"] * row.stage.end])
            place = (str(i), f"{row.stage.time:.6f}", marks)
            for name, k in row.fields.items():
                b, c = (" ".join(f"{x:+.6f}" for x in xs) for xs in (k.b, k.c))
                lines.append((*place, name, f"{k.a:+.6f}", b, c, _estimate(*k.remember) if row.stage.denoise else ""))
                place = ("", "", "")
            if not row.fields:
                lines.append((*place, "", "", "", "", ""))
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        table = ["  ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([f"{self.name}: {self.evaluations} evaluations", *table])


def _estimate(p: float, q: float) -> str:
    """What a row remembers, p x + q x0, in words."""
    if (p, q) == (0.0, 1.0):
        return "x0"
    return f"{p:+.6g} x {q:+.6g} x0"


@dataclass(frozen=True)
class Curve:
    """A schedule at the rows' times, float64: what coefficients are computed from."""

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    schedule: Schedule

    @staticmethod
    def of(schedule: Schedule, times: Sequence[float]) -> Curve:
        """The curve at these times; an alpha below 1e-12 is 0."""
        t = torch.tensor(times, dtype=torch.float64)
        alpha, sigma = (f(t).detach().numpy() for f in (schedule.alpha, schedule.sigma))
        return Curve(t.numpy(), np.where(alpha < 1e-12, 0.0, alpha), sigma, schedule)

    @property
    def lam(self) -> np.ndarray:
        """lambda = log(alpha / sigma), -inf at alpha = 0 and +inf at sigma = 0."""
        lam = self.schedule.log_snr(torch.from_numpy(self.t)).detach().numpy() / 2
        return np.where(self.alpha == 0, -np.inf, lam)

    @property
    def rho(self) -> np.ndarray:
        """sigma / alpha, inf at alpha = 0: the time in which x / alpha has the slope eps."""
        with np.errstate(divide="ignore"):
            return self.sigma / self.alpha

    @property
    def tau(self) -> np.ndarray:
        """sigma / (alpha + sigma), in [0, 1]: the time in which x / (alpha + sigma) has the slope eps - x_0."""
        return self.sigma / (self.alpha + self.sigma)

    def posterior_std(self, i: int) -> float:
        """The standard deviation of q(x_s | x_t, x_0) for the step from row i - 1 to row i.

        Source: Ho et al. 2020, arXiv:2006.11239, equation 7, for any (alpha, sigma).
        """
        (alpha_t, alpha_s), (sigma_t, sigma_s) = self.alpha[i - 1 : i + 1], self.sigma[i - 1 : i + 1]
        variance = max(sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2, 0.0)
        return float(np.sqrt(variance) * sigma_s / sigma_t)


def ddim_step(curve: Curve, i: int, std: float = 0.0) -> Coefficients:
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - std^2) eps + std noise, for the step from row i - 1 to row i.

    Source: Song et al. 2020, arXiv:2010.02502, equation 12, for any (alpha, sigma).
    """
    (alpha_t, alpha_s), (sigma_t, sigma_s) = curve.alpha[i - 1 : i + 1], curve.sigma[i - 1 : i + 1]
    a = float(np.sqrt(max(sigma_s**2 - std**2, 0.0)) / sigma_t)
    return Coefficients(a, (float(alpha_s - a * alpha_t),), (std,) if std else ())


def one_stage(times: Sequence[float]) -> list[Stage]:
    """The stages of a sampler that denoises once a step: at every time but the last."""
    return [Stage(t, denoise=i < len(times) - 1) for i, t in enumerate(times)]
