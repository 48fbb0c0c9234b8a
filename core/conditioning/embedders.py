"""From the value of a condition to vectors of the network's width: one embedder per kind of condition.

A *row* embedder makes one vector per sample, (B, W). A *sequence* embedder makes one per token, (B, L, W). Values of
samples that have none are garbage by contract: they are replaced before they are read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..state import Condition
from .fourier import Fourier
from .spec import ConditionSpec


class MLP(nn.Module):
    """Two linear layers with a SiLU between them; the input is cast to the type of the weights."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, width)
        self.outer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., W)."""
        return self.outer(F.silu(self.inner(x.to(self.inner.weight.dtype))))


class Embedder(nn.Module, ABC):
    """Maps the values of one kind of condition to vectors of a width; built as `Class(size, width)`."""

    sequence: ClassVar[bool] = False  # (B, L, W) instead of (B, W)

    @abstractmethod
    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed clean values; `mask` (B, L) says which rows of a sequence are real."""


class ClassEmbedder(Embedder):
    """One learnt vector per class; value (B,) integers 0..size-1."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, width)

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B,) -> (B, W)."""
        return self.table(value)


class ScalarEmbedder(Embedder):
    """Fourier features of a number, then two layers; value (B,), scaled as declared, of about 0.01 to 1000."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.features = Fourier(64, low=1e-3, high=1e2)
        self.mlp = MLP(128, width)

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B,) or (B, 1) -> (B, W)."""
        return self.mlp(self.features(value.reshape(-1)))


class VectorEmbedder(Embedder):
    """Two layers; value (B, size)."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.mlp = MLP(size, width)

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, size) -> (B, W)."""
        return self.mlp(value)


class TokensEmbedder(Embedder):
    """A linear map of each token plus its place in the sequence; value (B, L, size)."""

    sequence = True

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(size, width)
        self.features = Fourier(32, low=1e-3, high=1.0)
        self.place = nn.Linear(64, width, bias=False)

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, size) -> (B, L, W)."""
        place = self.features(torch.arange(value.shape[1], device=value.device))
        return self.value(value.to(self.value.weight.dtype)) + self.place(place.to(self.place.weight.dtype))


class ByteEmbedder(Embedder):
    """UTF-8 bytes, their place, and two convolutions that let a byte see its word; value (B, L) integers 0..255.

    Trained in place with the network: no vocabulary and no foreign weights. `size` is the longest text, in bytes; see
    `values.encode_bytes`. Padded bytes are zero before each convolution, so that the length of the padding does not matter.
    """

    sequence = True

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(256, width)
        self.features = Fourier(32, low=1e-3, high=1.0)
        self.place = nn.Linear(64, width, bias=False)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, L, W)."""
        place = self.features(torch.arange(value.shape[1], device=value.device))
        x = self.table(value.long()) + self.place(place.to(self.place.weight.dtype))
        for convolution in self.convolutions:
            y = x if mask is None else x * mask[..., None]
            x = x + F.silu(convolution(y.transpose(1, 2)).transpose(1, 2))
        return x


class DenseEmbedder(Embedder):
    """A linear map of the row of each token of the state; value (B, N, size)."""

    sequence = True

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(size, width)

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, size) -> (B, N, W)."""
        return self.value(value.to(self.value.weight.dtype))


EMBEDDERS: dict[str, type[Embedder]] = {
    "class": ClassEmbedder,
    "scalar": ScalarEmbedder,
    "vector": VectorEmbedder,
    "tokens": TokensEmbedder,
    "text": ByteEmbedder,
    "dense": DenseEmbedder,
}


class ConditionEmbedder(nn.Module):
    """The embedder of one declared condition, with a learnt vector that stands for "no value".

    Args:
        spec: the declaration.
        width: W.
    """

    def __init__(self, spec: ConditionSpec, width: int) -> None:
        super().__init__()
        self.spec, self.width = spec, width
        self.embed = EMBEDDERS[spec.kind](spec.size, width)
        self.null = nn.Parameter(torch.randn(width))

    def vector(self, cond: Condition | None, batch: int) -> Tensor:
        """One vector per sample, (B, W); a sequence gives the mean over its real tokens."""
        if cond is None:
            return self.null.expand(batch, -1)
        if not self.embed.sequence:
            return torch.where(cond.present[:, None], self.embed(self._numbers(_clean(cond, cond.present))), self.null)
        tokens, visible = self._sequence(cond)
        weight = visible.to(tokens.dtype)[..., None]
        return (tokens * weight).sum(1) / weight.sum(1)

    def _numbers(self, value: Tensor) -> Tensor:
        """Numbers of order 1 from those in units of the border; classes as they are."""
        if not value.is_floating_point():
            return value
        return (value - self.spec.offset) / self.spec.scale

    def tokens(self, cond: Condition | None, batch: int) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, L', W) and which of them may be looked at, (B, L') bool; None: all of them."""
        if cond is None or not self.embed.sequence:
            return self.vector(cond, batch)[:, None], None
        return self._sequence(cond)

    def dense(self, cond: Condition | None, real: Tensor | None) -> Tensor:
        """One vector per token of the state, (B, N, W), or (W,) where nobody has a value; `real` (B, N), None: all."""
        if cond is None:
            return self.null
        read = cond.present[:, None] if real is None else cond.present[:, None] & real
        return torch.where(cond.present[:, None, None], self.embed(self._numbers(_clean(cond, read))), self.null)

    def _sequence(self, cond: Condition) -> tuple[Tensor, Tensor]:
        """The sequence behind its null token, which is seen exactly where nothing else is."""
        read = cond.present[:, None].expand(cond.value.shape[:2])
        if cond.mask is not None:
            read = read & cond.mask
        tokens = self.embed(_clean(cond, read), read)
        null = self.null.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        visible = torch.cat([~read.any(1, keepdim=True), read], dim=1)
        return torch.cat([null, tokens], dim=1), visible


def _clean(cond: Condition, read: Tensor) -> Tensor:
    """The value with zeros wherever it is not to be read."""
    return cond.value.masked_fill(~read.view(*read.shape, *(1,) * (cond.value.ndim - read.ndim)), 0)
