"""The contract of a schedule, and the families that share how alpha and sigma go together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn


class Schedule(ABC):
    """alpha and sigma as functions of t, with their derivatives and the inverse of the log-SNR."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Signal scale, 1 at t = 0, not rising."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Noise scale, 0 at t = 0, rising."""

    @abstractmethod
    def d_alpha(self, t: Tensor) -> Tensor:
        """d alpha / dt."""

    @abstractmethod
    def d_sigma(self, t: Tensor) -> Tensor:
        """d sigma / dt; infinite at t = 0 where sigma grows like the root of t."""

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2), in [-inf, inf], without cancellation at either end."""

    @abstractmethod
    def t_of(self, log_snr: Tensor) -> Tensor:
        """The inverse of `log_snr`, clamped to [0, 1]."""

    def d_sigma2(self, t: Tensor) -> Tensor:
        """d sigma^2 / dt, finite at t = 0."""
        return 2 * self.sigma(t) * self.d_sigma(t)

    def d_log_snr(self, t: Tensor) -> Tensor:
        """d log_snr / dt = 2 (alpha' / alpha - sigma' / sigma) = -g^2 / sigma^2; -inf at t = 0, and where alpha = 0."""
        return 2 * (self.f(t) - self.d_sigma(t) / self.sigma(t))

    def f(self, t: Tensor) -> Tensor:
        """The drift of dx = f x dt + g dw: d log alpha / dt; -inf where alpha = 0.

        Source: Song et al. 2020, arXiv:2011.13456, section 3.1: the linear SDE whose marginals these alpha and sigma are.
        """
        return self.d_alpha(t) / self.alpha(t)

    def g2(self, t: Tensor) -> Tensor:
        """The squared diffusion g^2 = d sigma^2 / dt - 2 f sigma^2; inf where alpha = 0."""
        return self.d_sigma2(t) - 2 * self.f(t) * self.sigma(t) ** 2

    def louder(self, t: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """c and d log c / dt with which (c alpha, c s sigma) has s times the noise-to-signal ratio, on the family's own curve.

        A schedule of no family keeps alpha^2 + sigma^2 at each t.
        """
        alpha2, sigma2, slope = self.alpha(t) ** 2, self.sigma(t) ** 2, self.alpha(t) * self.d_alpha(t)
        before, after = alpha2 + sigma2, alpha2 + s**2 * sigma2
        rate = (slope + self.d_sigma2(t) / 2) / before - (slope + s**2 * self.d_sigma2(t) / 2) / after
        return torch.sqrt(before / after), rate

    def parts(self) -> Iterator[Schedule]:
        """This schedule and those it is made of."""
        yield self
        for value in vars(self).values():
            if isinstance(value, Schedule):
                yield from value.parts()

    @property
    def learns(self) -> bool:
        """Whether it, or one it is made of, has weights: then nothing of it may be kept from call to call."""
        return any(isinstance(part, nn.Module) for part in self.parts())

    @property
    @torch.no_grad()
    def ends_at_noise(self) -> bool:
        """Whether alpha(1) = 0, "zero terminal SNR": then eps and score say nothing of x_0 at t = 1."""
        return bool(self.alpha(torch.ones((), dtype=torch.float64)) < 1e-12)

    @property
    @torch.no_grad()
    def finite_rates(self) -> bool:
        """Whether d alpha / dt and d sigma / dt are finite at both ends and not both 0, as the flow parametrisation needs."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        rates = self.d_alpha(ends).abs() + self.d_sigma(ends).abs()
        return bool((torch.isfinite(rates) & (rates > 0)).all())


class Interpolant(Schedule):
    """alpha + sigma = 1: a straight line from data to noise, run at any speed."""

    def d_alpha(self, t: Tensor) -> Tensor:
        """-sigma'."""
        return -self.d_sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log(alpha / sigma)."""
        return 2 * (torch.log(self.alpha(t)) - torch.log(self.sigma(t)))

    def louder(self, t: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """c = 1 / (alpha + s sigma)."""
        c = 1 / (self.alpha(t) + s * self.sigma(t))
        return c, (1 - s) * self.d_sigma(t) * c


class VariancePreserving(Schedule):
    """alpha^2 + sigma^2 = 1."""

    def d_sigma2(self, t: Tensor) -> Tensor:
        """-2 alpha alpha'."""
        return -2 * self.alpha(t) * self.d_alpha(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """d(sigma^2)/dt / (2 sigma)."""
        return self.d_sigma2(t) / (2 * self.sigma(t))

    def g2(self, t: Tensor) -> Tensor:
        """-2 f."""
        return -2 * self.f(t)

    def louder(self, t: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """c = 1 / sqrt(alpha^2 + s^2 sigma^2)."""
        c2 = 1 / (self.alpha(t) ** 2 + (s * self.sigma(t)) ** 2)
        return torch.sqrt(c2), (1 - s**2) / 2 * self.d_sigma2(t) * c2


class VarianceExploding(Schedule):
    """alpha = 1."""

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def d_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def louder(self, t: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """c = 1."""
        return torch.ones_like(t), torch.zeros_like(t)


def in_order(name: str, **values: float) -> None:
    """Refuse numbers that are not positive and rising."""
    numbers = [0.0, *values.values()]
    if not all(a < b for a, b in pairwise(numbers)) or not numbers[-1] < float("inf"):
        found = ", ".join(f"{k}={v}" for k, v in values.items())
        raise ValueError(f"{name}: needs 0 < {' < '.join(values)}, found {found}")


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to full precision (torch's own gives x itself above 20)."""
    return torch.logaddexp(x, torch.zeros_like(x))
