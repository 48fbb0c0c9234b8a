"""Tokens that talk through a fixed number of learnt latent tokens: the cost is linear in the number of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning.routes import Context
from ..conditioning.spec import ConditionSpec
from ..state import Conditions, Field, Known, Layout, State
from .layers import Block, CrossAttention, modulate, zero_linear
from .linear import Linear
from .tokens import Entered, TokenBackbone, check_layers, shared_modulation


class Perceiver(TokenBackbone):
    """A transformer whose N tokens see each other through M latent tokens alone; 0 at initialisation.

    In each block the latents read the tokens (cross-attention), work among themselves (`latent_depth` blocks of a DiT), and the
    tokens read the latents back (cross-attention) and pass through an MLP of their own. Per block the attentions cost
    2 N M + M^2 in place of N^2. Tokens may be narrow where the latents are wide.

    It commutes with permutations of the tokens and their positions. Positions enter as waves that are added to the tokens.
    Prepended conditions are read by the latents beside the tokens, and the latents attend to those of the route `cross`. Latents
    have no time of their own: they are modulated by the mean over the real tokens. Padded tokens are never looked at.

    Args:
        fields: the fields of the state, of tokens.
        conditions: the declared conditions.
        axes: A, number of position axes; 0 for a set.
        width: W, channels of a token.
        depth: number of blocks.
        heads: attention heads; they divide W and V.
        latents: M, number of latent tokens.
        latent_width: V, channels of a latent token.
        latent_depth: layers of self-attention and MLP among the latents in each block.
        mlp_ratio: hidden width of the MLPs over W and V.
        qk_norm: normalise queries and keys per head.
        dropout: share of the channels dropped from what each layer adds, in training.
        self_conditioning: take the previous estimate of x0 as an input.
        rope_base: the slowest wave of an open axis is about 2 pi rope_base tokens long.
        count: tell the network how many tokens of a set are real; see `DiT`.
        waves: number of frequencies at which the values of continuous fields enter beside themselves; see `DiT`.

    Raises:
        ValueError: sizes that do not fit, or pair fields: each of the N^2 pairs costs, use a DiT.

    Source: Jabri et al. 2022, arXiv:2212.11972, section 2 (read, compute, write), without its carried latents; fixed latents:
    Jaegle et al. 2021, arXiv:2107.14795; learnt tokens through which a set sees itself: Lee et al. 2018, arXiv:1810.00825,
    equations 9 and 10.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Sequence[ConditionSpec] = (),
        axes: int = 0,
        width: int = 128,
        depth: int = 6,
        heads: int = 8,
        latents: int = 128,
        latent_width: int = 256,
        latent_depth: int = 2,
        mlp_ratio: float = 4.0,
        qk_norm: bool = True,
        dropout: float = 0.0,
        self_conditioning: bool = False,
        rope_base: float = 100.0,
        count: bool = False,
        waves: int = 0,
    ) -> None:
        sizes = {"latents": latents, "latent_width": latent_width, "latent_depth": latent_depth}
        check_layers(heads, mlp_ratio, dropout, width=width, depth=depth, **sizes)
        if width % heads or latent_width % heads:
            good = [h for h in range(1, width + 1) if width % h == 0 and latent_width % h == 0]
            raise ValueError(
                f"width {width} and latent_width {latent_width} do not both split into {heads} heads; heads may be {good}"
            )
        pairs = [f.name for f in fields if f.axes == "pair"]
        if pairs:
            raise ValueError(f"a Perceiver serves fields of tokens; {', '.join(pairs)} hold pairs of them: use a DiT")
        super().__init__(
            fields, conditions, axes, width, width // 2, self_conditioning, True, rope_base, None, count, waves
        )
        self.depth, self.heads, self.mlp_ratio, self.qk_norm, self.dropout = depth, heads, mlp_ratio, qk_norm, dropout
        self.latents, self.latent_width, self.latent_depth = latents, latent_width, latent_depth
        cross = self.router.has("cross")
        self.start = nn.Parameter(0.02 * torch.randn(latents, latent_width))  # little beside what is read
        self.widen_time = Linear(width, latent_width)
        self.widen_context = Linear(width, latent_width) if cross else None
        self.blocks = nn.ModuleList(
            LatentBlock(width, latent_width, latent_depth, heads, mlp_ratio, qk_norm, dropout, cross)
            for _ in range(depth)
        )
        self._finish()

    def hidden(self) -> Iterator[Tensor]:
        """The matrices of the blocks."""
        return (part.weight for part in self.blocks.modules() if isinstance(part, nn.Linear))

    def forward(
        self,
        inputs: State,
        c_noise: Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: State | None = None,
    ) -> State:
        """Map a noised state to raw outputs; see `TokenBackbone.forward`."""
        at = self._enter(inputs, c_noise, layout, cond, known, previous)
        x, c = at.x, at.c
        shared = F.silu(self.widen_time(shared_modulation(c, at.real)))
        z = self.start.to(x.dtype).expand(x.shape[0], -1, -1)
        context = at.routed.cross
        if context is not None and self.widen_context is not None:
            context = context._replace(tokens=self.widen_context(context.tokens))
        visible = _visible(at)
        for block in self.blocks:
            x, z = block(x, z, c, shared, at.routed.prepend, visible, context)
        return {name: y.to(at.c_noise.dtype) for name, y in self._leave(x, c)[0].items()}


class LatentBlock(nn.Module):
    """Latents read, work, and are read; every layer is shifted and scaled, and for the tokens the identity at initialisation.

        z <- z + attention(mod(z), from mod(x));            z <- blocks(z)
        x <- x + g_w(c) * attention(mod(x), from norm(z));  x <- x + g_m(c) * MLP(mod(x))

    What latents read has no gate: with one that starts shut, they know nothing of the tokens until the write's has opened.

    Args:
        width: W of the tokens x.
        latent_width: V of the latents z.
        latent_depth: blocks of the latents.
        heads: attention heads; they divide W and V.
        mlp_ratio: hidden width of the MLPs over W and V.
        qk_norm: whether queries and keys are normalised per head.
        dropout: share of the channels dropped from what each layer adds.
        cross: whether the latents attend to a context.
    """

    def __init__(
        self,
        width: int,
        latent_width: int,
        latent_depth: int,
        heads: int,
        mlp_ratio: float,
        qk_norm: bool,
        dropout: float,
        cross: bool,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.latent_norm = nn.LayerNorm(latent_width, elementwise_affine=False, eps=1e-6)
        self.read = CrossAttention(latent_width, heads, qk_norm, width)
        self.work = nn.ModuleList(
            Block(latent_width, heads, int(mlp_ratio * latent_width), qk_norm, dropout, cross)
            for _ in range(latent_depth)
        )
        self.write = CrossAttention(width, heads, qk_norm, latent_width)
        hidden = int(mlp_ratio * width)
        self.mlp = nn.Sequential(Linear(width, hidden, bias=False), nn.GELU(), Linear(hidden, width, bias=False))
        self.modulation = zero_linear(width, 8 * width)
        self.latent_modulation = zero_linear(latent_width, 2 * latent_width)

    def forward(
        self,
        x: Tensor,
        z: Tensor,
        c: Tensor,
        shared: Tensor,
        prepend: Context | None,
        visible: Tensor | None,
        context: Context | None,
    ) -> tuple[Tensor, Tensor]:
        """x (B, N, W), z (B, M, V), c (B, 1 or N, W), shared (B, 1, V); visible (B, P + N), P prepended tokens first."""
        m = self.modulation(c).to(x.dtype).chunk(8, dim=-1)
        shift, scale = self.latent_modulation(shared).to(x.dtype).chunk(2, dim=-1)
        seen = modulate(self.norm(x), m[0], m[1])
        if prepend is not None:
            seen = torch.cat([self.norm(prepend.tokens).to(x.dtype), seen], dim=1)
        read = self.read(modulate(self.latent_norm(z), shift, scale), Context(seen, visible))
        z = z + self._drop(read)
        for block in self.work:
            z = block(z, shared, None, None, context)
        written = self.write(modulate(self.norm(x), m[2], m[3]), Context(self.latent_norm(z), None))
        x = torch.addcmul(x, m[4], self._drop(written))
        return torch.addcmul(x, m[7], self._drop(self.mlp(modulate(self.norm(x), m[5], m[6])))), z

    def _drop(self, y: Tensor) -> Tensor:
        return F.dropout(y, self.dropout, self.training) if self.dropout else y


def _visible(at: Entered) -> Tensor | None:
    """(B, P + N) bool: which of the prepended and own tokens the latents may read; None: all of them."""
    prepend = at.routed.prepend
    if prepend is None:
        return at.real
    if prepend.visible is None and at.real is None:
        return None
    front, own = prepend.tokens.new_ones(prepend.tokens.shape[:2]).bool(), at.x.new_ones(at.x.shape[:2]).bool()
    return torch.cat(
        [front if prepend.visible is None else prepend.visible, own if at.real is None else at.real], dim=1
    )
