"""Tasks of sound: what of a clip is given. `known` is (T,) bool, True where a sample is given, or a `Band`; or nothing is known,
and spectra are told for each token.

A clip that was read whole from a file, with no window cut, is *open*: what is to be made is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from .clip import Clip
from .known import Band
from .told import MEL, NOISY

OPEN, SOURCE, GAIN = "open", "source_rate", "gain"  # keys of Item.meta
_GAP = 0.005  # seconds of digital silence that are a gap of an open clip


@dataclass(frozen=True)
class Inpaint(Task):
    """A stretch is to be filled; of an open clip every stretch of zeros of at least 5 ms.

    Args:
        share: of the clip that is taken away; None: drawn from 0.1 to 0.5.
    """

    share: float | None = None

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The clip, and what is left of it.

        Raises:
            ValueError: an open clip without a gap.
        """
        steps = len(item.data.samples)
        if item.meta.get(OPEN):
            return item, _sounding(item)
        share = rng.uniform(0.1, 0.5) if self.share is None else self.share
        length = int(np.clip(round(share * steps), 1, max(1, steps - 1)))
        start = int(rng.integers(steps - length + 1))
        return item, (np.arange(steps) < start) | (np.arange(steps) >= start + length)


@dataclass(frozen=True)
class Continue(Task):
    """The end is to be made from what stands before it.

    Args:
        window: seconds of the training clips; behind an open clip half as much is made.
        seconds: to be made instead.
        share: of the clip that is given, where it is not open; None: drawn from 0.2 to 0.8.
    """

    window: float
    seconds: float | None = None
    share: float | None = None

    def sized(self, size: float) -> Continue:
        """With another number of seconds to be made, also more than a training clip has: they are then made window by window.

        Raises:
            ValueError: a size that is not a number above 0.
        """
        if not isinstance(size, (int, float)) or not size > 0:
            raise ValueError(f"size {size}: a continuation takes one number, the seconds to make")
        return replace(self, seconds=float(size))

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The clip, extended where it is open, and its beginning.

        Raises:
            ValueError: a clip that is too short to leave so many seconds to be made.
        """
        clip: Clip = item.data
        steps = len(clip.samples)
        if item.meta.get(OPEN):
            more = round((self.window / 2 if self.seconds is None else self.seconds) * clip.rate)
            samples = np.concatenate([clip.samples, np.zeros((more, clip.channels), np.float32)])
            whole = max(clip.seconds, clip.start + len(samples) / clip.rate)
            return replace(item, data=replace(clip, samples=samples, seconds=whole)), np.arange(steps + more) < steps
        if self.seconds is not None:
            first = steps - round(self.seconds * clip.rate)
            if first < 1:
                raise ValueError(f"{item.key}: {self.seconds} s are to be made, and the clip has {clip.duration:.3g} s")
        else:
            first = max(1, int(steps * (rng.uniform(0.2, 0.8) if self.share is None else self.share)))
        return item, np.arange(steps) < first


@dataclass(frozen=True)
class Widen(Task):
    """Bandwidth extension: what lies above a frequency is to be made.

    Args:
        rate: of the model, Hz.
        hertz: the frequency; None: drawn from 1/8 to 1/2 of the rate's half, and of an open clip half of its file's own rate.
    """

    rate: int
    hertz: float | None = None

    def sized(self, size: float) -> Widen:
        """With another frequency, Hz.

        Raises:
            ValueError: it is not between 0 and half of the rate.
        """
        if not isinstance(size, (int, float)) or not 0 < size < self.rate / 2:
            raise ValueError(f"size {size}: a frequency below {self.rate / 2:g} Hz, above which all is to be made")
        return replace(self, hertz=float(size))

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, Band]:
        """The clip, and the band that is known.

        Raises:
            ValueError: an open clip of the model's rate or more, while no frequency is named.
        """
        if self.hertz is not None:
            return item, Band(2 * self.hertz / self.rate)
        if not item.meta.get(OPEN):
            return item, Band(rng.uniform(0.125, 0.5))
        source = item.meta.get(SOURCE, self.rate)
        if source >= self.rate:
            raise ValueError(
                f"{item.key} has {source} Hz, no less than the model: say with --size above which Hz all is to be made"
            )
        return item, Band(source / self.rate)


@dataclass(frozen=True)
class Vocode(Task):
    """The mel spectrum is told, the waveform is to be made.

    Args:
        told: clip -> (N, C M), the spectrum of each token.
        begun: a beginning of the clip is given too, so that long ones can be made window by window.
    """

    told: Callable[[np.ndarray], np.ndarray]
    begun: bool = False

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray | None]:
        """The clip with its mel spectrum as a condition."""
        posed = replace(item, cond={**item.cond, MEL: self.told(item.data.samples)}, meta={**item.meta, GAIN: 1.0})
        if not self.begun:
            return posed, None
        steps = len(item.data.samples)
        return posed, np.arange(steps) < max(1, int(steps * rng.uniform(0.1, 0.5)))


@dataclass(frozen=True)
class Denoise(Task):
    """A noisy clip is told, the clean one is to be made; white noise, and an open clip is noisy as it is.

    Args:
        told: clip -> (N, C D), the tokens of a noisy clip.
        decibels: least and greatest ratio of clip to noise.
    """

    told: Callable[[np.ndarray], np.ndarray]
    decibels: tuple[float, float] = (0.0, 20.0)

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, None]:
        """The clip with its noisy version as a condition."""
        x = item.data.samples
        if not item.meta.get(OPEN):
            noise = rng.standard_normal(x.shape, np.float32) * np.sqrt(np.mean(x**2))
            x = x + noise * np.float32(10 ** (-rng.uniform(*self.decibels) / 20))
        return replace(item, cond={**item.cond, NOISY: self.told(x)}, meta={**item.meta, GAIN: 1.0}), None


def _sounding(item: Item) -> np.ndarray:
    """Where an open clip is not a stretch of zeros.

    Raises:
        ValueError: it has none, or nothing else.
    """
    silent = ~item.data.samples.any(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(int))).reshape(-1, 2)
    known = np.ones(len(silent), bool)
    for start, stop in edges:
        if stop - start >= _GAP * item.data.rate:
            known[start:stop] = False
    if known.all() or not known.any():
        found = "nothing is missing: silence" if known.all() else "there is only silence; a part of it"
        raise ValueError(f"{item.key}: {found} is to be digital zero for 5 ms where sound is wanted, or use --mask")
    return known
