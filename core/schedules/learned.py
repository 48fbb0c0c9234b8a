"""A schedule that is trained with the network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .schedule import VariancePreserving


class Learned(VariancePreserving, nn.Module):
    """Variance preserving, with a log-SNR that a monotone network bends between fixed ends.

        log_snr(t) = log_snr_max - (log_snr_max - log_snr_min) n(s) / n(1),      s = (t - start) / (1 - start),
        n(s) = s + sum_k v_k (S(w_k s + b_k) - S(b_k)),      v, w > 0, S the logistic function.

    From `start` to 1 this is the schedule of the paper. Before, sigma^2 / alpha^2 grows in proportion to t, whatever the
    weights, so that sigma(0) = 0; training that is to bound the likelihood draws its times from `start` on.

    With the `likelihood` weight the expected loss does not depend on the shape, only its variance does: pass the losses of a step
    through `scale_gradients`, and the shape minimises the variance. With any other weight it would drift to where the loss
    is small. Gradients flow through alpha, sigma, log_snr and their rates, none through `t_of`.

    Args:
        log_snr_min: at t = 1.
        log_snr_max: at t = start; both defaults are where the paper begins.
        units: K of the monotone network.
        start: in (0, 1).

    Source: Kingma et al. 2021, arXiv:2107.00630, appendices H and I.2.
    """

    def __init__(
        self, log_snr_min: float = -5.0, log_snr_max: float = 13.3, units: int = 64, start: float = 0.01
    ) -> None:
        super().__init__()
        if not -60 <= log_snr_min < log_snr_max <= 60:
            raise ValueError(
                f"Learned: needs -60 <= log_snr_min < log_snr_max <= 60, found {log_snr_min}, {log_snr_max}"
            )
        if not units >= 1 or units != int(units) or not 0 < start < 1:
            raise ValueError(
                f"Learned: units must be at least 1 and whole, and start in (0, 1), found {units}, {start}"
            )
        self.log_snr_min, self.log_snr_max, self.units, self.start = log_snr_min, log_snr_max, units, start
        # Steps spread over [0, 1], each as wide as some neighbours: at first nearly the straight line, and no two alike.
        centres, slope = (torch.arange(units) + 0.5) / units, max(4.0, units / 4)
        self.raw_steps = nn.Parameter(torch.full((units,), _softplus_inverse(0.5 / units)))
        self.raw_slopes = nn.Parameter(torch.full((units,), _softplus_inverse(slope)))
        self.offsets = nn.Parameter(-slope * centres)
        self._scale: Tensor | None = None

    def alpha(self, t: Tensor) -> Tensor:
        """1 / sqrt(1 + sigma^2 / alpha^2)."""
        return torch.rsqrt(1 + self._ratio(t)[0])

    def sigma(self, t: Tensor) -> Tensor:
        """The root of 1 - alpha^2."""
        ratio = self._ratio(t)[0]
        return torch.sqrt(ratio / (1 + ratio))

    def d_alpha(self, t: Tensor) -> Tensor:
        """alpha f."""
        return self.alpha(t) * self.f(t)

    def d_sigma2(self, t: Tensor) -> Tensor:
        """-2 alpha^2 f."""
        return -2 * self.alpha(t) ** 2 * self.f(t)

    def f(self, t: Tensor) -> Tensor:
        """-d(sigma^2 / alpha^2)/dt alpha^2 / 2."""
        ratio, rate = self._ratio(t)
        return -0.5 * rate / (1 + ratio)

    def log_snr(self, t: Tensor) -> Tensor:
        """As the class says, +inf at t = 0."""
        return -self._gamma(t)[0]

    def d_log_snr(self, t: Tensor) -> Tensor:
        """d log_snr / dt, -1 / t before `start`."""
        return -self._gamma(t)[1]

    @torch.no_grad()
    def t_of(self, log_snr: Tensor) -> Tensor:
        """By bisection of n, then Newton's steps to its last digits."""
        down = self.log_snr_max - log_snr.double()
        share = (down / (self.log_snr_max - self.log_snr_min)).clamp(0, 1)
        low, high = torch.zeros_like(share), torch.ones_like(share)
        for _ in range(30):
            middle = (low + high) / 2
            above = self._bend(middle)[0] < share
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        s = high
        for _ in range(3):
            reached, rate = self._bend(s)
            s = (s - (reached - share) / rate).clamp(0, 1)
        t = torch.where(down < 0, self.start * torch.exp(down), self.start + (1 - self.start) * s)
        return t.to(log_snr.dtype)

    def scale_gradients(self, losses: Tensor) -> Tensor:
        """The same losses, whose mean, run backwards, gives this schedule the gradient of the mean of their squares.

        Everything else gets the usual gradient. Its own is multiplied, sample by sample, by twice the sample's loss on its way
        back into log_snr, so one backward pass serves both.

        Args:
            losses: (B,), of the samples at whose times t, (B,) or broadcast from it, the schedule was asked.

        Source: Kingma et al. 2021, arXiv:2107.00630, appendix I.2.
        """
        if losses.requires_grad:
            scale = 2 * losses.detach()
            losses = losses * 1.0  # a node of its own: its hook runs before any gradient reaches log_snr
            losses.register_hook(lambda _: self._remember(scale))
        return losses

    def _remember(self, scale: Tensor) -> None:
        self._scale = scale

    def _scaled(self, gradient: Tensor) -> Tensor:
        """A gradient on its way into log_snr, times the scale of its sample."""
        if self._scale is None:
            return gradient
        if gradient.ndim == 0 or len(gradient) != len(self._scale):
            raise ValueError(
                f"scale_gradients got {len(self._scale)} losses, but the schedule was asked at times of shape "
                f"{tuple(gradient.shape)}; both need one entry for each sample"
            )
        return gradient * self._scale.to(gradient.dtype).view(-1, *(1,) * (gradient.ndim - 1))

    def _bend(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """n(s) / n(1) and its derivative: S(b + w s) - S(b) = (1 - exp(-w s)) S(b + w s) S(-b), without cancellation."""
        v, w = (F.softplus(p).to(s.device, s.dtype) for p in (self.raw_steps, self.raw_slopes))
        b = self.offsets.to(s.device, s.dtype)
        run = w * s[..., None]
        rise = s - (v * torch.expm1(-run) * torch.sigmoid(b + run) * torch.sigmoid(-b)).sum(-1)
        rate = 1 + (v * w * torch.sigmoid(b + run) * torch.sigmoid(-b - run)).sum(-1)
        whole = 1 - (v * torch.expm1(-w) * torch.sigmoid(b + w) * torch.sigmoid(-b)).sum()
        return rise / whole, rate / whole

    def _gamma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """-log_snr and its derivative."""
        self._scale = None  # of an earlier step
        share, speed = self._bend(((t - self.start) / (1 - self.start)).clamp(min=0))
        if share.requires_grad:
            share.register_hook(self._scaled)
            speed.register_hook(self._scaled)
        span, early = self.log_snr_max - self.log_snr_min, t < self.start
        gamma = torch.where(early, torch.log(t / self.start), span * share) - self.log_snr_max
        return gamma, torch.where(early, 1 / t, span / (1 - self.start) * speed)

    def _ratio(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sigma^2 / alpha^2 and its derivative."""
        gamma, rate = self._gamma(t)
        slope = torch.exp(gamma) * rate
        return torch.exp(gamma), torch.where(t < self.start, math.exp(-self.log_snr_max) / self.start, slope)


def _softplus_inverse(y: float) -> float:
    return y + math.log(-math.expm1(-y))
