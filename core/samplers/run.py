"""The one executor: runs any plan on any state. Pure and re-entrant: everything it needs comes in, nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoiser import Denoiser, as_time, place_known
from ..objective import draw_noise
from ..posterior import Posterior
from ..processes import CategoricalProcess
from ..state import Encoded, State, expand_time
from .plan import Coefficients, Plan, Row


@dataclass
class Progress:
    """What a hook sees after each row: it may read everything and replace the entries of `state`."""

    row: int
    rows: int
    time: float
    state: State
    posterior: Posterior | None


Hook = Callable[[Progress], None]


@torch.no_grad()
def run(
    denoiser: Denoiser,
    plan: Plan,
    encoded: Encoded,
    *,
    seed: int,
    index: Tensor | None = None,
    hooks: Sequence[Hook] = (),
    prior: State | None = None,
) -> State:
    """Sample the posterior of `encoded`: its mask, layout, conditions and known entries; its state gives shapes and dtypes.

    Args:
        denoiser: network, guidance or oracle.
        plan: from `Sampler.plan(denoiser.processes)`.
        encoded: on the device of the denoiser.
        seed: of all noise.
        index: (B,) sample numbers; 0..B-1 by default. Sample k does not depend on the batch it is in.
        hooks: called after each row.
        prior: standard noise to start from instead of the counted one (for tests of equivariance, and variations).

    Returns:
        the state at t = 0.
    """
    mask, known, layout = encoded.mask, encoded.known, encoded.layout
    if index is None:
        index = torch.arange(encoded.batch)
    index = index.to(mask.device)
    own = prior or draw_noise(denoiser, encoded, seed, index, "prior")
    start = plan.rows[0].stage.time
    state = {
        name: denoiser.processes[name].prior(f, expand_time(as_time(start, mask), f), own[name])
        for name, f in denoiser.fields.items()
    }
    state = place_known(denoiser, state, start, mask, known, own)
    base, base_time, step, posterior = state, start, 0, None
    memory: dict[str, list[Tensor]] = {name: [] for name in plan.rows[0].fields}
    for i, row in enumerate(plan.rows):
        time = row.stage.time
        if i:
            noises = _noises(denoiser, encoded, row, seed, index, step)
            state = {
                name: _linear(base[name], memory[name], row.fields[name], [n[name] for n in noises if name in n])
                if name in row.fields
                else _move(denoiser, name, base[name], base_time, time, posterior, noises[0][name], mask)
                for name in base
            }
            state = place_known(denoiser, state, time, mask, known, own)
        if row.stage.denoise:
            posterior = denoiser(state, time, layout, encoded.cond, known, posterior)
            for name, k in row.fields.items():
                memory[name] = [_remembered(k, state[name], posterior[name].x0), *memory[name][: plan.memory - 1]]
        if hooks:
            progress = Progress(i, len(plan.rows), time, dict(state), posterior)
            for hook in hooks:
                hook(progress)
            state = progress.state
        if row.stage.end:
            base, base_time, step = state, time, step + 1
    return state


def _linear(base: Tensor, memory: list[Tensor], k: Coefficients, noises: list[Tensor]) -> Tensor:
    """a base + sum b memory + sum c noise."""
    x = base * k.a
    for b, estimate in zip(k.b, memory, strict=False):
        x.add_(estimate, alpha=b)
    for c, noise in zip(k.c, noises, strict=False):
        x.add_(noise, alpha=c)
    return x


def _remembered(k: Coefficients, x: Tensor, x0: Tensor) -> Tensor:
    p, q = k.remember
    return x0 if (p, q) == (0.0, 1.0) else (x * p).add_(x0, alpha=q)


def _move(
    denoiser: Denoiser,
    name: str,
    x: Tensor,
    t: float,
    s: float,
    posterior: Posterior | None,
    noise: Tensor,
    mask: Tensor,
) -> Tensor:
    """A categorical field from t to s by its own process."""
    f, process = denoiser.fields[name], denoiser.processes[name]
    if posterior is None or not isinstance(process, CategoricalProcess):
        raise ValueError(f"field {name!r}: {type(process).__name__} has neither coefficients nor a move of its own")
    before, after = (expand_time(as_time(u, mask), f) for u in (t, s))
    return process.move(f, x, before, after, posterior[name], noise)


def _noises(denoiser: Denoiser, encoded: Encoded, row: Row, seed: int, index: Tensor, step: int) -> list[State]:
    """The step's noises, counted from 0, each for the fields that need it: those that move by themselves need one."""
    uses = {name: len(row.fields[name].c) if name in row.fields else 1 for name in denoiser.fields}
    return [
        draw_noise(denoiser, encoded, seed, index, "step", step, j, only=[name for name, n in uses.items() if n > j])
        for j in range(max(uses.values()))
    ]
