"""The diffusion transformer: any set of fields, any geometry, every route of conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning.routes import Context
from ..conditioning.spec import ConditionSpec
from ..state import Conditions, Field, Known, Layout, State
from .distances import Coordinates, places_of
from .folds import Fold
from .layers import Block
from .pairs import Pairs, Stream
from .rope import prefix
from .tokens import Entered, TokenBackbone, check_layers, shared_modulation


class DiT(TokenBackbone):
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
        count: tell the network how many tokens of a set are real. Attention is a mean and cannot count: what goes with the whole
            set, as a formula with its energy, is not seen without. Leave it off where a set is a sample of a
            surface, and other counts than the trained ones are asked for.
        waves: number of frequencies, from 1/2 to 64 radians per unit, at which the values of continuous token fields enter beside
            themselves; 0: none. Where values are places, tokens then find their neighbours by them.

    Raises:
        ValueError: sizes that do not fit, distances of what is no continuous field of tokens, updates where there are no pairs,
            factorised attention beside pairs or prepended conditions, which stand on no grid, a count of tokens with positions,
            waves where no continuous field of tokens enters.

    Source: Peebles and Xie 2022, arXiv:2212.09748; QK norm: Dehghani et al. 2023, arXiv:2302.05442, section 2;
    self-conditioning: Chen et al. 2022, arXiv:2208.04202, section 3.2;
    factorised attention: Ho et al. 2019, arXiv:1912.12180; over time and channels: Tashiro et al. 2021, arXiv:2107.03502.
    """

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
        count: bool = False,
        waves: int = 0,
    ) -> None:
        check_layers(heads, mlp_ratio, dropout, width=width, depth=depth, pair_width=pair_width)
        if width % heads or (width // heads) % 2:
            good = [h for h in range(1, width + 1) if width % h == 0 and (width // h) % 2 == 0]
            raise ValueError(f"width {width} does not split into {heads} heads of an even size; heads may be {good}")
        places = places_of(fields, distances)
        entered = [f for f in fields if self.free or f is not places]
        pairs = width // heads // 2
        super().__init__(
            fields,
            conditions,
            axes,
            width,
            pairs,
            self_conditioning,
            absolute_positions,
            rope_base,
            entered,
            count,
            waves,
        )
        self.depth, self.heads, self.mlp_ratio, self.qk_norm, self.dropout = depth, heads, mlp_ratio, qk_norm, dropout
        self.absolute_positions, self.pair_width = absolute_positions, pair_width
        self.distances, self.pair_updates, self.attention_axes = distances, pair_updates, attention_axes

        pair_fields = [f for f in self.fields if f.axes == "pair"]
        paired = bool(pair_fields) or places is not None
        self.seen = _seen(attention_axes, axes, depth)
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
        x, stream = at.x, None
        if self.pairs is not None:
            stream, summary = self.pairs.begin(inputs, at.c, at.c_noise, layout.mask, known, previous)
            x = x + summary
        x = self._transform(x, at, layout, stream)
        out, h = self._leave(x, at.c)
        if self.pairs is not None and stream is not None:
            for name, y in self.pairs.outputs(stream, h, at.c).items():
                out[name] = y if name not in out else out[name] + F.pad(y, (0, out[name].shape[-1] - y.shape[-1]))
        return {f.name: out[f.name].to(at.c_noise.dtype) for f in self.fields}

    def _transform(self, x: Tensor, at: Entered, layout: Layout, stream: Stream | None) -> Tensor:
        """Run the blocks; prepended tokens go in front and are cut off at the end."""
        prepend, cross = at.routed.prepend, at.routed.cross
        count = 0 if prepend is None else prepend.tokens.shape[1]
        c, waves, keys = at.c, at.waves, None if at.real is None else at.real[:, None, None]
        if prepend is not None:
            x = torch.cat([prepend.tokens.to(x.dtype), x], dim=1)
            waves = None if waves is None else prefix(waves, count)
            keys = _join_keys(prepend, keys, x.shape[1])
            if c.shape[1] > 1:
                c = torch.cat([shared_modulation(c, at.real).expand(-1, count, -1), c], dim=1)
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
        return x[:, count:]


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


def _join_keys(prepend: Context, keys: Tensor | None, tokens: int) -> Tensor | None:
    """Which of the prepended and own tokens may be looked at, (B, 1, 1, S); None: all of them."""
    if prepend.visible is None and keys is None:
        return None
    batch, count = prepend.tokens.shape[:2]
    ones = torch.ones(batch, 1, 1, tokens, dtype=torch.bool, device=prepend.tokens.device)
    front = ones[..., :count] if prepend.visible is None else prepend.visible[:, None, None]
    return torch.cat([front, ones[..., count:] if keys is None else keys], dim=-1)
