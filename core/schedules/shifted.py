"""The same schedule with more or less noise: a shift of the log-SNR, by a number or by the number of tokens."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field

from torch import Tensor

from .schedule import Schedule
from .straight import Rectified


class Shift(Schedule):
    """log_snr(t) = base.log_snr(t) - 2 log s: alpha = c alpha_base, sigma = c s sigma_base.

    c keeps the family of the base: alpha + sigma = 1 of straight lines, which is then run at t' = s t / (1 + (s - 1) t);
    alpha^2 + sigma^2 = 1 of those that preserve the variance; alpha = 1 of those where it explodes; any other keeps its own
    alpha^2 + sigma^2 at each t.

    dx/dt, what the flow parametrisation predicts, is that of the new clock. A network that was trained on the base itself, with
    its times drawn or its steps placed by the shift, is asked under it through `viewed`.
    Source: Esser et al. 2024, arXiv:2403.03206, equation 23; Hoogeboom et al. 2023, arXiv:2301.11093, equation 2.
    """

    base: Schedule

    @property
    @abstractmethod
    def s(self) -> float:
        """How many times sigma / alpha is that of the base, above 0."""

    def __post_init__(self) -> None:
        if not 0 < self.s < math.inf:
            raise ValueError(f"{type(self).__name__}: the shift must be above 0, found {self.s}")

    def alpha(self, t: Tensor) -> Tensor:
        """c alpha."""
        return self.base.louder(t, self.s)[0] * self.base.alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        """c s sigma."""
        return self.base.louder(t, self.s)[0] * self.s * self.base.sigma(t)

    def d_alpha(self, t: Tensor) -> Tensor:
        """c (alpha' + alpha d log c / dt)."""
        c, rate = self.base.louder(t, self.s)
        return c * (self.base.d_alpha(t) + self.base.alpha(t) * rate)

    def d_sigma(self, t: Tensor) -> Tensor:
        """c s (sigma' + sigma d log c / dt)."""
        c, rate = self.base.louder(t, self.s)
        return c * self.s * (self.base.d_sigma(t) + self.base.sigma(t) * rate)

    def d_sigma2(self, t: Tensor) -> Tensor:
        """c^2 s^2 (d(sigma^2)/dt + 2 sigma^2 d log c / dt)."""
        c, rate = self.base.louder(t, self.s)
        return (c * self.s) ** 2 * (self.base.d_sigma2(t) + 2 * self.base.sigma(t) ** 2 * rate)

    def f(self, t: Tensor) -> Tensor:
        """That of the base + d log c / dt."""
        return self.base.f(t) + self.base.louder(t, self.s)[1]

    def d_log_snr(self, t: Tensor) -> Tensor:
        """That of the base."""
        return self.base.d_log_snr(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """That of the base - 2 log s."""
        return self.base.log_snr(t) - 2 * math.log(self.s)

    def t_of(self, log_snr: Tensor) -> Tensor:
        """That of the base at log_snr + 2 log s."""
        return self.base.t_of(log_snr + 2 * math.log(self.s))

    def louder(self, t: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """The base's for the product of both shifts, over its own."""
        (c, rate), (own, own_rate) = self.base.louder(t, self.s * s), self.base.louder(t, self.s)
        return c / own, rate - own_rate


@dataclass(frozen=True)
class Shifted(Shift):
    """log_snr(t) = base.log_snr(t) - 2 log shift; see `Shift`.

    Args:
        base: any schedule.
        shift: above 1 is noisier, below 1 cleaner; 3 is Stable Diffusion 3's.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 23.
    """

    base: Schedule = field(default_factory=Rectified)
    shift: float = 3.0

    @property
    def s(self) -> float:
        """The shift."""
        return self.shift


@dataclass(frozen=True)
class RootShifted(Shift):
    """A shift of sqrt(tokens / reference): more tokens of one picture hide less under the same noise.

    Args:
        base: the schedule that is right for `reference` tokens.
        tokens: of the data, at least 1.
        reference: at least 1.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 23; Hoogeboom et al. 2023, arXiv:2301.11093, equation 2 (d / 64 pixels).
    """

    base: Schedule = field(default_factory=Rectified)
    tokens: int = 1024
    reference: int = 256

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.reference < 1:
            raise ValueError(
                f"RootShifted: tokens and reference must be at least 1, found {self.tokens}, {self.reference}"
            )
        super().__post_init__()

    @property
    def s(self) -> float:
        """sqrt(tokens / reference)."""
        return math.sqrt(self.tokens / self.reference)


@dataclass(frozen=True)
class LinearShifted(Shift):
    """A shift of exp(mu), mu linear in the number of tokens through two points.

    Args:
        base: the schedule that is shifted.
        tokens: of the data, at least 1.
        low, high: (tokens, mu) of the two points.

    Source: Black Forest Labs 2024, the published code of FLUX.1 (mu 0.5 at 256 tokens, 1.15 at 4,096).
    """

    base: Schedule = field(default_factory=Rectified)
    tokens: int = 1024
    low: tuple[int, float] = (256, 0.5)
    high: tuple[int, float] = (4096, 1.15)

    def __post_init__(self) -> None:
        if self.tokens < 1 or not 1 <= self.low[0] < self.high[0]:
            raise ValueError(
                f"LinearShifted: needs tokens >= 1 and 1 <= low tokens < high tokens, "
                f"found tokens={self.tokens}, low={self.low}, high={self.high}"
            )
        super().__post_init__()

    @property
    def mu(self) -> float:
        """log s."""
        (m0, mu0), (m1, mu1) = self.low, self.high
        return mu0 + (mu1 - mu0) * (self.tokens - m0) / (m1 - m0)

    @property
    def s(self) -> float:
        """exp(mu)."""
        return math.exp(self.mu)
