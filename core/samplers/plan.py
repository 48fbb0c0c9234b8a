"""A sampler as a table.

A `Plan` is a list of rows in float64 on the host. For each field a row says

    state <- a (the step's base state) + sum_j b_j (the estimate remembered j denoisings ago) + sum_j c_j (noise j of the step)

which brings the state to `time`; then, where `denoise`, the denoiser is asked there and p x + q x_0 is remembered (so estimates
of x_0, eps and flow are all expressible); then, where `end`, the state becomes the next step's base. Categorical fields have no
coefficients: they move from their base to `time` by their process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


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
    """Rows, the first of which leaves the prior as it is and denoises it."""

    name: str
    rows: tuple[Row, ...]

    @property
    def evaluations(self) -> int:
        """Calls of the denoiser."""
        return sum(row.stage.denoise for row in self.rows)

    @property
    def stochastic(self) -> bool:
        """Whether any row of a continuous field adds noise."""
        return any(any(c.c) for row in self.rows for c in row.fields.values())

    @property
    def memory(self) -> int:
        """How many estimates are remembered."""
        return max((len(c.b) for row in self.rows for c in row.fields.values()), default=0)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.evaluations} evaluations"]
        for i, row in enumerate(self.rows):
            marks = ("denoise" if row.stage.denoise else "") + (" end" if row.stage.end else "")
            lines.append(f"{i:3d}  t={row.stage.time:.6f}  {marks}")
            for name, k in row.fields.items():
                b, c = (" ".join(f"{x:+.6f}" for x in xs) or "-" for xs in (k.b, k.c))
                lines.append(
                    f"     {name}: a={k.a:+.6f}  b={b}  c={c}  remember={k.remember[0]:+.4g} x {k.remember[1]:+.4g} x0"
                )
        return "\n".join(lines)


@dataclass(frozen=True)
class Curve:
    """A schedule at the rows' times, float64: what coefficients are computed from."""

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray

    @property
    def lam(self) -> np.ndarray:
        """log(alpha / sigma), -inf at alpha = 0 and +inf at sigma = 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.alpha) - np.log(self.sigma)

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
