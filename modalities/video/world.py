"""A world under a known law: a digit that moves on a straight line and is reflected at the walls of its box.

Pixels are counted from the centre of the first one, (y, x). The *centre* of a digit is the mean of its pixels weighted by their
intensity; it stays in [LOW, HIGH] on both axes.

    centre_i(t) = LOW + | ((p_i + v_i t) + L) mod 2 L - L |,   L = HIGH - LOW,   t = 0, 1, ... the number of the frame,

where p in [0, 2 L) is the place on the unfolded path, so that p above L is a digit on its way back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 32  # pixels of a frame
LOW, HIGH = 8.0, 23.0  # where a centre may be, pixels: the digit, 12 pixels wide, then stays within the frame
SPEEDS = (1.0, 2.5)  # pixels a frame, along the path
_SCALE = 1.5  # pixels of a frame for one of the digit's 8 x 8
_PAD = 4  # dark pixels around a digit
_LENGTH = HIGH - LOW
_HAZE = 32  # levels up to this are background to `track`
_FASTEST = 4.0  # pixels a frame and axis that a fit may find


@dataclass(frozen=True)
class Law:
    """A path.

    Args:
        place: p, two numbers (y, x) in [0, 2 L).
        velocity: v, two numbers, pixels a frame.
    """

    place: tuple[float, float]
    velocity: tuple[float, float]

    @property
    def speed(self) -> float:
        """|v|, pixels a frame."""
        return float(np.hypot(*self.velocity))

    def at(self, frames: np.ndarray) -> np.ndarray:
        """The centres (T, 2) in the frames of these numbers (T,)."""
        return _folded(np.asarray(self.place) + np.multiply.outer(np.asarray(frames, float), self.velocity))


def drawn(rng: np.random.Generator) -> Law:
    """A path that begins anywhere in the box, in any direction, at a speed uniform in SPEEDS."""
    start, angle, speed = rng.uniform(0, _LENGTH, 2), rng.uniform(0, 2 * np.pi), rng.uniform(*SPEEDS)
    return Law((float(start[0]), float(start[1])), (float(speed * np.sin(angle)), float(speed * np.cos(angle))))


def filmed(digit: np.ndarray, law: Law, frames: int) -> np.ndarray:
    """The digit (8, 8), levels 0 to 255, on its path: uint8 (T, SIDE, SIDE, 1), drawn between pixels by cubic splines."""
    from scipy.ndimage import spline_filter

    digit = np.asarray(digit, np.float64)
    own = _centres(digit[None])[0] + _PAD  # of the digit in its own pixels
    knots = spline_filter(np.pad(digit, _PAD))
    places = (np.arange(SIDE) - law.at(np.arange(frames))[..., None]) / _SCALE + own[:, None]  # (T, 2, SIDE)
    y, x = _cubic(places[..., None] - np.arange(len(knots))).swapaxes(0, 1)  # (T, SIDE, knots)
    return np.clip(np.rint(y @ knots @ x.swapaxes(1, 2)), 0, 255).astype(np.uint8)[..., None]


def track(frames: np.ndarray) -> np.ndarray:
    """Where the digit is in each frame: the mean place of its pixels by their intensity above a haze of 32 levels.

    Args:
        frames: (T, H, W[, C]), levels 0 to 255.

    Returns:
        (T, 2) centres (y, x); NaN in a frame without a digit.
    """
    levels = np.asarray(frames, np.float64)
    levels = levels.mean(-1) if levels.ndim == 4 else levels
    return _centres(np.maximum(levels - _HAZE, 0))


def fitted(centres: np.ndarray) -> Law:
    """The path of least squared distance from the centres (T, 2) of frames 0 to T - 1; NaN counts for nothing.

    Both axes are fitted by themselves: the best of a grid of places and velocities, then made exact.

    Raises:
        ValueError: fewer than two frames with a digit.
    """
    y, x = (_fitted_axis(np.asarray(centres, np.float64)[:, axis]) for axis in range(2))
    return Law((y[0], x[0]), (y[1], x[1]))


def residual(centres: np.ndarray) -> np.ndarray:
    """Distance in pixels of each centre (T, 2) from the path that fits them all best, (T,); infinite without a digit."""
    if np.isfinite(centres).all(1).sum() < 2:
        return np.full(len(centres), np.inf)
    distance = np.linalg.norm(centres - fitted(centres).at(np.arange(len(centres))), axis=1)
    return np.where(np.isnan(distance), np.inf, distance)


def _fitted_axis(x: np.ndarray) -> tuple[float, float]:
    """Place and velocity on one axis."""
    from scipy.optimize import least_squares

    t = np.flatnonzero(np.isfinite(x))
    if len(t) < 2:
        raise ValueError(f"a path needs two frames with a digit; {len(t)} of {len(x)} have one")
    seen = x[t]
    places = np.arange(0, 2 * _LENGTH, 1.0)
    velocities = np.linspace(0, _FASTEST, 1 + int(np.ceil(2 * _FASTEST * (t[-1] - t[0]))))  # half a pixel at the end
    paths = _folded(places[:, None, None] + velocities[:, None] * t)  # (places, velocities, T)
    errors = ((paths - seen) ** 2).sum(-1)
    starts = [np.unravel_index(k, errors.shape) for k in np.argsort(errors, axis=None)[:3]]
    fits = [
        least_squares(lambda p: _folded(p[0] + p[1] * t) - seen, [places[i], velocities[j]], max_nfev=50)
        for i, j in starts
    ]
    best = min(fits, key=lambda fit: fit.cost)
    return float(best.x[0] % (2 * _LENGTH)), float(best.x[1])


def _folded(place: np.ndarray) -> np.ndarray:
    """Places on the unfolded path to pixels."""
    return LOW + np.abs((place + _LENGTH) % (2 * _LENGTH) - _LENGTH)


def _cubic(x: np.ndarray) -> np.ndarray:
    """The cubic B-spline, which is 0 from a distance of 2 on."""
    d = np.abs(x)
    near, far = 2 / 3 - d * d * (1 - d / 2), np.maximum(2 - d, 0)
    return np.where(d < 1, near, far * far * far / 6)


def _centres(weights: np.ndarray) -> np.ndarray:
    """(T, 2) mean places of weights (T, H, W)."""
    mass = weights.sum((1, 2))
    y = weights.sum(2) @ np.arange(weights.shape[1])
    x = weights.sum(1) @ np.arange(weights.shape[2])
    with np.errstate(invalid="ignore"):
        return np.stack([y, x], axis=1) / mass[:, None]
