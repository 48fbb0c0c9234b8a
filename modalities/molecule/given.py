"""What of a molecule is given, and how a molecule gets room for atoms that are yet to be made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .graph import Graph
from .vocabulary import UNKNOWN


@dataclass(frozen=True, eq=False)
class Given:
    """What is known of a molecule of N atoms, in its own order.

    Args:
        atoms: (N,) bool, atoms of which element and charge are given.
        bonds: (N, N) bool, pairs of which the bond is given, also where it is none; symmetric, False on the diagonal.
        positions: (N,) bool, atoms whose place is given.
    """

    atoms: np.ndarray
    bonds: np.ndarray
    positions: np.ndarray

    @staticmethod
    def of(atoms: np.ndarray, placed: bool) -> Given:
        """Some atoms (N,) bool, all bonds among them and, where `placed`, their positions."""
        bonds = np.outer(atoms, atoms)
        np.fill_diagonal(bonds, False)
        return Given(atoms.copy(), bonds, atoms.copy() if placed else np.zeros_like(atoms))

    def of_size(self, atoms: int) -> Given:
        """For a molecule that has got more atoms behind its own: these are unknown.

        Raises:
            ValueError: it has fewer atoms.
        """
        more = atoms - len(self.atoms)
        if more < 0:
            raise ValueError(f"what is known is said of {len(self.atoms)} atoms, and the molecule has {atoms}")
        if more == 0:
            return self
        return Given(*(np.pad(x, (0, more)) for x in (self.atoms, self.bonds, self.positions)))


def extended(graph: Graph, given: np.ndarray, total: int) -> Graph:
    """The molecule with `total` atoms: new ones, of no element and no place, behind its own.

    Where it has more already the last of those that are not given are left out.

    Args:
        graph: the molecule.
        given: (N,) bool, atoms that stay.
        total: at least as many as are given.
    """
    if total < graph.atoms:
        free = np.flatnonzero(~given)
        kept = np.ones(graph.atoms, bool)
        kept[free[len(free) - (graph.atoms - total) :]] = False
        return graph.part(kept)
    more = total - graph.atoms
    return replace(
        graph,
        numbers=np.pad(graph.numbers, (0, more), constant_values=UNKNOWN),
        charges=np.pad(graph.charges, (0, more)),
        bonds=np.pad(graph.bonds, (0, more)),
        positions=None
        if graph.positions is None
        else np.pad(graph.positions, ((0, more), (0, 0)), constant_values=np.nan),
    )


def pasted(sample: Graph, given: Graph, known: Given) -> Graph:
    """The sample with all that is known of the given molecule put in its place, and said to be known."""
    known = known.of_size(sample.atoms)
    bonds = np.where(known.bonds, given.bonds, sample.bonds)
    positions = sample.positions
    if positions is not None and given.positions is not None:
        positions = np.where(known.positions[:, None], given.positions, positions)
    return replace(
        sample,
        numbers=np.where(known.atoms, given.numbers, sample.numbers),
        charges=np.where(known.atoms, given.charges, sample.charges),
        bonds=bonds,
        positions=positions,
        name=given.name,
        known=known.atoms,
    )
