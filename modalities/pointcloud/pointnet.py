"""A small PointNet, trained on the training shapes: the features behind the Fréchet distance and the class agreement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from ornstein.core.evaluation.extractors import FeatureNetwork, Learned
from torch import Tensor, nn

from .cloud import Cloud
from .reading import LABEL

POINTS = 256  # that the network sees of a shape, the first ones
_FEATURES = 64
_REBUILT = 128  # points that the autoencoder gives back


def seen(samples: Sequence[Cloud]) -> Tensor:
    """(n, 256, 3) float32: the first points, in their unit; a shape of fewer has them again, which a maximum does not notice."""
    rows = [cloud.points[np.resize(np.arange(cloud.size), POINTS)] for cloud in samples]
    return torch.from_numpy(np.stack(rows)).float()


class _Body(nn.Module):
    """Points (n, P, 3) to features (n, 64) that do not depend on their order.

    The same layers for each point, then the maximum over points. The training shapes' mean and spread of each axis are taken off
    first, so that the unit of the files does not matter, while a sample of a wrong size or in a wrong place is noticed. Features
    are of equal length, which keeps single odd shapes from ruling the distances.

    Source: Qi et al. 2017, arXiv:1612.00593, without its transforms.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, affine=False, momentum=0.05)
        widths = (3, 32, 64, 128)
        layers: list[nn.Module] = []
        for inside, out in pairwise(widths):
            layers += [nn.Linear(inside, out), nn.LayerNorm(out), nn.SiLU()]
        self.points = nn.Sequential(*layers)
        self.top = nn.Sequential(nn.Linear(128, _FEATURES), nn.LayerNorm(_FEATURES, elementwise_affine=False))

    def forward(self, x: Tensor) -> Tensor:
        scaled = self.norm(x.flatten(0, 1)).view_as(x)
        return self.top(self.points(scaled).amax(1))


class Classifier(FeatureNetwork):
    """Features, and a linear layer to the classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = _Body()
        self.head = nn.Sequential(nn.SiLU(), nn.Dropout(0.3), nn.Linear(_FEATURES, classes))

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(n, K) logits."""
        return self.head(self.features(x))


class Autoencoder(FeatureNetwork):
    """Features, and from them 128 points; each point of the input is answered by the nearest of these.

    So the error is that of describing a shape by 128 points, one way of the Chamfer distance; order plays no part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = _Body()
        self.rebuild = nn.Sequential(nn.SiLU(), nn.Linear(_FEATURES, 256), nn.SiLU(), nn.Linear(256, 3 * _REBUILT))

    def features(self, x: Tensor) -> Tensor:
        """(n, 64)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(n, P, 3): for each point of the input the nearest of those rebuilt."""
        rebuilt = self.rebuild(self.features(x)).unflatten(1, (_REBUILT, 3))
        mean, variance = self.body.norm.running_mean, self.body.norm.running_var
        assert mean is not None and variance is not None  # noqa: PT018 - for the types
        rebuilt = rebuilt * variance.sqrt() + mean
        nearest = torch.cdist(x, rebuilt.detach()).argmin(2)  # (n, P)
        return rebuilt.gather(1, nearest[..., None].expand(-1, -1, 3))


def network(shape: tuple[int, ...], classes: int | None) -> FeatureNetwork:
    """A classifier, or an autoencoder where there are no classes."""
    return Autoencoder() if classes is None else Classifier(classes)


CLASSIFIER = Learned("PointNet classifier", seen, network, LABEL, steps=500, batch=32)
AUTOENCODER = Learned("PointNet autoencoder", seen, network, None, steps=500, batch=32)
