"""How molecules are judged: the metrics of `ornstein evaluate`, and the floor.

Every number is a plain function of single molecules (`stability`, `validity`, `geometry`, `strain`, `poses`, `drug`), worked out
once for each sample, over the cores, and kept as a row. Dear ones are worked out for the first samples of a column alone, which
is drawn at random: `STRAINED` for the force field, `POSED` for PoseBusters. Distributions are compared with those of `REFERENCE`
training molecules at most; novelty, ring systems and memorisation with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.rng import generator, key
from torch import Tensor

from . import drug, geometry
from .floors import molecule_floor
from .graph import Graph
from .memory import memory_metrics
from .options import Options
from .parallel import over_cores
from .poses import passes
from .stability import stable_by_distance, stable_by_valency
from .strain import strain
from .targets import given_metrics, property_metrics
from .validity import Verdict, smiles, verdict

__all__ = ["molecule_floor", "molecule_metrics"]

STRAINED = 1000  # samples of a column that are relaxed, some 5 ms each
POSED = 200  # samples of a column that PoseBusters looks at, some 0.3 s each
REFERENCE = 5000  # training molecules that distributions are compared with

Compute = Callable[[Judged, Judged, Context], float]


def molecule_metrics(task: str, options: Options, units: Mapping[str, str] | None = None) -> tuple[MetricSpec, ...]:
    """What is measured on molecules of a task.

    Args:
        options: whether there are positions, which the lines on geometry need, and hydrogens, which the force field needs; and
            the properties that can be asked for.
        units: of the properties.
    """
    spatial, explicit = options.representation == "3d", options.hydrogens != "implicit"
    folded = (*(_by_distance() if explicit else ()), *_shape(), *(_forces() if explicit else ())) if spatial else ()
    if task == "conformers":  # atoms and bonds are given
        return (*folded, *given_metrics(task, spatial))
    specs = (*_graphs(explicit), *folded, *_types(), *_drugs(), *_new(), *memory_metrics(spatial))
    asked = property_metrics(options.properties, units or {})
    return (*specs, *asked) if task == "unconditional" else (*specs, *asked, *given_metrics(task, spatial))


def _graphs(explicit: bool) -> tuple[MetricSpec, ...]:
    """Of the written atoms and bonds."""
    atoms, molecules = _stability("valency", stable_by_valency)
    lines = (
        MetricSpec("atoms stable, valency", "higher", "Share of atoms whose written bonds add up to a valency of their element "
                   "at their charge, aromatic bonds kekulised.", atoms),
        MetricSpec("molecules stable, valency", "higher", "Share of molecules of which all atoms are so.", molecules),
        MetricSpec("valid", "higher", "Share that RDKit sanitises, all fragments.", _verdicts("valid")),
        MetricSpec("valid, largest fragment", "higher", "Share of which RDKit sanitises the largest fragment: flatters, and is "
                   "what many tables print.", _verdicts("valid_largest")),
        MetricSpec("connected", "higher", "Share in one fragment.", _verdicts("connected")),
        MetricSpec("valid and connected", "higher", "Share valid in one fragment.", _verdicts("valid", "connected")),
    )  # fmt: skip
    complete = MetricSpec("complete", "higher", "Share valid, in one fragment, without radicals: no hydrogen or bond is missing.",
                          _verdicts("complete"))  # fmt: skip
    return (*lines, complete) if explicit else lines


def _by_distance() -> tuple[MetricSpec, ...]:
    """Of bonds read off the positions."""
    atoms, molecules = _stability("distance", stable_by_distance)
    return (
        MetricSpec("atoms stable, distance", "higher", "Share of atoms whose bonds, read off distances by EDM's tables, add up "
                   "to their valency; real data do not reach 1.", atoms),
        MetricSpec("molecules stable, distance", "higher", "Share of molecules of which all atoms are so.", molecules),
        MetricSpec("bonds as positions say", "higher", "Share that is complete and of which the bonds perceived from positions "
                   "are the written ones.", _verdicts("agrees")),
    )  # fmt: skip


def _shape() -> tuple[MetricSpec, ...]:
    """Distributions of lengths, angles and torsions."""

    def compared(name: str, measure: Callable[[Graph], np.ndarray]) -> Compute:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            return geometry.wasserstein(
                *(_flat(name, measure, each) for each in (candidate, _some(reference, context)))
            )

        return compute

    about = "Wasserstein-1 distance of {} to the training molecules', averaged over {} by frequency."
    return (
        MetricSpec("bond lengths W1, Å", "lower", about.format("bond lengths", "pairs of elements and orders"),
                   compared("lengths", geometry.bond_lengths)),
        MetricSpec("bond angles W1, °", "lower", about.format("bond angles", "elements of the centre"),
                   compared("angles", geometry.bond_angles)),
        MetricSpec("torsions W1, °", "lower", about.format("torsions without sign", "types of the middle bond"),
                   compared("torsions", geometry.torsions)),
    )  # fmt: skip


def _forces() -> tuple[MetricSpec, ...]:
    """By force field and PoseBusters; on the first samples of a column."""

    def median(column: int) -> Compute:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            rows = candidate.rows("strain", partial(_first, STRAINED, strain, 2))[:, column]
            return float(rows.nanmedian())

        return compute

    def share(candidate: Judged, reference: Judged, context: Context) -> float:
        return float(candidate.rows("poses", partial(_first, POSED, _passes, 1)).nanmean())

    return (
        MetricSpec("strain, kcal/mol", "lower", "Median MMFF94 energy above the relaxed shape, of those valid in one fragment "
                   f"among the first {STRAINED}.", median(0)),
        MetricSpec("RMSD to relaxed, Å", "lower", "Median distance of all atoms from the shape relaxed by MMFF94, of the same.",
                   median(1)),
        MetricSpec("PoseBusters", "higher", f"Share of the first {POSED} that pass all checks of PoseBusters for single "
                   "molecules.", share),
    )  # fmt: skip


def _types() -> tuple[MetricSpec, ...]:
    """Shares of the kinds of atoms, bonds and sizes."""

    def compared(name: str, kinds: Callable[[Graph], np.ndarray]) -> Compute:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            parts = (_flat(name, kinds, each)[:, 0] for each in (candidate, _some(reference, context)))
            return geometry.total_variation(*parts)

        return compute

    about = "Total variation, 0 to 1, between the shares of {} here and in the training molecules."
    return (
        MetricSpec("atom types TV", "lower", about.format("elements with their charges"),
                   compared("atoms", geometry.atom_types)),
        MetricSpec("bond types TV", "lower", about.format("pairs of elements and orders"),
                   compared("bonds", geometry.bond_types)),
        MetricSpec("sizes TV", "lower", about.format("numbers of atoms"), compared("sizes", _size)),
    )  # fmt: skip


def _drugs() -> tuple[MetricSpec, ...]:
    """What chemists of drugs look at, of valid molecules."""

    def compared(column: int) -> Compute:
        def compute(candidate: Judged, reference: Judged, context: Context) -> float:
            from scipy.stats import wasserstein_distance

            x, y = (
                _rows(each, "drug", drug.drug)[:, column].numpy() for each in (candidate, _some(reference, context))
            )
            x, y = x[np.isfinite(x)], y[np.isfinite(y)]
            return float(wasserstein_distance(x, y)) if len(x) and len(y) else float("nan")

        return compute

    def known_rings(candidate: Judged, reference: Judged, context: Context) -> float:
        kept, seen = (
            _unpadded(each.rows("rings", lambda samples: _padded(over_cores(_rings, samples))))[:, 0]
            for each in (candidate, reference)
        )
        return float(np.isin(kept, seen).mean()) if len(kept) else float("nan")

    about = "Wasserstein-1 distance of {} of valid molecules to the training molecules'."
    return (
        MetricSpec("QED W1", "lower", about.format("drug-likeness, 0 to 1,"), compared(0)),
        MetricSpec("SA W1", "lower", about.format("synthetic accessibility, 1 easy to 10 hard,"), compared(1)),
        MetricSpec("logP W1", "lower", about.format("octanol-water partition by Crippen"), compared(2)),
        MetricSpec("ring systems known", "higher", "Share of the ring systems of valid molecules that a training molecule has.",
                   known_rings),
    )  # fmt: skip


def _new() -> tuple[MetricSpec, ...]:
    """By canonical SMILES without stereo."""

    def unique(candidate: Judged, reference: Judged, context: Context) -> float:
        names = _names(candidate)
        return len(np.unique(names)) / len(names) if len(names) else float("nan")

    def novel(candidate: Judged, reference: Judged, context: Context) -> float:
        names = np.unique(_names(candidate))
        return 1 - float(np.isin(names, _names(reference)).mean()) if len(names) else float("nan")

    return (
        MetricSpec("unique", "higher", "Share of different SMILES among valid molecules.", unique, "diversity"),
        MetricSpec("novel", "higher", "Share of the different ones that no training molecule has; the column of real data says "
                   "what novelty is worth.", novel, "diversity"),
    )  # fmt: skip


# Rows: worked out once for each molecule.


def _stability(name: str, ruler: Callable[[Graph], np.ndarray]) -> tuple[Compute, Compute]:
    """Share of stable atoms, and of molecules of which all are."""

    def counts(candidate: Judged) -> Tensor:
        return _rows(candidate, f"stable {name}", partial(_counts, ruler))

    def atoms(candidate: Judged, reference: Judged, context: Context) -> float:
        stable, of = counts(candidate).sum(0)
        return float(stable / of)

    def molecules(candidate: Judged, reference: Judged, context: Context) -> float:
        stable, of = counts(candidate).T
        return float((stable == of).double().mean())

    return atoms, molecules


def _verdicts(*names: str) -> Compute:
    """Share of the molecules of which all the named entries of their verdict hold."""
    columns = [Verdict._fields.index(name) for name in names]

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        return float(_rows(candidate, "verdicts", verdict)[:, columns].all(1).double().mean())

    return compute


def _rows(judged: Judged, name: str, measure: Callable[[Graph], Any]) -> Tensor:
    """(n, K) float64: a row of numbers for each molecule."""
    return judged.rows(name, lambda samples: torch.tensor(over_cores(measure, samples), dtype=torch.float64))


def _flat(name: str, measure: Callable[[Graph], np.ndarray], judged: Judged) -> np.ndarray:
    """(m, K) float64: the rows of all molecules, of which each has as many as it has bonds, angles, atoms, ...

    Arithmetic on arrays costs less than sending them to other processes.
    """
    return _unpadded(judged.rows(f"all {name}", lambda samples: _padded([measure(graph) for graph in samples])))


def _padded(parts: Sequence[np.ndarray]) -> Tensor:
    """(n, most, K) float64, NaN where a molecule has no more."""
    wide = [part[:, None] if part.ndim == 1 else part for part in parts]
    most, columns = max(len(part) for part in wide), max(part.shape[1] for part in wide)
    out = np.full((len(wide), most, columns), np.nan)
    for row, part in zip(out, wide, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(out)


def _unpadded(padded: Tensor) -> np.ndarray:
    rows = padded.flatten(0, 1).numpy()
    return rows[~np.isnan(rows[:, 0])]


def _first(count: int, measure: Callable[[Graph], Any], columns: int, samples: Sequence[Graph]) -> Tensor:
    """(n, columns) of the first `count` samples, NaN for the others."""
    out = torch.full((len(samples), columns), torch.nan, dtype=torch.float64)
    rows = torch.tensor(over_cores(measure, samples[:count]), dtype=torch.float64)
    out[:count] = rows.view(-1, columns)
    return out


def _some(reference: Judged, context: Context) -> Judged:
    """At most `REFERENCE` training molecules, drawn once."""
    if len(reference) <= REFERENCE:
        return reference
    order = generator(context.seed, "evaluation", "some training molecules").permutation(len(reference))
    return reference.whole(f"some {context.seed}", lambda: reference.take(order[:REFERENCE].tolist()))


def _names(judged: Judged) -> np.ndarray:
    """A number for the SMILES of each valid molecule."""
    names = judged.rows("smiles", lambda samples: torch.tensor(over_cores(_name, samples))).numpy()
    return names[names != 0]


def _name(graph: Graph) -> int:
    written = smiles(graph)
    return _number(written) if written else 0


def _rings(graph: Graph) -> np.ndarray:
    return np.array([_number(system) % 2**53 for system in drug.ring_systems(graph)], np.float64)  # exact as a float


def _number(text: str) -> int:
    return key(0, text) >> 1


def _size(graph: Graph) -> np.ndarray:
    return np.array([graph.atoms])


def _passes(graph: Graph) -> float:
    return float(passes(graph))


def _counts(ruler: Callable[[Graph], np.ndarray], graph: Graph) -> tuple[int, int]:
    return int(ruler(graph).sum()), graph.atoms
