"""Series for people: many small windows, or given values with what was made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .series import Series
from .writing import known_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 25  # panels
_CHANNELS = 6  # of a fan
_CONTEXT = 3  # steps of the past for each one that was made


def draw(samples: Sequence[Series]) -> Figure:
    """Windows side by side, all channels in each; or for each item and channel the given values and fans of the samples."""
    if any(s.known is not None for s in samples):
        return _fans(samples)
    return _windows(samples)


def _windows(samples: Sequence[Series]) -> Figure:
    shown = samples[:_MOST]
    columns = math.ceil(math.sqrt(len(shown)))
    figure, axes = _panels(math.ceil(len(shown) / columns), columns, (2.0, 1.4))
    for axis, sample in zip(axes, shown, strict=False):
        axis.plot(sample.values, linewidth=0.9)
        axis.set_xticks([])
        axis.tick_params(labelsize=6)
    return figure


def _fans(samples: Sequence[Series]) -> Figure:
    by_item: dict[str, list[Series]] = {}
    for sample in samples:
        by_item.setdefault(sample.name, []).append(sample)
    channels = min(_CHANNELS, len(samples[0].columns))
    shown = list(by_item.items())[: max(1, _MOST // channels)]
    figure, axes = _panels(len(shown) * channels, 1, (8.0, 1.6))
    for i, (name, members) in enumerate(shown):
        for k in range(channels):
            axis = axes[i * channels + k]
            _fan(axis, members, k)
            axis.set_title(f"{name}  {members[0].columns[k]}".strip(), fontsize=7, loc="left")
            axis.tick_params(labelsize=6)
    return figure


def _fan(axis: Axes, members: Sequence[Series], k: int) -> None:
    """Given values, and median, 50 % and 90 % intervals of those that were made."""
    first = members[0]
    known = known_of(first)[:, k]
    made = int((~known).sum())
    start = max(0, int(np.argmin(known)) - max(_CONTEXT * made, 24)) if made else 0
    x = np.arange(first.steps) if first.index is None else first.index
    values = np.stack([m.values[:, k] for m in members])
    low, lower, middle, upper, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    edge = ~known | np.r_[~known[1:], False] | np.r_[False, ~known[:-1]]  # so that fans begin where lines end
    for bottom, top, alpha in ((low, high, 0.2), (lower, upper, 0.35)):
        axis.fill_between(
            x[start:], bottom[start:], top[start:], where=edge[start:], color="C1", alpha=alpha, linewidth=0
        )
    axis.plot(x[start:], np.where(edge, middle, np.nan)[start:], color="C1", linewidth=1)
    axis.plot(x[start:], np.where(known, first.values[:, k], np.nan)[start:], color="C0", linewidth=1)


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes
