"""Many graphs in a few flat arrays: cheap to send between processes, to keep on disk, and to take one from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .formats import Record
from .graph import AROMATIC, Graph, Hydrogens
from .options import Options
from .parsing import Molecule, Unfit, molecule
from .tags import values

_ROUNDS = 4  # of neighbours that a key sees


@dataclass(frozen=True, eq=False)
class Pack:
    """M records; those that are bad have no atoms.

    Args:
        atoms: (M,) int64 number of atoms.
        links: (M,) int64 number of bonds.
        numbers: (sum of atoms,) int64 atomic numbers.
        charges: (sum of atoms,) int64 formal charges.
        ends: (sum of links, 2) int32 the atoms of each bond.
        kinds: (sum of links,) int8 classes of `Graph.bonds`.
        placed: (M,) bool, whether there are positions.
        positions: (sum of atoms of those, 3) float64 angstrom.
        values: (M, K) float64 properties, NaN where there is none.
        keys: (M,) uint64, equal for equal molecules whatever the order of their atoms, and by design rarely for others.
        cut: (M,) bool, whether the molecule was one fragment of several.
        names: of the records.
        whys: why a record is bad, "" where it is good.
    """

    atoms: np.ndarray
    links: np.ndarray
    numbers: np.ndarray
    charges: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray
    placed: np.ndarray
    positions: np.ndarray
    values: np.ndarray
    keys: np.ndarray
    cut: np.ndarray
    names: list[str]
    whys: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _spans(self) -> list[tuple[int, int, int, int, int]]:
        """For each record its number of atoms and where its atoms, bonds (from, to) and positions begin."""
        link, placed = np.cumsum(self.links), self.atoms * self.placed
        starts = (self.atoms, np.cumsum(self.atoms) - self.atoms, link - self.links, link, np.cumsum(placed) - placed)
        return list(zip(*(start.tolist() for start in starts), strict=True))

    def graph(self, i: int, properties: Mapping[str, float], name: str, hydrogens: Hydrogens) -> Graph:
        """Record i."""
        count, at, link, last, place = self._spans[i]
        bonds = np.zeros((count, count), np.int8)
        bonds[self.ends[link:last, 0], self.ends[link:last, 1]] = self.kinds[link:last]
        bonds += bonds.T
        positions = self.positions[place : place + count].copy() if self.placed[i] else None
        numbers, charges = self.numbers[at : at + count].copy(), self.charges[at : at + count].copy()
        return Graph(numbers, charges, bonds, positions, properties, name, None, hydrogens)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays, for `of_arrays`."""
        out: dict[str, np.ndarray] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("names", "whys"):
            out[name] = np.frombuffer(json.dumps(out[name]).encode(), np.uint8)
        return out | {name: out[name].astype(np.int8 if name == "charges" else np.uint8) for name in _SMALL}

    @staticmethod
    def of_arrays(arrays: Mapping[str, np.ndarray]) -> Pack:
        """What `arrays` gave."""
        kept: dict[str, Any] = {**arrays, **{name: arrays[name].astype(np.int64) for name in _SMALL}}
        for name in ("names", "whys"):
            kept[name] = json.loads(arrays[name].tobytes())
        return Pack(**kept)

    @staticmethod
    def joined(packs: Sequence[Pack]) -> Pack:
        """One after the other."""
        parts: dict[str, Any] = {}
        for f in fields(Pack):
            each = [getattr(pack, f.name) for pack in packs]
            parts[f.name] = list(chain(*each)) if isinstance(each[0], list) else np.concatenate(each)
        return Pack(**parts)


_SMALL = ("numbers", "charges")  # a byte each on disk


def packed(records: Sequence[Record], options: Options) -> Pack:
    """Parse records; each is good, or bad with a reason."""
    from rdkit import rdBase

    silence = rdBase.BlockLogs()  # what RDKit says of bad records is in their reasons
    found, told, whys = list[Molecule | None](), list[list[float]](), list[str]()
    parts = list[_Part]()
    nothing = [np.nan] * len(options.properties)
    for record in records:
        try:
            molecule_of, values_of, why = molecule(record, options), values(record, options), ""
        except Unfit as error:
            molecule_of, values_of, why = None, nothing, str(error)
        found.append(molecule_of)
        told.append(values_of)
        whys.append(why)
        if molecule_of is not None:
            parts.append(_part(molecule_of, options))
    del silence
    return _pack(records, found, parts, told, whys)


class _Part(NamedTuple):
    """One molecule of n atoms: its atoms, and its bonds as entries i n + j of a matrix, both (i, j) and (j, i)."""

    numbers: list[int]
    charges: list[int]
    entries: np.ndarray
    orders: np.ndarray
    resonant: np.ndarray  # orders with 1.5 for aromatic bonds, whatever is asked for
    positions: np.ndarray


_NOWHERE = np.zeros((0, 3))


def _part(found: Molecule, options: Options) -> _Part:
    from rdkit import Chem

    mol = found.mol
    matrix = Chem.GetAdjacencyMatrix(mol, useBO=True).ravel()
    entries = matrix.nonzero()[0]
    orders = resonant = matrix[entries]
    if options.bonds == "kekulised" and 1.5 in resonant.tolist():
        Chem.Kekulize(mol, clearAromaticFlags=True)
        # Without force the first matrix is given again.
        orders = Chem.GetAdjacencyMatrix(mol, useBO=True, force=True).ravel()[entries]
    positions = mol.GetConformer().GetPositions() if mol.GetNumConformers() else _NOWHERE
    return _Part(found.numbers, found.charges, entries, orders, resonant, positions)


def _pack(
    records: Sequence[Record],
    found: Sequence[Molecule | None],
    parts: Sequence[_Part],
    told: Sequence[Sequence[float]],
    whys: list[str],
) -> Pack:
    """The arrays of a pack, of all molecules at once."""
    good = np.array([each is not None for each in found], bool)
    atoms, keys = np.zeros((2, len(records)), np.int64), np.zeros(len(records), np.uint64)
    counts = np.array([len(part.numbers) for part in parts], np.int64)
    sizes = np.array([len(part.entries) for part in parts], np.int64)
    numbers = np.array(list(chain(*(part.numbers for part in parts))), np.int64)
    charges = np.array(list(chain(*(part.charges for part in parts))), np.int64)
    entries, orders, resonant = (
        np.concatenate([empty, *(getattr(part, name) for part in parts)])
        for name, empty in (("entries", np.zeros(0, np.int64)), ("orders", np.zeros(0)), ("resonant", np.zeros(0)))
    )
    i, j = np.divmod(entries, np.repeat(counts, sizes))
    start = np.cumsum(counts) - counts
    first = np.repeat(start, sizes)
    keys[good] = _keys(numbers, charges, start, first + i, first + j, orders, resonant)
    atoms[0, good], atoms[1, good] = counts, sizes // 2
    placed = np.zeros(len(records), bool)
    placed[good] = [len(part.positions) > 0 for part in parts]
    once = i < j
    return Pack(
        atoms=atoms[0],
        links=atoms[1],
        numbers=numbers,
        charges=charges,
        ends=np.stack([i[once], j[once]], 1).astype(np.int32),
        kinds=np.where(orders == 1.5, AROMATIC, orders)[once].astype(np.int8),
        placed=placed,
        positions=np.concatenate([_NOWHERE, *(part.positions for part in parts)]),
        values=np.array(told, np.float64).reshape(len(records), -1),
        keys=keys,
        cut=np.array([each is not None and each.cut for each in found], bool),
        names=[record.name for record in records],
        whys=whys,
    )


def _keys(
    numbers: np.ndarray,
    charges: np.ndarray,
    start: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    orders: np.ndarray,
    resonant: np.ndarray,
) -> np.ndarray:
    """Hashes of molecules by the neighbourhoods of their atoms, all at once; aromatic bonds are alike.

    Source: Weisfeiler and Lehman 1968, Nauchno-Technicheskaya Informatsia 2(9), 12.
    """
    if not len(start):
        return np.zeros(0, np.uint64)
    # The sum of kekulised orders is the same for all ways to kekulise, and tells an aromatic NH from an N.
    used = np.bincount(i, orders, len(numbers)).astype(np.int64)
    labels = _mixed((numbers * 64 + charges + 32) * 64 + used)
    weights = (2 * resonant).astype(np.uint64)
    for _ in range(_ROUNDS):
        around = np.zeros_like(labels)
        np.add.at(around, i, _mixed(labels[j] + weights))
        labels = _mixed(labels * np.uint64(3) + around)
    return _mixed(np.add.reduceat(labels, start))


def _mixed(x: np.ndarray) -> np.ndarray:
    """A permutation of 64-bit numbers without visible order (splitmix64; Steele, Lea and Flood 2014)."""
    x = x.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
