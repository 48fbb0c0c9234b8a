"""The denoising loss: at which times, with which weights, over which entries.

`Objective.draw` makes all the randomness of a training step from (seed, step, index in the global batch); calling the objective
is then a pure function. The loss of a field is the mean over its real, unknown entries (pairs i < j once) within each sample,
times the field's weight; the loss of a sample is the sum over fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from . import rng
from .denoiser import Denoiser, place_known
from .parametrization import Parametrization, Point
from .posterior import Continuous, View
from .processes import Gaussian
from .schedules import Schedule
from .state import Conditions, Encoded, Field, Known, State, expand_time, field_mask


class TimeDensity(ABC):
    """The density of t in training, by the inverse of its distribution function."""

    @abstractmethod
    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """t for u in (0, 1); `schedule` is that of the first Gaussian field, None where there is none."""


@dataclass(frozen=True)
class Uniform(TimeDensity):
    """t uniform in (low, high)."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"Uniform times need 0 <= low < high <= 1, found low={self.low}, high={self.high}")

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """Low + (high - low) u."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class LogNormal(TimeDensity):
    """log(sigma / alpha) normal.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        _check_std(self)

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """The t at which log_snr = -2 (mean + std z)."""
        if schedule is None:
            raise ValueError(
                "log-normal times need a Gaussian field: no schedule tells sigma; take Uniform or LogitNormal"
            )
        return schedule.t_of(-2 * (self.mean + self.std * _normal_quantile(u)))


@dataclass(frozen=True)
class LogitNormal(TimeDensity):
    """log(t / (1 - t)) normal.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 19.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _check_std(self)

    def quantile(self, u: Tensor, schedule: Schedule | None) -> Tensor:
        """sigmoid(mean + std z)."""
        return torch.sigmoid(self.mean + self.std * _normal_quantile(u))


class Weight(ABC):
    """The weight of the squared error as a function of the noise level."""

    space: Literal["output", "x0", "eps"] = "output"  # whose squared error `at` weighs

    @abstractmethod
    def at(self, point: Point) -> Tensor:
        """The weight of the squared error in `space`."""

    def of_output(self, point: Point, parametrization: Parametrization) -> Tensor:
        """The same weight for the squared error of the raw output F: x_0 = A x_t + B F gives B^2, eps = C x_t + D F gives D^2."""
        if self.space == "output":
            return self.at(point)
        solution = parametrization.solve(point)
        return self.at(point) * (solution.b if self.space == "x0" else solution.d) ** 2


@dataclass(frozen=True)
class Unit(Weight):
    """1 on the raw output: the "simple" loss of eps networks, the flow-matching loss of flow networks, the loss of EDM's F."""

    def at(self, point: Point) -> Tensor:
        """1."""
        return torch.ones_like(point.alpha)


@dataclass(frozen=True)
class EDMWeight(Weight):
    """1 / c_out^2 on x_0; the unit weight of the EDM parametrisation, for any other.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    space = "x0"

    def at(self, point: Point) -> Tensor:
        """(alpha^2 s^2 + sigma^2) / (sigma s)^2."""
        return (point.scale / (point.sigma * point.sigma_data)) ** 2


@dataclass(frozen=True)
class MinSNR(Weight):
    """min(SNR, gamma) on x_0.

    Source: Hang et al. 2023, arXiv:2303.09556, section 3.4.
    """

    gamma: float = 5.0
    space = "x0"

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise ValueError(f"MinSNR: gamma must be above 0, found {self.gamma}")

    def at(self, point: Point) -> Tensor:
        """min(alpha^2 / sigma^2, gamma)."""
        return point.snr.clamp(max=self.gamma)


@dataclass(frozen=True)
class Draw:
    """All the randomness of one training step."""

    t: Tensor  # (B,)
    noise: State
    drop: dict[str, Tensor] = field(default_factory=dict)  # condition name -> (B,) bool
    self_condition: bool = False


@dataclass(frozen=True)
class Loss:
    """Per-sample losses (B,): `total` to be averaged, `fields` by name and unweighted by the field, `t` for logs."""

    total: Tensor
    fields: dict[str, Tensor]
    t: Tensor


class Objective:
    """The denoising loss of any state.

    Args:
        times: density of t.
        weight: weight of the squared error of continuous fields over the noise level.
        dropout: probability that a sample's condition is hidden, for all or by condition's name; drawn apart for each, so that
            guidance may later leave out any of them.
        self_conditioning: share of steps that show the network its own first estimate; needs a network that takes it.
        stratified: spread the times of a batch evenly, one in each of its equal parts.
    """

    def __init__(
        self,
        times: TimeDensity | None = None,
        weight: Weight | None = None,
        dropout: float | dict[str, float] = 0.1,
        self_conditioning: float = 0.0,
        stratified: bool = True,
    ) -> None:
        for name, p in (dropout if isinstance(dropout, dict) else {"all": dropout}).items():
            if not 0 <= p <= 1:
                raise ValueError(f"dropout of {name}: a probability in [0, 1] is needed, found {p}")
        if not 0 <= self_conditioning <= 1:
            raise ValueError(f"self_conditioning is a share of steps in [0, 1], found {self_conditioning}")
        self.times, self.weight = times or Uniform(), weight or Unit()
        self.dropout, self.self_conditioning, self.stratified = dropout, self_conditioning, stratified

    def draw(
        self, denoiser: Denoiser, encoded: Encoded, seed: int, step: int, index: Tensor, total: int | None = None
    ) -> Draw:
        """Draw times, noise and dropout for the samples `index` (B,) of a global batch of `total` (default: these are all).

        Source of the stratification: Kingma et al. 2021, arXiv:2107.00630, appendix I.1.
        """
        total, index = total or len(index), index.to(encoded.mask.device)
        if self.stratified:
            offset = rng.key(seed, "train", step, "time") * 2.0**-64
            u = (offset + index.to(torch.float64) / total) % 1.0
        else:
            u = rng.unit(rng.keys(seed, index, "train", step, "time"), 1, torch.float64)[:, 0]
        clock = denoiser.time_field()
        t = self.times.quantile(u.clamp(1e-9, 1 - 1e-9), clock.schedule if clock else None)
        noise = draw_noise(denoiser, encoded, seed, index, "train", step)
        if denoiser.modality is not None:
            coupling = rng.generator(seed, "train", step, "couple")
            noise = denoiser.modality.couple(encoded.state, noise, encoded.mask, coupling)
        drop = {
            spec.name: rng.unit(rng.keys(seed, index, "train", step, "drop", spec.name), 1)[:, 0]
            < self._dropout(spec.name)
            for spec in denoiser.conditions
        }
        coin = rng.key(seed, "train", step, "self-conditioning") * 2.0**-64
        return Draw(t, noise, drop, coin < self.self_conditioning)

    def check(self, denoiser: Denoiser) -> None:
        """Raise where the objective asks for what the denoiser does not have."""
        names = [spec.name for spec in denoiser.conditions]
        unknown = set(self.dropout) - set(names) if isinstance(self.dropout, dict) else set()
        if unknown:
            raise ValueError(
                f"dropout of {', '.join(sorted(unknown))}: the conditions are {', '.join(names) or 'none'}"
            )
        if self.self_conditioning and not denoiser.self_conditioning:
            raise ValueError(
                "objective.self_conditioning is above 0 but the backbone takes none: set backbone.self_conditioning=true"
            )

    def __call__(self, denoiser: Denoiser, encoded: Encoded, draw: Draw) -> Loss:
        """The loss of each sample."""
        known, mask, x0 = encoded.known, encoded.mask, encoded.state
        times = {name: expand_time(draw.t, f) for name, f in denoiser.fields.items()}
        corrupted = {
            n: denoiser.processes[n].corrupt(f, x0[n], times[n], draw.noise[n]) for n, f in denoiser.fields.items()
        }
        x_t = place_known(denoiser, corrupted, draw.t, mask, known, draw.noise)
        cond = _dropped(encoded.cond, draw.drop)
        previous = None
        if draw.self_condition:
            with torch.no_grad():
                previous = denoiser(x_t, draw.t, encoded.layout, cond, known)
        posterior = denoiser(x_t, draw.t, encoded.layout, cond, known, previous)
        fields = {n: self._field(denoiser, f, posterior[n], encoded, draw, x_t[n]) for n, f in denoiser.fields.items()}
        total = torch.stack([denoiser.fields[n].weight * loss for n, loss in fields.items()]).sum(0)
        return Loss(total, fields, draw.t)

    def _field(self, denoiser: Denoiser, f: Field, view: View, encoded: Encoded, draw: Draw, x_t: Tensor) -> Tensor:
        """The loss of one field in each sample, (B,)."""
        process, t = denoiser.processes[f.name], expand_time(draw.t, f)
        loss = process.loss(f, view, encoded.state[f.name], draw.noise[f.name], x_t, t)
        if isinstance(process, Gaussian) and isinstance(view, Continuous):
            loss = self.weight.of_output(process.at(t), process.parametrization).to(loss.dtype) * loss
        counted = _counted(f, encoded.mask, encoded.known).expand_as(loss)
        # where, not multiplication: a padded entry may hold anything
        return torch.where(counted, loss, 0.0).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)

    def _dropout(self, name: str) -> float:
        return self.dropout.get(name, 0.0) if isinstance(self.dropout, dict) else self.dropout


def draw_noise(
    denoiser: Denoiser,
    encoded: Encoded,
    seed: int,
    index: Tensor,
    *words: int | str,
    only: Collection[str] | None = None,
) -> State:
    """The counted noise of every field (or `only` of some) for the samples `index` (B,), a tensor on the batch's device."""
    return {
        name: denoiser.processes[name].noise(
            f, rng.keys(seed, index, *words, name), encoded.mask, _bits(encoded.known, name), encoded.state[name]
        )
        for name, f in denoiser.fields.items()
        if only is None or name in only
    }


def _bits(known: Known | None, name: str) -> Tensor | None:
    return None if known is None else known.bits.get(name)


def _counted(f: Field, mask: Tensor, known: Known | None) -> Tensor:
    """Entries that carry loss: real, unknown, each pair once."""
    counted = field_mask(f, mask)
    if f.axes == "pair":
        upper = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device).triu(1)
        counted = counted & (upper[..., None] if f.kind == "continuous" else upper)
    bits = _bits(known, f.name)
    return counted if bits is None else counted & ~bits


def _dropped(cond: Conditions, drop: Mapping[str, Tensor]) -> Conditions:
    return {name: c.dropped(drop[name].to(c.present.device)) if name in drop else c for name, c in cond.items()}


def _check_std(density: LogNormal | LogitNormal) -> None:
    if not density.std > 0:
        raise ValueError(f"{type(density).__name__}: std must be above 0, found {density.std}")


def _normal_quantile(u: Tensor) -> Tensor:
    return torch.special.ndtri(u)


__all__ = [
    "Draw",
    "EDMWeight",
    "LogNormal",
    "LogitNormal",
    "Loss",
    "MinSNR",
    "Objective",
    "TimeDensity",
    "Uniform",
    "Unit",
    "Weight",
    "draw_noise",
]
