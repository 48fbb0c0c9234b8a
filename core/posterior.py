"""The denoised posterior: the only currency between networks, guidance, samplers and losses.

A `Posterior` maps field names to views. The view of a continuous field is a linear function of the network's output and of x_t,
computed when asked for and not before; the view of a categorical field is its class probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor

from .parametrization import Flow, Parametrization, Point, Score, Solution, V
from .state import State


class View(ABC):
    """What is believed of one field's x_0."""

    @property
    @abstractmethod
    def x0(self) -> Tensor:
        """The mean (continuous) or the most probable class (categorical)."""

    @property
    @abstractmethod
    def carried(self) -> Tensor:
        """What self-conditioning shows the network: x0, or class probabilities."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> View:
        """Samples start..stop-1."""

    @abstractmethod
    def mix(self, other: View, weight: float | Tensor) -> View:
        """other + weight (self - other), in the space where the field is linear; `weight` broadcasts with (B,)."""


Term = tuple[float | Tensor, Tensor]  # a factor, which broadcasts, and what it multiplies


class Continuous(View):
    """x_0 = A x_t + B F and eps = C x_t + D F, each computed once and only when asked for.

    `solution` holds (A, B, C, D) where they are known already: as numbers, at a time that all entries share.
    """

    def __init__(
        self,
        output: Tensor,
        x_t: Tensor,
        at: Point,
        parametrization: Parametrization,
        solution: Solution | None = None,
    ) -> None:
        self.output, self.x_t, self.at, self.parametrization = output, x_t, at, parametrization
        self._given = solution

    @cached_property
    def _solution(self) -> Solution:
        return self._given or self.parametrization.solve(self.at)

    @cached_property
    def x0(self) -> Tensor:
        """The mean of x_0."""
        return linear([(self._solution.a, self.x_t), (self._solution.b, self.output)])

    def combine(self, p: float | Tensor, q: float | Tensor) -> list[Term]:
        """p x_t + q x_0 as a sum of tensors that exist already."""
        return [(p + q * self._solution.a, self.x_t), (q * self._solution.b, self.output)]

    @cached_property
    def eps(self) -> Tensor:
        """The mean of the noise, 0 where sigma = 0."""
        return linear([(self._solution.c, self.x_t), (self._solution.d, self.output)])

    @property
    def v(self) -> Tensor:
        """Alpha eps - sigma x_0."""
        return V().target(self.x0, self.eps, self.at)

    @property
    def flow(self) -> Tensor:
        """dx_t / dt along the probability flow."""
        return Flow().target(self.x0, self.eps, self.at)

    @property
    def score(self) -> Tensor:
        """-eps / sigma, 0 where sigma = 0."""
        return Score().target(self.x0, self.eps, self.at)

    @property
    def carried(self) -> Tensor:
        """x0."""
        return self.x0

    def rows(self, start: int, stop: int) -> Continuous:
        """Samples start..stop-1."""
        part = slice(start, stop)
        return Continuous(
            self.output[part], self.x_t[part], self.at.rows(start, stop), self.parametrization, self._given
        )

    def mix(self, other: View, weight: float | Tensor) -> Continuous:
        """Every linear view mixes alike: raw outputs of one parametrisation, else x_0 and eps."""
        if not isinstance(other, Continuous):
            raise _cannot_mix(self, other)
        plain = not isinstance(self, Pair) and not isinstance(other, Pair)
        if plain and self.parametrization == other.parametrization:
            output = _lerp(other.output, self.output, weight)
            return Continuous(output, self.x_t, self.at, self.parametrization, self._given)
        return Pair(_lerp(other.x0, self.x0, weight), _lerp(other.eps, self.eps, weight), self.x_t, self.at)


class Pair(Continuous):
    """A view from x_0 and eps themselves, which may come from different calls (as in CFG++)."""

    def __init__(self, x0: Tensor, eps: Tensor, x_t: Tensor, at: Point) -> None:
        super().__init__(V().target(x0, eps, at), x_t, at, V())
        self.x0, self.eps = x0, eps

    def combine(self, p: float | Tensor, q: float | Tensor) -> list[Term]:
        """p x_t + q x_0."""
        return [(p, self.x_t), (q, self.x0)]

    def rows(self, start: int, stop: int) -> Pair:
        """Samples start..stop-1."""
        part = slice(start, stop)
        return Pair(self.x0[part], self.eps[part], self.x_t[part], self.at.rows(start, stop))


class Categorical(View):
    """Class probabilities (..., K) of a categorical field."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    @cached_property
    def log_probs(self) -> Tensor:
        """Normalised log-probabilities of x_0."""
        return torch.log_softmax(self.logits, dim=-1)

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities of x_0."""
        return self.log_probs.exp()

    @property
    def x0(self) -> Tensor:
        """The most probable class."""
        return self.logits.argmax(-1)

    @property
    def carried(self) -> Tensor:
        """The probabilities."""
        return self.probs

    def mix(self, other: View, weight: float | Tensor) -> Categorical:
        """Normalised log-probabilities mix linearly."""
        if not isinstance(other, Categorical):
            raise _cannot_mix(self, other)
        return Categorical(_lerp(other.log_probs, self.log_probs, weight))

    def rows(self, start: int, stop: int) -> Categorical:
        """Samples start..stop-1."""
        return Categorical(self.logits[start:stop])


class Posterior(Mapping[str, View]):
    """One view for each field."""

    def __init__(self, views: Mapping[str, View]) -> None:
        self._views = dict(views)

    def __getitem__(self, name: str) -> View:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def carried(self) -> State:
        """What self-conditioning shows the network of each field."""
        return {name: view.carried for name, view in self.items()}

    def rows(self, start: int, stop: int) -> Posterior:
        """Samples start..stop-1."""
        return Posterior({name: view.rows(start, stop) for name, view in self.items()})

    def mix(self, other: Posterior, weight: float | Tensor) -> Posterior:
        """other + weight (self - other), field by field."""
        return Posterior({name: view.mix(other[name], weight) for name, view in self.items()})


def _cannot_mix(a: View, b: View) -> ValueError:
    return ValueError(f"cannot mix a {type(a).__name__} view with a {type(b).__name__} one")


def _lerp(start: Tensor, end: Tensor, weight: float | Tensor) -> Tensor:
    """start + weight (end - start), the weight a number or one for each sample, (B,)."""
    if not isinstance(weight, Tensor):
        return torch.lerp(start, end, weight)  # a number stays on the host: no device has to be asked for it
    return torch.lerp(start, end, weight.to(start.dtype).view(-1, *(1,) * (start.ndim - 1)))


def linear(terms: Iterable[Term]) -> Tensor:
    """The sum of factor times tensor in as few passes as there are tensors: factors of one tensor are added up first."""
    merged: dict[int, Term] = {}
    for factor, x in terms:
        before = merged.get(id(x))
        merged[id(x)] = (factor if before is None else before[0] + factor, x)
    rest = [term for term in merged.values() if isinstance(term[0], Tensor) or term[0] != 0]
    if not rest:
        return torch.zeros_like(next(iter(merged.values()))[1])
    plain = [i for i, (factor, _) in enumerate(rest) if not isinstance(factor, Tensor) and factor == 1]
    factor, x = rest.pop(plain[0] if plain else 0)
    out = _plus(x, *rest.pop(0)) if plain and rest else x * factor
    for factor, other in rest:
        if isinstance(factor, Tensor):
            out.addcmul_(other, factor)
        else:
            out.add_(other, alpha=factor)
    return out


def _plus(x: Tensor, factor: float | Tensor, other: Tensor) -> Tensor:
    """x + factor other, in new memory."""
    return torch.addcmul(x, other, factor) if isinstance(factor, Tensor) else torch.add(x, other, alpha=factor)
