"""Multistep rows: remembered estimates as a polynomial, integrated exactly.

Between two times t > s of a schedule the solution is linear in x_t and in an estimate along the way, exactly. With
lambda = log(alpha / sigma), h = lambda_s - lambda_t, rho = sigma / alpha and tau = sigma / (alpha + sigma):

    x0:    x_s = (sigma_s / sigma_t) e^(-eta h) x_t + alpha_s (1 + eta) int e^(-(1 + eta) (lambda_s - lambda)) x_0 d lambda + c z,
           c = sigma_s sqrt(1 - e^(-2 eta h)); eta = 0 is the probability flow, eta = 1 the reverse SDE
    eps:   x_s = (alpha_s / alpha_t) x_t + alpha_s int eps d rho
    flow:  x_s = ((alpha_s + sigma_s) / (alpha_t + sigma_t)) x_t + (alpha_s + sigma_s) int (eps - x_0) d tau

The polynomial may be one in lambda, rho, tau or t. Adams-Bashforth, exponential Adams-Bashforth, DPM-Solver, DEIS and their
correctors differ in nothing else.
Sources: Lu et al. 2022, arXiv:2206.00927, proposition 3.1; Zhang and Chen 2022, arXiv:2204.13902, section 3; Xue et al. 2023,
arXiv:2309.05019, proposition 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from .plan import Coefficients, Curve, Stage
from .singlestep import Estimate, remembering

Variable = Literal["lambda", "rho", "tau", "t"]
FAR = 50.0  # in lambda: what lies further from where the weight is largest counts e^-50
SAME = 1e-6  # of a step: estimates that lie closer have weights that lose as many digits (tau where alpha is nearly 0)


@dataclass(frozen=True)
class Step:
    """x_s = a x_t + sum_q weight_q estimate(lam_q) + c noise, over h in lambda."""

    h: float
    a: float
    c: float
    lam: np.ndarray
    weight: np.ndarray


# (step, lambda of t and of the nodes, weights) -> weights
Adjust = Callable[[Step, np.ndarray, np.ndarray], np.ndarray]


class Adams:
    """The rows of a multistep method on a curve.

    Args:
        curve, stages: what `TableSampler.coefficients` is given.
        estimate: what is remembered.
        variable: what the polynomial is one of.
        eta: noise of an x0 form, 0 or more.
    """

    def __init__(
        self, curve: Curve, stages: Sequence[Stage], estimate: Estimate, variable: Variable, eta: float = 0.0
    ) -> None:
        self.curve, self.stages, self.estimate, self.variable, self.eta = curve, stages, estimate, variable, eta
        self.lam = curve.lam
        ends = [stage.end for stage in stages]
        self.left = np.cumsum(ends[::-1])[::-1]  # steps from each row on, its own included
        self.u = {"lambda": self.lam, "rho": curve.rho, "tau": curve.tau, "t": curve.t}[variable]
        self.serves = np.isfinite(self.u)  # as a node
        if estimate == "eps":
            self.serves &= curve.alpha > 0  # a start without signal remembers x_0

    def rows(self, order: Callable[[int], int], adjust: Adjust | None = None) -> list[Coefficients]:
        """All rows: row i with a polynomial through at most order(i) estimates."""
        rows = [Coefficients(), *(self.row(i, order(i), adjust) for i in range(1, len(self.stages)))]
        return remembering(self.curve, self.stages, rows, self.estimate)

    def falling(self, i: int, order: int) -> int:
        """The order of row i where lambda is infinite at the end: 1 in the last step, one less than asked for in the step before.

        That step is a long one on most grids; one step of an order less costs none in the whole. Order 2 stays.
        """
        return 1 if self.left[i] == 1 else max(order - 1, 2) if self.left[i] == 2 and order > 2 else order

    def row(self, i: int, order: int, adjust: Adjust | None = None) -> Coefficients:
        """Row i, without what it remembers. A row that has been denoised at the time of row i makes it a corrector."""
        base, asked = past(self.stages, i)
        if self.estimate == "eps" and self.curve.alpha[base] == 0:
            return from_noise(self.curve, base, i, asked)
        nodes = self._usable(asked[:order], base, i)
        step = self.step(base, i)
        weights = lagrange(self._at(step.lam), self.u[nodes]) @ step.weight
        if adjust is not None and len(nodes) > 1:
            weights = adjust(step, np.array([self.lam[base], *self.lam[nodes]]), weights)
        return Coefficients(step.a, tuple(weights.tolist()), (step.c,) if step.c else ())

    def step(self, base: int, i: int) -> Step:
        """The solution from row `base` to row i."""
        (alpha_t, alpha_s), (sigma_t, sigma_s) = self.curve.alpha[[base, i]], self.curve.sigma[[base, i]]
        lam_t, lam_s = self.lam[[base, i]]
        if alpha_s == 0:  # noise alone, to lesser noise
            return Step(0.0, float(sigma_s / sigma_t), 0.0, np.array([lam_s]), np.zeros(1))
        h = lam_s - lam_t
        if self.estimate == "x0":
            eta = self.eta
            y, dy = quadrature(min(h, FAR))
            keeps = np.exp(-eta * h) if eta else 1.0
            c = float(sigma_s * np.sqrt(-np.expm1(-2 * eta * h))) if eta else 0.0
            weight = alpha_s * (1 + eta) * np.exp(-(1 + eta) * y) * dy
            return Step(h, float(sigma_s / sigma_t * keeps), c, lam_s - y, weight)
        if self.estimate == "eps":
            z, dz = quadrature(min(h, FAR))
            return Step(h, float(alpha_s / alpha_t), 0.0, lam_t + z, -alpha_s * sigma_t / alpha_t * np.exp(-z) * dz)
        start, stop = max(lam_t, min(lam_s, 0.0) - FAR), min(lam_s, max(lam_t, 0.0) + FAR)
        z, dz = quadrature(stop - start)
        unit_t, unit_s = alpha_t + sigma_t, alpha_s + sigma_s
        lam = start + z
        return Step(h, float(unit_s / unit_t), 0.0, lam, -unit_s * dz / (2 + 2 * np.cosh(lam)))

    def _usable(self, nodes: list[int], base: int, i: int) -> list[int]:
        """The latest nodes for a polynomial; one alone where the variable is infinite at an end, or there are no others."""
        usable = nodes[:1]
        for before, node in pairwise(nodes):
            ends = self.serves[[i, before, node]].all()
            if not ends or abs(self.u[node] - self.u[before]) <= SAME * abs(self.u[i] - self.u[base]):
                break
            usable.append(node)
        return usable

    def _at(self, lam: np.ndarray) -> np.ndarray:
        """The variable at values of lambda."""
        match self.variable:
            case "lambda":
                return lam
            case "rho":
                return np.exp(-lam)
            case "tau":
                return 1 / (1 + np.exp(lam))
        return self.curve.schedule.t_of(torch.from_numpy(2 * lam)).numpy()


def past(stages: Sequence[Stage], i: int) -> tuple[int, list[int]]:
    """The base of row i, and the rows before it that were denoised, latest first: b[0], b[1], ... belong to these."""
    base = next(j for j in range(i - 1, -1, -1) if stages[j].end)
    return base, [j for j in range(i - 1, -1, -1) if stages[j].denoise]


def from_noise(curve: Curve, base: int, i: int, asked: list[int]) -> Coefficients:
    """x_s = (sigma_s / sigma_t) x_t + alpha_s x_0(t): the step of DDIM from alpha = 0, where x_0 is what is remembered."""
    b = [0.0] * asked.index(base) + [float(curve.alpha[i])]
    return Coefficients(float(curve.sigma[i] / curve.sigma[base]), tuple(b))


def lagrange(at: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """The polynomials that are 1 at one node and 0 at the others, (nodes, points)."""
    basis = np.ones((len(nodes), len(at)))
    for j, u in enumerate(nodes):
        for other in np.delete(nodes, j):
            basis[j] *= (at - other) / (u - other)
    return basis


def divided(nodes: np.ndarray) -> np.ndarray:
    """The weights of the values at the nodes in their divided difference."""
    return np.array([1 / np.prod(u - np.delete(nodes, j)) for j, u in enumerate(nodes)])


@lru_cache(maxsize=1)
def _gauss() -> tuple[np.ndarray, np.ndarray]:
    """Ten points and weights on [0, 1]: at unit width, an exponential e^(4 x) is exact to 1e-18."""
    points, weights = np.polynomial.legendre.leggauss(10)
    return (points + 1) / 2, weights / 2


def quadrature(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights on [0, width], in equal panels no wider than 1."""
    panels = max(int(np.ceil(width)), 1)
    points, weights = _gauss()
    size = width / panels
    return (size * (np.arange(panels)[:, None] + points)).ravel(), np.tile(size * weights, panels)
