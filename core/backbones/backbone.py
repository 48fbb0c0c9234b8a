"""The contract of a raw network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor, nn

from ..state import Conditions, Known, Layout, State


class Backbone(nn.Module, ABC):
    """A network over the fields of a state: built as `Class(fields, conditions, axes, **options)`.

    `fields`, `conditions` and `axes` come from the modality once its `fit` is done; the options from the recipe. Every
    constructor argument is kept as an attribute of the same name, from which a checkpoint rebuilds the network.
    """

    per_token_time: ClassVar[bool]  # whether c_noise may be (B, N)
    self_conditioning: bool = False  # whether it takes `previous`

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
        """Map a noised state to raw outputs.

        Args:
            inputs: continuous fields at unit variance, categorical ones as integers 0..K (K: the mask class).
            c_noise: (B,) or, where `per_token_time`, (B, N); finite.
            layout: mask, positions, grid.
            cond: value and presence of each condition; a name that is missing has no value for anyone.
            known: given bits and clean values; None where nothing is given.
            previous: the last estimate of x0, values or class probabilities; None where there is none.

        Returns:
            per field (..., C) values or (..., K) logits; outputs at padded tokens are ignored.
        """

    def hidden(self) -> Iterable[Tensor]:
        """Matrices from hidden features to hidden features, which Muon may move; none unless a network names them."""
        return ()
