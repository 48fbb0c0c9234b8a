"""Places of tokens inside a network: an estimate of the clean ones that every layer refines, and what is read off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..state import Field, Known, State
from .layers import zero_linear
from .linear import Linear
from .pairing import Pairing

BASIS = 32  # radial functions
SOFTENING = 1e-6  # added to a squared distance: its root then has a slope where two tokens coincide


class RadialBasis(nn.Module):
    """Distances in units of the data's standard deviation as bumps that are narrow where tokens are close.

        d -> exp(-b (exp(-d / 2) - m_k)^2),    m_k = k / (K - 1),  b = (K / 2)^2,  k = 0 .. K - 1

    Source: Unke and Meuwly 2019, arXiv:1902.08408, equation 7, with a length of 2 and no cut-off.
    """

    def forward(self, d: Tensor) -> Tensor:
        """(...) -> (..., K)."""
        centres = torch.linspace(0, 1, BASIS, device=d.device, dtype=d.dtype)
        return torch.exp(-((BASIS / 2) ** 2) * (torch.exp(-d / 2)[..., None] - centres) ** 2)


@dataclass(frozen=True)
class Directions:
    """For each pair the differences y_i - y_j of several clouds, (M, K, C), and their lengths, (M, K)."""

    differences: Tensor
    lengths: Tensor

    @staticmethod
    def of(pairing: Pairing, *clouds: Tensor) -> Directions:
        """Of clouds (B, N, C)."""
        ends = (pairing.ends(y) for y in clouds)
        differences = torch.stack([a - b for a, b in ends], dim=1)
        return Directions(differences, torch.sqrt(differences.square().sum(-1) + SOFTENING))


@dataclass(frozen=True)
class Estimate:
    """The input u, what has been added up of the output F, and where they stand in time.

        x0 = cos(phi) u + sin(phi) F,    tan(phi) = sigma / alpha,    and given values where there are any

    which is EDM's preconditioning in units of the data's standard deviation: small errors of F are small errors of x0 where the
    input is nearly clean, and all of x0 is F where it is noise.
    """

    u: Tensor
    output: Tensor
    cos: Tensor
    sin: Tensor
    bits: Tensor | None
    values: Tensor | None
    still: Directions  # of the input and of the previous estimate

    @property
    def x0(self) -> Tensor:
        """The estimate of the clean places, (B, N, C)."""
        x0 = self.cos * self.u + self.sin * self.output
        return x0 if self.bits is None or self.values is None else torch.where(self.bits, self.values, x0)


class Coordinates(nn.Module):
    """A field whose tokens stand somewhere: each layer reads the distances of the estimate and adds to it.

        F_i <- F_i + linear(norm(h_i)) + sum_j sum_k w_k(e_ij) (y^k_i - y^k_j) / (1 + |y^k_i - y^k_j|) / sqrt(n)

    Here h are the features of the tokens, e those of the pairs, y^k the estimate, the input and the previous estimate, and n
    counts the partners. All parts are 0 at initialisation.

    Args:
        field: continuous, of tokens, of about unit variance.
        width: W of the tokens.
        pair_width: P of the pairs.
        depth: layers.
        self_conditioning: whether there is a previous estimate.
        free: whether features of tokens move them, in directions of their own; if not, only differences do.

    Source: preconditioning: Karras et al. 2022, arXiv:2206.00364, table 1; differences: Satorras et al. 2021,
    arXiv:2102.09844, equation 4, softened as in Hoogeboom et al. 2022, arXiv:2203.17003, appendix B.
    """

    def __init__(
        self, field: Field, width: int, pair_width: int, depth: int, self_conditioning: bool, free: bool
    ) -> None:
        super().__init__()
        self.field, self.self_conditioning, self.free = field, self_conditioning, free
        self.basis = RadialBasis()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.embed = Linear(BASIS * (2 if self_conditioning else 1), pair_width, bias=False)
        self.moves = nn.ModuleList(zero_linear(width, field.channels) for _ in range(depth if free else 0))
        self.pulls = nn.ModuleList(zero_linear(pair_width, 3 if self_conditioning else 2) for _ in range(depth))
        self.mix = zero_linear(width, 2)

    def begin(
        self, inputs: State, c_noise: Tensor, pairing: Pairing, known: Known | None, previous: State | None
    ) -> tuple[Estimate, Tensor]:
        """The estimate before any layer, and what the distances of the inputs say of each pair, (M, P).

        c_noise (B, 1) or (B, N) is log(sigma / alpha) / 4 within bounds.
        """
        name, real = self.field.name, pairing.mask[..., None]
        u = inputs[name].masked_fill(~real, 0)
        bits = None if known is None or name not in known.bits else known.bits[name] & real
        values = None if known is None or bits is None else known.values[name].to(u.dtype)
        clouds = [u]
        if self.self_conditioning:
            last = torch.zeros_like(u) if previous is None else previous[name].to(u.dtype).masked_fill(~real, 0)
            clouds.append(last if bits is None or values is None else torch.where(bits, values, last))
        still = Directions.of(pairing, *clouds)
        angle = torch.atan(torch.exp(4 * c_noise.to(u.dtype)))[..., None]
        estimate = Estimate(u, torch.zeros_like(u), angle.cos(), angle.sin(), bits, values, still)
        seen = self.basis(still.lengths)
        if self.self_conditioning and previous is None:
            seen = torch.cat([seen[:, :1], torch.zeros_like(seen[:, 1:])], dim=1)
        return estimate, self.embed(seen.flatten(1).to(self.embed.weight.dtype))

    def read(self, estimate: Estimate, pairing: Pairing) -> tuple[Directions, Tensor]:
        """The differences of the estimate, and its distances in the radial basis, (M, K)."""
        now = Directions.of(pairing, estimate.x0)
        return now, self.basis(now.lengths[:, 0]).to(self.embed.weight.dtype)

    def refine(self, i: int, estimate: Estimate, now: Directions, h: Tensor, e: Tensor, pairing: Pairing) -> Estimate:
        """The estimate after layer i, from the features h (B, N, W) of the tokens and e (M, P) of the pairs."""
        still, u = estimate.still, estimate.u
        weights = self.pulls[i](e).to(u.dtype)
        pull = (weights[:, :1] / (1 + now.lengths))[..., None] * now.differences
        pull = pull.sum(1) + ((weights[:, 1:] / (1 + still.lengths))[..., None] * still.differences).sum(1)
        output = estimate.output + pairing.total(pull, odd=True) / pairing.partners.clamp(min=1).sqrt().to(u.dtype)
        if self.free:
            output = output + self.moves[i](self.norm(h)).to(u.dtype)
        return Estimate(u, output, estimate.cos, estimate.sin, estimate.bits, estimate.values, still)

    def output(self, estimate: Estimate, c: Tensor, pairing: Pairing) -> Tensor:
        """(1 + q(c)) F + p(c) (u - mean of u): what F means for the process is learnt, starting from EDM's parametrisation."""
        p, q = self.mix(c).to(estimate.u.dtype).chunk(2, dim=-1)
        mean = estimate.u.sum(1, keepdim=True) / pairing.mask.sum(1).clamp(min=1)[:, None, None]
        return (1 + q) * estimate.output + p * (estimate.u - mean)


def places_of(fields: Sequence[Field], name: str | None) -> Field | None:
    """The field of a name whose distances count.

    Raises:
        ValueError: there is none, or its entries have no place.
    """
    if name is None:
        return None
    possible = {f.name: f for f in fields if f.kind == "continuous" and f.axes == "token"}
    if name not in possible:
        found = ", ".join(possible) or "there are none"
        raise ValueError(f"distances: {name!r} is no continuous field of tokens; choose from: {found}")
    return possible[name]
