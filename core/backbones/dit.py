"""The diffusion transformer: any set of fields, any geometry, every route of conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning.routes import Context, Router
from ..conditioning.spec import ConditionSpec
from ..state import Conditions, Field, Known, Layout, State, field_mask
from .backbone import Backbone
from .distances import Coordinates, places_of
from .fields import FieldEmbedding
from .folds import Fold
from .layers import Block, TimeEmbedding, modulate, zero_linear
from .linear import Linear
from .pairs import Pairs, Stream
from .rope import Rotary, prefix


class DiT(Backbone):
    """A transformer over the tokens of a state, modulated by noise level and global conditions; 0 at initialisation.

    Token fields are embedded and added up; pair fields become features of pairs that bias the attention of every layer, and are
    written from them and from symmetric products of token features. Positions turn queries and keys, on as many axes as there
    are. Padded tokens are never looked at. Where `Layout.grid` is set there is no padding, and attention runs without a mask.

    With positions the network can be made blind to a common shift of all tokens: `absolute_positions=False` and no
    prepended tokens. Without positions (`axes=0`) it commutes with permutations of the tokens.

    On a grid, attention can be factorised: `attention_axes=[[0], [1]]` lets the first block look along axis 0, the second along
    axis 1, the third along axis 0 again. `[[0]]` alone keeps the rows apart; their places still tell one from another.

    Args:
        fields: the fields of the state.
        conditions: the declared conditions.
        axes: A, number of position axes; 0 for a set.
        width: W, channels of a token.
        depth: number of blocks.
        heads: attention heads; they divide W into parts of an even size.
        mlp_ratio: hidden width of the MLPs over W.
        qk_norm: normalise queries and keys per head.
        dropout: share of the channels dropped from what each layer adds, in training.
        self_conditioning: take the previous estimate of x0 as an input.
        absolute_positions: add a linear map of the position's waves to each token; needed where the place itself means
            something, as in a picture.
        rope_base: the slowest rotation of an open axis has a wavelength of about 2 pi rope_base tokens.
        pair_width: channels of the features of a pair; used with pair fields or distances only.
        distances: name of a continuous field of tokens whose distances count: those of its input, of the previous estimate and of
            an estimate of its clean values that every layer reads anew and refines enter the features of pairs.
        pair_updates: let every layer change the features of pairs by its tokens and an MLP.
        attention_axes: for each block in turn, the axes of the grid along which its tokens see each other; None: all tokens do.

    Raises:
        ValueError: sizes that do not fit, distances of what is no continuous field of tokens, updates where there are no pairs,
            factorised attention beside pairs or prepended conditions, which stand on no grid.

    Source: Peebles and Xie 2022, arXiv:2212.09748; QK norm: Dehghani et al. 2023, arXiv:2302.05442, section 2;
    self-conditioning: Chen et al. 2022, arXiv:2208.04202, section 3.2;
    factorised attention: Ho et al. 2019, arXiv:1912.12180; over time and channels: Tashiro et al. 2021, arXiv:2107.03502.
    """

    per_token_time: ClassVar[bool] = True
    free: ClassVar[bool] = True  # whether the values of the field of distances enter and leave, beside its differences

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Sequence[ConditionSpec] = (),
        axes: int = 0,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        mlp_ratio: float = 4.0,
        qk_norm: bool = True,
        dropout: float = 0.0,
        self_conditioning: bool = False,
        absolute_positions: bool = True,
        rope_base: float = 100.0,
        pair_width: int = 64,
        distances: str | None = None,
        pair_updates: bool = False,
        attention_axes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        _check_sizes(fields, axes, width, depth, heads, mlp_ratio, dropout, pair_width)
        self.fields, self.conditions, self.axes = tuple(fields), tuple(conditions), axes
        self.width, self.depth, self.heads, self.mlp_ratio = width, depth, heads, mlp_ratio
        self.qk_norm, self.dropout, self.self_conditioning = qk_norm, dropout, self_conditioning
        self.absolute_positions, self.rope_base, self.pair_width = absolute_positions, rope_base, pair_width
        self.distances, self.pair_updates, self.attention_axes = distances, pair_updates, attention_axes

        places = places_of(self.fields, distances)
        self.token_fields = [f for f in self.fields if f.axes == "token" and (self.free or f is not places)]
        pair_fields = [f for f in self.fields if f.axes == "pair"]
        paired = bool(pair_fields) or places is not None
        head = width // heads
        self.seen = _seen(attention_axes, axes, depth)
        self.time = TimeEmbedding(width)
        self.router = Router(self.conditions, width)
        self.rotary = Rotary(axes, head // 2, rope_base) if axes else None
        self.place = Linear(head, width, bias=False) if axes and absolute_positions else None
        self.embeddings = nn.ModuleList(FieldEmbedding(f, width, self_conditioning) for f in self.token_fields)
        coordinates = None
        if places is not None:
            coordinates = Coordinates(places, width, pair_width, depth, self_conditioning, self.free)
        if pair_updates and not paired:
            raise ValueError("pair_updates: there are no pairs to update; it needs a pair field or distances")
        if attention_axes is not None and (paired or self.router.has("prepend")):
            raise ValueError(
                "attention_axes: pair fields and prepended conditions, and distances, stand on no grid; leave it None"
            )
        self.pairs = (
            Pairs(pair_fields, width, pair_width, heads, depth, self_conditioning, coordinates, pair_updates)
            if paired
            else None
        )
        hidden, cross = int(mlp_ratio * width), self.router.has("cross")
        self.blocks = nn.ModuleList(Block(width, heads, hidden, qk_norm, dropout, cross) for _ in range(depth))
        self.modulation = zero_linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.outputs = nn.ModuleList(zero_linear(width, f.outputs) for f in self.token_fields)

    def forward(
        self,
        inputs: State,
        c_noise: Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: State | None = None,
    ) -> State:
        """Map a noised state to raw outputs; see `Backbone.forward`.

        Raises:
            ValueError: a missing field, a `previous` that is not taken, an undeclared condition, or positions that do
                not fit the axes.
        """
        self._check_inputs(inputs, previous)
        real = (
            layout.mask if layout.grid is None else None
        )  # a grid has no padding: known without looking at the device
        routed = self.router(cond, layout)
        c_noise = _times(c_noise, real)
        c = self.time(c_noise)
        c = F.silu(c if routed.globals is None else c + routed.globals[:, None])
        waves = self._waves(layout)
        x = self._tokens(inputs, real, known, previous)
        if self.place is not None and waves is not None:
            x = x + self.place(waves.flatten(-2).to(self.place.weight.dtype))
        if routed.concat is not None:
            x = x + routed.concat
        stream = None
        if self.pairs is not None:
            stream, summary = self.pairs.begin(inputs, c, c_noise, layout.mask, known, previous)
            x = x + summary
        h = self._transform(x, c, waves, layout, stream, routed.prepend, routed.cross)
        out = {f.name: head(h) for f, head in zip(self.token_fields, self.outputs, strict=True)}
        if self.pairs is not None and stream is not None:
            for name, y in self.pairs.outputs(stream, h, c).items():
                out[name] = y if name not in out else out[name] + F.pad(y, (0, out[name].shape[-1] - y.shape[-1]))
        return {f.name: out[f.name].to(c_noise.dtype) for f in self.fields}

    def _tokens(self, inputs: State, real: Tensor | None, known: Known | None, previous: State | None) -> Tensor:
        """The sum of the token fields' embeddings, (B, N, W), kept in the weights' type under autocast."""
        x = self.modulation.bias.new_zeros(1, 1, self.width)
        for f, embedding in zip(self.token_fields, self.embeddings, strict=True):
            x = x + embedding(inputs, None if real is None else field_mask(f, real), known, previous)
        return x

    def _waves(self, layout: Layout) -> Tensor | None:
        """Cosines and sines of the positions, (B, N, D / 2, 2), once for all layers."""
        if self.rotary is None:
            return None
        return self.rotary(layout, torch.promote_types(self.modulation.weight.dtype, torch.float32))

    def _transform(
        self,
        x: Tensor,
        c: Tensor,
        waves: Tensor | None,
        layout: Layout,
        stream: Stream | None,
        prepend: Context | None,
        cross: Context | None,
    ) -> Tensor:
        """Run the blocks; prepended tokens go in front and are cut off at the end."""
        count = 0 if prepend is None else prepend.tokens.shape[1]
        final, real = c, layout.mask if layout.grid is None else None
        keys = None if real is None else real[:, None, None]
        if prepend is not None:
            x = torch.cat([prepend.tokens.to(x.dtype), x], dim=1)
            waves = None if waves is None else prefix(waves, count)
            keys = _join_keys(prepend, keys, x.shape[1])
            if c.shape[1] > 1:
                c = torch.cat([_mean(c, real).expand(-1, count, -1), c], dim=1)
        folds = {axes: Fold.of(layout, axes) for axes in set(self.seen)}
        turns = {axes: waves if waves is None else fold(waves) for axes, fold in folds.items()}
        for i, block in enumerate(self.blocks):
            if self.seen:
                x = block(x, c, turns[self.seen[i]], None, cross, folds[self.seen[i]])
            elif self.pairs is None or stream is None:
                x = block(x, c, waves, keys, cross)
            else:
                x = block(x, c, waves, self.pairs.bias(i, stream, x[:, count:], keys, count), cross)
                self.pairs.refine(i, stream, x[:, count:])
        shift, scale = self.modulation(final).to(x.dtype).chunk(2, dim=-1)
        return modulate(self.norm(x[:, count:]), shift, scale)

    def _check_inputs(self, inputs: State, previous: State | None) -> None:
        """Raise a ValueError unless what is there is what was declared."""
        if previous is not None and not self.self_conditioning:
            raise ValueError("a previous estimate was given to a DiT with self_conditioning=False; build it with True")
        for what, state in (("inputs", inputs), ("previous estimates", previous)):
            missing = [f.name for f in self.fields if state is not None and f.name not in state]
            if missing:
                raise ValueError(f"the {what} lack the fields {missing}; they have {list(state or ())}")


def _times(c_noise: Tensor, real: Tensor | None) -> Tensor:
    """(B, 1) where one time serves a sample and (B, N) where each token has its own, 0 at padded tokens."""
    if c_noise.ndim == 1:
        return c_noise[:, None]
    return c_noise if real is None else c_noise.masked_fill(~real, 0)


def _seen(attention_axes: Sequence[Sequence[int]] | None, axes: int, depth: int) -> list[tuple[int, ...]]:
    """For each block the axes along which it looks; empty where all tokens see each other.

    Raises:
        ValueError: no axes, or one that there is not.
    """
    if attention_axes is None:
        return []
    groups = [tuple(group) for group in attention_axes]
    if not groups or any(not g or len(set(g)) < len(g) or not set(g) <= set(range(axes)) for g in groups):
        choice = (
            f"it takes lists of some of the axes 0 to {axes - 1}" if axes else "the tokens are a set and have no axes"
        )
        raise ValueError(f"attention_axes is {attention_axes}; {choice}")
    return [groups[i % len(groups)] for i in range(depth)]


def _mean(c: Tensor, real: Tensor | None) -> Tensor:
    """Mean over the real tokens, (B, 1, W): how prepended tokens, which have no time of their own, are modulated."""
    if real is None:
        return c.mean(1, keepdim=True)
    weight = real[..., None].to(c.dtype)
    return (c * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)


def _join_keys(prepend: Context, keys: Tensor | None, tokens: int) -> Tensor | None:
    """Which of the prepended and own tokens may be looked at, (B, 1, 1, S); None: all of them."""
    if prepend.visible is None and keys is None:
        return None
    batch, count = prepend.tokens.shape[:2]
    ones = torch.ones(batch, 1, 1, tokens, dtype=torch.bool, device=prepend.tokens.device)
    front = ones[..., :count] if prepend.visible is None else prepend.visible[:, None, None]
    return torch.cat([front, ones[..., count:] if keys is None else keys], dim=-1)


def _check_sizes(
    fields: Sequence[Field],
    axes: int,
    width: int,
    depth: int,
    heads: int,
    mlp_ratio: float,
    dropout: float,
    pair_width: int,
) -> None:
    """Raise a ValueError for sizes that do not fit."""
    if not fields:
        raise ValueError("a DiT needs at least one field")
    for name, value in (("width", width), ("depth", depth), ("heads", heads), ("pair_width", pair_width)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if width % heads or (width // heads) % 2:
        good = [h for h in range(1, width + 1) if width % h == 0 and (width // h) % 2 == 0]
        raise ValueError(f"width {width} does not split into {heads} heads of an even size; heads may be {good}")
    if axes < 0:
        raise ValueError(f"axes is {axes}; it must be 0 for a set, or the number of position axes")
    if not mlp_ratio * width >= 1:
        raise ValueError(f"mlp_ratio {mlp_ratio} leaves the MLPs without channels")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}; it must be in [0, 1)")
