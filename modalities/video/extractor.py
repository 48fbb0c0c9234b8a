"""The networks that judge clips, trained on the reference itself: what is shown, and where it is and how it moves.

Where clips have a label, a classifier of it learns what is shown; it does not care where. An autoencoder learns the rest.
Features are those of both, side by side. Nothing depends on the order of the clips: networks are trained and asked in the order
of hashes of what clips hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.evaluation.extractors import FeatureNetwork, Learned, LearnedExtractor, digest
from ornstein.core.evaluation.spec import Extractor, ExtractorSource, Judged, Track
from torch import Tensor, nn
from torch.nn import functional as F

from .clip import Clip

_FEATURES = 64
_LARGEST = 64  # pixels of the shorter side that networks see
_COARSE = 16  # pixels of the shorter side that the autoencoder sees
_STRETCH = 4  # frames by which the classifier is trained


@dataclass(frozen=True)
class Inputs:
    """Clips to what networks see, (n, C, frames, h, w) float32 in [-1, 1]; large frames are made smaller, to 64 pixels.

    Args:
        frames: how many; of a longer clip the last ones, where the errors of a long clip gather.

    Raises:
        ValueError: shorter clips, or frames of several sizes.
    """

    frames: int

    def __call__(self, clips: Sequence[Clip]) -> Tensor:
        """See the class."""
        return torch.cat([resized(part, _small(part)) for part in map(self._one, _alike(clips))]) * 2 - 1

    def _one(self, clip: Clip) -> Tensor:
        if clip.shape[0] < self.frames:
            raise ValueError(f"{clip.name or 'a clip'} has {clip.shape[0]} frames, and {self.frames} are judged")
        return batch([clip.frames[-self.frames :]])


def batch(frames: Sequence[np.ndarray]) -> Tensor:
    """n arrays (T, H, W, C) of levels 0 to 255 of one shape -> (n, C, T, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(frames)).permute(0, 4, 1, 2, 3).float() / 255


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, C, T, H, W) with frames of another size (h, w): bilinear, with the filter widened where frames become smaller."""
    if x.shape[3:] == size:
        return x
    n, frames = len(x), x.shape[2]
    flat = x.transpose(1, 2).flatten(0, 1)
    return F.interpolate(flat, size, mode="bilinear", antialias=True).unflatten(0, (n, frames)).transpose(1, 2)


def content(clip: Clip) -> str:
    """16 hexadecimal digits that name the frames of a clip and their rate."""
    return digest(f"{clip.shape} {clip.fps}".encode(), np.ascontiguousarray(clip.frames).tobytes())


def by_content(clips: Sequence[Clip]) -> list[int]:
    """The numbers of the clips in the order of the hashes of what they hold."""
    hashes = [content(clip) for clip in clips]
    return sorted(range(len(clips)), key=hashes.__getitem__)


def in_order(clips: Sequence[Clip], compute: Callable[[Sequence[Clip]], Tensor]) -> Tensor:
    """Rows of the clips, worked out in the order of `by_content`, so that batches do not depend on the order they come in."""
    order = by_content(clips)
    rows = compute([clips[i] for i in order])
    return rows[torch.tensor(order).argsort()]


@dataclass(frozen=True)
class Watching(ExtractorSource):
    """A classifier of a label, where there is one, and an autoencoder.

    Args:
        frames: of a clip that the networks see; 1: still pictures.
        label: condition with the class numbers; None: the autoencoder alone.
        steps: optimiser steps of each.
    """

    frames: int
    label: str | None = None
    steps: int = 800

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Watched:
        """Train both on the training clips."""
        train = train.take(by_content(train.samples))
        inputs, of = Inputs(self.frames), "clips" if self.frames > 1 else "frames"
        sources = [Learned(f"autoencoder of {of}", inputs, network, steps=self.steps, batch=32)]
        if self.label is not None:
            sources.insert(
                0,
                Learned(f"{self.label} classifier of {of}", inputs, network, self.label, shifted, self.steps, batch=32),
            )
        return Watched([source.fit(train, held_out, seed=seed, device=device, track=track) for source in sources])


class Watched(Extractor):
    """Features of all its networks, side by side, and the classes of the first."""

    def __init__(self, networks: Sequence[LearnedExtractor]) -> None:
        self.networks = networks
        self.name = " and ".join(each.name for each in networks)
        self.hash = digest(*(each.hash.encode() for each in networks))
        self.facts = {f"{key}, {each.name}": value for each in networks for key, value in each.facts.items()}

    def embed(self, samples: Sequence[Clip]) -> Tensor:
        """(n, D) float64."""
        return in_order(samples, lambda clips: torch.cat([each.embed(clips) for each in self.networks], 1))

    def log_probs(self, samples: Sequence[Clip]) -> Tensor:
        """(n, K) log-probabilities of the classes, float64."""
        return in_order(samples, self.networks[0].log_probs)


class Classifier(FeatureNetwork):
    """Convolutions of each frame, pooled over place; convolutions over time, pooled over time; 64 features of equal length.

    It is trained on stretches of four frames, so frames of any number have features.

    Source: convolutions of space and of time by turns as in Tran et al. 2018, arXiv:1711.11248.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.body, channels = _convolutions(shape)
        self.of_frame = nn.Sequential(nn.Linear(2 * channels, _FEATURES), nn.SiLU())
        self.over_time = nn.Sequential(
            nn.Conv1d(_FEATURES, _FEATURES, 3, padding=1, padding_mode="replicate"), nn.SiLU()
        )
        self.last = nn.Sequential(nn.Linear(_FEATURES, _FEATURES), nn.LayerNorm(_FEATURES, elementwise_affine=False))
        self.head = nn.Sequential(nn.SiLU(), nn.Dropout(0.1), nn.Linear(_FEATURES, classes))

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        n, frames = len(x), x.shape[2]
        maps = self.body(x.transpose(1, 2).flatten(0, 1))  # (n T, channels, h, w)
        pooled = self.of_frame(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)).unflatten(0, (n, frames))
        return self.last((pooled + self.over_time(pooled.transpose(1, 2)).transpose(1, 2)).mean(1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, K) logits."""
        if self.training and x.shape[2] > _STRETCH:
            start = int(torch.randint(x.shape[2] - _STRETCH + 1, ()))
            x = x[:, :, start : start + _STRETCH]
        return self.head(self.features(x))


class Autoencoder(FeatureNetwork):
    """All frames of a clip at 16 pixels to 64 features and back, both linear: the directions in which clips differ most.

    It begins as a projection on 64 random directions. A linear code keeps where things are in every frame, and with it how they
    move; nets of convolutions learn that much later from clips that are mostly background.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        factor = min(1.0, _COARSE / min(shape[2:]))
        self.coarse = max(1, round(shape[2] * factor)), max(1, round(shape[3] * factor))
        size = math.prod(shape[:2]) * math.prod(self.coarse)
        self.features_of, self.widen = nn.Linear(size, _FEATURES), nn.Linear(_FEATURES, size)
        nn.init.orthogonal_(self.features_of.weight)
        self.widen.weight.data = self.features_of.weight.data.T.clone()

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        return self.features_of(F.adaptive_avg_pool2d(x.flatten(1, 2), self.coarse).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, T, H, W), the input again, as far as 16 pixels show it."""
        frames = self.widen(self.features(x)).unflatten(1, (-1, *self.coarse))
        return F.interpolate(frames, x.shape[3:], mode="bilinear").view(x.shape)


def network(shape: tuple[int, ...], classes: int | None) -> FeatureNetwork:
    """A classifier, or an autoencoder where there are no classes."""
    return Autoencoder(shape) if classes is None else Classifier(shape, classes)


def shifted(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each clip of a batch (n, C, T, H, W) moved by up to 1/16 of its sides, at least 1 pixel; edges are continued."""
    n, _, _, height, width = x.shape
    down, right = max(1, height // 16), max(1, width // 16)
    padded = F.pad(x.flatten(1, 2), (right, right, down, down), mode="replicate")
    rows = torch.randint(2 * down + 1, (n, 1), generator=draw) + torch.arange(height)
    columns = torch.randint(2 * right + 1, (n, 1), generator=draw) + torch.arange(width)
    moved = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (n, H, W, C T)
    return moved.permute(0, 3, 1, 2).reshape(x.shape)


def _convolutions(shape: tuple[int, ...]) -> tuple[nn.Sequential, int]:
    """Convolutions of frames (C, H, W), down to about 4 pixels: the layers, and channels of what they give."""
    inside, out, side = shape[0], 16, min(shape[2:])
    layers: list[nn.Module] = []

    def add(out: int, stride: int) -> None:
        nonlocal inside
        layers.extend([nn.Conv2d(inside, out, 3, stride, padding=1), nn.GroupNorm(8, out), nn.SiLU()])
        inside = out

    while side > 8:
        add(out, 2)
        out, side = min(2 * out, 64), -(-side // 2)
    add(64, 1)
    add(64, 2 if side > 4 else 1)
    return nn.Sequential(*layers), inside


def _small(x: Tensor) -> tuple[int, int]:
    """The size of frames that networks see."""
    height, width = x.shape[3:]
    factor = min(1.0, _LARGEST / min(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _alike(clips: Sequence[Clip]) -> Sequence[Clip]:
    """The clips.

    Raises:
        ValueError: none, or frames of several sizes.
    """
    sizes = sorted({clip.shape[1:] for clip in clips})
    if len(sizes) != 1:
        raise ValueError(f"clips are compared by frames of one size (H, W, C); found {sizes[:4] or 'no clip'}")
    return clips
