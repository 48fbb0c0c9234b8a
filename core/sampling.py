"""Decoded samples from a denoiser: the loop around the executor that knows the modality."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from . import rng
from .conditioning.values import conditions
from .denoiser import Denoiser
from .samplers import Sampler, TailGrid
from .samplers.run import Hook
from .state import Conditions, Encoded, State

if TYPE_CHECKING:
    from .modality import Item, Modality, Sample

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "float16": torch.float16, "float64": None}


def sample(
    denoiser: Denoiser,
    sampler: Sampler,
    n: int = 1,
    cond: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    task: str = "unconditional",
    given: Sequence[Item] | None = None,
    known: Sequence[Any] | None = None,
    size: Any = None,
    strength: float | None = None,
    batch_size: int = 64,
    precision: str = "float32",
    progress: bool = False,
    hooks: Sequence[Hook] = (),
) -> list[Sample]:
    """Draw n decoded samples; with `given`, n for each given item, item by item.

    Args:
        denoiser: with a modality attached, as `load` does; guidance passes it on.
        sampler: how to draw.
        n: number of samples (for each given item).
        cond: raw conditions, one value for all or a list with one for each sample. Given items bring their own.
        seed: of everything. Sample k is the same for any batch size.
        task: what poses the given items; with `strength` it may be left out, and then nothing is known.
        given: items of the modality.
        known: which entries of each given item are known, in its own coordinates; posed by the task where absent.
        size: of new samples, or of what a task makes of given items, in the modality's own terms.
        strength: in (0, 1]: what is to be made of the given items starts from themselves, noised to this time, and not from noise
            alone. Near 0 they hardly change, at 1 nothing is left of them (SDEdit: Meng et al. 2021, arXiv:2108.01073).
        batch_size: samples at a time.
        precision: float32, bf16 or float16 (autocast), or float64 (the network is converted, and converted back).
        progress: show a bar.
        hooks: called after each row of the plan, or step of a sampler that has none.

    Raises:
        ValueError: no modality, an unknown task, condition or precision, n below 1; a strength out of range, without given items,
            for items that are not there whole, or for a sampler without a grid.
    """
    modality = denoiser.modality
    if modality is None:
        raise ValueError(
            "sample() decodes by a modality and this denoiser has none: `load` attaches it; `sampler.run` needs none"
        )
    if n < 1 or batch_size < 1:
        raise ValueError(f"n and batch_size must be at least 1, found n={n}, batch_size={batch_size}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} does not exist; choose from {', '.join(PRECISIONS)}")
    if given is None and (task != "unconditional" or known is not None):
        raise ValueError("a task, or known entries, need given items")
    if strength is not None:
        sampler = _from(sampler, strength, given)
    total = n * (1 if given is None else len(given))
    with prepared(denoiser, precision) as (device, dtype), _bar(progress, total) as advance:

        def draw(encoded: Encoded, index: torch.Tensor, seed: int) -> list[Sample]:
            out: list[Sample] = []
            for start in range(0, encoded.batch, batch_size):
                part, rows = encoded.rows(start, start + batch_size), index[start : start + batch_size]
                part = part.to(device, dtype)
                origin = None if strength is None else _whole(part)
                state = sampler.run(denoiser, part, seed=seed, index=rows, hooks=hooks, origin=origin)
                out += modality.decode({k: v.cpu() for k, v in state.items()}, part.mask.cpu(), part.aux)
                advance(part.batch)
            return out

        own = conditions(denoiser.conditions, cond, total)
        if given is None:
            return draw(modality.blank(n, own, rng.generator(seed, "blank"), size), torch.arange(n), seed)
        if strength is not None and task == "unconditional" and known is None:
            known = [None] * len(given)
        items, bits = _pose(modality, task, given, known, seed, size)
        rolls = [modality.unroll(item, b) for item, b in zip(items, bits, strict=True) for _ in range(n)]
        return _unrolled(modality, rolls, own, seed, draw)


def _unrolled(
    modality: Modality,
    rolls: Sequence[Generator[tuple[Item, Any], Sample, Sample]],
    own: Conditions,
    seed: int,
    draw: Callable[[Encoded, torch.Tensor, int], list[Sample]],
) -> list[Sample]:
    """Every item whole; those that are made in pieces go on together, and each round of pieces has noise of its own."""
    whole: list[Sample] = [None] * len(rolls)
    pieces = {i: next(roll) for i, roll in enumerate(rolls)}
    count = 0
    while pieces:
        round_seed = rng.key(seed, "piece", count) >> 1 if count else seed
        buckets: dict[Hashable, list[int]] = {}
        for i, (item, _) in pieces.items():
            buckets.setdefault(modality.bucket(item), []).append(i)
        following = {}
        for numbers in buckets.values():
            items, bits = zip(*(pieces[i] for i in numbers), strict=True)
            given = bits if any(b is not None for b in bits) else None
            encoded, index = modality.encode(items, given, rng.generator(round_seed, "encode")), torch.tensor(numbers)
            encoded = replace(encoded, cond={**encoded.cond, **{name: c.take(index) for name, c in own.items()}})
            for i, sample in zip(numbers, draw(encoded, index, round_seed), strict=True):
                try:
                    following[i] = rolls[i].send(sample)
                except StopIteration as end:
                    whole[i] = end.value
        pieces, count = {i: following[i] for i in sorted(following)}, count + 1
    return whole


def _from(sampler: Sampler, strength: float, given: Sequence[Item] | None) -> Sampler:
    """The sampler with as many steps from a time below 1."""
    if given is None:
        raise ValueError(f"strength={strength} says how far given items are noised, and no items are given")
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be in (0, 1], found {strength}")
    timed: Any = sampler
    if not hasattr(timed, "grid"):
        raise ValueError(
            f"strength={strength}: {sampler.describe()} chooses its times itself; take a sampler with a grid"
        )
    return replace(timed, grid=TailGrid(strength, timed.grid))


def _whole(encoded: Encoded) -> State:
    """The state of items that are there whole, to begin with.

    Raises:
        ValueError: entries of which nobody knows the value, such as those that a task adds.
    """
    gaps = [name for name, missing in encoded.missing.items() if missing.any()]
    gaps += [name for name, x in encoded.state.items() if x.is_floating_point() and not x.isfinite().all()]
    if gaps:
        raise ValueError(
            f"strength: the given items lack entries of {', '.join(dict.fromkeys(gaps))}, and there is nothing to start from; "
            "give whole items, or leave out the strength"
        )
    return encoded.state


def _pose(
    modality: Modality, task: str, given: Sequence[Item], known: Sequence[Any] | None, seed: int, size: Any
) -> tuple[list[Item], list[Any]]:
    """Given items extended by their unknown entries, and which of them are known, by the task; or the items as the user says."""
    tasks = modality.tasks()
    if task not in tasks:
        raise ValueError(f"task {task!r} does not exist for {modality.name}; choose from {', '.join(tasks)}")
    if task == "unconditional" and known is None:
        raise ValueError(
            f"items are given and nothing of them is known: name a task of {', '.join(tasks)}, or give `known`, or a `strength`"
        )
    if known is not None and len(known) != len(given):
        raise ValueError(f"{len(known)} known masks for {len(given)} given items")
    if known is not None:
        if size is not None:
            raise ValueError(
                "a size says what a task is to make, and `known` which entries are there: give one of them"
            )
        return list(given), list(known)
    chosen = tasks[task] if size is None else tasks[task].sized(size)
    posed = [chosen.pose(item, rng.generator(seed, "pose", i)) for i, item in enumerate(given)]
    return [item for item, _ in posed], [bits for _, bits in posed]


@contextmanager
def prepared(denoiser: Denoiser, precision: str) -> Iterator[tuple[torch.device, torch.dtype]]:
    """Evaluation mode and precision, put back afterwards."""
    parameter = next(denoiser.parameters(), torch.empty(0))
    device, dtype, half = parameter.device, parameter.dtype, PRECISIONS[precision]
    training = {module: module.training for module in denoiser.modules()}  # guidance may hold a network in another mode
    wanted = torch.float64 if precision == "float64" else torch.float32
    if dtype == torch.float64 and wanted != dtype:
        raise ValueError(f"the network is float64 and precision {precision} would round its weights; take float64")
    try:
        denoiser.eval().to(wanted)
        with torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            yield device, wanted
    finally:
        denoiser.to(dtype)
        for module, mode in training.items():
            module.training = mode


@contextmanager
def _bar(show: bool, total: int) -> Iterator[Any]:
    """A progress bar over samples, or nothing."""
    if not show:
        yield lambda count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("sampling", total=total)
        yield lambda count: bar.update(task, advance=count)
