"""Weights of the squared error over the noise level.

Papers state a weight on the error of x_0, of eps, or of the network's own output F. One error f of F is an error B f of x_0
and D f of eps (x_0 = A x_t + B F, eps = C x_t + D F), and D^2 = SNR B^2 always. So a weight w(SNR) on x_0 is a function of B^2
and D^2 in which nothing is divided by alpha or sigma: min(SNR, gamma) B^2 = min(D^2, gamma B^2). Each weight below is written
so. Its published form on x_0 is `of_output(at, X0())`, on eps `of_output(at, Eps())`.

At the ends: every weight is finite at alpha = 0 and at sigma = 0, but for `Likelihood` at alpha = 0 on a schedule whose alpha'
is infinite there (`Sigmoid`). Where a published weight is infinite at sigma = 0 (`EDMWeight` and `TruncatedSNR` under the X0
parametrisation), eps counts as 0 there, as in `X0` itself: x_t is x_0, nothing is to be learnt.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..conditioning.fourier import Fourier
from ..parametrization import Parametrization, Point


class Weight(ABC):
    """The weight of the squared error of continuous fields as a function of the noise level."""

    @abstractmethod
    def of_output(self, at: Point, parametrization: Parametrization) -> Tensor:
        """The weight of the squared error of the raw output F."""

    def prepare(self, fields: Sequence[str]) -> None:  # noqa: B027 - most weights learn nothing
        """Make what is learnt for these continuous fields, once they are known."""

    def settle(self, name: str, loss: Tensor, c_noise: Tensor) -> Tensor:
        """What the weighted losses (B,) of a field count in the total, for samples at noise levels c_noise (B,)."""
        return loss


class PairWeight(Weight):
    """A weight that papers state on x_0 or on eps."""

    @abstractmethod
    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """The weighted loss where the squared errors are `x0` of x_0 and `eps` = SNR `x0` of eps."""

    def of_output(self, at: Point, parametrization: Parametrization) -> Tensor:
        """That of squared errors B^2 and D^2."""
        solution = parametrization.solve(at)
        return self.of_errors(torch.as_tensor(solution.b) ** 2, torch.as_tensor(solution.d) ** 2, at)


@dataclass(frozen=True)
class Unit(Weight):
    """1 on the raw output: the "simple" loss of eps networks, the flow-matching loss of flow networks, the loss of EDM's F."""

    def of_output(self, at: Point, parametrization: Parametrization) -> Tensor:
        """1."""
        return torch.ones_like(at.alpha)


@dataclass(frozen=True)
class EDMWeight(PairWeight):
    """SNR + 1 / s^2 on x_0, s = sigma_data: 1 / c_out^2, the unit weight of the EDM parametrisation, for any other.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """The sum of both errors, each in units of its own standard deviation."""
        return eps + x0 / at.sigma_data**2


@dataclass(frozen=True)
class MinSNR(PairWeight):
    """min(SNR, gamma) on x_0.

    Source: Hang et al. 2023, arXiv:2303.09556, section 3.4.
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        _positive(self, gamma=self.gamma)

    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """The smaller of the error of eps and gamma times that of x_0."""
        return torch.minimum(eps, self.gamma * x0)


@dataclass(frozen=True)
class SoftMinSNR(PairWeight):
    """SNR gamma / (SNR + gamma) on x_0, which is 1 / (sigma^2 + 1 / gamma) where alpha = 1: min-SNR without the corner.

    Source: Crowson et al. 2024, arXiv:2401.11605, section on loss weighting.
    """

    gamma: float = 4.0

    def __post_init__(self) -> None:
        _positive(self, gamma=self.gamma)

    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """Half the harmonic mean of the two between which min-SNR chooses."""
        return self.gamma * x0 * _ratio(eps, eps + self.gamma * x0)


@dataclass(frozen=True)
class TruncatedSNR(PairWeight):
    """max(SNR, 1) on x_0: the larger of the errors of x_0 and of eps.

    Source: Salimans and Ho 2022, arXiv:2202.00512, section 4.
    """

    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """The larger of both."""
        return torch.maximum(x0, eps)


@dataclass(frozen=True)
class P2(PairWeight):
    """1 / (k + SNR)^gamma on eps: less for the last, small corrections.

    Args:
        gamma: how fast the weight falls at high SNR; 0 is the simple loss.
        k: keeps it finite at SNR = 0.

    Source: Choi et al. 2022, arXiv:2204.00227, section 3.
    """

    gamma: float = 1.0
    k: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, k=self.k)
        if not 0 <= self.gamma < math.inf:
            raise ValueError(f"P2: gamma must not be negative, found {self.gamma}")

    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """Eps / (k + SNR)^gamma with SNR = eps / x0."""
        return eps * _ratio(x0, self.k * x0 + eps) ** self.gamma


@dataclass(frozen=True)
class Likelihood(PairWeight):
    """-1/2 dSNR/dt on x_0, which is g^2 / (2 sigma^2) on eps: with uniform times the variational bound, in nats for each entry.

    The bound begins where log SNR falls to `max_log_snr`: below that time the weight is 0, since it grows like 1 / t and the
    bound of noiseless data is infinite. What lies below is the reconstruction of x_0 from its least noisy x_t.

    Args:
        max_log_snr: where the bound begins; 13.3 is the first noise level of Kingma et al., near t = 1e-5 of `VP`.

    Source: Song et al. 2021, arXiv:2101.09258, theorem 1; Kingma et al. 2021, arXiv:2107.00630, section 5.
    """

    max_log_snr: float = 13.3

    def __post_init__(self) -> None:
        if not -60 <= self.max_log_snr <= 60:
            raise ValueError(f"Likelihood: max_log_snr must be in [-60, 60], found {self.max_log_snr}")

    def of_errors(self, x0: Tensor, eps: Tensor, at: Point) -> Tensor:
        """-1/2 dSNR/dt x0 = (alpha sigma' - sigma alpha') / sigma^2 sqrt(x0 eps)."""
        noisy = at.alpha**2 < math.exp(self.max_log_snr) * at.sigma**2
        sigma = torch.where(noisy, at.sigma, 1.0)
        rate = (at.alpha * at.d_sigma - at.sigma * at.d_alpha) / sigma**2
        return torch.where(noisy, rate * torch.sqrt(x0 * eps), 0.0)


class LearnedUncertainty(nn.Module, Weight):
    """Losses divided by what they are expected to be at their noise level, which is learnt beside the network.

        exp(-u) loss + u,   u(c_noise) = w . Fourier(c_noise) + b for each field,   smallest at u = log E[loss].

    The sum is convex in w and b. They are trained by the optimizer of the network, saved in the training checkpoint, and not
    needed for sampling. All noise levels then pull alike at the network, whatever `weight` is.

    Args:
        weight: of the squared error inside; None means `EDMWeight()`.
        frequencies: of the features of c_noise, which runs over [-2.5, 2.5].

    Source: Karras et al. 2023, arXiv:2312.02696, from equation 14 on.
    """

    def __init__(self, weight: Weight | None = None, frequencies: int = 16) -> None:
        super().__init__()
        self.weight = EDMWeight() if weight is None else weight
        if isinstance(self.weight, LearnedUncertainty):
            raise ValueError(
                "LearnedUncertainty holds a fixed weight; one uncertainty inside another learns nothing more"
            )
        self.frequencies = frequencies
        self.features = Fourier(frequencies, low=0.3, high=10.0)
        self.fields: tuple[str, ...] = ()
        self.rows = (
            nn.ParameterList()
        )  # w and b of each field; of one dimension, so that optimizers do not let them decay

    def prepare(self, fields: Sequence[str]) -> None:
        """One u for each field, 0 at first.

        Raises:
            ValueError: no continuous field.
        """
        if not fields:
            raise ValueError("LearnedUncertainty weighs continuous fields, and there are none: take weight unit")
        if self.fields != tuple(fields):
            self.fields = tuple(fields)
            self.rows = nn.ParameterList(torch.zeros(2 * self.frequencies + 1) for _ in fields)

    def of_output(self, at: Point, parametrization: Parametrization) -> Tensor:
        """That of the weight inside."""
        return self.weight.of_output(at, parametrization)

    def u(self, name: str, c_noise: Tensor) -> Tensor:
        """The logarithm of the loss that is expected of a field at c_noise (B,).

        Raises:
            LookupError: a field that `prepare` was not told of.
        """
        if name not in self.fields:
            raise LookupError(
                f"LearnedUncertainty knows the fields {', '.join(self.fields) or 'none'}, not {name!r}: call "
                "Objective.prepare(denoiser) before the first step and give its parameters to the optimizer"
            )
        row = self.rows[self.fields.index(name)]
        with torch.autocast(c_noise.device.type, enabled=False):
            features = self.features(c_noise.to(row.dtype))  # in float32 where the weights are of half precision
            return features @ row[:-1].to(features.dtype) + row[-1]

    def settle(self, name: str, loss: Tensor, c_noise: Tensor) -> Tensor:
        """exp(-u) loss + u."""
        u = self.u(name, c_noise).to(loss.dtype)
        return torch.exp(-u) * loss + u


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Part / whole, 0 where both are 0: there the output moves neither x_0 nor eps."""
    return part / torch.where(whole == 0, 1.0, whole)


def _positive(weight: Weight, **values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{type(weight).__name__}: {name} must be above 0, found {value}")
