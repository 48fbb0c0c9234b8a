"""Simple honest baselines, all over whole arrays: what a model must beat.

Windows are (n, T, K) with NaN where nothing was observed; `known` is bool of the same shape; ensembles are (n, S, T, K),
with the known observed values in every member.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from .lines import interpolated

Rng = np.random.Generator


def gaussian_copula(train: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    """(n, T, K) windows with the training windows' marginals and, behind them, a Gaussian's correlations.

        x_j = F_j^(-1)(Phi(g_j)),  g normal with the covariance of the normal scores Phi^(-1)(rank / (n + 1))

    F_j is the empirical distribution of entry j = (step, channel), interpolated. The covariance is never formed.

    Args:
        train: (m, T, K) windows; gaps are filled by `interpolated`.

    Raises:
        ValueError: fewer than 2 windows.
    """
    if len(train) < 2:
        raise ValueError(f"{len(train)} training windows: a Gaussian copula needs at least 2")
    rows = interpolated(train).reshape(len(train), -1)
    scores = ndtri(rankdata(rows, axis=0) / (len(rows) + 1)).astype(np.float32)
    draws = rng.standard_normal((n, len(rows)), dtype=np.float32) @ (scores - scores.mean(0))
    spread = scores.std(0, ddof=1) * math.sqrt(len(rows) - 1)
    at = ndtr((draws / np.where(spread > 0, spread, 1)).astype(np.float64)) * (len(rows) + 1) - 1
    below = np.clip(np.floor(at).astype(int), 0, len(rows) - 2)
    share = np.clip(at - below, 0, 1)
    ordered = np.sort(rows, axis=0)
    low, high = np.take_along_axis(ordered, below, 0), np.take_along_axis(ordered, below + 1, 0)
    return (low + share * (high - low)).reshape(n, *train.shape[1:])


def seasonal_naive(values: np.ndarray, known: np.ndarray, season: int, members: int, rng: Rng) -> np.ndarray:
    """The last known value at the same place of the season, with errors drawn from those of this rule in the known part.

    (n, S, T, K). A step for which no such value is known takes the last known one, or else the interpolated one; an entry
    h seasons ahead has the sum of h errors of its own channel and window.

    Args:
        season: steps; 1 repeats the last value.
    """
    known = known & np.isfinite(values)
    n, steps, channels = values.shape
    t = np.arange(steps)
    line = interpolated(values, known)
    ahead = np.zeros(values.shape, dtype=int)
    held = np.where(known, values, np.nan)
    source = held.copy()
    for step in range(season, steps):  # what was copied is copied on, a season further ahead
        missing = np.isnan(source[:, step])
        source[:, step] = np.where(missing, source[:, step - season], source[:, step])
        ahead[:, step] = np.where(missing, ahead[:, step - season] + 1, 0)
    point = np.where(np.isnan(source), line, source)
    errors = held[:, season:] - held[:, :-season] if season < steps else np.zeros((n, 0, channels))
    noise = _drawn(errors, (n, members, steps, channels), rng)
    scale = np.sqrt(np.where(np.isnan(source), np.maximum(t // season, 1)[None, :, None], ahead))
    out = point[:, None] + noise * scale[:, None]
    return np.where(known[:, None], values[:, None], out)


@dataclass(frozen=True)
class AutoRegression:
    """A linear forecast of the next step from the last p steps of all channels, with the covariance of its errors.

        x_(t+1) = c + sum_(i = 0..p-1) A_i x_(t-i) + e

    Args:
        weights: (p K + 1, K); the constant is the last row. Values are standardised by mean and scale.
        errors: (m, K) errors on the training windows, standardised, from which members draw.
    """

    weights: np.ndarray
    errors: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @property
    def order(self) -> int:
        """p."""
        return (len(self.weights) - 1) // len(self.mean)

    def fill(self, values: np.ndarray, known: np.ndarray, members: int, rng: Rng) -> np.ndarray:
        """(n, S, T, K): each unknown entry from the p steps before it, with a drawn error; step by step, never looking ahead.

        The first p steps, which have too little before them, are `interpolated`.
        """
        known = known & np.isfinite(values)
        n, steps, p = *values.shape[:2], self.order
        line = (interpolated(values, known) - self.mean) / self.scale
        path = np.repeat(line[:, None], members, 1)
        for step in range(p, steps):
            past = path[:, :, step - p : step][:, :, ::-1].reshape(n, members, -1)
            drawn = self.errors[rng.integers(len(self.errors), size=(n, members))]
            ahead = past @ self.weights[:-1] + self.weights[-1] + drawn
            path[:, :, step] = np.where(known[:, None, step], path[:, :, step], ahead)
        return np.where(known[:, None], values[:, None], path * self.scale + self.mean)


def fit_autoregression(train: np.ndarray, order: int, penalty: float = 1.0) -> AutoRegression:
    """Ridge regression of each step on the `order` steps before it, over all training windows; gaps are interpolated.

    Args:
        train: (n, T, K) windows, T > order.
        penalty: ridge, in units of the standardised values' sum of squares; the constant is free.

    Raises:
        ValueError: windows too short for the order.
    """
    steps = train.shape[1]
    if not 1 <= order < steps:
        raise ValueError(
            f"an autoregression of order {order} needs windows of more than that many steps, found {steps}"
        )
    filled = interpolated(train)
    mean, scale = filled.mean((0, 1)), filled.std((0, 1))
    scale = np.where(scale > 0, scale, 1.0)
    x = (filled - mean) / scale
    lags = np.concatenate([x[:, order - 1 - i : steps - 1 - i] for i in range(order)], -1)
    design = lags.reshape(-1, lags.shape[-1])
    design = np.concatenate([design, np.ones((len(design), 1))], 1)
    target = x[:, order:].reshape(-1, x.shape[-1])
    ridge = np.diag([penalty] * (design.shape[1] - 1) + [0.0])
    weights = np.linalg.solve(design.T @ design + ridge, design.T @ target)
    return AutoRegression(weights, target - design @ weights, mean, scale)


def gaussian_fill(
    train: np.ndarray, values: np.ndarray, known: np.ndarray, members: int, rng: Rng, penalty: float = 1e-3
) -> np.ndarray:
    """(n, S, T, K): unknown entries from the Gaussian of the training windows, given the known ones on both sides.

        x_u = z_u + C_uk (C_kk + r I)^(-1) (x_k - z_k),   z drawn from N(mean, C + r I)

    It is the best linear filling, a regression of every step on all known ones.

    Args:
        train, values: (m, T, K) and (n, T, K), of one T.
        penalty: r, in units of each entry's variance.

    Raises:
        ValueError: windows of another shape than the training ones.
    Source: Hoffman and Ribak 1991, "Constrained realizations of Gaussian fields" (the draws).
    """
    if train.shape[1:] != values.shape[1:]:
        raise ValueError(f"training windows are {train.shape[1:]}, the given ones {values.shape[1:]}: cut them alike")
    known = known & np.isfinite(values)
    n, size = len(values), int(np.prod(values.shape[1:]))
    rows = interpolated(train).reshape(len(train), size)
    mean, scale = rows.mean(0), rows.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    rows = (rows - mean) / scale
    cov = rows.T @ rows / len(rows) + penalty * np.eye(size)
    root = np.linalg.cholesky(cov)
    z = rng.standard_normal((n, members, size)) @ root.T
    x = (np.where(known, values, 0.0).reshape(n, size) - mean) / scale
    out, masks = z, known.reshape(n, size)
    patterns, which = np.unique(masks, axis=0, return_inverse=True)
    for i, seen in enumerate(patterns):  # one system for all windows with the same known entries
        here = np.flatnonzero(which.ravel() == i)
        gain = np.linalg.solve(cov[np.ix_(seen, seen)], cov[np.ix_(seen, ~seen)])
        off = x[here][:, None, seen] - z[here][:, :, seen]
        unseen = np.flatnonzero(~seen)
        out[here[:, None, None], np.arange(members)[None, :, None], unseen] += off @ gain
    out = (out * scale + mean).reshape(n, members, *values.shape[1:])
    return np.where(known[:, None], values[:, None], out)


def _drawn(errors: np.ndarray, shape: tuple[int, ...], rng: Rng) -> np.ndarray:
    """Errors of shape (n, S, T, K) drawn with repetition from those of the same window and channel, (n, E, K), NaN left out."""
    order = np.argsort(np.isnan(errors), axis=1, kind="stable")
    sorted_errors = np.take_along_axis(errors, order, 1)
    count = (~np.isnan(errors)).sum(1)  # (n, K)
    if not errors.shape[1]:
        return np.zeros(shape)
    pick = (rng.random(shape) * count[:, None, None]).astype(int)
    drawn = np.take_along_axis(sorted_errors[:, None], pick.reshape(shape[0], 1, -1, shape[-1]), 2).reshape(shape)
    return np.where(count[:, None, None] > 0, drawn, 0.0)
