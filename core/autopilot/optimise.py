"""A time grid that is optimal for one network: the shortest path through a fine trajectory."""

from __future__ import annotations

import numpy as np
import torch

from ..denoiser import Denoiser
from ..samplers import Curve, ListGrid
from ..state import Encoded
from .reference import Reference, measure


def optimise_grid(
    denoiser: Denoiser,
    encoded: Encoded,
    steps: int,
    *,
    seed: int = 0,
    coefficient: float = 1.0,
    nodes: int = 128,
) -> ListGrid:
    """The `steps` times at which one-step errors of this network add up to the least.

    The cost of a step from t_i to t_j is the error of one DDIM step that starts on the measured trajectory; the cost of a path
    is its first step plus `coefficient` times the rest, so that above 1 late errors weigh more. Errors count by what is left of
    them at t = 0, were the data Gaussian; the paper takes them as they are, with a coefficient of 1.15, which suits methods of
    higher order here too. Deterministic.

    Args:
        denoiser: network or guidance.
        encoded: a probe batch; errors are counted over its real, unknown entries.
        steps: of the grid, fewer than `nodes`.
        seed: of the probe's noise.
        coefficient: weight of what follows a step, above 0.
        nodes: steps of the trajectory, one call of the denoiser each (and half as many to check it).

    Raises:
        ValueError: steps or a coefficient out of range, a state without a Gaussian field, a network that is not finite.

    Source: Chen et al. 2024, arXiv:2405.11326, section 3.3 and algorithm 1.
    """
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"optimise_grid: steps must be a whole number of at least 1, found {steps!r}")
    if not 0 < coefficient < np.inf:
        raise ValueError(f"optimise_grid: coefficient must be above 0, found {coefficient}")
    reference = measure(denoiser, encoded, seed=seed, nodes=nodes)
    return shortest(reference, step_costs(reference), coefficient, steps)


def step_costs(reference: Reference) -> np.ndarray:
    """(M, M): the error of one DDIM step from time i to time j > i, in units of the spread there; infinite elsewhere."""
    times = reference.times
    curves = {name: Curve.of(reference.schedule(name), times.tolist()) for name in reference.y}
    costs = np.full((len(times), len(times)), np.inf)
    for i in range(len(times) - 1):
        misses = {}
        for name, y in reference.y.items():
            curve, later = curves[name], y[i + 1 :]
            unit = (curve.alpha + curve.sigma) / reference.spread(name, times)
            factors = torch.from_numpy(np.stack([curve.tau - curve.tau[i], unit])[:, i + 1 :]).to(later)
            h, unit = factors.view(2, -1, *(1,) * (later.ndim - 1))
            misses[name] = (y[i] + h * reference.slope[name][i] - later) * unit
        costs[i, i + 1 :] = reference.sizes(misses)
    return costs


def shortest(reference: Reference, costs: np.ndarray, coefficient: float, steps: int) -> ListGrid:
    """The path of `steps` steps from the first time to the last with the least cost, by dynamic programming.

    Raises:
        ValueError: more steps than the reference has.
    """
    if steps >= len(costs):
        raise ValueError(f"{steps} steps through a trajectory of {len(costs) - 1}: raise nodes")
    rest, ways = costs[:, -1], []
    for _ in range(steps - 1):
        through = costs + coefficient * rest
        ways.append(through.argmin(1))
        rest = through.min(1)
    path = [0]
    for way in reversed(ways):
        path.append(int(way[path[-1]]))
    return ListGrid(tuple(reference.times[[*path, -1]].tolist()))
