"""Samples to files: every sample whole, and where parts were given, the ensembles of what was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core.checkpoint import write_aside

from .encoder import stack
from .series import Series

if TYPE_CHECKING:
    import pandas as pd

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))


def save(samples: Sequence[Series], folder: Path) -> list[Path]:
    """Write the samples into a folder; each file aside and renamed.

    `samples.csv` holds them one below the other with the column `sample`, `samples.npz` the arrays `values` (n, T, K), NaN
    behind the end of a shorter one, `known`, `columns` and `names`. Where something was given, `forecast.csv` and
    `forecast.parquet` hold, for each item, step and channel that was made, mean and quantiles over the item's samples.
    """
    if not samples:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_aside(folder / "samples.csv", lambda path: _csv(_long(samples), path))]
    arrays: dict[str, Any] = {
        "values": stack([s.values for s in samples], np.nan),
        "known": stack([known_of(s) for s in samples], False),
        "columns": np.array(samples[0].columns),
        "names": np.array([s.name for s in samples]),
    }

    def save_arrays(path: Path) -> None:
        with path.open("wb") as handle:
            np.savez_compressed(handle, **arrays)

    paths.append(_aside(folder / "samples.npz", save_arrays))
    made = ensembles(samples)
    if made is not None:
        paths.append(_aside(folder / "forecast.csv", lambda path: _csv(made, path)))
        paths.append(_aside(folder / "forecast.parquet", lambda path: made.to_parquet(path, index=False)))
    return paths


def ensembles(samples: Sequence[Series]) -> pd.DataFrame | None:
    """Item, time or step, channel, mean, and the quantiles q05 to q95 of each entry that was made; None: nothing was given."""
    import pandas as pd

    by_item: dict[str, list[Series]] = {}
    for sample in samples:
        if sample.known is not None:
            by_item.setdefault(sample.name, []).append(sample)
    parts = []
    for name, members in by_item.items():
        first = members[0]
        values = np.stack([m.values for m in members])
        step, channel = np.nonzero(~known_of(first))
        made = values[:, step, channel]
        table = {"item": name, "step": step} | ({} if first.index is None else {"time": _times(first)[step]})
        table |= {"column": np.array(first.columns, dtype=object)[channel], "mean": made.mean(0)}
        quantiles = np.quantile(made, LEVELS, axis=0)
        table |= {f"q{round(100 * level):02d}": q for level, q in zip(LEVELS, quantiles, strict=True)}
        parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True) if parts else None


def known_of(sample: Series) -> np.ndarray:
    """(T, K) bool, which values were given."""
    return np.zeros(sample.values.shape, bool) if sample.known is None else sample.known


def _long(samples: Sequence[Series]) -> pd.DataFrame:
    import pandas as pd

    lengths = [s.steps for s in samples]
    table: dict[str, object] = {"sample": np.repeat(np.arange(len(samples)), lengths)}
    if all(s.index is not None for s in samples):
        table["time"] = np.concatenate([_times(s) for s in samples])
    values = np.concatenate([s.values for s in samples])
    return pd.DataFrame(table | {name: values[:, k] for k, name in enumerate(samples[0].columns)})


def _times(series: Series) -> np.ndarray:
    """Times for a file: datetime64, or text with the offset where there is a zone."""
    import pandas as pd

    index = series.index
    if index is None:
        raise ValueError(f"{series.name} has no dates")
    if series.zone is None:
        return index
    days = pd.DatetimeIndex(index).tz_localize("UTC").tz_convert(series.zone)
    return np.array([time.isoformat() for time in days], dtype=object)


def _csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False)  # floats in full: what was given stays exact


def _aside(path: Path, write: Callable[[Path], None]) -> Path:
    write_aside(path, write)
    return path
