"""Noise of one Brownian path: the same for any number of steps."""

from __future__ import annotations

from math import exp, expm1, sqrt

import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..objective import draw_noise
from ..processes import Gaussian
from ..state import Encoded

# The tree spans lambda in [-EDGE, EDGE]; beyond it a weight of the bridge is below 1e-27, so both ends of any schedule fit in.
EDGE = 64.0
LEVELS = 26
LEAF = 2 * EDGE / 2**LEVELS


class Path:
    """A Brownian motion W in v = alpha^2 / sigma^2 for each entry of each continuous field.

    The noise of the reverse SDE over a step from t to s is sigma_s exp(-lambda_s) (W(v_s) - W(v_t)), so two runs on one path
    differ by what their steps get wrong, and by nothing else. W is kept as Z = W(v) / sqrt(v), which is stationary in
    lambda = log(alpha / sigma) with covariance exp(-|lambda - mu|): v may span any range without loss of digits. Z is found by
    halving an interval of lambda again and again, each middle drawn by the bridge between its ends from counted noise that
    belongs to that middle; nothing is stored but the last value.

    Source: the virtual Brownian tree of Li et al. 2020, arXiv:2001.01328, section 4, here in lambda and with the exact bridge in
    the last interval, so that each increment is standard normal.
    """

    def __init__(self, denoiser: Denoiser, encoded: Encoded, seed: int, index: Tensor) -> None:
        self.denoiser, self.encoded, self.seed, self.index = denoiser, encoded, seed, index
        self._last: dict[str, tuple[float, Tensor]] = {}

    def increment(self, name: str, t: float, s: float) -> Tensor:
        """(W(v_s) - W(v_t)) / sqrt(v_s - v_t): standard normal in the field's space, independent over disjoint intervals.

        Args:
            name: of a continuous field.
            t, s: times with s < t; v is 0 at t = 1 of most schedules and infinite at s = 0.

        Raises:
            ValueError: times that rise, or that are closer than the tree resolves (2e-6 in lambda).
        """
        at_t, at_s = self._lambda(name, t), self._lambda(name, s)
        h = at_s - at_t
        if h < LEAF:
            raise ValueError(
                f"path=True: a path leads from noise to data, in steps of lambda = log(alpha / sigma) of at least {LEAF:.1g}; "
                f"found a step of {h:.3g} of field {name!r} from t={t} to s={s}; leave path out"
            )
        before, after = self._value(name, at_t), self._value(name, at_s)
        return (after - exp(-h) * before) / sqrt(-expm1(-2 * h))

    def _lambda(self, name: str, t: float) -> float:
        process = self.denoiser.processes[name]
        assert isinstance(process, Gaussian)  # the executor asks for continuous fields only
        lam = float(process.schedule.log_snr(torch.tensor(t, dtype=torch.float64))) / 2
        return min(max(lam, -EDGE), EDGE)

    def _value(self, name: str, lam: float) -> Tensor:
        """Z(lambda)."""
        last = self._last.get(name)
        if last is not None and last[0] == lam:
            return last[1]
        low, high = -EDGE, EDGE
        z_low, z_high = self._draw(name, "low"), self._draw(name, "high")  # their covariance, exp(-128), is none
        node = 0
        for level in range(LEVELS):
            middle = (low + high) / 2  # exact: a multiple of a power of 2
            z = _bridge(z_low, z_high, middle - low, high - middle, self._draw(name, level, node))
            if lam < middle:
                high, z_high, node = middle, z, 2 * node
            else:
                low, z_low, node = middle, z, 2 * node + 1
        value = _bridge(z_low, z_high, lam - low, high - lam, self._draw(name, LEVELS, node))
        self._last[name] = (lam, value)
        return value

    def _draw(self, name: str, *words: int | str) -> Tensor:
        return draw_noise(self.denoiser, self.encoded, self.seed, self.index, "path", *words, only=[name])[name]


def _bridge(z_low: Tensor, z_high: Tensor, after_low: float, before_high: float, noise: Tensor) -> Tensor:
    """Z between two of its values, at these distances from them."""
    low, high, whole = (-expm1(-2 * d) for d in (after_low, before_high, after_low + before_high))
    mean = z_low * (exp(-after_low) * high / whole) + z_high * (exp(-before_high) * low / whole)
    return mean.add_(noise, alpha=sqrt(low * high / whole))
