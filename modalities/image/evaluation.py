"""How images are judged: extractors, metrics, and the floor. Samples are uint8 (H, W, C) of one size, C 1 or 3."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ornstein.core.evaluation.extractors import FeatureNetwork, Learned
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.evaluation.standard import class_accuracy, feature_metrics, memorisation, sliced_wasserstein
from ornstein.core.modality import Item, Rng
from torch import Tensor, nn
from torch.nn import functional as F

from .data import to_channels

_FEATURES = 64
_SMALLEST = 4  # side to which the convolutions bring the shorter side of an image
LABEL = "label"


def image_metrics(task: str, labelled: bool) -> tuple[MetricSpec, ...]:
    """What is measured on images of a task.

    Args:
        labelled: whether the training images have a class; the extractor is then a classifier.
    """
    source = CLASSIFIER if labelled else AUTOENCODER
    specs = (
        *feature_metrics(source),
        sliced_wasserstein(scaled, "pixels"),
        *memorisation(scaled, "pixels"),
        *((class_accuracy(source, LABEL),) if labelled else ()),
    )
    return specs if task == "unconditional" else (*specs, *_given_metrics())


def gaussian_floor(items: Sequence[Item], cond: Sequence[Mapping[str, Any]], rng: Rng) -> list[np.ndarray]:
    """Images drawn from a Gaussian with the mean and full covariance of the training pixels, of each class where asked.

        x = mean + (A' z) / sqrt(n - 1),  z standard normal (n,),  A (n, H W C) the centred training images

    The covariance is never formed, so that the size of the images does not matter. Values are rounded and clipped.

    Args:
        items: data uint8 (H, W, C), all of one size; `cond["label"]` a class number, or missing.
        cond: what each image to be drawn was asked for; one without a class comes from all items.

    Raises:
        ValueError: several sizes, or a class without training images.
    """
    pixels = _stack([item.data for item in items])
    labels = np.array([-1 if item.cond.get(LABEL) is None else int(item.cond[LABEL]) for item in items])
    asked = np.array([-1 if c.get(LABEL) is None else int(c[LABEL]) for c in cond])
    drawn = np.empty((len(cond), *pixels.shape[1:]), np.uint8)
    for label in np.unique(asked):
        part = pixels[labels == label] if label >= 0 else pixels
        if not len(part):
            raise ValueError(f"no training image has the class {label} that was asked for")
        rows = part.reshape(len(part), -1).astype(np.float32)
        mean, here = rows.mean(0), np.flatnonzero(asked == label)
        z = rng.standard_normal((len(here), len(rows)), dtype=np.float32)
        values = mean + z @ (rows - mean) / np.float32(max(len(rows) - 1, 1)) ** 0.5
        drawn[here] = values.round().clip(0, 255).reshape(len(here), *pixels.shape[1:])
    return list(drawn)


def scaled(samples: Sequence[np.ndarray]) -> Tensor:
    """Images to (n, C, H, W) float32 in [-1, 1].

    Raises:
        ValueError: not uint8 (H, W, 1 or 3), or several sizes.
    """
    return torch.from_numpy(_stack(samples)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Classifier(FeatureNetwork):
    """Convolutions to a grid of about 4 x 4, a linear layer to 64 features of equal length, a linear layer to the classes.

    The normalised length keeps single odd images from ruling the distances.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        body, channels, grid = _convolutions(shape)
        to_features = nn.Linear(channels * grid[0] * grid[1], _FEATURES)
        norm = nn.LayerNorm(_FEATURES, elementwise_affine=False)
        self.features_of = nn.Sequential(body, nn.Flatten(), nn.Dropout(0.3), to_features, norm)
        self.head = nn.Sequential(nn.SiLU(), nn.Dropout(0.3), nn.Linear(_FEATURES, classes))

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        return self.features_of(x)

    def forward(self, x: Tensor) -> Tensor:
        """(n, K) logits."""
        return self.head(self.features(x))


class Autoencoder(FeatureNetwork):
    """The same convolutions to 64 features, and back by enlarging and convolving."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        body, channels, grid = _convolutions(shape)
        self.shape, self.grid, self.channels = shape, grid, channels
        self.features_of = nn.Sequential(body, nn.Flatten(), nn.Linear(channels * grid[0] * grid[1], _FEATURES))
        self.widen = nn.Linear(_FEATURES, channels * grid[0] * grid[1])
        layers: list[nn.Module] = [nn.SiLU()]
        enlargements = max(0, math.ceil(math.log2(min(shape[1:]) / min(grid))))
        for _ in range(enlargements - 1):
            narrow = max(channels // 2, 12)
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(channels, narrow, 3, padding=1), nn.SiLU()]
            channels = narrow
        last = 2 if enlargements else 1  # the last enlargement is a rearrangement, so that no layer works at full size
        self.rebuild = nn.Sequential(
            *layers, nn.Conv2d(channels, shape[0] * last**2, 3, padding=1), nn.PixelShuffle(last)
        )

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        return self.features_of(x)

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, H, W), the input again."""
        wide = self.widen(self.features(x)).unflatten(1, (self.channels, *self.grid))
        return self.rebuild(wide)[..., : self.shape[1], : self.shape[2]]


def network(shape: tuple[int, ...], classes: int | None) -> FeatureNetwork:
    """A classifier, or an autoencoder where there are no classes."""
    return Autoencoder(shape) if classes is None else Classifier(shape, classes)


def shifted(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each image of a batch (n, C, H, W) moved by up to 1/16 of its sides, at least 1 pixel; edges are continued."""
    n, _, height, width = x.shape
    down, right = max(1, height // 16), max(1, width // 16)
    padded = F.pad(x, (right, right, down, down), mode="replicate")
    rows = torch.randint(2 * down + 1, (n, 1), generator=draw) + torch.arange(height)
    columns = torch.randint(2 * right + 1, (n, 1), generator=draw) + torch.arange(width)
    moved = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (n, H, W, C)
    return moved.permute(0, 3, 1, 2).contiguous()


CLASSIFIER = Learned("classifier", scaled, network, LABEL, shifted, steps=800)
AUTOENCODER = Learned("autoencoder", scaled, network, None, shifted, steps=800)


def _given_metrics() -> tuple[MetricSpec, ...]:
    """For images of which a part was given: closeness to the original elsewhere, and exactness of what was given."""

    def error(candidate: Judged, reference: Judged, context: Context) -> float:
        difference = _difference(candidate, unknown=True)
        return float(np.sqrt(np.square(difference).mean())) if difference.size else 0.0

    def moved(candidate: Judged, reference: Judged, context: Context) -> float:
        return float(np.abs(_difference(candidate, unknown=False)).max(initial=0.0))

    return (
        MetricSpec("error on unknown pixels", "lower", "Root mean square difference from the original, levels 0..255.",
                   error, "task", needs_given=True),
        MetricSpec("change of given pixels", "lower", "Largest difference of a given pixel, grey levels; must be 0.",
                   moved, "task", needs_given=True),
    )  # fmt: skip


def _difference(candidate: Judged, unknown: bool) -> np.ndarray:
    """Sample minus original on the given entries, or on the others, of all samples, flat."""
    parts = [np.zeros(0)]
    for sample, item, known in zip(candidate.samples, candidate.given or (), candidate.known or (), strict=True):
        original = to_channels(item.data, sample.shape[-1])
        if original.shape != sample.shape:
            raise ValueError(f"{item.key}: the given image is {original.shape}, the sample {sample.shape}")
        given = np.zeros(sample.shape[:2], bool) if known is None else np.asarray(known)
        here = ~given if unknown else given
        parts.append((sample.astype(np.float64) - original)[here].ravel())
    return np.concatenate(parts)


def _stack(samples: Sequence[np.ndarray]) -> np.ndarray:
    """(n, H, W, C) uint8."""
    found = {(np.asarray(sample).shape, str(np.asarray(sample).dtype)) for sample in samples}
    if len(found) != 1 or any(len(s) != 3 or s[2] not in (1, 3) or d != "uint8" for s, d in found):
        raise ValueError(
            f"images are compared as uint8 (H, W, C) of one size, C 1 or 3; found {sorted(found)[:4]}: set modality.size"
        )
    return np.stack(samples)


def _convolutions(shape: tuple[int, ...]) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """Strided convolutions for inputs (C, H, W): the layers, and channels and size of what they give."""
    inside, height, width = shape
    out, layers = 24, []
    if min(height, width) <= 2 * _SMALLEST:  # small images keep their size in the first layer
        layers += [nn.Conv2d(inside, out, 3, padding=1), nn.SiLU()]
        inside = out
    while min(height, width) > _SMALLEST:
        layers += [nn.Conv2d(inside, out, 3, stride=2, padding=1), nn.GroupNorm(8, out), nn.SiLU()]
        inside, out = out, min(2 * out, 96)
        height, width = (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(*layers), inside, (height, width)
