"""Tasks of molecules: which atoms, bonds and positions are given.

A part is given by its heavy atoms, all bonds among them (also where there are none) and, but for `substructure`, their positions.
Hydrogens are never given, nor bonds from given atoms to others: any given atom can become the place of an attachment, and each
gets as many hydrogens or new neighbours as its valence then asks for.

An item that was read whole from a file of a user's own, and not by its place in a data set, is *open*: what is to be made is not
in it. Where nothing but hydrogens would be left to make it gets new atoms.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from .chemistry import fragments, sanitised, to_rdkit
from .given import Given, extended
from .graph import SINGLE, Graph
from .sizes import Sizes

if TYPE_CHECKING:
    from rdkit import Chem

OPEN = "open"
SHARES = (0.25, 0.75)  # of the heavy atoms that a random part holds


@dataclass(frozen=True)
class Part(Task):
    """A part of a molecule is given.

    Args:
        sizes: numbers of atoms of the training molecules; an open item of which all is given is made as large as one of them.
        total: number of atoms that an open item is to become; None: its own, or drawn.
    """

    sizes: Sizes | None = None
    total: int | None = None

    def sized(self, size: int) -> Part:
        """The task that makes molecules of so many atoms in all.

        Raises:
            ValueError: a size that is not a number of atoms.
        """
        if not isinstance(size, int) or size < 2:
            raise ValueError(f"size {size}: give a number of atoms, those of the given part among them")
        return replace(self, total=size)

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, Given | None]:
        """The item, with room for new atoms where it is open, and the given part; nothing where it has no such part.

        Raises:
            ValueError: an open item without such a part, or no size that fits it.
        """
        graph: Graph = item.data
        if item.meta.get(OPEN):
            atoms = self.whole(graph, rng)
            if not atoms.any():
                raise ValueError(f"{item.key}: {self.lacks(graph)}")
            graph = extended(graph, atoms, self._total(item, atoms, rng))
            atoms = np.pad(atoms, (0, max(0, graph.atoms - len(atoms))))[: graph.atoms]
            return replace(item, data=graph), Given.of(atoms, self.placed(graph))
        atoms = self.part(graph, rng)
        if not atoms.any() or atoms.all():
            return item, None
        return item, Given.of(atoms, self.placed(graph))

    @abstractmethod
    def part(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """(N,) bool: the given atoms of a whole molecule; none where it has no such part."""

    def whole(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """(N,) bool: the given atoms of an open item."""
        return self.part(graph, rng)

    def lacks(self, graph: Graph) -> str:
        """What an open item lacks of which nothing can be given."""
        return "has no heavy atom"

    def placed(self, graph: Graph) -> bool:
        """Whether positions are given, where there are any."""
        return graph.positions is not None

    def _total(self, item: Item, atoms: np.ndarray, rng: np.random.Generator) -> int:
        """How many atoms an open item is to become."""
        graph: Graph = item.data
        count = int(atoms.sum())
        if self.total is not None:
            if self.total <= count:
                raise ValueError(f"{item.key}: {count} atoms are given, so that --size must be above {count}")
            return self.total
        if (graph.heavy & ~atoms).any() or self.sizes is None:
            return graph.atoms
        try:
            return self.sizes.draw(rng.random(), least=count + open_valences(graph.part(atoms)) + 1)
        except ValueError as error:
            raise ValueError(f"{item.key}: {error}") from error


@dataclass(frozen=True)
class Scaffold(Part):
    """The scaffold is given: rings, what links them, and atoms on double bonds to these.

    Source: Bemis and Murcko 1996, J. Med. Chem. 39, 2887, as RDKit's MurckoScaffold has it.
    """

    def part(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """The atoms of the scaffold; none where the molecule has no ring."""
        from rdkit.Chem.Scaffolds import MurckoScaffold

        mol = with_rings(graph)
        for atom in mol.GetAtoms():
            atom.SetIntProp("row", atom.GetIdx())
        atoms = np.zeros(graph.atoms, bool)
        atoms[[atom.GetIntProp("row") for atom in MurckoScaffold.GetScaffoldForMol(mol).GetAtoms()]] = True
        return atoms & graph.heavy

    def lacks(self, graph: Graph) -> str:
        """It lacks a ring."""
        return "has no ring and so no scaffold: take the task fragments, which gives all its heavy atoms"


@dataclass(frozen=True)
class Fragments(Part):
    """One or two connected parts are given, a quarter to three quarters of the heavy atoms; of an open item all heavy atoms."""

    def part(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """Parts grown from one or two random atoms."""
        return grown(graph, 1 + int(rng.integers(2)), rng)

    def whole(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """All heavy atoms."""
        return graph.heavy.copy()


@dataclass(frozen=True)
class Linker(Part):
    """Two fragments are given, what links them is to be made: two single bonds outside rings are cut, the ends are given.

    Of an open item, a file of the fragments where they are to lie, all heavy atoms are given.
    """

    def part(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """Both ends; none where the molecule has no two such bonds."""
        atoms, cuts = np.zeros(graph.atoms, bool), bridges(graph)
        if len(cuts) < 2:
            return atoms
        two = [cuts[k] for k in rng.choice(len(cuts), 2, replace=False)]
        bonds = graph.bonds.copy()
        for i, j in two:
            bonds[i, j] = bonds[j, i] = 0
        for part in fragments(replace(graph, bonds=bonds)):
            atoms[part] = sum(np.isin(part, cut).any() for cut in two) == 1  # the linker touches both cuts
        return atoms & graph.heavy

    def whole(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """All heavy atoms."""
        return graph.heavy.copy()


@dataclass(frozen=True)
class Substructure(Part):
    """Atoms and bonds of a part are given, not its positions.

    Args:
        smarts: the part is a match of it, one of them at random; None: a random connected part, of an open item all heavy atoms.
    """

    smarts: str | None = None

    def part(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """A match, or a part grown from a random atom."""
        return grown(graph, 1, rng) if self.smarts is None else matched(graph, self.smarts, rng)

    def whole(self, graph: Graph, rng: np.random.Generator) -> np.ndarray:
        """A match, or all heavy atoms."""
        return graph.heavy.copy() if self.smarts is None else matched(graph, self.smarts, rng)

    def lacks(self, graph: Graph) -> str:
        """It lacks a match."""
        return "has no heavy atom" if self.smarts is None else f"does not match the SMARTS {self.smarts}"

    def placed(self, graph: Graph) -> bool:
        """Never."""
        return False


class Conformers(Task):
    """Atoms and bonds are given, hydrogens too; positions are to be made."""

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, Given]:
        """The item, and all of its graph."""
        return item, Given.of(np.ones(item.data.atoms, bool), placed=False)


def grown(graph: Graph, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) bool: 1/4 to 3/4 of the heavy atoms, at least one and not all, grown along bonds from random ones."""
    heavy = graph.heavy
    count = int(heavy.sum())
    wanted = int(np.clip(round(rng.uniform(*SHARES) * count), 1, max(1, count - 1)))
    atoms = np.zeros(graph.atoms, bool)
    if count:
        atoms[rng.choice(np.flatnonzero(heavy), min(seeds, wanted), replace=False)] = True
    while atoms.sum() < wanted:
        beside = np.flatnonzero((graph.bonds[atoms] > 0).any(0) & heavy & ~atoms)
        atoms[rng.choice(beside if len(beside) else np.flatnonzero(heavy & ~atoms))] = True
    return atoms


def bridges(graph: Graph) -> list[tuple[int, int]]:
    """Single bonds between heavy atoms that are in no ring, in the order of their atoms."""
    mol = with_rings(graph)
    single = np.triu((graph.bonds == SINGLE) & np.outer(graph.heavy, graph.heavy))
    return [(i, j) for i, j in np.argwhere(single).tolist() if not mol.GetBondBetweenAtoms(i, j).IsInRing()]


def with_rings(graph: Graph) -> Chem.Mol:
    """RDKit's molecule, its rings found and nothing else checked."""
    from rdkit import Chem

    mol = to_rdkit(graph)
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    return mol


def open_valences(graph: Graph) -> int:
    """How many hydrogens the molecule lacks, where hydrogens are atoms."""
    if graph.hydrogens == "implicit":
        return 0
    mol = to_rdkit(replace(graph, hydrogens="implicit"))
    mol.UpdatePropertyCache(strict=False)
    return sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())


def matched(graph: Graph, smarts: str, rng: np.random.Generator | None = None) -> np.ndarray:
    """(N,) bool: heavy atoms of a random match of a SMARTS, without `rng` the first; none where there is none.

    Raises:
        ValueError: no SMARTS.
    """
    atoms = np.zeros(graph.atoms, bool)
    matches = sanitised(graph).GetSubstructMatches(pattern(smarts))
    if matches:
        atoms[list(matches[0 if rng is None else int(rng.integers(len(matches)))])] = True
    return atoms & graph.heavy


def pattern(smarts: str) -> Chem.Mol:
    """A SMARTS as RDKit's query.

    Raises:
        ValueError: it cannot be parsed.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        query = Chem.MolFromSmarts(smarts)
    if query is None or not query.GetNumAtoms():
        raise ValueError(f"{smarts!r} is no SMARTS")
    return query
