"""What an item's data and a decoded sample are: one molecule as arrays, in physical units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

NONE, SINGLE, DOUBLE, TRIPLE, AROMATIC = range(5)  # classes of `Graph.bonds`
Hydrogens = Literal["explicit", "implicit"]


@dataclass(frozen=True, eq=False)
class Graph:
    """One molecule of N atoms.

    Args:
        numbers: (N,) int64 atomic numbers.
        charges: (N,) int64 formal charges, units of e.
        bonds: (N, N) int8, symmetric, zero on the diagonal: 0 none, 1 single, 2 double, 3 triple, 4 aromatic.
        positions: (N, 3) float64, angstrom; None: the graph alone.
        properties: name -> number, as the file gives it.
        name: of the record that it was read from, or of the sample.
        known: (N,) bool, the atoms of a sample that were given to it; None: none of them.
        hydrogens: `explicit`: every hydrogen is an atom, and an atom that misses one is a radical; `implicit`: heavy atoms
            take the hydrogens that their valence leaves open.
    """

    numbers: np.ndarray
    charges: np.ndarray
    bonds: np.ndarray
    positions: np.ndarray | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    known: np.ndarray | None = None
    hydrogens: Hydrogens = "explicit"

    @property
    def atoms(self) -> int:
        """N."""
        return len(self.numbers)

    @property
    def heavy(self) -> np.ndarray:
        """(N,) bool, False for hydrogen."""
        return self.numbers != 1

    def part(self, atoms: np.ndarray) -> Graph:
        """The atoms chosen by a bool or index array, with the bonds between them; name and properties stay."""
        return Graph(
            self.numbers[atoms],
            self.charges[atoms],
            self.bonds[atoms][:, atoms],
            None if self.positions is None else self.positions[atoms],
            self.properties,
            self.name,
            None if self.known is None else self.known[atoms],
            self.hydrogens,
        )
