"""Time itself: how long a step is, which steps are missing, what comes next, and where in day, week and year a step lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_DAY = 86_400 * 10**9  # ns
_MOST_FILLED = 4  # steps for each one that is there; sparser times are taken as irregular
_PERIODS = {"minute": 3_600 * 10**9, "hour": _DAY, "weekday": 7 * _DAY}  # what repeats after so many ns
FEATURES = (*_PERIODS, "day", "year")


def frequency(index: np.ndarray) -> str | None:
    """The length of a step of sorted distinct times, as pandas writes it; None where no regular one fits.

    Fixed lengths (the commonest difference, where all others are multiples of it), business days, and months, quarters and
    years on one day of the month or its last.

    Args:
        index: (T,) datetime64[ns].
    """
    import pandas as pd
    from pandas.tseries.frequencies import to_offset

    if len(index) < 2:
        return None
    steps: Any = np.diff(index.astype(np.int64))
    days = pd.DatetimeIndex(index)
    if (steps % _DAY == 0).all() and steps.min() == _DAY and steps.max() > _DAY and not (days.day_of_week > 4).any():
        return "B"
    lengths, counts = np.unique(steps, return_counts=True)
    usual = int(lengths[counts.argmax()])
    if steps.min() >= 28 * _DAY and len(lengths) > 1:
        return _months(days)
    if (steps % usual == 0).all() and (index[-1] - index[0]).astype(np.int64) // usual <= _MOST_FILLED * len(index):
        return f"{usual // _DAY}D" if usual % _DAY == 0 else str(to_offset(pd.Timedelta(usual, "ns")).freqstr)
    return None


def _months(days: pd.DatetimeIndex) -> str | None:
    first, last = (days.day == 1).all(), days.is_month_end.all()
    if not (first or last) or len(np.unique(days.time)) > 1:
        return None
    number = days.year * 12 + days.month
    length = int(np.gcd.reduce(np.diff(number)))
    return f"{'' if length == 1 else length}{'MS' if first else 'ME'}"


def grid(first: np.datetime64, last: np.datetime64, freq: str) -> np.ndarray:
    """Every step from `first` to `last`, datetime64[ns]."""
    import pandas as pd

    return pd.date_range(first, last, freq=freq).to_numpy("datetime64[ns]")


def later(index: np.ndarray, freq: str | None, steps: int) -> np.ndarray:
    """The times of the next steps; where steps are irregular, each is of the median length.

    Raises:
        ValueError: fewer than two times, and no frequency.
    """
    import pandas as pd

    if freq is not None:
        return pd.date_range(index[-1], periods=steps + 1, freq=freq).to_numpy("datetime64[ns]")[-steps:]
    if len(index) < 2:
        raise ValueError("one date alone does not say how long a step is: set modality.freq")
    length = np.median(np.diff(index.astype(np.int64))).astype(np.int64)
    return index[-1] + (length * np.arange(1, steps + 1)).astype("timedelta64[ns]")


def finer(index: np.ndarray, every: int) -> np.ndarray:
    """`every` - 1 times put between each two."""
    whole = index.astype(np.int64)
    share = np.arange(every) / every
    between = whole[:-1, None] + (np.diff(whole)[:, None] * share).astype(np.int64)
    return np.append(between.ravel(), whole[-1]).astype("datetime64[ns]")


def local(index: np.ndarray, zone: str | None) -> np.ndarray:
    """UTC times as the clocks of a zone show them, datetime64[ns]."""
    import pandas as pd

    if zone is None or zone == "UTC":
        return index
    return pd.DatetimeIndex(index).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy("datetime64[ns]")


def features_for(index: np.ndarray) -> tuple[str, ...]:
    """Which of minute, hour, weekday, day and year a step moves through; longer ones than a period say nothing of it."""
    step = int(np.median(np.diff(index.astype(np.int64)))) if len(index) > 1 else _DAY
    found = [name for name, period in _PERIODS.items() if step < period]
    return (*found, *(["day"] if step < 28 * _DAY else []), "year")


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """The names, where all are of `FEATURES`.

    Raises:
        ValueError: one is not.
    """
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise ValueError(f"modality.calendar: {unknown[0]!r} is no period; choose from {', '.join(FEATURES)}")
    return tuple(names)


def features(index: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Sine and cosine of the place in each period, (..., 2 n) float32.

        sin(2 pi p), cos(2 pi p),  p in [0, 1) the share of the hour, day, week, month or year that has passed

    Args:
        index: datetime64[ns] of any shape, as clocks show it.
        names: of `FEATURES`.
    """
    phases = np.stack([_phase(index, name) for name in names], axis=-1) * (2 * np.pi)
    return np.concatenate([np.sin(phases), np.cos(phases)], axis=-1).astype(np.float32)


def _phase(index: np.ndarray, name: str) -> np.ndarray:
    if name in _PERIODS:
        period = _PERIODS[name]
        offset = 3 * _DAY if name == "weekday" else 0  # 1970-01-01 was a Thursday
        return (index.astype(np.int64) + offset) % period / period
    unit = "M" if name == "day" else "Y"
    begin = index.astype(f"datetime64[{unit}]")
    start, end = (x.astype("datetime64[ns]").astype(np.int64) for x in (begin, begin + 1))
    return (index.astype(np.int64) - start) / (end - start)
