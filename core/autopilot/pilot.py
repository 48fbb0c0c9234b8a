"""The choice of a sampler within a budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np
import torch

from ..denoiser import Denoiser, as_time
from ..objective import draw_noise
from ..samplers import Grid, TableSampler
from ..state import Encoded, expand_time
from .candidates import Candidate, GridOf, gather, registered_grids, registered_samplers
from .optimise import shortest, step_costs
from .reference import Reference, gaussians, measure

_COEFFICIENTS = (1.0, 1.15)  # of the optimised grids: first what suits methods of order 1, then higher ones


@dataclass(frozen=True)
class Choice:
    """What the autopilot chose, and all that it knows of the others.

    Attributes:
        sampler: the choice; `choice.sampler.run(denoiser, encoded, seed=...)` draws with it.
        evaluations: calls of the denoiser that were allowed.
        why: in words.
        table: every candidate; those that were run first, smallest error first, then by local error.
        left_out: samplers, or samplers on grids, that were no candidates, and why.
        reference_error: how well the trajectory that errors are measured against is known.
        seconds_per_evaluation: of the probe batch, where the budget was a time.
    """

    sampler: TableSampler
    evaluations: int
    why: str
    table: tuple[Candidate, ...]
    left_out: Mapping[str, str]
    reference_error: float
    seconds_per_evaluation: float | None = None

    def __str__(self) -> str:
        lines = [self.why, "", f"{'sampler':<20}{'grid':<18}{'steps':>6}{'calls':>6}{'local':>12}{'error':>12}"]
        for c in self.table:
            if c.trial is not None:
                numbers = f"{c.sampler.steps:>6}{c.evaluations:>6}{c.local:>12.3g}{c.trial:>12.3g}"
                lines.append(f"{c.name:<20}{c.grid:<18}{numbers}")
        rest = sum(c.trial is None for c in self.table)
        lines.append(f"and {rest} more with larger local errors that were not run; left out:")
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            key = "have the table of another" if reason.startswith("is the table of") else reason
            reasons.setdefault(key, []).append(name)
        for reason, names in reasons.items():
            listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            lines.append(f"  {listed}: {reason}")
        return "\n".join(lines)


@torch.no_grad()
def autopilot(
    denoiser: Denoiser,
    encoded: Encoded,
    evaluations: int | None = None,
    seconds: float | None = None,
    *,
    seed: int = 0,
    candidates: Mapping[str, TableSampler] | None = None,
    grids: Mapping[str, Grid] | None = None,
    finalists: int = 32,
    nodes: int | None = None,
) -> Choice:
    """The deterministic sampler, order and grid with the smallest error on this network within a budget.

    A fine trajectory of the probe batch is measured; every candidate is ranked by the local errors of its steps on it, for which
    the network is not asked; the best of them are run, and the smallest error of the result wins. That takes at most
    1.5 `nodes` + `finalists` * `evaluations` calls.

    Args:
        denoiser: network or guidance; a call of guidance is one evaluation.
        encoded: a probe batch, of some 16 samples or more: blank ones, or given ones with their known entries.
        evaluations: calls of the denoiser for one batch of samples.
        seconds: instead, for drawing one batch like the probe; divided by the median time of one call.
        seed: of the probe's noise.
        candidates: by name, tables whose steps and grids are set here; every table of the registry by default.
        grids: by name; every one of the registry by default, and two that are optimised for this network.
        finalists: how many candidates are run.
        nodes: steps of the fine trajectory; by default 128, or 4 times the evaluations where that is more.

    Raises:
        ValueError: no budget, or two, or one that is too small; no Gaussian field; no candidate that serves.
    """
    _check(finalists=finalists, **({} if nodes is None else {"nodes": nodes}))
    gaussians(denoiser)
    with _evaluating(denoiser):
        evaluations, pace = _budget(denoiser, encoded, evaluations, seconds, seed)
        reference = measure(denoiser, encoded, seed=seed, nodes=max(128, 4 * evaluations) if nodes is None else nodes)
        samplers, left_out = registered_samplers() if candidates is None else (dict(candidates), {})
        makers: dict[str, GridOf] = {}
        if grids is None:
            costs = step_costs(reference)
            makers = {f"optimised_{c:g}": partial(shortest, reference, costs, c) for c in _COEFFICIENTS}
        for name, grid in (registered_grids() if grids is None else grids).items():
            makers[name] = partial(_same, grid)
        ranked, refused = gather(reference, evaluations, samplers, makers)
        left_out = {**left_out, **refused}
        if not ranked:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise ValueError(f"autopilot: no candidate serves {evaluations} evaluations: {reasons}")
        chosen = _finalists(ranked, finalists)
        run = [replace(c, trial=_trial(reference, c)) for c in chosen]
    run.sort(key=lambda c: (c.trial, c.local))
    why = _why(run, len(ranked), evaluations, reference)
    if pace is not None:
        why += f" One evaluation took {pace:.3g} s, so {seconds:g} s are {evaluations}."
    table = (*run, *(c for c in ranked if c not in chosen))
    return Choice(run[0].sampler, evaluations, why, table, left_out, reference.error, pace)


def _same(grid: Grid, steps: int) -> Grid:
    """A grid that serves any number of steps."""
    return grid


def _finalists(ranked: list[Candidate], count: int) -> list[Candidate]:
    """The best by local error, half of them of one call a step and half of more where there are both.

    Of several calls a step the inner ones too are read from the reference, which flatters: they are ranked among themselves.
    """
    single, several = ([c for c in ranked if (c.sampler.calls > 1) == many] for many in (False, True))
    share = max(count - len(several), min(len(single), (count + 1) // 2))
    return [*single[:share], *several[: count - min(share, len(single))]]


def _trial(reference: Reference, candidate: Candidate) -> float:
    """The error of the result; infinite where it is not finite."""
    result = candidate.sampler.run(reference.denoiser, reference.encoded, seed=reference.seed)
    error = reference.error_of(result)
    return error if np.isfinite(error) else float("inf")


def _why(run: list[Candidate], count: int, evaluations: int, reference: Reference) -> str:
    """The choice in words."""
    best = run[0]
    assert best.trial is not None
    words = [
        f"{best} ({best.evaluations} of {evaluations} evaluations): its samples are {best.trial:.3g} standard deviations of the",
        f"data from those of {len(reference.times) - 1} steps with the same noise, which are known to {reference.error:.1g}.",
    ]
    if len(run) > 1:
        second = run[1]
        assert second.trial is not None
        times = second.trial / best.trial if best.trial > 0 else 1.0
        words.append(f"The runner-up, {second}, is at {second.trial:.3g} ({times:.2f} times).")
    words.append(f"Of {count} candidates {len(run)} with the smallest local errors were run.")
    if best.trial <= 3 * reference.error:
        words.append("The best are closer to the reference than it is known; raise nodes to tell them apart.")
    return " ".join(words)


def _budget(
    denoiser: Denoiser, encoded: Encoded, evaluations: int | None, seconds: float | None, seed: int
) -> tuple[int, float | None]:
    """The number of evaluations, and the seconds of one where the budget is a time."""
    if (evaluations is None) == (seconds is None):
        raise ValueError(
            f"autopilot: give either evaluations or seconds, found evaluations={evaluations}, seconds={seconds}"
        )
    if evaluations is not None:
        _check(evaluations=evaluations)
        return int(evaluations), None
    assert seconds is not None
    if isinstance(seconds, bool) or not 0 < seconds < float("inf"):
        raise ValueError(f"autopilot: seconds must be above 0, found {seconds}")
    pace = _pace(denoiser, encoded, seed)
    if seconds < pace:
        raise ValueError(
            f"autopilot: seconds={seconds:g} is less than one evaluation of this batch takes, {pace:.3g} s"
        )
    return int(seconds / pace), pace


def _pace(denoiser: Denoiser, encoded: Encoded, seed: int) -> float:
    """The median seconds of one evaluation of the batch, after two to warm up."""
    device = encoded.mask.device
    index = torch.arange(encoded.batch, device=device)
    noise = draw_noise(denoiser, encoded, seed, index, "prior")
    middle = as_time(0.5, encoded.mask)
    state = {n: denoiser.processes[n].prior(f, expand_time(middle, f), noise[n]) for n, f in denoiser.fields.items()}
    taken = []
    for _ in range(9):
        start = time.perf_counter()
        denoiser(state, 0.5, encoded.layout, encoded.cond, encoded.known)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return median(taken[2:])


def _check(**counts: int) -> None:
    """Refuse what is no whole number of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise ValueError(f"autopilot: {name} must be a whole number of at least 1, found {count!r}")


@contextmanager
def _evaluating(denoiser: Denoiser) -> Iterator[None]:
    """Evaluation mode, put back afterwards."""
    training = {module: module.training for module in denoiser.modules()}
    denoiser.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
