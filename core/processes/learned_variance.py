"""Gaussian noising whose network also says how wide each step of the reverse process is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..parametrization import Parametrization, Point
from ..posterior import Continuous, View
from ..schedules import Schedule
from ..state import Field, Isotropic
from .gaussian import Gaussian


class Bridge(NamedTuple):
    """q(x_s | x_t, x_0) = N(on_x0 x_0 + on_xt x_t, small), and the variance of x_t given x_s, for s < t.

    large = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2 (beta of a small step), small = large sigma_s^2 / sigma_t^2.
    """

    on_x0: Tensor
    on_xt: Tensor
    large: Tensor
    ratio: Tensor  # small / large

    @staticmethod
    def of(schedule: Schedule, t: Tensor, s: Tensor) -> Bridge:
        """The bridge from t down to s, in the dtype of t. Source: Ho et al. 2020, arXiv:2006.11239, equation 7."""
        alpha_t, alpha_s, sigma_t, sigma_s = schedule.alpha(t), schedule.alpha(s), schedule.sigma(t), schedule.sigma(s)
        large = (sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2).clamp(min=0)
        ratio = (sigma_s / sigma_t) ** 2
        return Bridge(alpha_s * large / sigma_t**2, alpha_t / alpha_s * ratio, large, ratio)

    def at(self, i: int) -> Bridge:
        """The bridge of entry i."""
        return Bridge(*(x[i] for x in self))

    def std(self, share: Tensor | float) -> Tensor | float:
        """Of a step between two single times, s > 0: sqrt(large^share small^(1 - share))."""
        root, log_ratio = math.sqrt(self.large.item()), math.log(self.ratio.item())
        power = (1 - share) / 2 * log_ratio
        return root * (torch.exp(power) if isinstance(power, Tensor) else math.exp(power))


class Ranged(Continuous):
    """A mean with a share in [0, 1] of the way, in the logarithm, from a step's small variance to its large one.

    Guidance mixes the means as ever. The variance is never extrapolated: it is interpolated for weights in [0, 1], and beyond
    them that of the nearer side, so the conditional one at a guidance scale above 1.
    """

    def __init__(self, output: Tensor, share: Tensor, x_t: Tensor, at: Point, parametrization: Parametrization) -> None:
        super().__init__(output, x_t, at, parametrization)
        self.share = share

    def rows(self, start: int, stop: int) -> Ranged:
        """Samples start..stop-1."""
        mean = super().rows(start, stop)
        return Ranged(mean.output, self.share[start:stop], mean.x_t, mean.at, self.parametrization)

    def mix(self, other: View, weight: float | Tensor) -> Continuous:
        """The means as they mix; the share as said above, and this one's where the other view has none."""
        mean = super().mix(other, weight)
        if type(mean) is not Continuous:
            return mean
        share = self.share
        if isinstance(other, Ranged):
            inside = weight.clamp(0, 1) if isinstance(weight, Tensor) else min(max(weight, 0.0), 1.0)
            if isinstance(inside, Tensor):
                inside = inside.to(share.dtype).view(-1, *(1,) * (share.ndim - 1))
            share = other.share + inside * (share - other.share)
        return Ranged(mean.output, share, mean.x_t, mean.at, mean.parametrization)


@dataclass(frozen=True)
class LearnedVariance(Gaussian):
    """Gaussian noising of which the reverse process's variances are learnt, within their range.

    The network gives 2 C channels: what `parametrization` says, and v. A step from t to s has the variance
    exp(share log large + (1 - share) log small), share = (v + 1) / 2, between those of q(x_t | x_s) and q(x_s | x_t, x_0);
    x_t alone decides which fits best. To the weighted loss is added

        vlb T KL(q(x_s | x_t, x_0) || p(x_s | x_t)) / log 2,    s = max(t - 1 / T, t / 2),

    the bound's terms in bits with T steps in place of its continuous limit, in which no variance can be learnt: there both
    variances coincide. Its gradient does not reach the mean. The term of the last step (to s = 0, where the small variance is
    0) is left out, as samplers add no noise there: below t = 2 / T the step is half of t. The sum over steps is estimated
    without bias where the objective's times are uniform.

    Args:
        schedule, parametrization, sigma_data: as those of `Gaussian`.
        vlb: lambda, the weight of the bound.
        timesteps: T.

    Raises:
        ValueError: as `Gaussian`; numbers that are not positive.

    Source: Nichol and Dhariwal 2021, arXiv:2102.09672, equations 14 to 16, for any (alpha, sigma) and any two times.
    """

    vlb: float = 0.001
    timesteps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.vlb < math.inf and self.timesteps >= 2):
            raise ValueError(
                f"LearnedVariance: vlb must be above 0 and timesteps at least 2, found {self.vlb} and {self.timesteps}"
            )

    def check(self, f: Field) -> None:
        """Continuous fields in all of R^(N x C): noise of different widths would leave a subspace."""
        super().check(f)
        if not isinstance(f.space, Isotropic):
            raise ValueError(
                f"LearnedVariance widens each entry's noise by itself, which leaves the space {type(f.space).__name__} of field "
                f"{f.name!r}: take Gaussian there"
            )

    def outputs(self, f: Field) -> int:
        """2 C."""
        return 2 * f.channels

    def view(self, f: Field, output: Tensor, x_t: Tensor, t: Tensor) -> Ranged:
        """The mean's half and the share of the other.

        Raises:
            ValueError: a network that gives another number of channels.
        """
        if output.shape[-1] != self.outputs(f):
            raise ValueError(
                f"LearnedVariance: the network gives {output.shape[-1]} channels for field {f.name!r}, 2 x {f.channels} are "
                "needed: build it with fields that have this process"
            )
        mean, v = output.chunk(2, dim=-1)
        return Ranged(mean, (v + 1) / 2, x_t, self.at(t).to(x_t.dtype, x_t.device), self.parametrization)

    def added_loss(self, f: Field, view: View, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Vlb T KL in bits, for each entry."""
        assert isinstance(view, Ranged)
        s = torch.maximum(t - 1 / self.timesteps, t / 2)
        bridge = Bridge.of(self.schedule, t, s)
        log_ratio = bridge.ratio.log().to(x0.dtype)
        # log var_p / var_q, and the square of the means' distance in units of var_q: on_x0^2 / small
        wider = -log_ratio * view.share
        scale = (bridge.on_x0**2 / (bridge.large * bridge.ratio)).to(x0.dtype)
        kl = 0.5 * (wider + torch.exp(-wider) * (1 + scale * (x0 - view.x0.detach()) ** 2) - 1)
        return self.vlb * self.timesteps / math.log(2) * kl
