"""Gaussian noising: x_t = alpha_t x_0 + sigma_t eps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from .. import rng
from ..parametrization import Flow, Parametrization, Point, Solution
from ..posterior import Continuous, View
from ..schedules import Rectified, Schedule
from ..state import Field
from .process import Process

# The network is told -log_snr / 8 (= log(sigma / alpha) / 4, as EDM's c_noise), clamped; clean tokens have a value of their own.
LOG_SNR_LIMIT = 20.0
CLEAN = -3.0


@dataclass(frozen=True)
class Gaussian(Process):
    """q(x_t | x_0) = N(alpha_t x_0, sigma_t^2) in the field's space.

    Args:
        schedule: alpha and sigma.
        parametrization: what the network predicts.
        sigma_data: standard deviation of the data in model space; scales the network's input to unit variance.

    Raises:
        ValueError: a parametrisation that does not exist at an end of the schedule.
    """

    kind = "continuous"

    schedule: Schedule = field(default_factory=Rectified)
    parametrization: Parametrization = field(default_factory=Flow)
    sigma_data: float = 1.0

    def __post_init__(self) -> None:
        name, schedule = type(self.parametrization).__name__, type(self.schedule).__name__
        if self.parametrization.needs_signal and self.schedule.ends_at_noise:
            raise ValueError(
                f"{name} is undefined on {schedule}: alpha is 0 at t = 1, where the output says nothing of x0; "
                "take V, X0, Flow or EDM, or a schedule that ends above 0 (Cosine: end=0.995)"
            )
        if self.parametrization.needs_rates and not self.schedule.finite_rates:
            raise ValueError(
                f"{name} is undefined on {schedule}: d sigma / dt is infinite at t = 0, or the path rests at an end; "
                "take V, X0, Eps or EDM, or the schedule Rectified, Trigonometric or EDM"
            )
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"sigma_data must be above 0, found {self.sigma_data}")

    def check(self, f: Field) -> None:
        """Any continuous field will do."""
        if f.kind != self.kind:
            raise ValueError(f"Gaussian noise serves continuous fields; {f.name!r} is {f.kind}")

    def at(self, t: Tensor) -> Point:
        """The point of the schedule at t, in the dtype of t."""
        return _at_number(self, t.item())[0] if self._is_number(t) else _point(self, t)

    def _is_number(self, t: Tensor) -> bool:
        """Whether t is one time for all, on the host, of a schedule that does not learn: then nothing is computed twice."""
        return t.ndim == 0 and t.device.type == "cpu" and not self.schedule.learns

    def noise(self, f: Field, keys: Tensor, mask: Tensor, known: Tensor | None, like: Tensor) -> Tensor:
        """Standard normal in the field's space, zero at padded entries."""
        drawn = rng.normal(keys, f, mask.shape[1], like.dtype)
        if f.axes == "pair":
            return drawn * (mask[:, :, None] & mask[:, None, :])[..., None]
        return f.space.project(drawn, mask, known)

    def corrupt(self, f: Field, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Alpha x_0 + sigma eps."""
        alpha, sigma = self.schedule.alpha(t).to(x0.dtype), self.schedule.sigma(t).to(x0.dtype)
        return alpha * x0 + sigma * noise

    def prior(self, f: Field, t: Tensor, noise: Tensor) -> Tensor:
        """Sigma eps: the mean alpha x_0 is taken as 0."""
        return self.schedule.sigma(t).to(noise.dtype) * noise

    def inputs(self, f: Field, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t / sqrt(alpha^2 sigma_data^2 + sigma^2)."""
        return x_t / self.at(t).scale.to(x_t.dtype)

    def c_noise(self, t: Tensor) -> Tensor:
        """The network's word for t: -log_snr / 8, clamped to 2.5; -3 where t = 0 marks clean tokens."""
        c = -self.schedule.log_snr(t).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT) / 8
        return torch.where(t == 0, CLEAN, c)

    def view(self, f: Field, output: Tensor, x_t: Tensor, t: Tensor) -> Continuous:
        """The pair (x_0, eps) that the output stands for."""
        if self._is_number(t):
            at, solution = _at_number(self, t.item())
            return Continuous(output, x_t, at, self.parametrization, solution)
        return Continuous(output, x_t, self.at(t).to(x_t.dtype, x_t.device), self.parametrization)

    def loss(self, f: Field, view: View, x0: Tensor, noise: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Squared error of the raw output."""
        assert isinstance(view, Continuous)
        target = self.parametrization.target(x0, noise, view.at)
        return (view.output - target) ** 2


def _point(process: Gaussian, t: Tensor) -> Point:
    s = process.schedule
    return Point(s.alpha(t), s.sigma(t), s.d_alpha(t), s.d_sigma(t), process.sigma_data)


@lru_cache(maxsize=4096)
def _at_number(process: Gaussian, t: float) -> tuple[Point, Solution]:
    """The point in float64 on the host, which goes with tensors of any device and dtype, and the solution in numbers."""
    with torch.inference_mode(False):  # what is kept must serve gradients too, whoever asks first
        at = _point(process, torch.tensor(t, dtype=torch.float64))
        return at, Solution(*(float(x) for x in process.parametrization.solve(at)))
