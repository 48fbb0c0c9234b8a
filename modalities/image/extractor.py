"""The networks that judge images, trained on the training images themselves, and what they and distances of pixels see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.evaluation.extractors import FeatureNetwork, Learned
from torch import Tensor, nn
from torch.nn import functional as F

from .channels import CHANNELS

STEPS = 800  # of the optimiser
_FEATURES = 64
_TEXTURES = 24  # channels of the first convolution
_LARGEST = 64  # pixels of the shorter side that networks see
_SMALLEST = 4  # side to which the convolutions bring the shorter side of an image


@dataclass(frozen=True)
class Inputs:
    """Images to (n, C, h, w) float32 in [-1, 1]; large ones are made smaller, to 64 pixels of the shorter side.

    Args:
        side: images of any sizes are brought to a square of this side, or of 64 where that is less; None: all have one size.

    Raises:
        ValueError: not uint8 (H, W, C) with C 1, 3 or 4; several sizes without a side; several C.
    """

    side: int | None = None

    def __call__(self, samples: Sequence[np.ndarray]) -> Tensor:
        """See the class."""
        shapes = {checked(sample).shape if self.side is None else checked(sample).shape[-1:] for sample in samples}
        if len(shapes) != 1:
            raise ValueError(
                f"images are compared by one size (H, W, C); found {sorted(shapes)[:4]}: set modality.size"
            )
        return self._seen(np.stack(samples)) if self.side is None else torch.cat([self._seen(s[None]) for s in samples])

    def _seen(self, pixels: np.ndarray) -> Tensor:
        """(n, H, W, C) levels -> (n, C, h, w)."""
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        height, width = x.shape[2:]
        factor = min(1.0, _LARGEST / min(height, width))
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        if self.side is not None:
            size = (min(self.side, _LARGEST),) * 2
        return x if (height, width) == size else F.interpolate(x, size, mode="bilinear", antialias=True)


def checked(sample: np.ndarray) -> np.ndarray:
    """The image.

    Raises:
        ValueError: not uint8 (H, W, C) with C 1, 3 or 4.
    """
    sample = np.asarray(sample)
    if sample.ndim != 3 or sample.shape[2] not in CHANNELS or sample.dtype != np.uint8:
        raise ValueError(f"an image is uint8 (H, W, C) with C 1, 3 or 4; found {sample.dtype} {sample.shape}")
    return sample


def judge(label: str | None, side: int | None = None) -> Learned:
    """A classifier of a label, or where there is none an autoencoder.

    Args:
        side: as of `Inputs`.
    """
    name = "autoencoder" if label is None else "classifier"
    return Learned(name, Inputs(side), network, label, shifted, steps=STEPS)


class Texture(nn.Module):
    """How strongly a convolution answers anywhere: (n, 24) logarithms of standard deviations over the image.

    They are brought to variance 1/4 over the training images. A network that is trained to know classes, or to rebuild, learns to
    overlook noise and blur; these do not.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.seen = [convolution]  # a list: its weights belong to the network
        self.norm = nn.BatchNorm1d(_TEXTURES, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, h, w) -> (n, 24)."""
        deviation = self.seen[0](x).flatten(2).std(2, correction=0)
        return self.norm((deviation + 0.01).log()) / 2  # 0.01 is about a level


class Classifier(FeatureNetwork):
    """Convolutions to a grid of about 4 x 4, a linear layer to 64 features of equal length, a linear layer to the classes.

    The normalised length keeps single odd images from ruling the distances. Beside them stand 24 features of texture.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        body, channels, grid = _convolutions(shape)
        to_features = nn.Linear(channels * grid[0] * grid[1], _FEATURES)
        norm = nn.LayerNorm(_FEATURES, elementwise_affine=False)
        self.features_of = nn.Sequential(body, nn.Flatten(), nn.Dropout(0.3), to_features, norm)
        self.texture = Texture(body[0])
        self.head = nn.Sequential(nn.SiLU(), nn.Dropout(0.3), nn.Linear(_FEATURES, classes))

    def features(self, x: Tensor) -> Tensor:
        """(n, 88)."""
        return torch.cat([self.features_of(x), self.texture(x)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, K) logits."""
        return self.head(self.features(x)[:, :_FEATURES])


class Autoencoder(FeatureNetwork):
    """The same convolutions to 64 features of unit variance in all, and back by enlarging and convolving; and 24 of texture."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        body, channels, grid = _convolutions(shape)
        self.shape, self.grid, self.channels = shape, grid, channels
        self.features_of = nn.Sequential(body, nn.Flatten(), nn.Linear(channels * grid[0] * grid[1], _FEATURES))
        self.norm, self.texture = nn.BatchNorm1d(1, affine=False), Texture(body[0])
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
        """(n, 88)."""
        code = self.norm(self.features_of(x).view(-1, 1)).view(-1, _FEATURES)
        return torch.cat([code, self.texture(x)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, H, W), the input again."""
        wide = self.widen(self.features(x)[:, :_FEATURES]).unflatten(1, (self.channels, *self.grid))
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


def _convolutions(shape: tuple[int, ...]) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """Strided convolutions for inputs (C, H, W): the layers, and channels and size of what they give."""
    inside, height, width = shape
    out, layers = _TEXTURES, []
    if min(height, width) <= 2 * _SMALLEST:  # small images keep their size in the first layer
        layers += [nn.Conv2d(inside, out, 3, padding=1), nn.SiLU()]
        inside = out
    while min(height, width) > _SMALLEST:
        layers += [nn.Conv2d(inside, out, 3, stride=2, padding=1), nn.GroupNorm(8, out), nn.SiLU()]
        inside, out = out, min(2 * out, 96)
        height, width = (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(*layers), inside, (height, width)
