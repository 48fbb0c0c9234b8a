"""The denoising loss: the mean over the real, unknown entries of each field, weighted and summed over the fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import rng
from ..denoiser import Denoiser, place_known
from ..posterior import Continuous, View
from ..processes import Gaussian
from ..schedules import Learned
from ..state import Conditions, Encoded, Field, State, expand_time
from .couplings import Coupling
from .draws import Draw, counted_entries, draw_noise, gaussian_fields, offsets, places, shifted
from .times import LossAware, TimeDensity, Uniform
from .weights import LearnedUncertainty, Likelihood, Unit, Weight


@dataclass(frozen=True)
class Loss:
    """Per-sample losses (B,): `total` to be averaged, `fields` by name and unweighted by the field, `t` for logs.

    Both count samples by their importance (`Draw.weight`); a learnt uncertainty is in `total` alone. Where tokens have times of
    their own, `t` is their mean.
    """

    total: Tensor
    fields: dict[str, Tensor]
    t: Tensor


class Objective(nn.Module):
    """The denoising loss of any state.

    What it learns itself (an uncertainty, the history of losses) are its parameters and buffers: trained and saved beside the
    network's, and not exported.

    Args:
        times: density of t.
        weight: weight of the squared error of continuous fields over the noise level.
        dropout: probability that a sample's condition is hidden, for all or by condition's name; drawn apart for each, so that
            guidance may later leave out any of them.
        self_conditioning: share of steps that show the network its own first estimate; needs a network that takes it.
        stratified: spread the times of a batch evenly, one in each of its equal parts.
        coupling: how noise is paired with data; None: as drawn. The modality's own `couple` follows.
        offset: strength s of offset noise, for all Gaussian fields of tokens or by field's name: each channel of a sample gets
            one more normal number, times s, on all its tokens. The noise then has covariance I + s^2 11^T over tokens, its mean
            over N tokens the variance s^2 + 1/N, while samplers start from I: the network learns to move the mean further than
            the prior asks for. Meant for schedules whose alpha(1) is above 0 (Guttenberg 2023, "Diffusion with offset noise").
        independent: share of samples whose tokens have times of their own, one for each place on the first axis (frames,
            steps in time), each drawn from `times`; the others have one time for all. Such a network serves times per
            token when it samples (Chen et al. 2024, arXiv:2407.01392, algorithm 1, where the share is 1).

    Raises:
        ValueError: a number outside its range; two parts that both even out the noise levels; independent times beside what
            learns from the time of a sample.
    """

    times: TimeDensity
    weight: Weight

    def __init__(
        self,
        times: TimeDensity | None = None,
        weight: Weight | None = None,
        dropout: float | dict[str, float] = 0.1,
        self_conditioning: float = 0.0,
        stratified: bool = True,
        coupling: Coupling | None = None,
        offset: float | dict[str, float] = 0.0,
        independent: float = 0.0,
    ) -> None:
        super().__init__()
        for name, p in (dropout if isinstance(dropout, dict) else {"all": dropout}).items():
            if not 0 <= p <= 1:
                raise ValueError(f"dropout of {name}: a probability in [0, 1] is needed, found {p}")
        if not 0 <= self_conditioning <= 1:
            raise ValueError(f"self_conditioning is a share of steps in [0, 1], found {self_conditioning}")
        for name, size in (offset if isinstance(offset, dict) else {"all": offset}).items():
            if not 0 <= size < float("inf"):
                raise ValueError(f"offset of {name}: a strength of at least 0 is needed, for example 0.1; found {size}")
        if not 0 <= independent <= 1:
            raise ValueError(f"independent is a share of samples in [0, 1], found {independent}")
        self.times, self.weight = times or Uniform(), weight or Unit()
        if self.times.observes and isinstance(self.weight, LearnedUncertainty):
            raise ValueError(
                f"{type(self.times).__name__} looks where losses are large and LearnedUncertainty makes them all alike: take one"
            )
        if independent and (self.times.observes or isinstance(self.weight, LearnedUncertainty)):
            learner = self.times if self.times.observes else self.weight
            raise ValueError(
                f"{type(learner).__name__} learns what the loss is at the time of a sample, and with independent={independent} a "
                "sample has many: take one of the two"
            )
        self.dropout, self.self_conditioning, self.stratified = dropout, self_conditioning, stratified
        self.coupling, self.offset, self.independent = coupling, offset, independent

    def prepare(self, denoiser: Denoiser) -> None:
        """Look at the denoiser and make what is learnt for its fields: once, before the optimizer is made."""
        self.check(denoiser)
        self.weight.prepare(gaussian_fields(denoiser))

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
        if self.independent and not denoiser.per_token_time:
            raise ValueError(
                f"objective.independent={self.independent} gives tokens times of their own, and this backbone has one for all: "
                "set it to 0, or take another backbone"
            )
        if not gaussian_fields(denoiser) and not isinstance(self.weight, Unit):
            raise ValueError(
                f"{type(self.weight).__name__} weighs continuous fields, and there are none: take weight unit"
            )
        offsets(denoiser, self.offset)
        among = self.times.times if isinstance(self.times, LossAware) else self.times
        if _learned_schedules(denoiser) and not (isinstance(self.weight, Likelihood) and isinstance(among, Uniform)):
            raise ValueError(
                f"a learned schedule with weight {type(self.weight).__name__} and times {type(self.times).__name__} would "
                "drift to where the loss is small: take weight likelihood and times uniform (or loss_aware among uniform "
                "ones), under which its shape changes the variance alone"
            )

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
        place, weight = self.times.focus(u)
        schedule = clock.schedule if clock else None
        t = self.times.quantile(place.clamp(1e-9, 1 - 1e-9), schedule)
        if self.independent:
            groups, count = places(encoded.layout)
            own = rng.unit(rng.keys(seed, index, "train", step, "time", "own"), count, torch.float64)
            own = self.times.quantile(own.clamp(1e-9, 1 - 1e-9), schedule).gather(1, groups)
            apart = rng.unit(rng.keys(seed, index, "train", step, "apart"), 1) < self.independent
            t = torch.where(apart, own, t[:, None])
        drop = {
            spec.name: rng.unit(rng.keys(seed, index, "train", step, "drop", spec.name), 1)[:, 0]
            < self._dropout(spec.name)
            for spec in denoiser.conditions
        }
        coin = rng.key(seed, "train", step, "self-conditioning") * 2.0**-64
        noise = self._noise(denoiser, encoded, seed, step, index)
        return Draw(t, noise, drop, coin < self.self_conditioning, weight, place)

    def _noise(self, denoiser: Denoiser, encoded: Encoded, seed: int, step: int, index: Tensor) -> State:
        """Noise as drawn, shifted, paired with the samples, and as the modality then turns it."""
        strength = offsets(denoiser, self.offset)

        def drawn(*words: int | str) -> State:
            noise = draw_noise(denoiser, encoded, seed, index, "train", step, *words)
            return shifted(noise, strength, denoiser, encoded, seed, index, "train", step, *words)

        noise = drawn()
        if self.coupling is not None:
            noise = self.coupling.couple(denoiser, encoded, noise, lambda number: drawn("again", number))
        if denoiser.modality is not None:
            coupling = rng.generator(seed, "train", step, "couple")
            noise = denoiser.modality.couple(encoded.state, noise, encoded.mask, encoded.known, coupling)
        return noise

    def forward(self, denoiser: Denoiser, encoded: Encoded, draw: Draw) -> Loss:
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
        real = mask.to(draw.t.dtype)
        t = draw.t if draw.t.ndim == 1 else (draw.t * real).sum(1) / real.sum(1).clamp(min=1)
        settled = self._settled(denoiser, fields, t)
        total = torch.stack([denoiser.fields[n].weight * loss for n, loss in settled.items()]).sum(0)
        for schedule in _learned_schedules(denoiser):
            total = schedule.scale_gradients(total)  # its shape gets the gradient of the squared loss
        if draw.weight is None:
            return Loss(total, fields, t)
        return Loss(draw.weight * total, {n: draw.weight * loss for n, loss in fields.items()}, t)

    def evidence(self, draw: Draw, loss: Loss) -> Tensor:
        """(2, B): where each sample was drawn and what it lost there, as `times.observe` takes them in."""
        if draw.place is None:
            raise ValueError("a draw without places was not made by Objective.draw: there is nothing to observe")
        total = loss.total.detach().to(draw.place.dtype)
        return torch.stack([draw.place, total if draw.weight is None else total / draw.weight])

    def _field(self, denoiser: Denoiser, f: Field, view: View, encoded: Encoded, draw: Draw, x_t: Tensor) -> Tensor:
        """The loss of one field in each sample, (B,)."""
        process, t = denoiser.processes[f.name], expand_time(draw.t, f)
        loss = process.loss(f, view, encoded.state[f.name], draw.noise[f.name], x_t, t)
        if isinstance(process, Gaussian) and isinstance(view, Continuous):
            loss = self.weight.of_output(process.at(t), process.parametrization).to(loss.dtype) * loss
        added = process.added_loss(f, view, encoded.state[f.name], x_t, t)
        loss = loss if added is None else loss + added
        counted = counted_entries(f, encoded).expand_as(loss)
        # where, not multiplication: a padded entry may hold anything
        return torch.where(counted, loss, 0.0).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)

    def _settled(self, denoiser: Denoiser, fields: Mapping[str, Tensor], t: Tensor) -> dict[str, Tensor]:
        """What the losses of the fields count in the total."""
        c_noise, weighed = denoiser.c_noise(t), gaussian_fields(denoiser)
        return {n: self.weight.settle(n, loss, c_noise) if n in weighed else loss for n, loss in fields.items()}

    def _dropout(self, name: str) -> float:
        return self.dropout.get(name, 0.0) if isinstance(self.dropout, dict) else self.dropout


def _learned_schedules(denoiser: Denoiser) -> list[Learned]:
    """The schedules in training, each once."""
    schedules = [process.schedule for process in denoiser.processes.values() if isinstance(process, Gaussian)]
    found = {id(part): part for schedule in schedules for part in schedule.parts() if isinstance(part, Learned)}
    return [part for part in found.values() if any(w.requires_grad for w in part.parameters())]


def _dropped(cond: Conditions, drop: Mapping[str, Tensor]) -> Conditions:
    return {name: c.dropped(drop[name].to(c.present.device)) if name in drop else c for name, c in cond.items()}
