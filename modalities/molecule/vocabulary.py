"""The classes of atoms and bonds: what `fit` finds in the training molecules, and what lies outside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .graph import Graph
from .options import Bonds

BONDS: dict[Bonds, tuple[str, ...]] = {
    "kekulised": ("none", "single", "double", "triple"),
    "aromatic": ("none", "single", "double", "triple", "aromatic"),
}
UNKNOWN = 0  # the atomic number of an atom that is yet to be made
_ELEMENTS, _CHARGES = 120, 10  # charges -10 to 10


@dataclass(frozen=True)
class Vocabulary:
    """Atom classes: pairs of an element and a formal charge, so that the two always fit each other.

    Args:
        atoms: (atomic number, charge) of each class, in rising order.
        counts: how often the training molecules hold each.
    """

    atoms: tuple[tuple[int, int], ...] = ()
    counts: tuple[int, ...] = ()

    @staticmethod
    def of(graphs: Iterable[Graph]) -> Vocabulary:
        """Count the atoms of molecules."""
        found: Counter[tuple[int, int]] = Counter()
        for graph in graphs:
            found.update(zip(graph.numbers.tolist(), graph.charges.tolist(), strict=True))
        atoms = sorted(found)
        return Vocabulary(tuple(atoms), tuple(found[atom] for atom in atoms))

    @property
    def names(self) -> tuple[str, ...]:
        """`C`, `N+`, `O-`, ..."""
        return tuple(_name(*atom) for atom in self.atoms)

    @cached_property
    def commonest(self) -> int:
        """The class that the training molecules hold most of."""
        return int(np.argmax(self.counts))

    def encode(self, graph: Graph, known: np.ndarray | None = None) -> np.ndarray:
        """(N,) classes; atoms of the number `UNKNOWN` are of the commonest class.

        Args:
            graph: the molecule.
            known: (N,) bool, atoms that are given and so must be of an element; None: all must.

        Raises:
            ValueError: atoms outside the vocabulary, listed with their counts.
        """
        classes = self._look_up(graph)
        foreign = classes < 0
        if known is not None:
            foreign &= known | (graph.numbers != UNKNOWN)
        if foreign.any():
            raise ValueError(f"{graph.name or 'a molecule'} {self._refusal(graph, foreign)}")
        return np.where(classes < 0, self.commonest, classes)

    def decode(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atomic numbers and charges; a masked leftover, class K, becomes the commonest class."""
        rows = np.array(self.atoms)[np.where(classes < len(self.atoms), classes, self.commonest)]
        return rows[:, 0].copy(), rows[:, 1].copy()

    def refusal(self, graph: Graph) -> str | None:
        """Why the molecule cannot be encoded, in words; None: it can be."""
        foreign = self._look_up(graph) < 0
        return self._refusal(graph, foreign) if foreign.any() else None

    def _look_up(self, graph: Graph) -> np.ndarray:
        """(N,) classes, -1 outside the vocabulary."""
        inside = np.abs(graph.charges) <= _CHARGES
        return np.where(inside, self._table[graph.numbers, np.where(inside, graph.charges, 0) + _CHARGES], -1)

    @cached_property
    def _table(self) -> np.ndarray:
        table = np.full((_ELEMENTS, 2 * _CHARGES + 1), -1, np.int64)
        for k, (number, charge) in enumerate(self.atoms):
            table[number, charge + _CHARGES] = k
        return table

    def _refusal(self, graph: Graph, foreign: np.ndarray) -> str:
        pairs = zip(graph.numbers[foreign].tolist(), graph.charges[foreign].tolist(), strict=True)
        found = Counter(_name(*pair) for pair in pairs)
        listed = ", ".join(f"{count} {name}" for name, count in found.most_common())
        return f"holds atoms that the training molecules do not: {listed} (they hold {', '.join(self.names)})"


def kinds(graph: Graph) -> str:
    """The kinds of atoms of a molecule in one word: atomic numbers with their charges, each once, as `1+0 6+0 8-1`."""
    pairs = sorted(set(zip(graph.numbers.tolist(), graph.charges.tolist(), strict=True)))
    return " ".join(f"{number}{charge:+d}" for number, charge in pairs)


def bond_classes(graph: Graph, form: Bonds) -> np.ndarray:
    """(N, N) int64 classes of the bonds.

    Raises:
        ValueError: a bond that has no class.
    """
    top = int(graph.bonds.max(initial=0))
    if top >= len(BONDS[form]):
        hint = "kekulise it, or set modality.bonds=aromatic" if top == 4 else "1 to 3 and 4, aromatic, exist"
        raise ValueError(
            f"{graph.name or 'a molecule'} has a bond of class {top}, which modality.bonds={form} lacks: {hint}"
        )
    return graph.bonds.astype(np.int64)


def _name(number: int, charge: int) -> str:
    """`N+`, `Fe2+`, `C`; an atom of no element is `*`."""
    from rdkit.Chem import GetPeriodicTable

    symbol = GetPeriodicTable().GetElementSymbol(number)
    if charge == 0:
        return symbol
    return f"{symbol}{abs(charge) if abs(charge) > 1 else ''}{'+' if charge > 0 else '-'}"
