"""Is it what was asked for? Properties by a regressor, given parts by comparison, conformers by distance to the true ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from torch import Tensor

from . import conformers
from .given import Given
from .graph import Graph
from .parallel import over_cores
from .regress import Regressor, median_of_size
from .validity import smiles

FITTED = 1000  # held-out molecules that a regressor is fitted on


def property_metrics(names: Sequence[str], units: Mapping[str, str]) -> tuple[MetricSpec, ...]:
    """For each property that was asked for: the error of what a regressor reads off, and what the size alone would give.

    The regressor is fitted on held-out molecules, which the model never saw: it cannot reward memory. A held-out molecule
    is read by a regressor fitted on the others. Where a recipe holds out half of the data this is the published protocol.

    Source: Hoogeboom et al. 2022, arXiv:2203.17003, section 5.3, with a graph network for the regressor.
    """
    return tuple(spec for name in names for spec in _property(name, units.get(name, "")))


def given_metrics(task: str, spatial: bool) -> tuple[MetricSpec, ...]:
    """For samples of which something was given."""
    kept = MetricSpec("given part kept", "higher", "Share of samples in which all given atoms and bonds are as they were given; "
                      "must be 1.", _kept, "task", needs_given=True)  # fmt: skip
    moved = MetricSpec("change of given positions, Å", "lower", "Largest distance of a given atom from its place, up to a common "
                       "shift; must be 0.", _moved, "task", needs_given=True)  # fmt: skip
    if not spatial:
        return (kept,)
    return (kept, *_conformers()) if task == "conformers" else (kept, moved)


def _property(name: str, unit: str) -> tuple[MetricSpec, ...]:
    def error(candidate: Judged, reference: Judged, context: Context) -> float:
        held = context.held_out
        fitted, rows = held.whole(f"regressor of {name}", lambda: _regressor(held, name))
        seen = {id(held.samples[row]): float(value) for row, value in zip(rows, fitted.left_out, strict=True)}

        def read(samples: Sequence[Graph]) -> Tensor:
            fresh = fitted(samples)
            return torch.tensor(
                [seen.get(id(graph), value) for graph, value in zip(samples, fresh.tolist(), strict=True)]
            )

        return _mean_error(candidate, name, candidate.rows(f"read {name}", read).numpy())

    def size_alone(candidate: Judged, reference: Judged, context: Context) -> float:
        held = context.held_out
        rows = [row for row, cond in enumerate(held.cond) if cond.get(name) is not None]
        values = np.array([float(held.cond[row][name]) for row in rows])
        graphs = [held.samples[row] for row in rows]
        return _mean_error(candidate, name, median_of_size(graphs, values, candidate.samples))

    title = f"error of {name}{', ' + unit if unit else ''}"
    return (
        MetricSpec(title, "lower", f"Mean absolute difference of the {name} asked for and what a regressor, fitted on "
                   "held-out molecules, reads off the sample; real: of the regressor itself.",
                   error, "condition", needs_cond=name),
        MetricSpec(f"{title}, by size", "lower", f"The same where the {name} is that usual for the sample's number of atoms; "
                   "real: the best that knows the size alone.", size_alone, "condition", needs_cond=name),
    )  # fmt: skip


def _regressor(held: Judged, name: str) -> tuple[Regressor, list[int]]:
    """Fitted on the first held-out molecules that have the property, and their rows."""
    rows = [row for row, cond in enumerate(held.cond) if cond.get(name) is not None][:FITTED]
    values = np.array([float(held.cond[row][name]) for row in rows])
    return Regressor.fit([held.samples[row] for row in rows], values), rows


def _mean_error(candidate: Judged, name: str, values: np.ndarray) -> float:
    asked = np.array([float(cond[name]) for cond in candidate.cond])
    return float(np.abs(asked - values).mean())


def _kept(candidate: Judged, reference: Judged, context: Context) -> float:
    return float(np.mean([_same(sample, graph, known) for sample, graph, known in _posed(candidate)]))


def _same(sample: Graph, graph: Graph, known: Given) -> bool:
    atoms, bonds = known.atoms, known.bonds
    return (
        sample.atoms == graph.atoms
        and bool((sample.numbers == graph.numbers)[atoms].all())
        and bool((sample.charges == graph.charges)[atoms].all())
        and bool((sample.bonds == graph.bonds)[bonds].all())
    )


def _moved(candidate: Judged, reference: Judged, context: Context) -> float:
    farthest = 0.0
    for sample, graph, known in _posed(candidate):
        at = known.positions
        if at.any() and sample.positions is not None and graph.positions is not None:
            away = sample.positions[at] - graph.positions[at]
            farthest = max(farthest, float(np.linalg.norm(away - away.mean(0), axis=1).max()))
    return farthest


def _posed(candidate: Judged) -> list[tuple[Graph, Graph, Given]]:
    """Samples of which something was given, with what it was given of, and which."""
    rows = zip(candidate.samples, candidate.given or (), candidate.known or (), strict=True)
    return [(sample, item.data, known) for sample, item, known in rows if known is not None]


def _conformers() -> tuple[MetricSpec, ...]:
    def averaged(measure: Callable[[np.ndarray, float], conformers.Met], field: str) -> Callable[..., float]:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            rows = candidate.rows("conformers", lambda _: _distances(candidate)).numpy()
            found = []
            for group in np.unique(rows[rows[:, 0] >= 0, 0]):
                block = rows[rows[:, 0] == group]
                found.append(getattr(measure(block[:, 2:][:, ~np.isnan(block[0, 2:])], block[0, 1]), field))
            return float(np.mean(found)) if found else float("nan")

        return compute

    limits = f"{conformers.SMALL} Å, {conformers.LARGE} Å for molecules of drugs' size"
    return (
        MetricSpec("conformers met", "higher", f"COV-R: share of the true conformers with a sample within {limits}; floor: "
                   "ETKDG.", averaged(conformers.recall, "coverage"), "task", needs_given=True),
        MetricSpec("distance of conformers, Å", "lower", "MAT-R: mean distance of a true conformer to the nearest sample.",
                   averaged(conformers.recall, "matching"), "task", needs_given=True),
        MetricSpec("samples that are conformers", "higher", f"COV-P: share of the samples within {limits} of a true conformer.",
                   averaged(conformers.precision, "coverage"), "task", needs_given=True),
        MetricSpec("distance to conformers, Å", "lower", "MAT-P: mean distance of a sample to the nearest true conformer.",
                   averaged(conformers.precision, "matching"), "task", needs_given=True),
    )  # fmt: skip


def _distances(candidate: Judged) -> Tensor:
    """(n, 2 + most): the molecule's number, its threshold, and the distance to each of its true conformers, then NaN.

    True conformers are the given items of one molecule, by SMILES without stereo; -1 for an invalid one, which is left out.
    """
    given = candidate.given or ()
    numbers: dict[str, int] = {}
    true: dict[str, dict[str, Graph]] = {}
    names = over_cores(smiles, [item.data for item in given])
    for name, item in zip(names, given, strict=True):
        numbers.setdefault(name, len(numbers))
        true.setdefault(name, {})[item.key] = item.data
    pairs = [
        (sample, graph) for sample, name in zip(candidate.samples, names, strict=True) for graph in true[name].values()
    ]
    measured = iter(over_cores(_distance, pairs))
    out = torch.full((len(candidate), 2 + max(map(len, true.values()))), torch.nan, dtype=torch.float64)
    for row, name in zip(out, names, strict=True):
        first = next(iter(true[name].values()))
        row[0], row[1] = numbers[name] if name else -1, conformers.threshold(first)
        for column in range(len(true[name])):
            row[2 + column] = next(measured)
    return out


def _distance(pair: tuple[Graph, Graph]) -> float:
    return conformers.distance(*pair)
