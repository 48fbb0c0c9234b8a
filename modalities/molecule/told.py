"""What a model of molecules can be told: properties, as numbers in the units of the file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ornstein.core.conditioning.columns import Columns
from ornstein.core.modality import Item
from ornstein.core.state import Conditions


def columns(names: Sequence[str], values: np.ndarray) -> Columns:
    """The conditions; `values` (n, P) of the training molecules give mean and spread, NaN where one has none."""
    mean, spread = np.nanmean(values, 0), np.nanstd(values, 0)
    return Columns(numbers={name: (float(m), float(s) or 1.0) for name, m, s in zip(names, mean, spread, strict=True)})


def table(items: Sequence[Item], names: Sequence[str]) -> np.ndarray:
    """(n, P) properties of items, NaN where one has none.

    Raises:
        ValueError: a property that no item has.
    """
    values = np.array([[item.cond.get(name, np.nan) for name in names] for item in items], np.float64)
    lacking = [name for name, column in zip(names, values.T, strict=True) if np.isnan(column).all()]
    if lacking:
        raise ValueError(f"no training molecule has a value of {', '.join(lacking)}: see modality.properties")
    return values


def asked(cond: Conditions, names: Sequence[str], n: int) -> np.ndarray:
    """(n, P) values that are asked for, NaN where none is."""
    out = np.full((n, len(names)), np.nan)
    for k, name in enumerate(names):
        if name in cond:
            c = cond[name]
            out[:, k] = np.where(c.present.cpu().numpy(), c.value.double().cpu().numpy(), np.nan)
    return out
