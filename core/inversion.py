"""The noise behind an item, and what lies between two items: the probability flow followed upwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import rng
from .denoiser import Denoiser
from .posterior import Continuous, Posterior
from .processes import Gaussian
from .samplers import Sampler, TableSampler
from .sampling import prepared
from .state import Conditions, Encoded, State

if TYPE_CHECKING:
    from .modality import Item, Sample

FIRST = 1e-3  # where the way up begins: at t = 0 an eps is read off nothing
PARALLEL = 1e-4  # directions nearer than this are mixed along a straight line


@torch.no_grad()
def invert(denoiser: Denoiser, encoded: Encoded, steps: int = 50) -> State:
    """The standard noise from which the probability flow leads to the state of `encoded`, under its conditions.

        dy / dtau = eps(x_t, t) - x_0(x_t, t),    y = x / (alpha + sigma),  tau = sigma / (alpha + sigma)

    followed from t near 0 to 1 by Heun's method in equal steps of t. It is the `prior` of `samplers.run`, whose sample with as
    fine a deterministic sampler is the item again, up to an error of second order in the steps.

    Args:
        denoiser: of continuous fields.
        encoded: on the device of the denoiser.
        steps: of two calls each.

    Raises:
        ValueError: a categorical field, entries of which nobody knows the value, steps below 1.

    Source: Song et al. 2020, arXiv:2010.02502, section 4.3 and equation 14; Heun's method: Karras et al. 2022, arXiv:2206.00364.
    """
    _check(denoiser, encoded, steps)
    times = torch.linspace(FIRST, 1, steps + 1, dtype=torch.float64).tolist()
    mask, posterior = encoded.mask, None
    spaces = {name: f.space for name, f in denoiser.fields.items()}
    y = {
        name: _scales(denoiser, name, FIRST)[0] * x for name, x in encoded.state.items()
    }  # alpha x_0 / (alpha + sigma)

    def slopes(y: State, t: float, previous: Posterior | None) -> tuple[State, Posterior]:
        x = {name: value * _scales(denoiser, name, t)[2] for name, value in y.items()}
        found = denoiser(x, t, encoded.layout, encoded.cond, None, previous)
        return {name: _slope(found, name) for name in y}, found

    for t, s in pairwise(times):
        first, posterior = slopes(y, t, posterior)
        step = {name: _scales(denoiser, name, s)[1] - _scales(denoiser, name, t)[1] for name in y}
        last, _ = slopes({name: y[name] + step[name] * first[name] for name in y}, s, posterior)
        y = {name: y[name] + step[name] / 2 * (first[name] + last[name]) for name in y}
    end = {name: value / _scales(denoiser, name, 1.0)[1] for name, value in y.items()}  # x / sigma
    return {name: spaces[name].project(value, mask) for name, value in end.items()}


def interpolate(
    denoiser: Denoiser,
    first: Item,
    second: Item,
    sampler: Sampler,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
    *,
    steps: int = 50,
    seed: int = 0,
    precision: str = "float32",
) -> list[Sample]:
    """What lies between two items: their noises, found by `invert`, mixed along the sphere, and followed down again.

        sin((1 - w) theta) / sin(theta) a + sin(w theta) / sin(theta) b,    theta the angle between a and b

    A set has no order, so the tokens of the second are first put in that order in which their noise is nearest to that of the
    first. Conditions that the two do not share are left out. What decoding needs beside the state (a scale, a rate) comes from
    the nearer of the two.

    Args:
        denoiser: of continuous fields, with a modality attached.
        first, second: items of as many tokens.
        sampler: down again; one that draws no noise.
        shares: w, of the second item, in [0, 1].
        steps: of the inversion.
        seed: of the encoding.
        precision: as that of `sample`.

    Raises:
        ValueError: no modality, items of different sizes, a share out of range, a sampler that draws noise; as `invert`.

    Source: Song et al. 2020, arXiv:2010.02502, appendix D.5.
    """
    modality = denoiser.modality
    if modality is None:
        raise ValueError("interpolate() decodes by a modality and this denoiser has none: `load` attaches it")
    if not shares or not all(0 <= w <= 1 for w in shares):
        raise ValueError(f"shares of the second item are numbers in [0, 1], found {list(shares)}")
    if isinstance(sampler, TableSampler) and sampler.plan(denoiser.processes).stochastic:
        raise ValueError(
            f"{sampler.describe()} draws noise of its own, which leads elsewhere: take one that draws none"
        )
    both = modality.encode([first, second], None, rng.generator(seed, "encode"))
    sizes = both.mask.sum(1).tolist()
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{first.key or 'the first item'} has {sizes[0]} tokens and {second.key or 'the second'} {sizes[1]}: "
            "there is a way between items of one size only"
        )
    with prepared(denoiser, precision) as (device, dtype):
        both = replace(both, cond=_shared(both.cond)).to(device, dtype)
        noise = invert(denoiser, both, steps)
        if both.layout.positions is None:
            noise = _matched(noise, both.mask[0])
        weights = torch.tensor(shares, device=device, dtype=dtype)
        prior = {name: _on_sphere(x[0], x[1], weights) for name, x in noise.items()}
        nearer = (weights > 0.5).long()
        between = _rows(both, nearer.tolist())
        state = sampler.run(denoiser, between, seed=seed, prior=prior)
    return modality.decode({k: v.cpu() for k, v in state.items()}, between.mask.cpu(), between.aux)


def _check(denoiser: Denoiser, encoded: Encoded, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"inversion: at least 1 step is needed, found {steps}")
    classes = [name for name, process in denoiser.processes.items() if not isinstance(process, Gaussian)]
    if classes:
        raise ValueError(
            f"inversion follows the flow of continuous fields, and {', '.join(classes)} is categorical: no noise leads to a class"
        )
    gaps = [name for name, missing in encoded.missing.items() if missing.any()]
    if gaps:
        raise ValueError(f"inversion: the items lack entries of {', '.join(gaps)}; give whole items")


def _scales(denoiser: Denoiser, name: str, t: float) -> tuple[float, float, float]:
    """Alpha and sigma over their sum, and the sum."""
    process = denoiser.processes[name]
    assert isinstance(process, Gaussian)
    at = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = float(process.schedule.alpha(at)), float(process.schedule.sigma(at))
    return alpha / (alpha + sigma), sigma / (alpha + sigma), alpha + sigma


def _slope(posterior: Posterior, name: str) -> Tensor:
    view = posterior[name]
    assert isinstance(view, Continuous)
    return view.eps - view.x0


def _shared(cond: Conditions) -> Conditions:
    """Without the values that the two samples do not share."""
    return {
        name: c if torch.equal(c.value[0], c.value[1]) else c.dropped(torch.ones_like(c.present))
        for name, c in cond.items()
    }


def _matched(noise: State, mask: Tensor) -> State:
    """The tokens of the second sample in the order in which their noise is nearest to that of the first, summed over fields."""
    from scipy.optimize import linear_sum_assignment

    flat = torch.cat(list(noise.values()), dim=-1)[:, mask].double().cpu()
    _, order = linear_sum_assignment(torch.cdist(flat[0], flat[1]).square().numpy())
    places = mask.nonzero().flatten()
    out = {}
    for name, x in noise.items():
        second = x[1].clone()
        second[places] = x[1][places[torch.from_numpy(order).to(places.device)]]
        out[name] = torch.stack([x[0], second])
    return out


def _on_sphere(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """(W, N, C): a and b (N, C) mixed along the great circle between their directions."""
    w = weights.view(-1, 1, 1)
    cosine = (a * b).sum() / (a.norm() * b.norm()).clamp(min=torch.finfo(a.dtype).tiny)
    theta = torch.arccos(cosine.clamp(-1, 1))
    if theta < PARALLEL:
        return (1 - w) * a + w * b
    return (torch.sin((1 - w) * theta) * a + torch.sin(w * theta) * b) / torch.sin(theta)


def _rows(encoded: Encoded, index: list[int]) -> Encoded:
    """The samples of an index."""
    parts = [encoded.rows(i, i + 1) for i in index]
    layout = replace(
        encoded.layout,
        mask=encoded.mask[index],
        positions=None if encoded.layout.positions is None else encoded.layout.positions[index],
    )
    at = torch.tensor(index, device=encoded.mask.device)
    return Encoded(
        {name: x[index] for name, x in encoded.state.items()},
        layout,
        {name: c.take(at) for name, c in encoded.cond.items()},
        aux={k: [p.aux[k][0] for p in parts] if isinstance(v, list) else v for k, v in encoded.aux.items()},
    )
