"""One evaluation: the three columns, the extractors, every metric with its spread, the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from ..conditioning.values import class_number
from ..modality import Item, Modality, Sample
from ..rng import generator
from ..sources.cache import Cache
from ..state import Encoded
from .extractors import fingerprint
from .kept import kept
from .pictures import pictures
from .report import Report
from .spec import Context, Extractor, ExtractorSource, Judged, MetricSpec, Track

_LEAST = 12  # samples in a column; fewer leave too few neighbours in each part of it
_CHUNK = 64  # items encoded at once, all padded to the largest of them


def evaluate(
    modality: Modality,
    samples: Sequence[Sample],
    cond: Sequence[Mapping[str, Any]],
    train: Sequence[Item],
    held_out: Sequence[Item],
    *,
    task: str = "unconditional",
    given: Sequence[Item] | None = None,
    known: Sequence[Any] | None = None,
    seed: int = 0,
    repeats: int = 5,
    device: str = "cpu",
    progress: bool = True,
    cache: Cache | None = None,
) -> Report:
    """Measure what `modality.metrics(task)` declares on generated samples, on real data and on the modality's floor.

    Every column has the same n, the smaller of the number of samples and of held-out items, drawn with the seed, and is
    compared with all training items. The spread is the delete-a-group jackknife's standard error of the column's draw,
        sqrt((G - 1) / G sum_g (v_g - mean v)^2),   v_g the value without part g of G = `repeats` disjoint parts.

    Samples that share the same given item and known entries, object by object, are the members of an ensemble. n is then a
    number of items, parts hold whole ensembles, and the floor has as many members. Metrics that need what was given
    judge ensembles; the others take the first member of each, so that the real column, n held-out items, is their equal.

    Args:
        samples: decoded, as `sample` returns them; those beyond the number of held-out items are not measured.
        cond: for each sample what was asked of it, condition name -> class name or number, or other value.
        train, held_out: as read; held-out items should have been used neither for training nor for choosing.
        given, known: for each sample of a conditional task the posed item, and which of its entries were known.
        device: of the extractor.
        cache: where features of training and held-out items are kept for the next evaluation; None: nowhere.

    Raises:
        ValueError: too few samples or held-out items, lists of unequal length, ensembles of unequal size, fewer than 3 parts.
    """
    made = Judged(list(samples), asked(modality, cond), list(map(str, range(len(samples)))), given, known)
    ensembles = made.ensembles()
    n, members = min(len(ensembles), len(held_out)), _members(ensembles)
    if n < _LEAST or not 3 <= repeats <= n:
        found = f"{len(samples)} samples" + (f" of {len(ensembles)} given items" if members > 1 else "")
        raise ValueError(
            f"{found}, {len(held_out)} held-out items, {repeats} parts: at least {_LEAST} "
            f"{'given items' if members > 1 else 'samples'}, {_LEAST} held-out items and 3 parts are needed"
        )
    with _bars(progress) as track:
        reference = _real(modality, train, "training", seed, track)
        held = _real(modality, held_out, "held-out", seed, track)
        columns = {"ours": _draw(made, n, seed, "ours"), "real": _draw(held, n, seed, "real")}
        columns |= _floor(modality, train, reference, columns["ours"], seed)
        specs = _distinct(modality.metrics(task))
        extractors = _extractors(specs, reference, held, seed, device, track)
        real = (reference, held, columns["real"])
        with nullcontext() if cache is None else kept(cache, real, extractors.values()):
            rows = _measure(specs, columns, reference, held, extractors, repeats, seed, track)
        drawn = pictures(modality, columns, specs, reference)
    sets = {"samples": made, "reference": reference, "held-out": held}
    facts = {"modality": modality.name, "task": task, "n": n, "members": members, "repeats": repeats, "seed": seed}
    facts |= {name: {"items": len(judged), "hash": fingerprint(judged.samples)} for name, judged in sets.items()}
    described = [{"name": e.name, "hash": e.hash, "facts": e.facts} for e in extractors.values()]
    return Report(facts, described, rows, _notes(made, reference, held, facts, "floor" in columns), drawn)


def asked(modality: Modality, cond: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was asked of each sample, with class names replaced by class numbers.

    Raises:
        ValueError: a class that the modality does not have.
    """
    classes = {spec.name: spec for spec in modality.conditions if spec.kind == "class"}

    def number(name: str, value: Any) -> Any:
        return value if value is None or name not in classes else class_number(classes[name], value)

    return [{name: number(name, value) for name, value in values.items()} for values in cond]


def jackknife(value: Callable[[Judged], float], judged: Judged, parts: int) -> float:
    """Standard error of value(judged) by leaving out each of `parts` disjoint parts, which hold whole ensembles."""
    ensembles = judged.ensembles()

    def without(part: int) -> Judged:
        return judged.take([i for k, rows in enumerate(ensembles) if k % parts != part for i in rows])

    values = [value(without(part)) for part in range(parts)]
    mean = math.fsum(values) / parts
    return math.sqrt((parts - 1) / parts * math.fsum((v - mean) ** 2 for v in values))


def _real(modality: Modality, items: Sequence[Item], words: str, seed: int, track: Track) -> Judged:
    """Items as samples: they go through `encode`, which knows their class numbers, and `decode`, which rounds."""
    classes = [spec.name for spec in modality.conditions if spec.kind == "class"]
    advance = track(f"reading {len(items)} {words} items", len(items))
    samples: list[Sample] = []
    cond: list[dict[str, Any]] = []
    for start in range(0, len(items), _CHUNK):
        part = items[start : start + _CHUNK]
        for encoded in _encoded(modality, part, seed, words, start):
            samples += modality.decode(encoded.state, encoded.mask, encoded.aux)
            cond += _class_numbers(encoded, classes)
        for _ in part:
            advance()
    told = [item.cond | numbers for item, numbers in zip(items, cond, strict=True)]
    return Judged(samples, told, [item.key for item in items])


def _encoded(modality: Modality, items: Sequence[Item], seed: int, words: str, start: int) -> list[Encoded]:
    """The items as one batch, or each alone where they cannot share one, such as those of several sizes."""
    try:
        return [modality.encode(items, None, generator(seed, "evaluation", words, start))]
    except ValueError:  # where an item is at fault, it raises again, alone
        return [
            modality.encode([item], None, generator(seed, "evaluation", words, start + i))
            for i, item in enumerate(items)
        ]


def _class_numbers(encoded: Encoded, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each sample of a batch the number of its class, None where it has none."""
    found = {name: encoded.cond[name] for name in classes if name in encoded.cond}
    numbers = {
        name: [v if p else None for v, p in zip(c.value.tolist(), c.present.tolist(), strict=True)]
        for name, c in found.items()
    }
    return [{name: values[i] for name, values in numbers.items()} for i in range(encoded.batch)]


def _draw(judged: Judged, n: int, seed: int, word: str) -> Judged:
    """n of the samples in a seeded order, or those of n given items."""
    ensembles = judged.ensembles()
    order = generator(seed, "evaluation", word).permutation(len(ensembles))[:n]
    return judged.take([i for k in order for i in ensembles[k]])


def _members(ensembles: Sequence[Sequence[int]]) -> int:
    """Samples of each given item; 1 where nothing is given."""
    sizes = {len(rows) for rows in ensembles} or {1}
    if len(sizes) > 1:
        raise ValueError(f"given items have {min(sizes)} to {max(sizes)} samples: make as many for each")
    return sizes.pop()


def _floor(modality: Modality, train: Sequence[Item], reference: Judged, ours: Judged, seed: int) -> dict[str, Judged]:
    """The column of the modality's floor, for what ours was asked and given; none where the modality has none."""
    items = [replace(item, cond=cond) for item, cond in zip(train, reference.cond, strict=True)]
    samples = modality.floor(items, ours.cond, generator(seed, "evaluation", "floor"), ours.given, ours.known)
    if samples is None:
        return {}
    if ours.given is not None and ours.known is not None:
        samples = [modality.paste(*parts) for parts in zip(samples, ours.given, ours.known, strict=True)]
    return {"floor": Judged(samples, ours.cond, ours.keys, ours.given, ours.known)}


def _distinct(specs: Sequence[MetricSpec]) -> Sequence[MetricSpec]:
    names = [spec.name for spec in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not names:
        raise ValueError(f"the modality declares {len(names)} metrics, twice: {sorted(twice)}; each needs its own name")
    return specs


def _extractors(
    specs: Sequence[MetricSpec], reference: Judged, held: Judged, seed: int, device: str, track: Track
) -> dict[ExtractorSource, Extractor]:
    """Each source of the metrics, asked once."""
    sources = dict.fromkeys(spec.extractor for spec in specs if spec.extractor is not None)
    return {source: source.fit(reference, held, seed=seed, device=device, track=track) for source in sources}


def _measure(
    specs: Sequence[MetricSpec],
    columns: dict[str, Judged],
    reference: Judged,
    held: Judged,
    extractors: dict[ExtractorSource, Extractor],
    parts: int,
    seed: int,
    track: Track,
) -> list[dict[str, Any]]:
    """A row for each metric; samples that take part in several columns are worked out once."""
    advance, rows = track("measuring", len(specs) * len(columns)), []
    single = {name: _first_members(candidate) for name, candidate in columns.items()}
    for spec in specs:
        context = Context(held, extractors[spec.extractor] if spec.extractor else None, seed)
        row: dict[str, Any] = {"metric": spec.name, "kind": spec.kind, "better": spec.better, "about": spec.about}
        for name, candidate in (columns if spec.needs_given else single).items():
            row[name] = _cell(spec, candidate, reference, context, parts)
            advance()
        rows.append(row)
    return rows


def _first_members(judged: Judged) -> Judged:
    """One sample for each given item; the set itself where it has no ensembles."""
    ensembles = judged.ensembles()
    return judged if len(ensembles) == len(judged) else judged.take([rows[0] for rows in ensembles])


def _cell(spec: MetricSpec, candidate: Judged, reference: Judged, context: Context, parts: int) -> dict[str, Any]:
    """A number and its spread, or why there is none."""
    missing = spec.missing(candidate)
    if missing is not None:
        return {"missing": missing}
    value = float(spec.compute(candidate, reference, context))
    spread = jackknife(lambda part: spec.compute(part, reference, context), candidate, parts)
    if not math.isfinite(value) or not math.isfinite(spread):
        return {"missing": f"not finite: {value} ± {spread}"}
    return {"value": value, "spread": spread}


def _notes(made: Judged, reference: Judged, held: Judged, facts: Mapping[str, Any], has_floor: bool) -> list[str]:
    n, members, notes = facts["n"], facts["members"], []
    seen = {fingerprint([sample]) for sample in reference.samples}
    twice = sum(fingerprint([sample]) in seen for sample in held.samples)
    if twice:
        notes.append(f"{twice} of {len(held)} held-out items are exact copies of training items: split by group.")
    if len(made) > n * members:
        left = len(made) - n * members
        notes.append(f"{left} of {len(made)} samples were left out, so that every column has n = {n}.")
    if members > 1:
        notes.append(
            f"{members} samples for each of n given items: metrics of the task judge them all, the others the first of each."
        )
    if not has_floor:
        notes.append("This modality declares no floor.")
    return notes


@contextmanager
def _bars(show: bool) -> Iterator[Track]:
    """Progress bars on standard error; `track(words, steps)` adds one and returns what advances it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*bars, console=Console(stderr=True), transient=True, disable=not show) as progress:

        def track(words: str, steps: int) -> Callable[[], None]:
            task = progress.add_task(words, total=steps)
            return lambda: progress.advance(task)

        yield track
