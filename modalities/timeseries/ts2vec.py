"""TS2Vec: windows to 320 features, by a dilated convolutional network trained on the reference with a contrastive loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ornstein.core.evaluation.extractors import digest
from ornstein.core.evaluation.spec import Extractor, ExtractorSource, Judged, Track
from ornstein.core.modality import Sample
from ornstein.core.rng import key
from torch import Tensor, nn
from torch.nn import functional as F

_EVALUATED = 256  # windows embedded at once
Inputs = Callable[[Sequence[Sample]], Tensor]  # samples -> (n, T, K) float32 of order 1


class Convolution(nn.Conv1d):
    """A convolution of width 3 along T of (B, T, C), with `dilation` zeros on both sides, as one product.

    Where the outer weights would meet zeros alone only the middle ones are used.
    """

    def __init__(self, inside: int, outside: int, dilation: int) -> None:
        super().__init__(inside, outside, 3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, outside)."""
        steps, (far,) = x.shape[1], self.dilation
        if far >= steps:
            return F.linear(x, self.weight[..., 1], self.bias)
        wide = F.pad(x, (0, 0, far, far))
        near = torch.cat([wide[:, i * far : i * far + steps] for i in range(3)], 2)
        return F.linear(near, self.weight.transpose(1, 2).flatten(1), self.bias)


class Residual(nn.Module):
    """Two convolutions with equal dilation and a path around them; the length is kept."""

    def __init__(self, inside: int, outside: int, dilation: int, last: bool) -> None:
        super().__init__()
        self.first, self.second = Convolution(inside, outside, dilation), Convolution(outside, outside, dilation)
        self.around = nn.Linear(inside, outside) if last or inside != outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, outside) from (B, T, inside)."""
        return self.around(x) + self.second(F.gelu(self.first(F.gelu(x))))


class Encoder(nn.Module):
    """A feature vector for each step: a linear layer, a mask of steps while training, `depth` + 1 blocks of dilation 2^i.

    Args:
        channels: K.
        features: of each step.
        hidden, depth: width of the blocks, and their number before the last.
    """

    def __init__(self, channels: int, features: int = 320, hidden: int = 64, depth: int = 10) -> None:
        super().__init__()
        self.features = features
        self.enter = nn.Linear(channels, hidden)
        widths = [hidden] * (depth + 1) + [features]
        self.blocks = nn.Sequential(*(Residual(widths[i], widths[i + 1], 2**i, i == depth) for i in range(depth + 1)))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """(B, T, features) of windows x (B, T, K); steps not `seen` (B, T) are hidden from the blocks."""
        observed = torch.isfinite(x).all(-1, keepdim=True)
        x = self.enter(torch.where(observed, x, 0.0)) * observed
        x = x if seen is None else x * seen.unsqueeze(-1)
        return self.dropout(self.blocks(x))

    def whole(self, x: Tensor) -> Tensor:
        """(B, features) of whole windows: the largest value over the steps."""
        return self(x).amax(1)


def contrastive_loss(a: Tensor, b: Tensor) -> Tensor:
    """Hierarchical contrastive loss of two views (B, T, features) of the same steps.

    At each scale, halving T by maxima of neighbours until one step is left, the mean of two cross-entropies: a step of a
    window against the same step of the batch's other windows, and against the window's other steps. Loss: mean over scales.

    Source: Yue et al. 2022, arXiv:2106.10466, equations (1) to (3) and algorithm 1.
    """
    total, scales = a.new_zeros(()), 0
    while True:
        total = total + 0.5 * _contrast(a.transpose(0, 1), b.transpose(0, 1))
        if a.shape[1] > 1:
            total = total + 0.5 * _contrast(a, b)
        scales += 1
        if a.shape[1] == 1:
            return total / scales
        a, b = (_halved(x) for x in (a, b))


def _halved(x: Tensor) -> Tensor:
    """(B, T // 2, D): the larger of each two neighbouring steps."""
    return torch.maximum(x[:, 0 : x.shape[1] // 2 * 2 : 2], x[:, 1::2])


def _contrast(a: Tensor, b: Tensor) -> Tensor:
    """Cross-entropy of finding, for each of n rows of each group, its other view among the 2n - 1 other rows: (G, n, D)."""
    n = a.shape[1]
    if n == 1:
        return a.new_zeros(())
    rows = torch.cat([a, b], 1)
    similar = rows @ rows.transpose(1, 2)
    similar = similar.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=a.device), -torch.inf)
    partner = torch.arange(2 * n, device=a.device).roll(n).expand(len(rows), -1)
    return F.cross_entropy(similar.transpose(1, 2), partner)


def train_encoder(
    x: Tensor,
    seed: int,
    iterations: int | None = None,
    batch: int = 8,
    rate: float = 1e-3,
    advance: Callable[[], None] = lambda: None,
) -> Encoder:
    """TS2Vec for windows x (n, T, K); the weights are the plain mean of those after each iteration, and the first ones.

    Args:
        iterations: None: 200 for up to 100,000 numbers in x, else 600.
        batch, rate: windows in an iteration, learning rate of AdamW.

    Raises:
        ValueError: fewer than 2 windows or 2 steps.
    """
    if x.ndim != 3 or len(x) < 2 or x.shape[1] < 2:
        raise ValueError(f"TS2Vec learns from at least 2 windows (T, K) of at least 2 steps; found {tuple(x.shape)}")
    iterations = training_steps(x) if iterations is None else iterations
    draw = torch.Generator().manual_seed(key(seed, "ts2vec") >> 1)
    with torch.random.fork_rng(devices=[]):  # weights and dropout draw from the global generator
        torch.manual_seed(key(seed, "ts2vec weights") >> 1)
        encoder = Encoder(x.shape[2]).train()
        mean = torch.optim.swa_utils.AveragedModel(encoder)
        mean.update_parameters(encoder)
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, fused=True)
        order = torch.empty(0, dtype=torch.long)
        for _ in range(iterations):
            if len(order) < min(batch, len(x)):
                order = torch.randperm(len(x), generator=draw)
            rows, order = order[:batch], order[batch:]
            loss = contrastive_loss(*_views(encoder, x[rows], draw))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            mean.update_parameters(encoder)
            advance()
    encoder.load_state_dict(mean.module.state_dict())
    return encoder.eval().requires_grad_(False)


def training_steps(x: Tensor) -> int:
    """How many iterations TS2Vec trains on windows x by default."""
    return 200 if x.numel() <= 100_000 else 600


def _views(encoder: Encoder, x: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features of the steps that two overlapping stretches of each window share, each with half of its steps hidden."""

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    steps = x.shape[1]
    length = between(2, steps)
    left = between(0, steps - length)
    right = left + length
    start, stop = between(0, left), between(right, steps)
    shift = torch.randint(-start, steps - stop + 1, (len(x),), generator=draw)  # each window has its own stretch

    def view(low: int, high: int) -> Tensor:
        part = x[torch.arange(len(x))[:, None], (shift + low)[:, None] + torch.arange(high - low)]
        return encoder(part, torch.rand(part.shape[:2], generator=draw) < 0.5)

    return view(start, right)[:, -length:], view(left, stop)[:, :length]


@torch.inference_mode()
def represent(encoder: Encoder, x: Tensor) -> Tensor:
    """(n, features) float64 of whole windows (n, T, K)."""
    return torch.cat([encoder.whole(part) for part in x.split(_EVALUATED)]).double()


@dataclass(frozen=True)
class TS2Vec(ExtractorSource):
    """TS2Vec trained on the training windows.

    Args:
        inputs: samples -> windows (n, T, K), scaled; made for the training windows, so that the scale is theirs.
        iterations: None: as `train_encoder` says.
    """

    inputs: Callable[[Judged], Inputs]
    iterations: int | None = None

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> TS2VecExtractor:
        """Train on the training windows; the held-out ones are not looked at. It always runs on the processor."""
        started = time.perf_counter()
        inputs = self.inputs(train)
        x = inputs(train.samples)
        steps = training_steps(x) if self.iterations is None else self.iterations
        encoder = train_encoder(x, seed, steps, advance=track("training TS2Vec", steps))
        return TS2VecExtractor(encoder, inputs, x, steps, time.perf_counter() - started)


class TS2VecExtractor(Extractor):
    """A trained TS2Vec."""

    def __init__(self, encoder: Encoder, inputs: Inputs, x: Tensor, steps: int, seconds: float) -> None:
        self.name, self.encoder, self.inputs = "TS2Vec", encoder, inputs
        data = digest(x.numpy().tobytes())
        weights = (value.numpy().tobytes() for value in encoder.state_dict().values())
        self.hash = digest(data.encode(), *weights)
        self.facts: dict[str, Any] = {
            "trained as": f"TS2Vec, {steps} iterations",
            "features": encoder.features,
            "weights": sum(p.numel() for p in encoder.parameters()),
            "training items": data,
            "threads": torch.get_num_threads(),
            "seconds": round(seconds, 1),
        }

    def embed(self, samples: Sequence[Sample]) -> Tensor:
        """(n, 320) float64."""
        return represent(self.encoder, self.inputs(samples))
