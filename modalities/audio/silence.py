"""What is worth telling of the clips to train on: silence, overdriven ones, classes of one example."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from ornstein.core.modality import Item

FRAME = 0.02  # seconds over which loudness is taken
FLOOR = 1e-3  # root mean square of full scale: -60 dB


def silence(samples: np.ndarray, rate: int) -> float:
    """Share of frames of 20 ms whose root mean square over time and channels is below -60 dB of full scale; 1: all silent.

    The mean of each channel, which cannot be heard, is taken off first.
    """
    edges = np.arange(0, len(samples), max(1, round(FRAME * rate)))
    power = np.add.reduceat(np.square(samples - samples.mean(0, dtype=np.float64)).mean(1), edges)
    counts = np.diff(np.append(edges, len(samples)))
    return float((power < FLOOR**2 * counts).mean())


def report(items: Sequence[Item]) -> None:
    """Warn once of each thing that training clips are better without.

    Raises:
        ValueError: every clip is silent throughout.
    """
    silent = [item.key for item in items if silence(item.data.samples, item.data.rate) == 1]
    if items and len(silent) == len(items):
        raise ValueError(f"all {len(items):,} training clips are silent (below -60 dB of full scale): {_first(silent)}")
    beyond = [item.key for item in items if np.abs(item.data.samples).max() > 1]
    _tell(silent, len(items), "training clips are silent throughout (below -60 dB of full scale)")
    _tell(beyond, len(items), "training clips have values beyond full scale, which are kept")
    for name in sorted({name for item in items for name in item.cond}):
        words = Counter(item.cond[name] for item in items if isinstance(item.cond.get(name), str))
        single = [str(word) for word, count in words.items() if count == 1]
        if len(single) < len(words):  # where every item has its own they are names or captions
            _tell(single, len(words), f"classes of {name!r} have a single training example")


def _tell(found: Sequence[str], total: int, what: str) -> None:
    if found:
        warnings.warn(f"{len(found):,} of {total:,} {what}: {_first(found)}", stacklevel=4)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
