"""Worlds with exact answers: denoisers whose posterior is known in closed form, to judge everything else by.

A world has `sample`, which draws clean states, and is a `Denoiser` that gives the exact posterior mean. Its fields are named
"x" (continuous) or "tokens" (categorical).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .denoiser import Denoiser, as_time, entry_time, token_time
from .posterior import Categorical, Pair, Posterior
from .processes import Gaussian, Masked, Replacing
from .processes.categorical import NEVER
from .state import CentreFree, Conditions, Encoded, Field, Isotropic, Known, Layout, Space, State, expand_time


class Mixture(Denoiser):
    """x_0 ~ sum_k w_k N(mu_k, std_k^2) in the field's space; a point mass where K = 1 and std = 0.

    Args:
        means: (K, N, C), float64. Projected to the space.
        std: (K,) or a number, standard deviation of each component within the space.
        weights: (K,), equal by default.
        process: Gaussian noising.
        space: where the noise lives.
        mask: (N,) bool, real tokens; all by default.
    """

    def __init__(
        self,
        means: Tensor,
        std: Tensor | float,
        weights: Tensor | None = None,
        process: Gaussian | None = None,
        space: Space | None = None,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        process, space = process or Gaussian(), space or Isotropic()
        self.mask = torch.ones(means.shape[1], dtype=torch.bool) if mask is None else mask
        self.means = space.project(means.double(), self.mask.expand(means.shape[0], -1))
        self.std = torch.as_tensor(std, dtype=torch.float64).expand(means.shape[0])
        weights = torch.ones(len(means)) if weights is None else weights
        self.weights = weights.double() / weights.double().sum()
        self.fields = {"x": Field("x", "continuous", means.shape[2], process, space=space)}
        self.processes = {"x": process}
        self.process, self.space = process, space

    def blank(self, n: int) -> Encoded:
        """n empty samples."""
        layout = Layout(self.mask.expand(n, -1))
        return Encoded({"x": torch.zeros(n, *self.means.shape[1:], dtype=torch.float64)}, layout)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of x_0, (n, N, C)."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, *self.means.shape[1:], generator=rng, dtype=torch.float64)
        noise = self.space.project(noise, self.mask.expand(n, -1))
        return self.means[k] + self.std[k].view(-1, 1, 1) * noise

    def _dof(self) -> Tensor:
        return self.space.dof(self.mask[None], self.means.shape[2])[0]

    def log_components(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log(w_k N(x_t; alpha mu_k, alpha^2 std_k^2 + sigma^2)), (B, K)."""
        alpha, sigma = self.process.schedule.alpha(t)[:, None], self.process.schedule.sigma(t)[:, None]
        variance = (alpha * self.std) ** 2 + sigma**2
        distance = ((x_t[:, None] - alpha[..., None, None] * self.means) ** 2 * self.mask[:, None]).flatten(2).sum(2)
        return self.weights.log() - 0.5 * (distance / variance + self._dof() * torch.log(2 * math.pi * variance))

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p_t(x_t), (B,)."""
        return torch.logsumexp(self.log_components(x_t, t), dim=1)

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The exact mean of x_0 and of eps; t is a number or (B,)."""
        x, t = state_t["x"], as_time(t, layout.mask)
        alpha, sigma = self.process.schedule.alpha(t), self.process.schedule.sigma(t)
        share = torch.softmax(self.log_components(x, t), dim=1)
        variance = (alpha[:, None] * self.std) ** 2 + sigma[:, None] ** 2
        gain = alpha[:, None] * self.std**2 / variance  # (B, K)
        residual = x[:, None] - alpha.view(-1, 1, 1, 1) * self.means
        residual = residual * self.mask[:, None]
        x0 = (share[..., None, None] * (self.means + gain[..., None, None] * residual)).sum(1)
        eps = (share * sigma[:, None] / variance)[..., None, None].mul(residual).sum(1)
        at = self.process.at(expand_time(t, self.fields["x"]))
        return Posterior({"x": Pair(x0, eps, x, at)})


class GaussianWorld(Denoiser):
    """x_0 ~ N(mean, covariance) over N C numbers, any covariance.

    Args:
        mean: (N, C) float64.
        covariance: (N C, N C) float64.
        process: Gaussian noising.
    """

    def __init__(self, mean: Tensor, covariance: Tensor, process: Gaussian | None = None) -> None:
        super().__init__()
        self.process = process or Gaussian()
        self.mean, self.covariance = mean.double(), covariance.double()
        self.fields = {"x": Field("x", "continuous", mean.shape[1], self.process)}
        self.processes = {"x": self.process}

    def blank(self, n: int) -> Encoded:
        """n empty samples."""
        shape = (n, *self.mean.shape)
        return Encoded({"x": torch.zeros(shape, dtype=torch.float64)}, Layout(torch.ones(shape[:2], dtype=torch.bool)))

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of x_0, (n, N, C)."""
        root = torch.linalg.cholesky(self.covariance)
        noise = torch.randn(n, len(root), generator=rng, dtype=torch.float64)
        return self.mean + (noise @ root.T).view(n, *self.mean.shape)

    def gain(self, t: float) -> Tensor:
        """G of E[x_0 | x_t] = mean + G (x_t - alpha mean): alpha S (alpha^2 S + sigma^2)^-1."""
        u = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = self.process.schedule.alpha(u), self.process.schedule.sigma(u)
        noisy = alpha**2 * self.covariance + sigma**2 * torch.eye(len(self.covariance), dtype=torch.float64)
        return torch.linalg.solve(noisy, alpha * self.covariance).T

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The exact mean; t is a number above 0."""
        if isinstance(t, Tensor):
            raise ValueError("GaussianWorld takes one number for t")
        x = state_t["x"]
        at = self.process.at(expand_time(as_time(t, layout.mask), self.fields["x"]))
        residual = (x - at.alpha * self.mean).flatten(1)
        x0 = self.mean + (residual @ self.gain(t).T).view_as(x)
        return Posterior({"x": Pair(x0, (x - at.alpha * x0) / at.sigma, x, at)})


class FiniteSet(Denoiser):
    """Token sequences from a finite set with given probabilities: the exact posterior of every token.

    Args:
        support: (S, N) integer sequences.
        probs: (S,) probabilities, equal by default.
        classes: K.
        process: masked or uniform noising.
    """

    def __init__(
        self, support: Tensor, probs: Tensor | None = None, classes: int | None = None, process: Replacing | None = None
    ) -> None:
        super().__init__()
        self.support = support
        probs = torch.ones(len(support)) if probs is None else probs
        self.probs = probs.double() / probs.double().sum()
        self.process = process or Masked()
        self.classes = int(support.max()) + 1 if classes is None else classes
        self.fields = {"tokens": Field("tokens", "categorical", self.classes, self.process)}
        self.processes = {"tokens": self.process}

    def blank(self, n: int) -> Encoded:
        """n empty sequences."""
        shape = (n, self.support.shape[1])
        return Encoded({"tokens": torch.zeros(shape, dtype=torch.int64)}, Layout(torch.ones(shape, dtype=torch.bool)))

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of x_0, (n, N)."""
        return self.support[torch.multinomial(self.probs, n, replacement=True, generator=rng)]

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """P(x_0 at each token | x_t at all): a sequence weighs prod_n q(x_t,n | x_0,n)."""
        x, f, asked = state_t["tokens"], self.fields["tokens"], as_time(t, layout.mask)
        time = entry_time(self, f, asked, token_time(self, asked, layout.mask, known), layout.mask, known)
        each = self.process.evidence(f, x, time).expand(*x.shape, -1)
        index = self.support.T.expand(len(x), -1, -1)  # (B, N, S)
        weight = (each.gather(2, index).sum(1) + self.probs.log()).softmax(1)
        one_hot = torch.nn.functional.one_hot(self.support, self.classes).to(weight.dtype)
        probs = torch.einsum("bs,snk->bnk", weight, one_hot)
        return Posterior({"tokens": Categorical(probs.log().clamp(min=NEVER))})


def point_mass(c: Tensor, process: Gaussian | None = None) -> Mixture:
    """All mass at c, (N, C)."""
    return Mixture(c[None], 0.0, process=process)


def centred_clouds(clouds: Tensor, std: float, sizes: int, process: Gaussian | None = None) -> Mixture:
    """A mixture of point clouds (K, N, C) without their centre, of which only the first `sizes` tokens are real."""
    mask = torch.arange(clouds.shape[1]) < sizes
    return Mixture(clouds, std, process=process, space=CentreFree(), mask=mask)
