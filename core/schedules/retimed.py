"""A schedule run at the speed that another pair of schedules tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .circle import Cosine, Trigonometric
from .schedule import Schedule
from .straight import Rectified


@dataclass(frozen=True)
class Retimed(Schedule):
    """`base` at the time u(t) at which `clock` has the log-SNR that `onto` has at t.

    What becomes of one field's schedule when the clock of the state is changed from `clock` to `onto` (see `viewed`). Where
    `onto` is noisier than `clock` ever is, u stays at 1.

    Args:
        base: the schedule that is run at another speed.
        clock: whose log-SNR tells u.
        onto: whose log-SNR is met at t.
    """

    base: Schedule = field(default_factory=Trigonometric)
    clock: Schedule = field(default_factory=Rectified)
    onto: Schedule = field(default_factory=Cosine)

    def u(self, t: Tensor) -> Tensor:
        """The time of `clock` and `base`, 0 at 0."""
        return self.clock.t_of(self.onto.log_snr(t))

    def rate(self, t: Tensor) -> Tensor:
        """du / dt: the ratio of the speeds at which (alpha, sigma) turn, and of d(sigma^2)/dt where both are infinite.

        Where u stays at 1 it is 0.
        """
        u = self.u(t)
        new, old = _turning(self.onto, t), _turning(self.clock, u)
        both = torch.isinf(new) & torch.isinf(old)
        speed = torch.where(both, self.onto.d_sigma2(t) / self.clock.d_sigma2(u), new / old)
        return torch.where(self._rests(t), 0.0, speed)

    def alpha(self, t: Tensor) -> Tensor:
        """That of the base at u."""
        return self.base.alpha(self.u(t))

    def sigma(self, t: Tensor) -> Tensor:
        """That of the base at u."""
        return self.base.sigma(self.u(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """That of the base at u, times du / dt."""
        return self._per_time(self.base.d_alpha, t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """That of the base at u, times du / dt."""
        return self._per_time(self.base.d_sigma, t)

    def d_sigma2(self, t: Tensor) -> Tensor:
        """That of the base at u, times du / dt."""
        return self._per_time(self.base.d_sigma2, t)

    def f(self, t: Tensor) -> Tensor:
        """That of the base at u, times du / dt."""
        return self._per_time(self.base.f, t)

    def d_log_snr(self, t: Tensor) -> Tensor:
        """That of the base at u, times du / dt; -inf at t = 0."""
        return torch.where(t == 0, -torch.inf, self._per_time(self.base.d_log_snr, t))

    def _per_time(self, rate: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
        """rate(u) du / dt; where that is 0 times infinity, at an end, the number next to it."""
        value, inside = rate(self.u(t)) * self.rate(t), t.clamp(1e-30, 1 - torch.finfo(t.dtype).eps)
        value = torch.where(torch.isnan(value), rate(self.u(inside)) * self.rate(inside), value)
        return torch.where(self._rests(t), 0.0, value)

    def _rests(self, t: Tensor) -> Tensor:
        """Whether `onto` is noisier than `clock` ever is, by more than rounding."""
        last = self.clock.log_snr(torch.ones_like(t))
        return self.onto.log_snr(t) < last - 1e-9 * last.abs()

    def log_snr(self, t: Tensor) -> Tensor:
        """That of the base at u."""
        return self.base.log_snr(self.u(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """The t at which u is the base's."""
        return self.onto.t_of(self.clock.log_snr(self.base.t_of(log_snr)))

    def louder(self, t: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """The base's at u."""
        return self.base.louder(self.u(t), s)[0], self._per_time(lambda u: self.base.louder(u, s)[1], t)


def _turning(schedule: Schedule, t: Tensor) -> Tensor:
    """d/dt atan(sigma / alpha), finite at both ends wherever alpha' and sigma' are."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    return (alpha * schedule.d_sigma(t) - sigma * schedule.d_alpha(t)) / (alpha**2 + sigma**2)
