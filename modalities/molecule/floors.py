"""A baseline that knows rules and no data but sizes and elements: random trees of atoms that fill every valence.

Elements are drawn by their shares among the neutral heavy atoms of the training molecules, each new atom takes a single bond to a
random open valence, hydrogens fill what is left. In space each atom lies at a typical length from its neighbour, in that of ten
random directions which has most room. So nearly all of these are valid, whereas lengths alone are right in their geometry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ornstein.core.modality import Item, Rng

from .conformers import embedded
from .given import Given
from .graph import AROMATIC, SINGLE, Graph
from .parallel import over_cores
from .sizes import Sizes
from .stability import VALENCIES, single_length

_DIRECTIONS = 10
_APART = 3.0  # angstrom from atoms that it has no bond to, for one that starts a fragment


@dataclass(frozen=True, eq=False)
class Elements:
    """Neutral heavy elements.

    Args:
        numbers: (K,) atomic numbers.
        valencies: (K,) bonds that each makes here, its lowest valency.
        shares: (K,) adding to 1.
    """

    numbers: np.ndarray
    valencies: np.ndarray
    shares: np.ndarray

    @staticmethod
    def of(graphs: Sequence[Graph]) -> Elements:
        """Counted in molecules.

        Raises:
            ValueError: no neutral heavy atom of an element with a known valency.
        """
        atoms = np.concatenate([graph.numbers[graph.heavy & (graph.charges == 0)] for graph in graphs])
        found, counts = np.unique(atoms, return_counts=True)
        usable = np.array([(int(number), 0) in VALENCIES for number in found], bool)
        if not usable.any():
            raise ValueError("the training molecules hold no neutral heavy atom of a known valency")
        found, counts = found[usable], counts[usable]
        return Elements(found, np.array([VALENCIES[int(z), 0][0] for z in found]), counts / counts.sum())


def molecule_floor(
    items: Sequence[Item],
    cond: Sequence[Mapping[str, Any]],
    rng: Rng,
    given: Sequence[Item] | None = None,
    known: Sequence[Given | None] | None = None,
) -> list[Graph]:
    """A sample for each cond: a random tree; around what is given where a part is; a conformer of ETKDGv3 where a graph is.

    Sizes are those of the training molecules near what is asked for, so that the floor of a property is that of size alone.

    Args:
        items: training molecules.
        given, known: the posed item behind each sample, and what of it is known.

    Raises:
        ValueError: no items.
    """
    if not items:
        raise ValueError("a floor needs training items")
    elements = Elements.of([item.data for item in items])
    if given is None or known is None:
        blanks = _blanks(items, cond, rng)
        return [_made(blank, None, elements, rng) for blank in blanks]
    seeds = [int(rng.integers(2**31 - 1)) for _ in given]
    whole = [bits is not None and bool(bits.atoms.all()) and not bits.positions.any() for bits in known]
    wanted = [(item.data, seed) for item, seed, all_of_it in zip(given, seeds, whole, strict=True) if all_of_it]
    folded = iter(over_cores(_embedded, wanted))
    samples = []
    for item, bits, all_of_it in zip(given, known, whole, strict=True):
        positions = next(folded) if all_of_it else None
        sample = _made(item.data, bits, elements, rng) if positions is None else replace(item.data, positions=positions)
        samples.append(sample)
    return samples


def grown(graph: Graph, free: np.ndarray, elements: Elements, rng: Rng) -> Graph:
    """The graph with its free atoms (N,) bool made anew: elements, charges of 0, single bonds.

    Where so few atoms are free that hydrogens cannot fill all open valences, some stay open.
    """
    numbers, charges, bonds = graph.numbers.copy(), graph.charges.copy(), graph.bonds.copy()
    numbers[free], charges[free], bonds[free], bonds[:, free] = 1, 0, 0, 0
    opened = np.where(free, 0, _open_valences(replace(graph, numbers=numbers, charges=charges, bonds=bonds)))
    explicit = graph.hydrogens == "explicit"
    slack = int(free.sum() - opened.sum())  # atoms beyond the hydrogens that are needed
    for atom in np.flatnonzero(free).tolist():
        begins = not opened.any()
        cost = elements.valencies + (1 if begins else -1)  # how many more atoms are then spoken for
        fits = (cost <= slack) & (slack > 0) if explicit else np.ones(len(cost), bool)
        if opened.sum() == 1:
            fits &= elements.valencies > 1  # or the molecule would be closed
        valency = 1
        if fits.any():
            k = int(rng.choice(len(cost), p=np.where(fits, elements.shares, 0) / elements.shares[fits].sum()))
            numbers[atom], valency, slack = elements.numbers[k], int(elements.valencies[k]), slack - int(cost[k])
        if not begins:
            parent = int(rng.choice(len(opened), p=opened / opened.sum()))
            bonds[atom, parent] = bonds[parent, atom] = SINGLE
            opened[parent] -= 1
            valency -= 1
        opened[atom] = valency
    return replace(graph, numbers=numbers, charges=charges, bonds=bonds)


def placed(graph: Graph, rng: Rng) -> Graph:
    """The graph with a place for each atom whose position is NaN, atom by atom along the bonds."""
    if graph.positions is None:
        return graph
    positions, joined = graph.positions.copy(), graph.bonds > 0
    missing = np.isnan(positions).any(1)
    while missing.any():
        beside = missing & joined[:, ~missing].any(1)
        atom = int(np.argmax(beside if beside.any() else missing))
        others = positions[~missing]
        if not len(others):
            positions[atom] = 0.0
        else:
            anchors = np.flatnonzero(joined[atom] & ~missing)
            anchor = int(anchors[0]) if len(anchors) else int(rng.choice(np.flatnonzero(~missing)))
            length = single_length(int(graph.numbers[atom]), int(graph.numbers[anchor])) if len(anchors) else _APART
            directions = rng.standard_normal((_DIRECTIONS, 3))
            tried = positions[anchor] + length * directions / np.linalg.norm(directions, axis=1, keepdims=True)
            room = np.linalg.norm(tried[:, None] - others, axis=-1)
            room = np.sort(room, axis=1)[:, : 1 + bool(len(anchors))][:, -1]  # the nearest but for the anchor
            positions[atom] = tried[int(room.argmax())]
        missing[atom] = False
    return replace(graph, positions=positions)


def _made(graph: Graph, known: Given | None, elements: Elements, rng: Rng) -> Graph:
    """What is known of a graph, completed."""
    atoms = np.zeros(graph.atoms, bool) if known is None else known.atoms
    at = np.zeros(graph.atoms, bool) if known is None else known.positions
    positions = None if graph.positions is None else np.where(at[:, None], graph.positions, np.nan)
    return placed(grown(replace(graph, positions=positions), ~atoms, elements, rng), rng)


def _blanks(items: Sequence[Item], cond: Sequence[Mapping[str, Any]], rng: Rng) -> list[Graph]:
    """Molecules of nothing but a size."""
    names = sorted({name for asked in cond for name, value in asked.items() if isinstance(value, int | float)})
    values = [[_number(item.cond.get(name)) for name in names] for item in items]
    sizes = Sizes.of([item.data.atoms for item in items], values)
    first: Graph = items[0].data
    blanks = []
    for asked in cond:
        n = sizes.draw(rng.random(), np.array([_number(asked.get(name)) for name in names]))
        positions = None if first.positions is None else np.full((n, 3), np.nan)
        nothing = np.zeros(n, np.int64)
        blanks.append(Graph(nothing, nothing, np.zeros((n, n), np.int8), positions, hydrogens=first.hydrogens))
    return blanks


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _open_valences(graph: Graph) -> np.ndarray:
    """(N,) bonds that each atom can still make to reach its next valency."""
    sums = np.where(graph.bonds == AROMATIC, 1.5, graph.bonds).sum(1).round().astype(int).tolist()
    found = []
    for number, charge, order in zip(graph.numbers.tolist(), graph.charges.tolist(), sums, strict=True):
        reach = [valency - order for valency in VALENCIES.get((number, charge), ()) if valency >= order]
        found.append(min(reach, default=0))
    return np.array(found)


def _embedded(wanted: tuple[Graph, int]) -> np.ndarray | None:
    return embedded(*wanted)
