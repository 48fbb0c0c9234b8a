"""Both ends of a network over tokens: fields, times, places and conditions in, one output per field out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning.routes import Routed, Router
from ..conditioning.spec import ConditionSpec
from ..state import Conditions, Field, Known, Layout, State, field_mask
from .backbone import Backbone
from .fields import FieldEmbedding
from .layers import CountEmbedding, TimeEmbedding, modulate, zero_linear
from .linear import Linear
from .rope import Rotary


@dataclass(frozen=True)
class Entered:
    """A batch as the layers of a network see it.

    Attributes:
        x: features of the tokens, (B, N, W).
        c: what modulates them: time and global conditions, (B, 1, W), or (B, N, W) where each token has its own time.
        c_noise: the times, (B, 1) or (B, N), 0 at padded tokens.
        real: (B, N) bool, which tokens are real; None where all of them are, which spares attention its mask: known of a grid,
            and of a set where looking does not wait for a device.
        waves: cosines and sines of the positions, (B, N, pairs, 2); None for a set.
        routed: the conditions.
    """

    x: Tensor
    c: Tensor
    c_noise: Tensor
    real: Tensor | None
    waves: Tensor | None
    routed: Routed


class TokenBackbone(Backbone):
    """What all networks over tokens share; the layers between the ends are those of a subclass.

    A subclass makes its layers between `__init__` and `_finish`, and its `forward` calls `_enter` and `_leave`.

    Args:
        fields: the fields of the state.
        conditions: the declared conditions.
        axes: A, number of position axes; 0 for a set.
        width: W, channels of a token.
        pairs: pairs of channels that turn with the position; 0: positions do not enter.
        self_conditioning: take the previous estimate of x0 as an input.
        absolute_positions: add a linear map of the position's waves to each token.
        rope_base: the slowest rotation of an open axis has a wavelength of about 2 pi rope_base tokens.
        entered: the token fields whose values enter and leave at the ends; None: all of them.
        count: tell the network how many tokens of a set are real.
        waves: frequencies at which the values of continuous token fields enter beside themselves.

    Raises:
        ValueError: no fields, a negative number of axes, channels that are too few for them, a count of tokens that
                are no set, or waves where no continuous field of tokens enters.
    """

    per_token_time: ClassVar[bool] = True

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Sequence[ConditionSpec],
        axes: int,
        width: int,
        pairs: int,
        self_conditioning: bool,
        absolute_positions: bool,
        rope_base: float,
        entered: Sequence[Field] | None = None,
        count: bool = False,
        waves: int = 0,
    ) -> None:
        super().__init__()
        if not fields:
            raise ValueError(f"a {type(self).__name__} needs at least one field")
        if axes < 0:
            raise ValueError(f"axes is {axes}; it must be 0 for a set, or the number of position axes")
        if count and axes:
            raise ValueError(
                f"count: tokens on {axes} axes have positions, which say how many there are; it is for a set"
            )
        self.fields, self.conditions, self.axes = tuple(fields), tuple(conditions), axes
        self.width, self.self_conditioning, self.rope_base = width, self_conditioning, rope_base
        self.count, self.waves = count, waves
        self.token_fields = [f for f in (self.fields if entered is None else entered) if f.axes == "token"]
        if waves and not any(f.kind == "continuous" for f in self.token_fields):
            raise ValueError(
                f"waves={waves}: no continuous field of tokens enters here whose values could be waves; leave it 0"
            )
        self.time = TimeEmbedding(width)
        self.counting = CountEmbedding(width) if count else None
        self.router = Router(self.conditions, width)
        self.rotary = Rotary(axes, pairs, rope_base) if axes and pairs else None
        self.place = Linear(2 * pairs, width, bias=False) if axes and absolute_positions else None
        self.embeddings = nn.ModuleList(FieldEmbedding(f, width, self_conditioning, waves) for f in self.token_fields)

    def _finish(self) -> None:
        """Make the last layers, which return 0 until they have learnt something."""
        self.modulation = zero_linear(self.width, 2 * self.width)
        self.norm = nn.LayerNorm(self.width, elementwise_affine=False, eps=1e-6)
        self.outputs = nn.ModuleList(zero_linear(self.width, f.outputs) for f in self.token_fields)

    @abstractmethod
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

    def _enter(
        self,
        inputs: State,
        c_noise: Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None,
        previous: State | None,
    ) -> Entered:
        """The batch as the layers see it."""
        self._check_inputs(inputs, previous)
        real = _padded(layout)
        routed = self.router(cond, layout)
        c_noise = _times(c_noise, real)
        c = self.time(c_noise)
        if self.counting is not None:
            c = c + self.counting(layout.mask)[:, None]
        c = F.silu(c if routed.globals is None else c + routed.globals[:, None])
        waves = self._waves(layout)
        x = self._tokens(inputs, real, known, previous)
        if self.place is not None and waves is not None:
            x = x + self.place(waves.flatten(-2).to(self.place.weight.dtype))
        if routed.concat is not None:
            x = x + routed.concat
        return Entered(x, c, c_noise, real, waves, routed)

    def _leave(self, x: Tensor, c: Tensor) -> tuple[State, Tensor]:
        """The outputs of the token fields, and the features (B, N, W) that they are read off."""
        shift, scale = self.modulation(c).to(x.dtype).chunk(2, dim=-1)
        h = modulate(self.norm(x), shift, scale)
        return {f.name: head(h) for f, head in zip(self.token_fields, self.outputs, strict=True)}, h

    def _tokens(self, inputs: State, real: Tensor | None, known: Known | None, previous: State | None) -> Tensor:
        """The sum of the token fields' embeddings, (B, N, W), kept in the weights' type under autocast."""
        x = self.modulation.bias.new_zeros(1, 1, self.width)
        for f, embedding in zip(self.token_fields, self.embeddings, strict=True):
            x = x + embedding(inputs, None if real is None else field_mask(f, real), known, previous)
        return x

    def _waves(self, layout: Layout) -> Tensor | None:
        """Cosines and sines of the positions, (B, N, pairs, 2), once for all layers."""
        if self.rotary is None:
            return None
        return self.rotary(layout, torch.promote_types(self.modulation.weight.dtype, torch.float32))

    def _check_inputs(self, inputs: State, previous: State | None) -> None:
        """Raise a ValueError unless what is there is what was declared."""
        if previous is not None and not self.self_conditioning:
            name = type(self).__name__
            raise ValueError(
                f"a previous estimate was given to a {name} with self_conditioning=False; build it with True"
            )
        for what, state in (("inputs", inputs), ("previous estimates", previous)):
            missing = [f.name for f in self.fields if state is not None and f.name not in state]
            if missing:
                raise ValueError(f"the {what} lack the fields {missing}; they have {list(state or ())}")


def check_layers(heads: int, mlp_ratio: float, dropout: float, **sizes: int) -> None:
    """Raise a ValueError unless there is at least 1 of everything, and the rest is within its range."""
    for name, value in ({"heads": heads} | sizes).items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if not mlp_ratio * sizes["width"] >= 1:
        raise ValueError(f"mlp_ratio {mlp_ratio} leaves the MLPs without channels")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}; it must be in [0, 1)")


def shared_modulation(c: Tensor, real: Tensor | None) -> Tensor:
    """Mean of c (B, 1 or N, W) over the real tokens, (B, 1, W): for what has no time of its own."""
    if c.shape[1] == 1:
        return c
    if real is None:
        return c.mean(1, keepdim=True)
    weight = real[..., None].to(c.dtype)
    return (c * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)


def _padded(layout: Layout) -> Tensor | None:
    """The mask, or None where it is known to be full."""
    mask = layout.mask
    full = layout.grid is not None or (
        mask.device.type == "cpu" and not torch.compiler.is_compiling() and bool(mask.all())
    )
    return None if full else mask


def _times(c_noise: Tensor, real: Tensor | None) -> Tensor:
    """(B, 1) where one time serves a sample and (B, N) where each token has its own, 0 at padded tokens."""
    if c_noise.ndim == 1:
        return c_noise[:, None]
    return c_noise if real is None else c_noise.masked_fill(~real, 0)
