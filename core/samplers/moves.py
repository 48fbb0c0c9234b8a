"""How categorical fields are un-noised at each row of a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..posterior import View
from ..processes import CategoricalProcess
from ..state import Field


class Move(ABC):
    """A step of a categorical field from t to s, given the posterior of x_0 at t."""

    serves: ClassVar[tuple[type[CategoricalProcess], ...]] = (CategoricalProcess,)

    def check(self, name: str, process: CategoricalProcess) -> None:
        """Raise a ValueError where this move cannot serve the process of a field."""
        if not isinstance(process, self.serves):
            served = " and ".join(cls.__name__ for cls in self.serves)
            raise ValueError(
                f"move={self}: the process of field {name!r} is {type(process).__name__}; this move serves {served}"
            )

    @abstractmethod
    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """The field at s.

        Args:
            f: the field.
            process: its process.
            x: its classes at t.
            t, s: times, broadcastable to the field; upwards (s > t) is forward noising.
            view: the posterior of x_0.
            noise: the process's own uniforms for this step.
            open: which entries are real and unknown, shaped as the field: the others will be put back and must not count.
        """


@dataclass(frozen=True)
class Ancestral(Move):
    """Each entry by itself, from q(x_s | x_t, x_0) with x_0 drawn from the posterior. Source: that of the process."""

    def __call__(
        self,
        f: Field,
        process: CategoricalProcess,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        view: View,
        noise: Tensor,
        open: Tensor,
    ) -> Tensor:
        """The process's own move."""
        return process.move(f, x, t, s, view, noise)
