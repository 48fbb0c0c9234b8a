"""The networks that judge clips: a classifier of the training labels, or an autoencoder where there are none.

Both hear log-mel spectrograms and are trained on the reference by `core.evaluation.extractors`, seeded and hashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from ornstein.core.evaluation.extractors import FeatureNetwork, Learned
from torch import Tensor, nn
from torch.nn import functional as F

from .clip import Clip
from .hearing import Hearing, decibels, power_of

_FEATURES = 64
_SMALLEST = 6  # bands and frames that convolutions leave


def classifier(hearing: Hearing, label: str, steps: int = 900) -> Learned:
    """A source of classifiers of the condition `label`."""
    return Learned(f"{label} classifier", Inputs(hearing), network, label, Variants(hearing), steps=steps, batch=32)


def autoencoder(hearing: Hearing, steps: int = 800) -> Learned:
    """A source of autoencoders, for clips without labels."""
    return Learned("autoencoder", Inputs(hearing), network, steps=steps, batch=32)


@dataclass(frozen=True)
class Inputs:
    """Clips to what networks are given, (n, M, F) float32: -1 is silence, 1 a sine of full scale."""

    hearing: Hearing

    def __call__(self, clips: Sequence[Clip]) -> Tensor:
        """See the class."""
        return _to_inputs(self.hearing(clips))


@dataclass(frozen=True)
class Variants:
    """Random variants of inputs that leave the label as it is: moved in time, louder or softer, with white noise, with gaps.

    Args:
        shift: largest move, a share of the frames.
        gain: largest change of level, dB.
        noise: levels between which the noise lies, dB of full scale; half of the clips get none.
        gap: largest share of the bands, and of the frames, that is silenced.
    """

    hearing: Hearing
    shift: float = 0.15
    gain: float = 6.0
    noise: tuple[float, float] = (-70.0, -25.0)
    gap: float = 0.15

    def __call__(self, x: Tensor, draw: torch.Generator) -> Tensor:
        """(n, M, F), like the ones that come in."""
        n, _, frames = x.shape

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, 1, 1, generator=draw)

        gain = 10 ** (between(-self.gain, self.gain) / 10)
        level = 10 ** (between(*self.noise) / 10) * (torch.rand(n, 1, 1, generator=draw) < 0.5)
        grain = torch.empty(x.shape).exponential_(generator=draw)  # a band's power of noise is about exponential
        most = round(self.shift * frames)
        moved = moved_in_time(power_of(_to_levels(x)), torch.randint(-most, most + 1, (n,), generator=draw))
        heard = _to_inputs(decibels(moved * gain + level * self.hearing.noise * grain))
        return heard.masked_fill(self._gaps(x, 1, draw) | self._gaps(x, 2, draw), -1.0)

    def _gaps(self, x: Tensor, axis: int, draw: torch.Generator) -> Tensor:
        """A stretch of bands or frames of each clip, as a mask that broadcasts."""
        n, size = len(x), x.shape[axis]
        width = torch.rand(n, 1, generator=draw) * self.gap * size
        start = torch.rand(n, 1, generator=draw) * (size - width)
        at = torch.arange(size)
        return ((at >= start) & (at < start + width)).unsqueeze(3 - axis)


def moved_in_time(power: Tensor, by: Tensor) -> Tensor:
    """Each (M, F) of (n, M, F) later by its number of frames (n,), earlier where negative; silence comes in."""
    frames = power.shape[2]
    source = torch.arange(frames) - by[:, None]
    inside = (source >= 0) & (source < frames)
    taken = power.gather(2, source.clamp(0, frames - 1)[:, None].expand_as(power))
    return taken * inside[:, None]


class Classifier(FeatureNetwork):
    """Convolutions, the mean and largest value over time, a linear layer to 64 features of equal length, one to the classes.

    The normalised length keeps single odd clips from ruling the distances.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.body, channels, grid = _convolutions(shape)
        norm = nn.LayerNorm(_FEATURES, elementwise_affine=False)
        self.features_of = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * channels * grid[0], _FEATURES), norm)
        self.head = nn.Sequential(nn.SiLU(), nn.Dropout(0.3), nn.Linear(_FEATURES, classes))

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        maps = self.body(x[:, None])  # (n, channels, bands, frames)
        return self.features_of(torch.cat([maps.mean(3), maps.amax(3)], 1).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, K) logits."""
        return self.head(self.features(x))


class Autoencoder(FeatureNetwork):
    """The same convolutions to 64 features, and back by a linear layer, enlarging and convolving."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.body, self.channels, self.grid = _convolutions(shape)
        size = self.channels * math.prod(self.grid)
        self.features_of, self.widen = nn.Linear(size, _FEATURES), nn.Linear(_FEATURES, size)
        self.rebuild = nn.Sequential(nn.SiLU(), nn.Conv2d(self.channels, 32, 3, padding=1), nn.SiLU())
        self.last = nn.Sequential(nn.Conv2d(32, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 1, 3, padding=1))

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        return self.features_of(self.body(x[:, None]).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, M, F), the input again."""
        maps = self.rebuild(self.widen(self.features(x)).unflatten(1, (self.channels, *self.grid)))
        return self.last(F.interpolate(maps, self.shape, mode="bilinear"))[:, 0]


def network(shape: tuple[int, ...], classes: int | None) -> FeatureNetwork:
    """A classifier, or an autoencoder where there are no classes."""
    return Autoencoder(shape) if classes is None else Classifier(shape, classes)


def _convolutions(shape: tuple[int, ...]) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """Strided convolutions for (n, 1, M, F): the layers, and channels and size of what they give."""
    inside, out = 1, 24
    bands, frames = shape
    layers: list[nn.Module] = []
    while max(bands, frames) > _SMALLEST and out <= 96:
        step = (1 + (bands > _SMALLEST), 1 + (frames > _SMALLEST))
        layers += [nn.Conv2d(inside, out, 3, stride=step, padding=1), nn.GroupNorm(8, out), nn.SiLU()]
        inside, out = out, out * 2
        bands, frames = -(-bands // step[0]), -(-frames // step[1])
    return nn.Sequential(*layers), inside, (bands, frames)


def _to_inputs(levels: Tensor) -> Tensor:
    return levels / 40 + 1


def _to_levels(x: Tensor) -> Tensor:
    return (x - 1) * 40
