"""Physical units to model space and back, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from ornstein.core.rng import generator
from scipy.special import ndtri

from .lines import interpolated

Scale = Literal["minmax", "standard", "robust", "instance_standard", "instance_mean", "instance_level", "line"]
Transform = Literal["none", "log", "quantile"]
_MOST = 2_000_000  # steps of which medians and quantiles are taken
_CHUNK = 1024
_KNOTS = 129
_BANK = 1024
_LEAST = 0.05  # of the channel's global scale: the smallest scale of one instance


@dataclass
class Scaling:
    """x = (g(v) - offset) / scale, of each channel; with `line` x = g(v - offset) / scale.

    Args:
        scale: `minmax` to [-1, 1], `standard` (mean and standard deviation) and `robust` (median, interquartile range / 1.349)
            of the training data; `instance_standard` and `instance_mean` (0, mean of |g|) of what is given of each item, or
            of all of an item of which nothing is given; `instance_level`: its mean, and the standard deviation of training
            items around theirs; `line`: offset is the straight line between what is given of each item, which the model is
            told, and scale the standard deviation of g of what such lines leave of training items that are half hidden.
        transform: g: `none`; `log`, sign(v) log(1 + |v| / m), m the median of |v| that is not 0; `quantile`, training
            quantiles to those of a standard normal, straight between 129 of them and beyond the ends.
    """

    scale: Scale = "minmax"
    transform: Transform = "none"
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def of_instance(self) -> bool:
        """Whether each item has an offset of its own."""
        return self.along or self.scale.startswith("instance")

    @property
    def along(self) -> bool:
        """Whether the offset is a line."""
        return self.scale == "line"

    def fit(self, values: Sequence[np.ndarray]) -> list[int]:
        """Learn from (T, K) arrays with NaN where nothing was observed; the channels that never change.

        Raises:
            ValueError: a channel without an observed value; the message has its number as `args[1]`.
        """
        some = _some(values)
        empty = np.flatnonzero(~np.isfinite(some).any(0))
        if len(empty):
            empty = empty[[not any(np.isfinite(x[:, k]).any() for x in values) for k in empty]]
        if len(empty):
            raise ValueError("a channel is never observed", int(empty[0]))
        self.arrays = {}
        picked = [values[i] for i in np.unique(np.linspace(0, len(values) - 1, _BANK).astype(int))]
        if self.along:
            return self._fit_line(some, picked)
        self._fit_transform(some)
        offset, scale = self._global(values, some)
        constant = ~(scale > 1e-12 * np.maximum(np.abs(offset), 1e-300))
        self.arrays |= {"offset": offset, "scale": np.where(constant, 1.0, scale)}
        if self.of_instance:
            found = [self.instance(self.apply(x), np.isfinite(x)) for x in picked]
            self.arrays["bank"] = np.stack([np.stack([offset[0], scale[0]]) for offset, scale in found])
        return np.flatnonzero(constant).tolist()

    def apply(self, values: np.ndarray) -> np.ndarray:
        """g of (..., K) values."""
        if self.transform == "log":
            return np.sign(values) * np.log1p(np.abs(values) / self.arrays["median"])
        if self.transform == "quantile":
            return self._through(values, self.arrays["knots"], self.arrays["normal"])
        return values

    def undo(self, values: np.ndarray) -> np.ndarray:
        """The inverse of g."""
        if self.transform == "log":
            return np.sign(values) * np.expm1(np.abs(values)) * self.arrays["median"]
        if self.transform == "quantile":
            return self._through(values, self.arrays["normal"], self.arrays["knots"])
        return values

    def instance(self, values: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offset (..., 1, K), or (..., T, K) of lines, and scale (..., 1, K) from the entries of g, (..., T, K), that are seen.

        Lines go through the values themselves, not through g. The global ones where none is. No scale of an instance is below
        1/20 of the global one, so that a flat stretch does not make its surroundings huge.
        """
        if self.along:
            offset = interpolated(values, seen, self.arrays["offset"])
            return offset, np.broadcast_to(self.arrays["scale"], (*values.shape[:-2], 1, values.shape[-1]))
        count = seen.sum(-2)
        some, n = count > 0, np.maximum(count, 1)
        values = np.where(seen, values, 0.0)
        if self.scale == "instance_mean":
            offset, scale = np.zeros(n.shape), np.abs(values).sum(-2) / n
        elif self.scale == "instance_level":
            offset, scale = values.sum(-2) / n, np.broadcast_to(self.arrays["scale"], n.shape)
        else:
            offset = values.sum(-2) / n
            scale = np.sqrt((np.where(seen, values - offset[..., None, :], 0.0) ** 2).sum(-2) / n)
        scale = np.maximum(scale, _LEAST * self.arrays["scale"])
        offset, scale = np.where(some, offset, self.arrays["offset"]), np.where(some, scale, self.arrays["scale"])
        return offset[..., None, :], scale[..., None, :]

    def told(self, offset: np.ndarray) -> np.ndarray:
        """Lines as the model is told them: about mean 0 and variance 1."""
        return (offset - self.arrays["offset"]) / self.arrays["spread"]

    def _fit_transform(self, some: np.ndarray) -> None:
        """What g needs, from (n, K) of what it is applied to."""
        if self.transform == "log":
            size = np.where(some == 0, np.nan, np.abs(some))
            self.arrays["median"] = np.nan_to_num(_quietly(np.nanmedian, size), nan=1.0)
        elif self.transform == "quantile":
            self._fit_quantiles(some)

    def _fit_line(self, some: np.ndarray, windows: Sequence[np.ndarray]) -> list[int]:
        """Mean and spread of the values, and g and scale of what lines leave of windows of which half is hidden."""
        offset, spread = _quietly(np.nanmean, some), _quietly(np.nanstd, some)
        constant = ~(spread > 1e-12 * np.maximum(np.abs(offset), 1e-300))
        self.arrays |= {"offset": offset, "spread": np.where(constant, 1.0, spread)}
        hide = generator(0, "scaling", "line")
        left = []
        for values in windows:
            hidden = hide.random(values.shape) < 0.5
            line = interpolated(values[None], (~hidden)[None], offset)[0]
            left.append(np.where(hidden, values - line, np.nan))
        rest = np.concatenate(left)
        rest[:, ~np.isfinite(rest).any(0)] = 0.0
        self._fit_transform(rest)
        scale = _quietly(np.nanstd, self.apply(rest))
        self.arrays["scale"] = np.where(scale > 0, scale, self.arrays["spread"])
        self.arrays["bank"] = np.stack([offset, self.arrays["scale"]])[None]
        return np.flatnonzero(constant).tolist()

    def _global(self, values: Sequence[np.ndarray], some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.scale == "minmax":
            parts = [np.concatenate(list(values[i : i + _CHUNK])) for i in range(0, len(values), _CHUNK)]
            ends = [_quietly(f, np.stack([_quietly(f, x) for x in parts])) for f in (np.nanmin, np.nanmax)]
            low, high = (self.apply(end) for end in ends)
            return (low + high) / 2, (high - low) / 2
        g = self.apply(some)
        if self.scale == "robust":
            low, middle, high = _quietly(np.nanquantile, g, q=(0.25, 0.5, 0.75))
            spread = (high - low) / 1.349  # the interquartile range of a standard normal
            return middle, np.where(spread > 0, spread, _quietly(np.nanstd, g))
        if self.scale == "instance_mean":
            return np.zeros(g.shape[-1]), _quietly(np.nanmean, np.abs(g))
        if self.scale == "instance_level":
            around = [_quietly(np.nanvar, self.apply(x)) for x in values[:: max(1, len(values) // _BANK)]]
            return _quietly(np.nanmean, g), np.sqrt(_quietly(np.nanmean, np.stack(around)))
        return _quietly(np.nanmean, g), _quietly(np.nanstd, g)

    def _fit_quantiles(self, some: np.ndarray) -> None:
        """Knots that rise strictly: values that many entries share stand at the mean of their places."""
        levels = (np.arange(_KNOTS) + 0.5) / _KNOTS
        knots = np.empty((some.shape[1], _KNOTS))
        normal = np.empty_like(knots)
        for k in range(some.shape[1]):
            found = np.quantile(some[np.isfinite(some[:, k]), k], levels)
            unique, inverse, count = np.unique(found, return_inverse=True, return_counts=True)
            z = np.bincount(inverse, weights=ndtri(levels)) / count
            more = np.arange(1, _KNOTS - len(unique) + 1)  # beyond the last knot, at its slope
            step = (unique[-1] - unique[0] or 1.0) / 8
            knots[k] = np.append(unique, unique[-1] + step * more)
            normal[k] = np.append(z, z[-1] + more)
        self.arrays |= {"knots": knots, "normal": normal}

    @staticmethod
    def _through(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Straight lines from x to y, (K, knots), for each channel; the first and last go on beyond the ends."""
        out = np.empty(values.shape)
        for k in range(values.shape[-1]):
            v, a, b = values[..., k], x[k], y[k]
            i = np.clip(np.searchsorted(a, v) - 1, 0, len(a) - 2)
            out[..., k] = b[i] + (v - a[i]) * (b[i + 1] - b[i]) / (a[i + 1] - a[i])
        return out


def _some(values: Sequence[np.ndarray]) -> np.ndarray:
    """All steps, or those of evenly spaced items where there are too many."""
    total = sum(len(x) for x in values)
    return np.concatenate(list(values[:: max(1, -(-total // _MOST))]))


def _quietly(f: object, values: np.ndarray, **options: object) -> np.ndarray:
    """A statistic over the first axis; channels that were never observed give NaN and no warning."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return f(values, axis=0, **options)  # type: ignore[operator]
