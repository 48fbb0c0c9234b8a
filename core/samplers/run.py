"""The one executor: runs any plan on any state. Pure and re-entrant: everything it needs comes in, nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoiser import Denoiser, as_time, place_known
from ..objective import draw_noise
from ..posterior import Continuous, Posterior, Term, View, linear
from ..processes import CategoricalProcess
from ..state import Encoded, Field, State, expand_time
from .frames import Noise, Numbers, choose, frames_of
from .plan import Coefficients, Plan


@dataclass
class Progress:
    """What a hook sees after each row: it may read everything and replace the entries of `state`.

    `time` is a number, or (N,) where tokens have times of their own.
    """

    row: int
    rows: int
    time: float | Tensor
    state: State
    posterior: Posterior | None


Hook = Callable[[Progress], None]
Estimate = list[Term]  # p x + q x_0 as a sum that is added up when it is used


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
    origin: State | None = None,
) -> State:
    """Sample the posterior of `encoded`: its mask, layout, conditions and known entries; its state gives shapes and dtypes.

    Args:
        denoiser: network, guidance or oracle.
        plan: from `TableSampler.plan(denoiser.processes)`.
        encoded: on the device of the denoiser.
        seed: of all noise.
        index: (B,) sample numbers; 0..B-1 by default. Sample k does not depend on the batch it is in.
        hooks: called after each row.
        prior: standard noise to start from instead of the counted one (for tests of equivariance).
        origin: clean state that is noised to the first time of the plan, below 1, instead of a start from noise alone.

    Returns:
        the state at t = 0.

    Raises:
        ValueError: a plan with times per token for a denoiser that has one time for all; as `beginning`.
    """
    mask, known, layout = encoded.mask, encoded.known, encoded.layout
    index, own = beginning(denoiser, encoded, seed, index, prior)
    frames, noise = frames_of(plan, denoiser, encoded), Noise(plan, denoiser, encoded, seed, index)
    first = as_time(plan.rows[0].stage.time, mask)
    state = started(denoiser, encoded, first, own, origin)
    base: State = dict(state)
    posterior: Posterior | None = None
    length, added = plan.memory, plan.uses > 2  # a sum of two tensors that is read three times is better added up once
    memory: dict[str, list[Estimate]] = {name: [] for name in plan.rows[0].fields}
    places: dict[str, float | Tensor] = dict.fromkeys(state, plan.rows[0].stage.time)
    open_entries = {name: encoded.open(f) for name, f in denoiser.fields.items() if name not in memory}
    for i, frame in enumerate(frames):
        noise.begin(frame)
        if frame.moves:
            moved = {}
            for name, x in base.items():
                if name in frame.fields:
                    k = frame.fields[name]
                    new = _next(x, memory[name], k, [noise.of(name, j) for j in range(len(k.c))])
                else:
                    f, process = denoiser.fields[name], denoiser.processes[name]
                    t, s = (_entry_time(f, place, mask) for place in (places[name], frame.places[name]))
                    assert isinstance(process, CategoricalProcess)  # as `plan` has checked
                    assert posterior is not None
                    new = plan.move(f, process, x, t, s, posterior[name], noise.of(name, 0), open_entries[name])
                moved[name] = choose(frame.moving[name], new, state[name])
            state = place_known(denoiser, moved, frame.time, mask, known, own)
        if frame.denoise:
            posterior = denoiser(state, frame.time, layout, encoded.cond, known, posterior)
            for name, k in frame.fields.items():
                estimate = _continuous(posterior[name]).combine(*k.remember)
                estimate = [(1.0, linear(estimate))] if added else estimate
                memory[name] = _remember(memory[name], estimate, frame.remembers[name], length)
        if hooks:
            progress = Progress(i, len(frames), frame.time, dict(state), posterior)
            for hook in hooks:
                hook(progress)
            state = progress.state
        base = {name: choose(frame.ends[name], x, base[name]) for name, x in state.items()}
        places = {name: choose(frame.ends[name], frame.places[name], place) for name, place in places.items()}
    return state


def beginning(
    denoiser: Denoiser, encoded: Encoded, seed: int, index: Tensor | None, prior: State | None
) -> tuple[Tensor, State]:
    """The sample numbers (B,) on the device of the batch, and the noise that every field starts from.

    Raises:
        ValueError: not one number for each sample, or a prior that is not one tensor for each field.
    """
    device = encoded.mask.device
    index = torch.arange(encoded.batch, device=device) if index is None else index.to(device)
    if index.shape != (encoded.batch,):
        raise ValueError(f"index: {encoded.batch} sample numbers are needed, found shape {tuple(index.shape)}")
    if prior is not None and set(prior) != set(denoiser.fields):
        raise ValueError(
            f"prior: noise for the fields {', '.join(denoiser.fields)} is needed, found {', '.join(prior) or 'none'}"
        )
    return index, draw_noise(denoiser, encoded, seed, index, "prior") if prior is None else prior


def started(denoiser: Denoiser, encoded: Encoded, t: Tensor, noise: State, origin: State | None) -> State:
    """Every field at t (B,): its noise alone, or `origin` noised; given entries in their place."""
    state: State = {}
    for name, f in denoiser.fields.items():
        process, time = denoiser.processes[name], expand_time(t, f)
        own = noise[name]
        state[name] = process.prior(f, time, own) if origin is None else process.corrupt(f, origin[name], time, own)
    return place_known(denoiser, state, t, encoded.mask, encoded.known, noise)


def _next(base: Tensor, memory: list[Estimate], k: Numbers | Coefficients, noises: list[Tensor]) -> Tensor:
    """a base + sum b memory + sum c noise."""
    terms: list[Term] = [(k.a, base)]
    for b, estimate in zip(k.b, memory, strict=False):
        terms += [(b * factor, x) for factor, x in estimate]
    return linear([*terms, *zip(k.c, noises, strict=True)])


def _remember(memory: list[Estimate], estimate: Estimate, which: bool | Tensor, length: int) -> list[Estimate]:
    """The memory with the estimate in front, for the tokens that denoised; where it is new, every place holds the estimate."""
    if which is True:
        return [estimate, *memory[: length - 1]]
    now = linear(estimate)
    before = [linear(old) for old in memory] or [now] * length
    return [[(1.0, choose(which, new, old))] for new, old in zip([now, *before[:-1]], before, strict=True)]


def _continuous(view: View) -> Continuous:
    """The view of a continuous field."""
    assert isinstance(view, Continuous)
    return view


def _entry_time(f: Field, place: float | Tensor, mask: Tensor) -> Tensor:
    """The times of the entries of a categorical field."""
    return place if isinstance(place, Tensor) else expand_time(as_time(place, mask), f)
