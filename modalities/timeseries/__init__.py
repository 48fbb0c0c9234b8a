"""Time series: steps of channels, with gaps, dates, and what is known ahead."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import BadItem, Item, Modality, Rng
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Row, Source
from ornstein.core.state import Condition, Conditions, Encoded, Field, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder
from .data import Sines
from .formats import EXTENSIONS
from .pictures import draw
from .reading import named, read, read_mask
from .rolling import roll
from .scaling import Scale, Scaling, Transform
from .series import Series
from .tables import Roles
from .tasks import Forecast, Impute, SuperResolution
from .told import Told
from .windows import Cutting, Protocol
from .writing import save

if TYPE_CHECKING:
    from ornstein.core.evaluation.protocol import Protocol as Table
    from ornstein.core.evaluation.spec import MetricSpec

__all__ = ["Series", "TimeSeries"]


class TimeSeries(Modality):
    """Series of K channels in windows; an item's data and a decoded sample are a `Series`.

    Args:
        columns: the channels; None: every column of numbers that has no other role.
        time: column of dates, or columns year, month, day, ... ; None: found by name and content, none where there is none.
        series: column that names the series of a long table; None: `item_id`, `series_id`, `unique_id`, `series` or `sample`.
        classes: columns of words that become conditions: the commonest word of each window.
        covariates: columns that are known ahead: told to the model for each step, not made.
        static: columns of one number for each series: told to the model.
        freq: length of a step as pandas writes it (`h`, `15min`, `MS`); None: as the dates say.
        first: use only so many steps of each series; None: all.
        window: steps of an item; None: whole series.
        stride: steps from one window to the next.
        protocol: how windows are parted; see `windows.Cutting`.
        patch: steps of a token.
        channels: `together`: a token holds p steps of all channels; `apart`: of one channel, on a grid of times and channels, on
            which attention can be factorised (`backbone.attention_axes`).
        scale: how channels are brought to model space; see `scaling.Scaling`.
        transform: what is done to values before they are scaled.
        calendar: tell the model the place of each step in hour, day, week, month and year, as far as steps move through them, or
            in those of `minute`, `hour`, `weekday`, `day`, `year` that are named. With less than some years of training data the
            last two say which training day a window is, and are better left out.
        labels: whether the model can be told the label, where the data has labels.
        horizon: steps of the task `forecast`; None: drawn from 1 to half of the window.
        every: the task `super_resolution` is given every so many steps.
    """

    name: ClassVar[str] = "timeseries"
    symmetries: ClassVar[tuple[str, ...]] = ()
    extensions: ClassVar[tuple[str, ...]] = EXTENSIONS

    def __init__(
        self,
        columns: list[str] | None = None,
        time: list[str] | str | None = None,
        series: str | None = None,
        classes: list[str] | None = None,
        covariates: list[str] | None = None,
        static: list[str] | None = None,
        freq: str | None = None,
        first: int | None = None,
        window: int | None = None,
        stride: int = 1,
        protocol: Protocol = "auto",
        patch: int = 1,
        channels: encoder.Channels = "together",
        scale: Scale = "minmax",
        transform: Transform = "none",
        calendar: bool | list[str] = False,
        labels: bool = True,
        horizon: int | None = None,
        every: int = 4,
    ) -> None:
        _check(first=first, window=window, stride=stride, patch=patch, horizon=horizon, every=every - 1)
        if window is not None and horizon is not None and horizon >= window:
            raise ValueError(f"modality.horizon={horizon} leaves nothing of modality.window={window} to forecast from")
        self.columns, self.time, self.series, self.classes = columns, time, series, classes
        self.covariates, self.static, self.freq, self.first = covariates, static, freq, first
        self.window, self.stride, self.protocol = window, stride, protocol
        self.patch, self.channels = patch, channels
        self.scale, self.transform, self.calendar, self.labels = scale, transform, calendar, labels
        self.horizon, self.every = horizon, every
        self._columns: tuple[str, ...] = ()
        self._freq: str | None = None
        self._lengths: tuple[int, ...] = ()
        self._scaling, self._told = Scaling(scale, transform), Told()

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """One field `series`: p K numbers for each patch of p steps, or p for each patch of a channel."""
        if not self._columns:
            raise ValueError("the channels are unknown before fit()")
        size = self._tokens.size(len(self._columns))
        return (Field(encoder.FIELD, "continuous", size, Gaussian(Rectified(), Flow())),)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """Classes, static numbers, `calendar` and `covariates`, where the data has them; `line` where the scale is one."""
        specs = self._told.specs(self.patch)
        if not self._scaling.along:
            return specs
        return (*specs, ConditionSpec(encoder.LINE, "dense", self._tokens.size(len(self._columns)), "concat"))

    @property
    def axes(self) -> int:
        """Time, and the channel where channels are apart."""
        return 2 if self._tokens.apart else 1

    def fit(self, items: Sequence[Item]) -> None:
        """Learn the channels, their scales, the length of a step, the lengths of items, and the conditions.

        Raises:
            ValueError: no items, items of other channels than the first, or a channel that is never observed.
        """
        if not items:
            raise ValueError("there is no training item: the channels and their scales are unknown")
        first = items[0]
        for item in items:
            if item.data.columns != first.data.columns:
                raise ValueError(
                    f"{item.key} has the channels {', '.join(item.data.columns)}, {first.key} has "
                    f"{', '.join(first.data.columns)}: name those to use with modality.columns"
                )
        self._columns, self._freq = first.data.columns, first.data.freq
        self._lengths = tuple(sorted(item.data.steps for item in items))
        scaling = Scaling(self.scale, self.transform)
        try:
            constant = scaling.fit([item.data.values for item in items])
        except ValueError as error:
            column = self._columns[error.args[1]] if len(error.args) > 1 else "?"
            raise ValueError(
                f"channel {column!r} has no observed value in the training part ({first.key}, ...): leave it out with "
                "modality.columns"
            ) from error
        if constant:
            names = ", ".join(self._columns[k] for k in constant)
            warnings.warn(f"{first.key}, ...: constant in the training part, kept with scale 1: {names}", stacklevel=2)
        self._scaling = scaling
        self._told = Told.of(items, self.static or (), self.calendar)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `fit` learnt."""
        tensors = {name: torch.from_numpy(np.asarray(x, np.float64).copy()) for name, x in self._scaling.arrays.items()}
        lengths = [list(pair) for pair in Counter(self._lengths).items()]
        plain = {"columns": list(self._columns), "freq": self._freq, "lengths": lengths, "told": self._told.plain()}
        return tensors, plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._columns, self._freq = tuple(plain["columns"]), plain["freq"]
        self._lengths = tuple(int(t) for t, count in plain["lengths"] for _ in range(count))
        self._scaling = Scaling(self.scale, self.transform, {name: x.numpy() for name, x in tensors.items()})
        self._told = Told.load(plain["told"])

    # Files.

    def rows(self, rows: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each window, or for each series of given files."""
        return Cutting(self.window, self.stride, self.protocol).rows(rows, self._roles(), shares)

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """A window as `rows` names it, or a whole file, whose end is then the present.

        Raises:
            BadItem: what is wrong with the file, or in what it differs from the training data.
        """
        item = read(file, row, self._roles(), self.labels)
        if self._freq is not None and item.data.freq not in (None, self._freq):
            raise BadItem(
                file.location,
                f"{named(item)}has steps of {item.data.freq}; the model was trained on steps of {self._freq}",
            )
        return item

    def write(self, samples: Sequence[Series], path: Path) -> list[Path]:
        """`samples.csv` and `samples.npz`; `forecast.csv` and `forecast.parquet` where parts were given; see `writing.save`."""
        return save(samples, Path(path))

    def render(self, samples: Sequence[Series]) -> Any:
        """Lines: windows side by side, or given values with fans of what was made."""
        return draw(samples)

    def datasets(self) -> Mapping[str, Source]:
        """`sines` is generated."""
        return {"sines": Sines()}

    # Model space.

    def encode(self, items: Sequence[Item], known: Sequence[np.ndarray | None] | None, rng: Rng) -> Encoded:
        """Steps to tokens; series of any lengths share a batch.

        Raises:
            ValueError: a class that was not in the training data.
        """
        encoded = encoder.encode(items, known, self._scaling, self._tokens)
        return replace(encoded, cond=self._told.encode(items, self._tokens) | self._line(encoded))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | None = None) -> Encoded:
        """n series to be made, of a length from the training data or of `size` steps.

        Raises:
            ValueError: a size that is not a number of steps.
        """
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"size {size}: give a number of steps, at least 1")
        # One draw after another, so that sample k does not depend on n.
        u = rng.random((n, 2))
        steps = [self._lengths[int(x * len(self._lengths))] if size is None else size for x in u[:, 0]]
        encoded = encoder.blank(steps, len(self._columns), self._tokens)
        if self._scaling.of_instance:
            bank = self._scaling.arrays["bank"]
            offset, scale = bank[(u[:, 1] * len(bank)).astype(int)].transpose(1, 0, 2)
            encoded.aux.update(offset=list(offset[:, None]), scale=list(scale[:, None]))
        told = {name: c for name, c in cond.items() if c.value.ndim < 3 or bool(c.present.any())}
        return replace(encoded, cond=told | self._line(encoded))

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Series]:
        """Tokens to series in physical units."""
        return encoder.decode(state, aux, self._scaling, self._columns, self._tokens)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given; the past; what is left of a window; every k-th step."""
        shares = {f"impute_{percent}": Impute("points", percent / 100) for percent in (10, 50, 90)}
        return {
            "unconditional": Unconditional(),
            "forecast": Forecast(self.horizon, self._longest()),
            "impute": Impute(),
            "impute_points": Impute("points"),
            "impute_blocks": Impute("blocks"),
            "impute_channels": Impute("channels"),
            **shares,
            "super_resolution": SuperResolution(self.every),
        }

    def paste(self, sample: Series, given: Item, known: np.ndarray | None) -> Series:
        """The given values, exact, over the sample."""
        if known is None:
            return sample
        known = known & given.data.observed
        values = np.where(known, given.data.values, sample.values)
        return replace(sample, values=values, known=known, name=given.key)

    def unroll(self, item: Item, known: np.ndarray | None) -> Generator[tuple[Item, Any], Series, Series]:
        """At once where the item is no longer than those of training, else window by window."""
        longest = self._longest()
        if known is None or item.data.steps <= longest:
            return (yield from super().unroll(item, known))
        ahead = self.horizon or max(1, longest // 4)
        return self.paste((yield from roll(item, known, longest, ahead)), item, known)

    def read_known(self, file: File, item: Item) -> np.ndarray:
        """A table of the given one's shape, in any of the formats: values above 1/2 are known; see `reading.read_mask`."""
        return read_mask(file, item, self.series)

    def cost(self, item: Item) -> int:
        """Number of tokens."""
        return -(-item.data.steps // self.patch) * (item.data.values.shape[1] if self._tokens.apart else 1)

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import series_metrics

        return series_metrics(task, self._freq)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Series] | None:
        """Samples of a Gaussian copula fitted to the items; where something is given, an autoregression's."""
        from .evaluation import series_floor

        return series_floor(items, cond, rng, given, known)

    def protocols(self) -> Mapping[str, Table]:
        """Generated windows as published, and ensembles for given items beside every floor."""
        from .protocols import Floors, Published

        return {"published": Published(), "floors": Floors()}

    def _line(self, encoded: Encoded) -> Conditions:
        """The line that each token's values are measured from, where there is one."""
        if not self._scaling.along:
            return {}
        lines = self._scaling.told(encoder.ahead(encoded.aux["offset"], max(encoded.aux["steps"])))
        lines = np.broadcast_to(lines, (len(lines), max(encoded.aux["steps"]), lines.shape[2]))
        value = self._tokens.cut(torch.from_numpy(lines.astype(np.float32)))
        return {encoder.LINE: Condition(value, torch.ones(len(value), dtype=torch.bool))}

    @property
    def _tokens(self) -> encoder.Tokens:
        return encoder.Tokens(self.patch, self.channels)

    def _longest(self) -> int:
        return self._lengths[-1] if self._lengths else self.window or 0

    def _roles(self) -> Roles:
        columns = self._columns or (None if self.columns is None else tuple(self.columns))
        time = (self.time,) if isinstance(self.time, str) else None if self.time is None else tuple(self.time)
        classes, covariates, static = (tuple(x or ()) for x in (self.classes, self.covariates, self.static))
        return Roles(columns, time, self.series, classes, covariates, static, self.freq, self.first)


def _check(**options: int | None) -> None:
    for name, value in options.items():
        if value is not None and value < 1:
            raise ValueError(f"modality.{name}={value + (name == 'every')}: at least {1 + (name == 'every')}")
