"""The stream of pairs: read from pair fields and distances, kept beside the tokens, and written to pair fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..state import Field, Known, State
from .distances import BASIS, Coordinates, Directions, Estimate
from .fields import FieldEmbedding
from .layers import zero_linear
from .linear import Linear
from .pairing import Pairing


@dataclass
class Stream:
    """What goes beside the tokens from layer to layer: features e (M, P) of the pairs, and an estimate of places."""

    pairing: Pairing
    e: Tensor
    estimate: Estimate | None
    now: Directions | None = None  # of the estimate, as the layer has read it


class Pairs(nn.Module):
    """Features of pairs, symmetric in the two tokens, that bias the attention of every layer.

        e_ij = silu(sum_f embed_f(x_f, ij) + r_ij + u_i + u_j),  u = linear(c),  r = linear(distances of the inputs)

    A layer reads the distances of the estimate anew and, with `updates`, changes e (see `PairLayer`). In the end

        out_ij = head(gelu(norm(p_i p_j + q_i + q_j + e_ij + r'_ij))),  (p, q) = linear(features of the tokens)

    Args:
        fields: the pair fields, which may be none.
        width: W of the tokens.
        pair_width: P, width of e.
        heads: of attention.
        depth: layers.
        self_conditioning: whether there is a previous estimate.
        coordinates: the field whose distances count.
        updates: whether layers change e.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        width: int,
        pair_width: int,
        heads: int,
        depth: int,
        self_conditioning: bool,
        coordinates: Coordinates | None,
        updates: bool,
    ) -> None:
        super().__init__()
        self.fields, self.coordinates = tuple(fields), coordinates
        self.embeddings = nn.ModuleList(FieldEmbedding(f, pair_width, self_conditioning) for f in fields)
        self.time = Linear(width, pair_width, bias=False)
        self.summary = Linear(pair_width, width)
        places = coordinates is not None
        self.layers = nn.ModuleList(PairLayer(width, pair_width, heads, places, updates) for _ in range(depth))
        if fields:
            self.tokens = Linear(width, 2 * pair_width)
            self.distances = Linear(BASIS, pair_width, bias=False) if places else None
            self.norm = nn.LayerNorm(pair_width, elementwise_affine=False, eps=1e-6)
        self.heads = nn.ModuleList(zero_linear(pair_width, f.outputs) for f in fields)

    def begin(
        self,
        inputs: State,
        c: Tensor,
        c_noise: Tensor,
        mask: Tensor,
        known: Known | None,
        previous: State | None,
    ) -> tuple[Stream, Tensor]:
        """The stream before any layer, and the mean of its features over the partners of each token, (B, N, W)."""
        pairing = Pairing.of(mask)
        a, b = pairing.ends(self.time(c))
        e, estimate = a + b, None
        for f, embedding in zip(self.fields, self.embeddings, strict=True):
            e = e + embedding(*pairing.state(f, inputs, known, previous))
        if self.coordinates is not None:
            estimate, seen = self.coordinates.begin(inputs, c_noise, pairing, known, previous)
            e = e + seen
        e = F.silu(e)
        return Stream(pairing, e, estimate), self.summary(pairing.total(e) / pairing.partners.clamp(min=1).to(e.dtype))

    def bias(self, i: int, stream: Stream, h: Tensor, keys: Tensor | None, prepended: int) -> Tensor:
        """The mask of attention in layer i, (B, heads, S, S): a bias per head, and padded keys left out.

        h (B, N, W) are features of the tokens; keys (B, 1, 1, S) bool. The first `prepended` of the S tokens stand in no pair.
        """
        distances = None
        if self.coordinates is not None and stream.estimate is not None:
            stream.now, distances = self.coordinates.read(stream.estimate, stream.pairing)
        stream.e, bias = self.layers[i](stream.e, h, distances, stream.pairing)
        bias = F.pad(stream.pairing.square(bias).permute(0, 3, 1, 2), (prepended, 0, prepended, 0))
        return bias if keys is None else bias.masked_fill(~keys, torch.finfo(bias.dtype).min)

    def refine(self, i: int, stream: Stream, h: Tensor) -> None:
        """Let layer i, which has made the features h (B, N, W), add to the estimate of places."""
        if self.coordinates is not None and stream.estimate is not None and stream.now is not None:
            stream.estimate = self.coordinates.refine(i, stream.estimate, stream.now, h, stream.e, stream.pairing)

    def outputs(self, stream: Stream, h: Tensor, c: Tensor) -> State:
        """Values or logits of every pair field, and what the layers have found of the places."""
        out: State = {}
        distances = None
        if self.coordinates is not None and stream.estimate is not None:
            out[self.coordinates.field.name] = self.coordinates.output(stream.estimate, c, stream.pairing)
            distances = self.coordinates.read(stream.estimate, stream.pairing)[1]
        if self.fields:
            z = stream.e + _outer(self.tokens(h), stream.pairing)
            z = z if self.distances is None or distances is None else z + self.distances(distances)
            z = F.gelu(self.norm(z))
            out |= {f.name: stream.pairing.square(head(z)) for f, head in zip(self.fields, self.heads, strict=True)}
        return out


class PairLayer(nn.Module):
    """What one layer does with the features of pairs before its attention.

        e_ij <- e_ij + outer(silu(inner(norm(e_ij)) + p_i p_j + q_i + q_j + r_ij)),  (p, q) = linear(norm(h))
        bias_ij = linear(e_ij),  r = linear(distances of the estimate)

    Without `updates` e stays as it is, and the bias is read off e + r.
    """

    def __init__(self, width: int, pair_width: int, heads: int, distances: bool, updates: bool) -> None:
        super().__init__()
        self.distances = Linear(BASIS, pair_width, bias=False) if distances else None
        self.tokens = Linear(width, 2 * pair_width) if updates else None
        if updates:
            self.token_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
            self.norm = nn.LayerNorm(pair_width, elementwise_affine=False, eps=1e-6)
            self.inner = Linear(pair_width, pair_width, bias=False)
            self.outer = zero_linear(pair_width, pair_width)
        self.heads = Linear(pair_width, heads)

    def forward(self, e: Tensor, h: Tensor, distances: Tensor | None, pairing: Pairing) -> tuple[Tensor, Tensor]:
        """The features that go on, and the bias of each head, (M, heads)."""
        r = None if self.distances is None or distances is None else self.distances(distances)
        if self.tokens is None:
            return e, self.heads(e if r is None else e + r)
        z = self.inner(self.norm(e)) + _outer(self.tokens(self.token_norm(h)), pairing)
        e = e + self.outer(F.silu(z if r is None else z + r))
        return e, self.heads(e)


def _outer(pq: Tensor, pairing: Pairing) -> Tensor:
    """p_i p_j + q_i + q_j of (p, q) in the two halves of the channels."""
    (p, q), (p_, q_) = (x.chunk(2, dim=-1) for x in pairing.ends(pq))
    return torch.addcmul(q + q_, p, p_)
