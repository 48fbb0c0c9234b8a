"""Model space: molecules as sets of atoms with positions, classes of atoms and of bonds, padded to one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor

from .given import Given
from .graph import Graph, Hydrogens
from .options import Bonds
from .vocabulary import BONDS, Vocabulary, bond_classes

POSITIONS, ATOMS, PAIRS = "positions", "atoms", "bonds"


@dataclass(frozen=True)
class Space:
    """What molecules become and are made of.

    Args:
        vocabulary: classes of atoms.
        bonds: classes of bonds.
        hydrogens: whether they are atoms.
        scale: angstrom for each unit of model space; None: there are no positions.
    """

    vocabulary: Vocabulary
    bonds: Bonds
    hydrogens: Hydrogens
    scale: float | None

    def encode(self, graphs: Sequence[Graph], known: Sequence[Given | None] | None) -> Encoded:
        """A batch; `known[i]` is in molecule i's own order.

        Positions are measured from the mean of the given ones, where some are given, else from their own mean; `aux` keeps that
        point where it is known at sampling too, so that samples lie in the frame of what was given.

        Raises:
            ValueError: an atom or bond that has no class, no positions, or positions that are not finite.
        """
        posed = known or [None] * len(graphs)
        given = [part and part.of_size(graph.atoms) for part, graph in zip(posed, graphs, strict=True)]
        n = max(graph.atoms for graph in graphs)
        atoms, bonds = np.zeros((len(graphs), n), np.int64), np.zeros((len(graphs), n, n), np.int64)
        for row, pairs, graph, part in zip(atoms, bonds, graphs, given, strict=True):
            row[: graph.atoms] = self.vocabulary.encode(graph, None if part is None else part.atoms)
            pairs[: graph.atoms, : graph.atoms] = bond_classes(graph, self.bonds)
        state: State = {ATOMS: torch.from_numpy(atoms), PAIRS: torch.from_numpy(bonds)}
        aux: dict[str, Any] = {"name": [graph.name for graph in graphs]}
        # those of a given molecule are not those of what is made around it
        aux["properties"] = [dict(graph.properties) if known is None else {} for graph in graphs]
        if self.scale is not None:
            placed = [_placed(graph, part) for graph, part in zip(graphs, given, strict=True)]
            x = np.zeros((len(graphs), n, 3))
            for place, (positions, _) in zip(x, placed, strict=True):
                place[: len(positions)] = positions
            state = {POSITIONS: torch.from_numpy(x / self.scale).float(), **state}
            aux["centre"] = [centre for _, centre in placed]
        layout = Layout.of_sizes(torch.tensor([graph.atoms for graph in graphs]), n)
        told = None if all(part is None for part in given) else _known(given, state)
        return Encoded(state, layout, known=told, aux=aux)

    def blank(self, sizes: Sequence[int]) -> Encoded:
        """Room for molecules of so many atoms."""
        layout = Layout.of_sizes(torch.tensor(sizes))
        batch, n = layout.mask.shape
        state: State = {} if self.scale is None else {POSITIONS: torch.zeros(batch, n, 3)}
        state |= {ATOMS: torch.zeros(batch, n, dtype=torch.int64), PAIRS: torch.zeros(batch, n, n, dtype=torch.int64)}
        aux: dict[str, Any] = {"name": [""] * batch, "properties": [{}] * batch}
        if self.scale is not None:
            aux["centre"] = [np.zeros(3)] * batch
        return Encoded(state, layout, aux=aux)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Graph]:
        """Molecules in angstrom; a masked leftover becomes the commonest atom, or no bond.

        Raises:
            ValueError: NaN or infinity.
        """
        sizes = mask.sum(1).tolist()
        atoms, pairs = state[ATOMS].numpy(), state[PAIRS].numpy()
        x = None if self.scale is None else state[POSITIONS].double().numpy() * self.scale
        if x is not None and not np.isfinite(x[mask.numpy()]).all():
            raise ValueError(
                "samples hold positions of NaN or infinity: the network or the sampler diverged; try more steps, a smaller "
                "guidance scale, or float32"
            )
        graphs = []
        for i, n in enumerate(sizes):
            numbers, charges = self.vocabulary.decode(atoms[i, :n])
            upper = np.triu(pairs[i, :n, :n], 1).astype(np.int8)
            upper[upper >= len(BONDS[self.bonds])] = 0
            positions = None if x is None else x[i, :n] + aux["centre"][i]
            told, name = dict(aux["properties"][i]), aux["name"][i]
            graphs.append(Graph(numbers, charges, upper + upper.T, positions, told, name, hydrogens=self.hydrogens))
        return graphs


def spread(graphs: Sequence[Graph]) -> float:
    """Root mean square of the coordinates about the centre of each molecule, angstrom.

    Raises:
        ValueError: a molecule without positions.
    """
    squares, count = 0.0, 0
    for graph in graphs:
        if graph.positions is None:
            raise ValueError(f"{graph.name or 'a molecule'} has no 3D positions, and they are needed")
        squares += float(((graph.positions - graph.positions.mean(0)) ** 2).sum())
        count += graph.positions.size
    return float(np.sqrt(squares / count)) or 1.0


def _placed(graph: Graph, part: Given | None) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) from their origin in model space, angstrom, and that origin in the file's frame.

    What is not given may be nowhere (NaN, or no positions at all): it stands at the origin, where nothing looks at it.
    """
    n, name = graph.atoms, graph.name or "a molecule"
    needed = np.ones(n, bool) if part is None else part.positions
    if graph.positions is None:
        if needed.any():
            raise ValueError(f"{name} has no 3D positions, and they are needed")
        return np.zeros((n, 3)), np.zeros(3)
    there = np.isfinite(graph.positions).all(1)
    if (needed & ~there).any():
        raise ValueError(
            f"{name} has positions that are not finite, first that of atom {np.argmax(needed & ~there) + 1}"
        )
    anchors = needed if needed.any() else there
    origin = graph.positions[anchors].mean(0) if anchors.any() else np.zeros(3)
    positions = np.where(there[:, None], graph.positions, origin) - origin
    return positions, origin if needed.any() else np.zeros(3)


def _known(given: Sequence[Given | None], state: State) -> Known:
    """The given entries of a batch; those of molecules of which nothing is given are unknown."""
    batch, n = state[ATOMS].shape
    bits = {ATOMS: np.zeros((batch, n), bool), PAIRS: np.zeros((batch, n, n), bool)}
    if POSITIONS in state:
        bits[POSITIONS] = np.zeros((batch, n, 3), bool)
    for i, part in enumerate(given):
        if part is None:
            continue
        size = len(part.atoms)
        bits[ATOMS][i, :size] = part.atoms
        bits[PAIRS][i, :size, :size] = part.bonds
        if POSITIONS in state:
            bits[POSITIONS][i, :size] = part.positions[:, None]
    told = {name: torch.from_numpy(b) for name, b in bits.items()}
    return Known(told, {name: torch.where(b, state[name], torch.zeros_like(state[name])) for name, b in told.items()})
