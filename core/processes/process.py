"""The contract of a process: how one field is noised, what a network's output means for it, what its loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

if TYPE_CHECKING:
    from ..posterior import View
    from ..state import Field


class Process(ABC):
    """How one field is noised and un-noised. Times broadcast with the field (see `state.expand_time`)."""

    kind: ClassVar[str]  # continuous or categorical, as the fields it serves

    @abstractmethod
    def check(self, f: Field) -> None:
        """Raise a ValueError where the process cannot serve the field."""

    @abstractmethod
    def noise(self, f: Field, keys: Tensor, mask: Tensor, known: Tensor | None, like: Tensor) -> Tensor:
        """The counted noise of one draw, for keys (B,), in the dtype of `like` where that is floating."""

    @abstractmethod
    def corrupt(self, f: Field, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t given x_0: a draw of q(x_t | x_0)."""

    @abstractmethod
    def prior(self, f: Field, t: Tensor, noise: Tensor) -> Tensor:
        """What sampling starts from at time t, usually 1."""

    @abstractmethod
    def inputs(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """What the backbone sees of x_t."""

    @abstractmethod
    def view(self, f: Field, output: Tensor, x_t: Tensor, t: Tensor) -> View:
        """The posterior of x_0 that a raw output stands for."""

    @abstractmethod
    def loss(self, f: Field, view: View, x0: Tensor, noise: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The loss of each entry, unweighted in time: shaped as the field."""

    def outputs(self, f: Field) -> int:
        """How many numbers the network gives for each entry of a token or pair."""
        return f.channels

    def added_loss(self, f: Field, view: View, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor | None:
        """What is added to the loss of each entry, whatever the weight over noise levels; None: nothing."""
        return None


class CategoricalProcess(Process):
    """A process whose field moves by itself at each row of a plan, and not by a sampler's coefficients."""

    kind = "categorical"

    @abstractmethod
    def move(self, f: Field, x: Tensor, t: Tensor, s: Tensor, view: View, noise: Tensor) -> Tensor:
        """One step from t to s: backwards where s < t, forward noising where s > t."""

    @abstractmethod
    def rates(self, f: Field, x: Tensor, t: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """The reverse process as a chain in continuous time.

        Returns:
            the rate at which each entry leaves its class, per unit of t, and the probabilities (..., K) of where it goes.
        """
