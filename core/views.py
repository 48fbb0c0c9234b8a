"""A trained network under another schedule or parametrisation, without training it again."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from .denoiser import Denoiser, as_time, entry_time, token_time
from .parametrization import Parametrization, Point, V
from .posterior import Continuous, Posterior, Term, View
from .processes import Gaussian, Process
from .schedules import Retimed, Schedule
from .state import Conditions, Field, Known, Layout, State


def viewed(
    denoiser: Denoiser,
    schedule: Schedule | None = None,
    parametrization: Parametrization | None = None,
    *,
    beyond: Literal["refuse", "clamp"] = "refuse",
) -> Denoiser:
    """The same posterior, as if the denoiser had been trained under `schedule` and to predict `parametrization`.

    At time t of the new schedule the denoiser is asked at its own time u(t), where the log-SNRs of its clock agree, on
    x_u = x_t sqrt((alpha_u^2 + sigma_u^2) / (alpha_t^2 + sigma_t^2)); x_0 and eps are the same. All fields that run on the
    clock's schedule take the new one. Every other is at its own u(t), so that the joint state is one that the denoiser
    knows: its schedule becomes `Retimed`. A learnt variance is not carried over.

    Args:
        denoiser: any, guidance and worlds too.
        schedule: of the clock, the first Gaussian field; None: as it is.
        parametrization: whose raw output the posterior of each Gaussian field carries; None: as it is, or V where that
            does not exist on the new schedule.
        beyond: where `schedule` ends at a lower SNR than the denoiser's own does. `refuse` raises; `clamp` asks the denoiser
            there at its t = 1, on x scaled to the size that it has there: x_0 is what the denoiser says of its noisiest
            input, eps follows from x_t.

    Raises:
        ValueError: no Gaussian field, a schedule that ends outside the denoiser's, a process that has no schedule, or one that
            does not exist on the new one.

    Source: Kingma et al. 2021, arXiv:2107.00630, section 5.1; Karras et al. 2022, arXiv:2206.00364, appendix C.
    """
    return Viewed(denoiser, schedule, parametrization, beyond)


class Viewed(Denoiser):
    """See `viewed`."""

    def __init__(
        self,
        denoiser: Denoiser,
        schedule: Schedule | None,
        parametrization: Parametrization | None,
        beyond: Literal["refuse", "clamp"],
    ) -> None:
        super().__init__()
        if beyond not in ("refuse", "clamp"):
            raise ValueError(f"viewed: beyond is refuse or clamp, found {beyond!r}")
        clock = denoiser.time_field()
        if clock is None:
            raise ValueError(
                f"viewed: none of the fields {', '.join(denoiser.fields)} is Gaussian: there is no log-SNR to go by"
            )
        self.denoiser, self.old, self.new = denoiser, clock.schedule, schedule or clock.schedule
        self.fields, self.conditions, self.modality = denoiser.fields, denoiser.conditions, denoiser.modality
        self.per_token_time, self.self_conditioning = denoiser.per_token_time, denoiser.self_conditioning
        self.last = self._last(beyond)
        self.processes = {n: self._process(n, p, parametrization) for n, p in denoiser.processes.items()}

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """One call of the denoiser, at its own time; t is a number, (B,) or (B, N) of the new schedule."""
        asked = as_time(t, layout.mask)
        tokens = token_time(self, asked, layout.mask, known)
        times = {n: entry_time(self, f, asked, tokens, layout.mask, known) for n, f in self.fields.items()}
        state = {n: self._seen(self.fields[n], x, times[n]) for n, x in state_t.items()}
        posterior = self.denoiser(state, self._own_time(t), layout, cond, known, previous)
        return Posterior({n: self._view(n, posterior[n], state_t[n], times[n]) for n in self.fields})

    def _own_time(self, t: float | Tensor) -> float | Tensor:
        """u(t): a number stays one."""
        if self.new == self.old:
            return t
        if not isinstance(t, Tensor):
            return float(self.old.t_of(self.new.log_snr(torch.tensor(t, dtype=torch.float64)).detach()))
        return self.old.t_of(self.new.log_snr(t))

    def _seen(self, f: Field, x: Tensor, t: Tensor) -> Tensor:
        """The field as the denoiser knows it: scaled where it takes the new schedule."""
        if not self._takes_new(self.denoiser.processes[f.name]):
            return x
        own, here = (_size(s, u) for s, u in ((self.old, self.old.t_of(self.new.log_snr(t))), (self.new, t)))
        return x * (own / here).to(x.dtype)

    def _view(self, name: str, view: View, x_t: Tensor, t: Tensor) -> View:
        process = self.processes[name]
        if not isinstance(process, Gaussian) or not isinstance(view, Continuous):
            return view
        at, outside = process.at(t).to(x_t.dtype, x_t.device), None
        if self.last is not None and self._takes_new(self.denoiser.processes[name]):
            outside = self.new.log_snr(t) < self.last
        return Seen(view, x_t, at, process.parametrization, outside)

    def _takes_new(self, process: Process) -> bool:
        return self.new != self.old and isinstance(process, Gaussian) and process.schedule == self.old

    def _process(self, name: str, process: Process, parametrization: Parametrization | None) -> Process:
        """The process of a field under the new clock."""
        schedule = getattr(process, "schedule", None)
        if not isinstance(schedule, Schedule):
            raise ValueError(f"viewed: the process {type(process).__name__} of {name!r} has no schedule to re-time")
        if self.new != self.old:
            schedule = self.new if self._takes_new(process) else Retimed(schedule, self.old, self.new)
        if not isinstance(process, Gaussian):
            try:
                return replace(process, schedule=schedule)  # type: ignore[type-var]
            except ValueError as error:
                raise ValueError(f"viewed: {name!r} cannot follow {self.new}: {error}") from error
        if parametrization is None:
            parametrization = process.parametrization if _exists(process.parametrization, schedule) else V()
        return Gaussian(schedule, parametrization, process.sigma_data)

    def _last(self, beyond: str) -> float | None:
        """The denoiser's lowest log-SNR where the new schedule falls below it, None where it does not."""
        one = torch.ones((), dtype=torch.float64)
        own, new = (float(s.log_snr(one).detach()) for s in (self.old, self.new))
        if self.old.ends_at_noise or new >= own - 1e-9 * abs(own):
            return None
        if beyond == "refuse":
            start = float(self.new.t_of(torch.tensor(own, dtype=torch.float64)))
            raise ValueError(
                f"viewed: the denoiser knows log-SNRs down to {own:.4g}, its t = 1, and {self.new} falls to {new:.4g}; take a "
                f"schedule that ends sooner, or beyond='clamp', which asks it at its t = 1 there, and never has to where "
                f"sampling starts at t <= {start:.6f}: grid=UniformGrid(start=...)"
            )
        return own


class Seen(Continuous):
    """The (x_0, eps) of another view, at another (alpha, sigma).

    Args:
        view: what the denoiser said.
        x_t, at, parametrization: of the view under the new schedule.
        outside: bool, where `view` stands at another SNR than `at`, and eps follows from x_0; None: nowhere.
    """

    def __init__(
        self, view: Continuous, x_t: Tensor, at: Point, parametrization: Parametrization, outside: Tensor | None = None
    ) -> None:
        self.view, self.x_t, self.at, self.parametrization, self.outside = view, x_t, at, parametrization, outside

    @cached_property
    def output(self) -> Tensor:  # type: ignore[override]
        """F of x_0 and eps."""
        return self.parametrization.target(self.x0, self.eps, self.at)

    @property
    def x0(self) -> Tensor:
        """As it was."""
        return self.view.x0

    @cached_property
    def eps(self) -> Tensor:
        """As it was, or what x_t and x_0 leave."""
        if self.outside is None:
            return self.view.eps
        return torch.where(self.outside, (self.x_t - self.at.alpha * self.x0) / self.at.sigma, self.view.eps)

    def combine(self, p: float | Tensor, q: float | Tensor) -> list[Term]:
        """p x_t + q x_0."""
        return [(p, self.x_t), *self.view.combine(0.0, q)]

    def rows(self, start: int, stop: int) -> Seen:
        """Samples start..stop-1."""
        part = slice(start, stop)
        outside = None if self.outside is None else self.outside[part]
        return Seen(
            self.view.rows(start, stop), self.x_t[part], self.at.rows(start, stop), self.parametrization, outside
        )

    def mix(self, other: View, weight: float | Tensor) -> Continuous:
        """Mixed as the denoiser's own views are, and seen alike."""
        if isinstance(other, Seen) and self.parametrization == other.parametrization:
            return Seen(self.view.mix(other.view, weight), self.x_t, self.at, self.parametrization, self.outside)
        return super().mix(other, weight)


def _size(schedule: Schedule, t: Tensor) -> Tensor:
    """sqrt(alpha^2 + sigma^2), never 0."""
    return torch.hypot(schedule.alpha(t), schedule.sigma(t))


def _exists(parametrization: Parametrization, schedule: Schedule) -> bool:
    """Whether a parametrisation is defined at both ends of a schedule."""
    signal, rates = not schedule.ends_at_noise, schedule.finite_rates
    return (signal or not parametrization.needs_signal) and (rates or not parametrization.needs_rates)
