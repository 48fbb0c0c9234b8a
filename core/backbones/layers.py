"""The layers of a transformer that is modulated by time and global conditions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning.embedders import MLP
from ..conditioning.fourier import Fourier
from ..conditioning.routes import Context
from .folds import Fold
from .linear import Linear
from .rope import rotate


class TimeEmbedding(nn.Module):
    """c_noise (B,) or (B, N), about [-3, 3], to vectors of a width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = Fourier(128, low=0.1, high=50.0)
        self.mlp = MLP(256, width)

    def forward(self, c_noise: Tensor) -> Tensor:
        """(...) -> (..., W)."""
        return self.mlp(self.features(c_noise))


class CountEmbedding(nn.Module):
    """How many tokens are real: n >= 1 to vectors of a width, through the waves of log2 n; 0 until it has learnt something."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = Fourier(64, low=0.1, high=50.0)
        self.inner = Linear(128, width)
        self.outer = zero_linear(width, width)

    def forward(self, mask: Tensor) -> Tensor:
        """(B, N) -> (B, W)."""
        n = mask.sum(1).clamp(min=1).to(self.outer.weight.dtype)
        return self.outer(F.silu(self.inner(self.features(n.log2()).to(n.dtype))))


class HeadNorm(nn.Module):
    """RMS norm of each head's vector, with one learnt gain per head.

        x -> g sqrt(D) x / |x|

    A gain per head, not per channel, commutes with rotary positions. Bounded logits keep attention from collapsing.

    Source: Henry et al. 2020, arXiv:2010.04245, eq. 4; RMS norm: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
    """

    def __init__(self, stacked: int, heads: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(stacked, heads, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, S, T, H, D): T stacked tensors, each with its own gains."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-6)
        return x * (self.gain * math.sqrt(x.shape[-1]) / norm)


class SelfAttention(nn.Module):
    """Attention among the tokens; no bias, since the modulation before it shifts and the gate after it scales."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width, bias=False)
        self.norm = HeadNorm(2, heads) if qk_norm else nn.Identity()
        self.out = Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor | None, mask: Tensor | None) -> Tensor:
        """x (B, S, W); rotation (B, S, D / 2, 2); mask broadcastable to (B, H, S, S), bool or added to the logits."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, S, 3, H, D)
        v = qkv[:, :, 2]
        qk = qkv[:, :, :2].to(torch.promote_types(v.dtype, torch.float32))
        qk = self.norm(qk)
        if rotation is not None:
            qk = rotate(qk, rotation)
        q, k = qk.to(v.dtype).unbind(2)
        return self.out(_attend(q, k, v, mask))


class CrossAttention(nn.Module):
    """Attention of the tokens to a context, which may have a width of its own."""

    def __init__(self, width: int, heads: int, qk_norm: bool, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.q = Linear(width, width, bias=False)
        self.kv = Linear(width if context_width is None else context_width, 2 * width)
        self.q_norm = HeadNorm(1, heads) if qk_norm else nn.Identity()
        self.k_norm = HeadNorm(1, heads) if qk_norm else nn.Identity()
        self.out = Linear(width, width, bias=False)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """x (B, S, W); context tokens (B, L, C), normalised."""
        q = self.q(x).unflatten(-1, (1, self.heads, -1))
        k, v = self.kv(context.tokens).unflatten(-1, (2, self.heads, -1)).split(1, dim=2)
        q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        mask = None if context.visible is None else context.visible[:, None, None]
        return self.out(_attend(q.squeeze(2), k.squeeze(2), v.squeeze(2), mask))


class Block(nn.Module):
    """A transformer block whose layers are shifted, scaled and gated by c, and are the identity at initialisation.

        x <- x + g_i(c) * layer_i((1 + s_i(c)) * norm(x) + b_i(c)),    layers: self-attention[, cross-attention], MLP

    Args:
        width: W.
        heads: attention heads; they divide W.
        hidden: width inside the MLP.
        qk_norm: whether queries and keys are normalised per head.
        dropout: share of the channels dropped from what each layer adds.
        cross: whether there is a cross-attention.

    Source: Peebles and Xie 2022, arXiv:2212.09748, section 3.2, adaLN-Zero.
    """

    def __init__(self, width: int, heads: int, hidden: int, qk_norm: bool, dropout: float, cross: bool) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attention = SelfAttention(width, heads, qk_norm)
        self.cross = CrossAttention(width, heads, qk_norm) if cross else None
        self.mlp = nn.Sequential(  # the exact GELU: on a CPU the tanh form takes four times as long
            Linear(width, hidden, bias=False), nn.GELU(), Linear(hidden, width, bias=False)
        )
        self.modulation = zero_linear(width, (9 if cross else 6) * width)

    def forward(
        self,
        x: Tensor,
        c: Tensor,
        rotation: Tensor | None,
        mask: Tensor | None,
        context: Context | None,
        fold: Fold | None = None,
    ) -> Tensor:
        """x (B, S, W); c (B, 1, W) for one time per sample or (B, S, W); see the layers for the rest.

        With a `fold` tokens see those in their own row of it; the rotation is folded already.
        """
        m = self.modulation(c).to(x.dtype).chunk(9 if self.cross is not None else 6, dim=-1)
        y = modulate(self.norm(x), m[0], m[1])
        y = self.attention(y, rotation, mask) if fold is None else fold.back(self.attention(fold(y), rotation, mask))
        x = self._add(x, m[2], y)
        if self.cross is not None and context is not None:
            seen = context._replace(tokens=self.norm(context.tokens))
            x = self._add(x, m[8], self.cross(modulate(self.norm(x), m[6], m[7]), seen))
        return self._add(x, m[5], self.mlp(modulate(self.norm(x), m[3], m[4])))

    def _add(self, x: Tensor, gate: Tensor, y: Tensor) -> Tensor:
        if self.dropout:
            y = F.dropout(y, self.dropout, self.training)
        return torch.addcmul(x, gate, y)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) x + shift in one pass over x."""
    return torch.addcmul(shift, 1 + scale, x)


def zero_linear(inputs: int, outputs: int) -> Linear:
    """A linear layer that returns 0 until it has learnt something."""
    layer = Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of (B, S, H, D) tensors, heads joined: (B, S, H D)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
