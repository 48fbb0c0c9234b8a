"""What adaptive samplers follow: a clock variable, and a coordinate of each Gaussian field."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..posterior import Posterior
from ..schedules import Schedule
from ..state import State
from .walk import Walk

Estimates = dict[str, tuple[Tensor, Tensor]]  # (x_0, eps) of each Gaussian field


class Line(ABC):
    """The clock variable and the coordinates of one run.

    Attributes:
        first, last: u at the start, and where it can go.
        rest: u at which samples that have arrived are asked along with the others.
        start: t at the start.
    """

    first: float
    last: float
    rest: float
    start: float

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.schedules = {name: process.schedule for name, process in walk.gaussian.items()}

    @abstractmethod
    def time(self, u: Tensor) -> Tensor:
        """t of u."""

    @abstractmethod
    def unit(self, schedule: Schedule, t: Tensor) -> Tensor:
        """x / y, 1 at t = 0."""

    @abstractmethod
    def slopes(self, estimates: Estimates, t: Tensor) -> State:
        """Of each Gaussian field at t (B,), what the method is made of."""

    def x(self, y: State, t: Tensor) -> State:
        """The state of coordinates at t (B,), given entries in place."""
        units = {name: self.walk.at(name, self.unit(s, t)) for name, s in self.schedules.items()}
        return self.walk.placed({name: z * units[name] if name in units else z for name, z in y.items()}, t)

    def y(self, x: State, t: Tensor) -> State:
        """The coordinates of a state at t (B,)."""
        units = {name: self.walk.at(name, self.unit(s, t)) for name, s in self.schedules.items()}
        return {name: z / units[name] if name in units else z for name, z in x.items()}

    def ask(self, y: State, t: Tensor) -> tuple[Estimates, Posterior]:
        """What the denoiser makes of coordinates at t (B,)."""
        posterior = self.walk.ask(self.x(y, t), t)
        return {name: (view.x0, view.eps) for name, view in self.walk.continuous(posterior).items()}, posterior

    def combine(self, base: State, slopes: Sequence[State], weights: Mapping[str, Sequence[Tensor]]) -> State:
        """Base (0 where it lacks a field) + sum_j weights_j (B,) slopes_j, for each Gaussian field."""
        out = {}
        for name in self.schedules:
            terms = [self.walk.at(name, w) * k[name] for w, k in zip(weights[name], slopes, strict=True)]
            total = sum(terms[1:], terms[0])
            out[name] = base[name] + total if name in base else total
        return out

    def norm(self, y: State, scale: State) -> Tensor:
        """(B,) root mean square of y / scale over the real, unknown entries of the Gaussian fields."""
        total: Tensor | float = 0.0
        count: Tensor | float = 0.0
        for name in self.schedules:
            wide = torch.float64 if y[name].dtype == torch.float64 else torch.float32
            ratio = (y[name].to(wide) / scale[name].to(wide)) ** 2
            entries = self.walk.open[name].expand_as(ratio)
            total = total + torch.where(entries, ratio, 0.0).flatten(1).sum(1)
            count = count + entries.flatten(1).sum(1)
        assert isinstance(total, Tensor)
        assert isinstance(count, Tensor)
        return (total / count.clamp(min=1)).sqrt().nan_to_num(torch.inf).to(self.walk.times)
