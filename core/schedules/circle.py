"""Quarter circles from data to noise, alpha^2 + sigma^2 = 1, whose law of t is a formula that reaches alpha = 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedule import VariancePreserving


@dataclass(frozen=True)
class Trigonometric(VariancePreserving):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): variance preserving at constant angular speed.

    Source: Salimans and Ho 2022, arXiv:2202.00512, section 4 (their alpha-cosine schedule).
    """

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2) as sin(pi (1 - t) / 2): exactly 0 at t = 1."""
        return torch.sin((1 - t) * (math.pi / 2))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2)."""
        return torch.sin(t * (math.pi / 2))

    def d_alpha(self, t: Tensor) -> Tensor:
        """-(pi / 2) sigma."""
        return -(math.pi / 2) * self.sigma(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """(pi / 2) alpha."""
        return (math.pi / 2) * self.alpha(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log(alpha / sigma)."""
        return 2 * (torch.log(self.alpha(t)) - torch.log(self.sigma(t)))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """(2 / pi) atan(exp(-log_snr / 2))."""
        return torch.atan(torch.exp(-log_snr / 2)) * (2 / math.pi)


@dataclass(frozen=True)
class Cosine(VariancePreserving):
    """alpha = cos(u) / cos(u_0), u = (pi / 2) (t end + s) / (1 + s), u_0 = u(0).

    `end` < 1 stops before alpha reaches 0, which the eps parametrisation needs; the 1,000-step table of the paper caps its
    last betas at 0.999 for the same reason (`CosineBeta`).
    Source: Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17.
    """

    s: float = 0.008
    end: float = 1.0

    def __post_init__(self) -> None:
        if not (self.s > 0 and 0 < self.end <= 1):
            raise ValueError(f"Cosine: s must be above 0 and end in (0, 1], found s={self.s}, end={self.end}")

    @property
    def _u0(self) -> float:
        return math.pi / 2 * self.s / (1 + self.s)

    @property
    def _speed(self) -> float:
        return math.pi / 2 * self.end / (1 + self.s)

    def _cos(self, t: Tensor) -> Tensor:
        """cos(u) as sin(pi / 2 - u): exactly 0 at t = end = 1, never below."""
        return torch.sin(math.pi / 2 / (1 + self.s) * (1 - self.end * t))

    def alpha(self, t: Tensor) -> Tensor:
        """cos(u) / cos(u_0)."""
        return self._cos(t) / self._cos(torch.zeros_like(t))

    def _sin_product(self, t: Tensor) -> Tensor:
        """cos(u_0)^2 - cos(u)^2 as a product, exact for small t."""
        return torch.sin(self._speed * t) * torch.sin(self._speed * t + 2 * self._u0)

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2)."""
        return torch.sqrt(self._sin_product(t)) / math.cos(self._u0)

    def d_alpha(self, t: Tensor) -> Tensor:
        """-u' sin(u) / cos(u_0)."""
        return -self._speed * torch.sin(self._u0 + self._speed * t) / math.cos(self._u0)

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log cos(u) - log(cos(u_0)^2 - cos(u)^2)."""
        return 2 * torch.log(self._cos(t)) - torch.log(self._sin_product(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """(u - u_0) / u' by its tangent, from tan(u_0) and cos(u)^2 = cos(u_0)^2 alpha^2: well conditioned at both ends.

        sin(u - u_0) and cos(u - u_0) follow from sin(u)^2 - sin(u_0)^2 = cos(u_0)^2 sigma^2 without a difference of like numbers.
        """
        sin0, cos0 = math.sin(self._u0), math.cos(self._u0)
        alpha, sigma2 = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr)
        sin = torch.sqrt(sin0**2 + cos0**2 * sigma2)
        rise = cos0**2 * sigma2 / (sin + sin0)  # sin(u) - sin(u_0)
        fall = sigma2 / (1 + alpha)  # 1 - alpha
        angle = torch.atan2(rise * cos0 + sin0 * cos0 * fall, cos0**2 * alpha + sin * sin0)
        return (angle / self._speed).clamp(0, 1)


@dataclass(frozen=True)
class Sigmoid(VariancePreserving):
    """alpha^2 = (S(v_1) - S(v_t)) / (S(v_1) - S(v_0)), v_t = (start + t (end - start)) / tau, S the logistic function.

    Not the betas that lie on a sigmoid (`SigmoidBeta`).

    Args:
        start, end: of the sigmoid's argument, start < end.
        tau: temperature, above 0.

    Source: Jabri et al. 2022, arXiv:2212.11972; Chen 2023, arXiv:2301.10972, section 2.1 (algorithm 1).
    """

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0

    def __post_init__(self) -> None:
        if not (self.start < self.end and self.tau > 0):
            raise ValueError(
                f"Sigmoid: needs start < end and tau > 0, found start={self.start}, end={self.end}, tau={self.tau}"
            )
        least = max(-self.start, self.end) / 300
        if self.tau < least:
            raise ValueError(f"Sigmoid: tau={self.tau} makes the sigmoid a step; take tau above {least:.2g}")

    @property
    def _rate(self) -> float:
        return (self.end - self.start) / self.tau

    @property
    def _ends(self) -> tuple[float, float]:
        return self.start / self.tau, self.end / self.tau

    @property
    def _span(self) -> float:
        """S(v_1) - S(v_0)."""
        v0, v1 = self._ends
        return -math.expm1(-self._rate) * _logistic(v1) * _logistic(-v0)

    def _v(self, t: Tensor) -> Tensor:
        return self._ends[0] + self._rate * t

    def _left(self, t: Tensor) -> Tensor:
        """S(v_1) - S(v_t) over S(v_1), by S(b) - S(a) = (1 - exp(a - b)) S(b) S(-a)."""
        return -torch.expm1((1 - t) * -self._rate) * torch.sigmoid(-self._v(t))

    def _done(self, t: Tensor) -> Tensor:
        """S(v_t) - S(v_0) over S(-v_0)."""
        return -torch.expm1(-t * self._rate) * torch.sigmoid(self._v(t))

    def _alpha2(self, t: Tensor) -> Tensor:
        """Exactly 1 and 0 at the ends."""
        return self._left(t) / self._left(torch.zeros_like(t))

    def _sigma2(self, t: Tensor) -> Tensor:
        """Exactly 0 and 1 at the ends."""
        return self._done(t) / self._done(torch.ones_like(t))

    def alpha(self, t: Tensor) -> Tensor:
        """The root of what is left of the sigmoid's rise."""
        return torch.sqrt(self._alpha2(t))

    def sigma(self, t: Tensor) -> Tensor:
        """The root of what is done of the sigmoid's rise."""
        return torch.sqrt(self._sigma2(t))

    def d_sigma2(self, t: Tensor) -> Tensor:
        """v' S(v) S(-v) over the span."""
        v = self._v(t)
        return torch.sigmoid(v) * torch.sigmoid(-v) * (self._rate / self._span)

    def d_alpha(self, t: Tensor) -> Tensor:
        """-d(sigma^2)/dt / (2 alpha), -inf at t = 1."""
        return -self.d_sigma2(t) / (2 * self.alpha(t))

    def f(self, t: Tensor) -> Tensor:
        """-d(sigma^2)/dt / (2 alpha^2)."""
        return -self.d_sigma2(t) / (2 * self._alpha2(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2)."""
        return torch.log(self._alpha2(t)) - torch.log(self._sigma2(t))

    def t_of(self, log_snr: Tensor) -> Tensor:
        """From the nearer end: with k = sigma^2 span / S(-v_0), v_t - v_0 = log(1 + k exp(-v_0)) - log(1 - k), and mirrored."""
        v0, v1 = self._ends
        from_data = self._distance(torch.sigmoid(-log_snr), v0)
        from_noise = self._distance(torch.sigmoid(log_snr), -v1)
        return torch.where(log_snr > 0, from_data, 1 - from_noise).clamp(0, 1)

    def _distance(self, share: Tensor, v: float) -> Tensor:
        """How far, in t, the sigmoid that starts at v has to go to rise by a share of the span."""
        k = share * (self._span / _logistic(-v))
        return (torch.log1p(k * math.exp(-v)) - torch.log1p(-k)) / self._rate


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))
