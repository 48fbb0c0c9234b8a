"""Into the network and out of it: embeddings of the fields of a state, and the values of pairs.

What a field holds, what of it is given and, with self-conditioning, the last estimate of x0 enter always, so that every
parameter takes part in every step; where nothing is given the entries are zeros or the class "unknown".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..state import Field, Known, State
from .layers import zero_linear
from .linear import Linear


class FieldEmbedding(nn.Module):
    """One field to vectors of a width, entry by entry.

    A continuous field enters as (x, given values, given bits[, previous]) through one linear layer; a categorical one
    as learnt vectors of its K + 1 classes and of its given class (or "unknown"), and a linear map of the previous
    probabilities.

    Args:
        field: the field.
        width: W.
        self_conditioning: whether there is a previous estimate.
    """

    def __init__(self, field: Field, width: int, self_conditioning: bool) -> None:
        super().__init__()
        self.field, self.self_conditioning = field, self_conditioning
        c = field.channels
        if field.kind == "continuous":
            self.values = Linear(c * (4 if self_conditioning else 3), width)
            nn.init.normal_(self.values.weight, std=c**-0.5)  # unit variance from x alone, which is often all there is
        else:
            self.classes = nn.Embedding(c + 1, width)
            self.given = nn.Embedding(c + 1, width)
            self.previous = Linear(c, width, bias=False) if self_conditioning else None

    def forward(self, inputs: State, real: Tensor | None, known: Known | None, previous: State | None) -> Tensor:
        """Embed the field; `real` says which of its entries are, broadcastable to it, None: all.

        Returns:
            (B, N, W), or (B, N, N, W) for a pair field.
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
        return self.values(torch.cat(parts, dim=-1))

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


class Pairs(nn.Module):
    """All pair fields: read into one embedding and a summary per token, and written from token features at the end.

        e_ij = silu(sum_f embed_f(x_f, ij) + u_i + u_j),  u = linear(c),  and 0 where ij is no entry
        out_ij = head(gelu(norm(p_i p_j + q_i + q_j + e_ij))),  (p, q) = linear(features of the tokens)

    The output is averaged with its transpose, so that it is symmetric to the last bit.

    Args:
        fields: the pair fields.
        width: W of the tokens.
        pair_width: width of e.
        self_conditioning: whether there is a previous estimate.
    """

    def __init__(self, fields: Sequence[Field], width: int, pair_width: int, self_conditioning: bool) -> None:
        super().__init__()
        self.fields = tuple(fields)
        self.embeddings = nn.ModuleList(FieldEmbedding(f, pair_width, self_conditioning) for f in fields)
        self.time = Linear(width, pair_width, bias=False)
        self.summary = Linear(pair_width, width)
        self.tokens = Linear(width, 2 * pair_width)
        self.norm = nn.LayerNorm(pair_width, elementwise_affine=False, eps=1e-6)
        self.heads = nn.ModuleList(zero_linear(pair_width, f.outputs) for f in fields)

    def embed(
        self, inputs: State, c: Tensor, mask: Tensor, known: Known | None, previous: State | None
    ) -> tuple[Tensor, Tensor]:
        """The embedding e (B, N, N, P) and its mean over the partners of each token, (B, N, W)."""
        entries = pair_entries(mask)
        u = self.time(c)
        e = u[:, :, None] + u[:, None]
        for f, embedding in zip(self.fields, self.embeddings, strict=True):
            e = e + embedding(inputs, entries[..., None] if f.kind == "continuous" else entries, known, previous)
        e = F.silu(e) * entries[..., None]
        return e, self.summary(e.sum(2) / entries.sum(2).clamp(min=1)[..., None].to(e.dtype))

    def outputs(self, h: Tensor, e: Tensor) -> State:
        """Values or logits of every pair field, from the features h (B, N, W) of the tokens."""
        p, q = self.tokens(h).chunk(2, dim=-1)
        z = F.gelu(self.norm(p[:, :, None] * p[:, None] + q[:, :, None] + q[:, None] + e))
        out = {}
        for f, head in zip(self.fields, self.heads, strict=True):
            y = head(z)
            out[f.name] = (y + y.transpose(1, 2)) / 2
        return out


class PairBias(nn.Module):
    """The mask of attention in one layer: a bias per head from the pair embedding, and padded keys left out."""

    def __init__(self, pair_width: int, heads: int) -> None:
        super().__init__()
        self.linear = Linear(pair_width, heads)

    def forward(self, e: Tensor, keys: Tensor | None, prepended: int) -> Tensor:
        """e (B, N, N, P); keys (B, 1, 1, S) bool. The first `prepended` of the S tokens stand in no pair."""
        bias = F.pad(self.linear(e).permute(0, 3, 1, 2), (prepended, 0, prepended, 0))
        return bias if keys is None else bias.masked_fill(~keys, torch.finfo(bias.dtype).min)


def pair_entries(mask: Tensor) -> Tensor:
    """(B, N, N) bool: pairs of two different real tokens."""
    off = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return mask[:, :, None] & mask[:, None, :] & off
