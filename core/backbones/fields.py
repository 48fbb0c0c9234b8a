"""Into the network: embeddings of the fields of a state.

What a field holds, what of it is given and, with self-conditioning, the last estimate of x0 enter always, so that every
parameter takes part in every step; where nothing is given the entries are zeros or the class "unknown".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..conditioning.fourier import Fourier
from ..state import Field, Known, State
from .linear import Linear


class FieldEmbedding(nn.Module):
    """One field to vectors of a width, entry by entry.

    A continuous field enters as (x, given values, given bits[, previous]) through one linear layer, x also as its waves where
    asked; a categorical one as learnt vectors of its K + 1 classes and of its given class (or "unknown"), and a linear map of
    the previous probabilities.

    Args:
        field: the field.
        width: W.
        self_conditioning: whether there is a previous estimate.
        waves: number of angular frequencies, from 1/2 to 64 per unit of x, at which a continuous field enters too; 0: none.
    """

    def __init__(self, field: Field, width: int, self_conditioning: bool, waves: int = 0) -> None:
        super().__init__()
        self.field, self.self_conditioning = field, self_conditioning
        c = field.channels
        self.fourier: Fourier | None = None
        if field.kind == "continuous":
            self.values = Linear(c * (4 if self_conditioning else 3), width)
            nn.init.normal_(self.values.weight, std=c**-0.5)  # unit variance from x alone, which is often all there is
            if waves:
                self.fourier = Fourier(waves, low=0.5, high=64.0)
                self.of_waves = Linear(2 * waves * c, width, bias=False)
                nn.init.normal_(self.of_waves.weight, std=(2 * waves * c) ** -0.5)
        else:
            self.classes = nn.Embedding(c + 1, width)
            self.given = nn.Embedding(c + 1, width)
            self.previous = Linear(c, width, bias=False) if self_conditioning else None

    def forward(self, inputs: State, real: Tensor | None, known: Known | None, previous: State | None) -> Tensor:
        """Embed the field; `real` says which of its entries are, broadcastable to it, None: all.

        Returns:
            (B, N, W) for a token field; for a pair field as its entries are laid out, (..., W).
        """
        name = self.field.name
        x = inputs[name]
        bits = None if known is None else known.bits.get(name)
        values = None if known is None or bits is None else known.values[name]
        estimate = None if previous is None else previous[name]
        if real is not None:
            x = x.masked_fill(~real, 0)
            bits = None if bits is None else bits & real
        if estimate is not None and real is not None:
            estimate = estimate.masked_fill(~(real if self.field.kind == "continuous" else real[..., None]), 0)
        embed = self._continuous if self.field.kind == "continuous" else self._categorical
        return embed(x, bits, values, estimate)

    def _continuous(self, x: Tensor, bits: Tensor | None, values: Tensor | None, previous: Tensor | None) -> Tensor:
        x = x.to(self.values.weight.dtype)
        zeros = torch.zeros_like(x)
        parts = [x, zeros, zeros]
        if bits is not None and values is not None:
            parts = [x, torch.where(bits, values, 0).to(x.dtype), bits.to(x.dtype)]
        if self.self_conditioning:
            parts.append(zeros if previous is None else previous.to(x.dtype))
        h = self.values(torch.cat(parts, dim=-1))
        return h if self.fourier is None else h + self.of_waves(self.fourier(x).flatten(-2).to(h.dtype))

    def _categorical(self, x: Tensor, bits: Tensor | None, values: Tensor | None, previous: Tensor | None) -> Tensor:
        unknown = self.field.channels
        given = torch.full_like(x, unknown)
        if bits is not None and values is not None:
            given = torch.where(bits, values, given)
        h = self.classes(x) + self.given(given)
        if self.previous is not None:
            zeros = h.new_zeros(*x.shape, self.field.channels)
            h = h + self.previous(zeros if previous is None else previous.to(h.dtype))
        return h
