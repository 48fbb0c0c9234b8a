"""A network that turns with its molecule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Field, Known, State
from torch import Tensor, nn


class Equivariant(DiT):
    """A transformer that sees positions by their distances alone and moves atoms along their differences.

        F_i <- F_i + sum_j sum_k w_k(e_ij) (y^k_i - y^k_j) / (1 + |y^k_i - y^k_j|) / sqrt(n)

    Of the atoms it attends to, an atom learns kinds, bonds and distances, which no rotation or reflection changes: with Q
    orthogonal, positions x Q (the given ones and the previous estimate too) give outputs F Q, and the same logits of atoms and
    bonds. Where nothing is given a shift of the inputs changes nothing, and outputs have the mean 0. `modality.rotate` teaches it
    nothing: leave that off. It cannot tell mirror images apart. In a recipe:

        backbone:
          name: ornstein.modalities.molecule.equivariant.Equivariant
          width: 128
          depth: 6
          heads: 8

    Args:
        fields: the fields of the state.
        conditions: the declared conditions.
        axes: number of position axes: 0, since atoms are a set.
        width: W, channels of an atom.
        depth: number of layers.
        heads: attention heads; they divide W into parts of an even size.
        mlp_ratio: hidden width of the MLPs over W.
        dropout: share of the channels dropped from what each layer adds, in training.
        self_conditioning: take the previous estimate of x0 as an input.
        pair_width: channels of the features of a pair.
        distances: the field of positions.
        count: tell the network how many atoms there are.

    Raises:
        ValueError: as `DiT`.

    Source: Satorras et al. 2021, arXiv:2102.09844, equations 3 to 6, with attention in place of the sum of messages; in
    diffusion: Hoogeboom et al. 2022, arXiv:2203.17003.
    """

    free: ClassVar[bool] = False

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Sequence[ConditionSpec] = (),
        axes: int = 0,
        width: int = 128,
        depth: int = 6,
        heads: int = 8,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        self_conditioning: bool = False,
        pair_width: int = 64,
        distances: str = "positions",
        count: bool = False,
    ) -> None:
        super().__init__(
            fields,
            conditions,
            axes,
            width,
            depth,
            heads,
            mlp_ratio,
            dropout=dropout,
            self_conditioning=self_conditioning,
            pair_width=pair_width,
            distances=distances,
            pair_updates=True,
            count=count,
        )
        self.given = nn.Embedding(2, width)

    def _tokens(self, inputs: State, real: Tensor | None, known: Known | None, previous: State | None) -> Tensor:
        """Of a position an atom is told only whether it is given."""
        name = str(self.distances)
        bits = None if known is None else known.bits.get(name)
        given = inputs[name].new_zeros(inputs[name].shape[:2]).bool() if bits is None else bits.all(-1)
        given = given if real is None else given & real
        return super()._tokens(inputs, real, known, previous) + self.given(given.long())
