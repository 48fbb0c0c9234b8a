"""The default extractor: a small network trained on the reference itself, seeded and hashed; nothing is downloaded."""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..modality import Sample
from ..rng import key
from .spec import Extractor, ExtractorSource, Judged, Track

_BATCH = 256  # samples embedded at once

Inputs = Callable[[Sequence[Sample]], Tensor]


class FeatureNetwork(nn.Module, ABC):
    """What `Learned` trains: `forward` maps (n, *S) to (n, K) logits, or to (n, *S) where it rebuilds its input."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """(n, D) features of inputs (n, *S)."""


@dataclass(frozen=True)
class Learned(ExtractorSource):
    """A classifier of the reference's labels, or where there are none an autoencoder of it.

    Args:
        name: what a report calls it.
        inputs: samples -> (n, *S) float32 of order 1.
        network: (S, number of classes or None) -> an untrained `FeatureNetwork`.
        label: condition with the class numbers; None trains an autoencoder.
        augment: (inputs, generator) -> a random variant of them, of equal shape.
        steps: optimiser steps; batch: samples in each; rate: the highest learning rate of the one-cycle plan.
    """

    name: str
    inputs: Inputs
    network: Callable[[tuple[int, ...], int | None], FeatureNetwork]
    label: str | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    steps: int = 600
    batch: int = 64
    rate: float = 2e-3

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> LearnedExtractor:
        """Train on the training items; the held-out ones only give the printed accuracy or error."""
        x, y = self._labelled(train)
        started = time.perf_counter()
        network = train_network(self, x, y, seed, device, track(f"training the {self.name} extractor", self.steps))
        extractor = LearnedExtractor(self, network, x, y)
        return extractor.with_facts(*self._labelled(held_out), seconds=time.perf_counter() - started)

    def _labelled(self, judged: Judged) -> tuple[Tensor, Tensor | None]:
        if self.label is None:
            return judged.rows(f"inputs {self.name}", self.inputs), None
        index = [i for i, cond in enumerate(judged.cond) if cond.get(self.label) is not None]
        labels = torch.tensor([int(judged.cond[i][self.label]) for i in index])
        if len(labels.unique()) < 2:
            raise ValueError(
                f"{len(index)} of {len(judged)} items have a {self.label}, of {len(labels.unique())} classes: the "
                f"{self.name} extractor needs at least 2 among the training and among the held-out items"
            )
        return judged.rows(f"inputs {self.name}", self.inputs)[index], labels


class LearnedExtractor(Extractor):
    """A trained network; its features are centred and scaled to unit mean variance on the training inputs."""

    def __init__(self, source: Learned, network: FeatureNetwork, x: Tensor, y: Tensor | None) -> None:
        self.name, self.source = source.name, source
        self.network = network.eval().requires_grad_(False)
        raw = self._run(self.network.features, x)
        self.mean = raw.mean(0)
        self.scale = float(raw.var(0).mean().sqrt().clamp(min=1e-12))
        labels = b"" if y is None else y.numpy().tobytes()
        self.data_hash = digest(x.numpy().tobytes(), labels)
        self.hash = digest(self.data_hash.encode(), *_weights(self.network))
        self.facts: dict[str, Any] = {}

    def embed(self, samples: Sequence[Sample]) -> Tensor:
        """(n, D) float64."""
        return (self._run(self.network.features, self.source.inputs(samples)) - self.mean) / self.scale

    def log_probs(self, samples: Sequence[Sample]) -> Tensor:
        """(n, K) log-probabilities of the classes, float64."""
        if self.source.label is None:
            return super().log_probs(samples)
        return self._run(self.network, self.source.inputs(samples)).log_softmax(1)

    def with_facts(self, x: Tensor, y: Tensor | None, seconds: float) -> LearnedExtractor:
        """The extractor, after judging it on held-out inputs."""
        output = self._run(self.network, x)
        self.facts = {
            "trained as": "classifier" if y is not None else "autoencoder",
            "features": len(self.mean),
            "weights": sum(p.numel() for p in self.network.parameters()),
            "training items": self.data_hash,
            "threads": torch.get_num_threads(),
            "seconds": round(seconds, 1),
        }
        if y is not None:
            self.facts["accuracy on held-out items"] = float((output.argmax(1) == y).double().mean())
        else:
            error = (output - x).square().mean() / (x.double() - x.double().mean(0)).square().mean()
            self.facts["unexplained variance on held-out items"] = float(error)
        return self

    @torch.inference_mode()
    def _run(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        return torch.cat([function(part.to(device)).cpu() for part in x.split(_BATCH)]).double()


def train_network(
    source: Learned, x: Tensor, y: Tensor | None, seed: int, device: str, advance: Callable[[], None]
) -> FeatureNetwork:
    """Train source.network on inputs x (n, *S) and, for a classifier, class numbers y (n,).

    Everything random comes from the seed: weights, batches, augmentation. The global generator is left as it was.
    """
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"the inputs of the {source.name} extractor hold non-finite values")
    on = torch.device(device)
    with torch.random.fork_rng(devices=[on] if on.type == "cuda" else []):  # weights and dropout draw from these
        torch.manual_seed(key(seed, "extractor", source.name) >> 1)
        network = source.network(tuple(x.shape[1:]), None if y is None else int(y.max()) + 1).to(on).train()
        draw = torch.Generator().manual_seed(key(seed, "extractor batches", source.name) >> 1)
        optimizer = torch.optim.AdamW(network.parameters(), lr=source.rate, weight_decay=0.05)
        plan = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _one_cycle((step + 1) / (source.steps + 1)))
        for _ in range(source.steps):
            rows = torch.randint(len(x), (min(source.batch, len(x)),), generator=draw)
            part = (x[rows] if source.augment is None else source.augment(x[rows], draw)).to(on)
            output = network(part)
            loss = F.mse_loss(output, part) if y is None else F.cross_entropy(output, y[rows].to(on))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            plan.step()
            advance()
    return network


def digest(*parts: bytes) -> str:
    """16 hexadecimal digits of the SHA-256 of some bytes; where one part ends and the next begins counts."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little") + part)
    return sha.hexdigest()[:16]


def fingerprint(samples: Sequence[Sample]) -> str:
    """A hash of what the samples hold: arrays and tensors by dtype, shape and bytes, containers by their parts."""
    return digest(*(part for sample in samples for part in _content(sample)))


def _content(value: Any) -> list[bytes]:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [f"{value.dtype} {value.shape}".encode(), np.ascontiguousarray(value).tobytes()]
    if isinstance(value, dict):
        return [part for name in sorted(value) for part in (str(name).encode(), *_content(value[name]))]
    if isinstance(value, list | tuple | np.ndarray):
        return [str(len(value)).encode(), *(part for entry in value for part in _content(entry))]
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return [repr(value).encode()]
    if hasattr(value, "__dict__"):
        return [type(value).__name__.encode(), *_content(vars(value))]
    raise ValueError(f"a sample holds a {type(value).__name__}, which cannot be hashed: use arrays or plain data")


def _weights(network: nn.Module) -> list[bytes]:
    return [
        part for name, value in sorted(network.state_dict().items()) for part in (name.encode(), *_content(value.cpu()))
    ]


def _one_cycle(done: float) -> float:
    """Factor of the learning rate: up to 1 over the first fifth, then down to 0 along a cosine."""
    return done / 0.2 if done < 0.2 else 0.5 * (1 + math.cos(math.pi * (done - 0.2) / 0.8))
