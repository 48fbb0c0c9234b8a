"""A property read off a molecule by kernel ridge regression: what says whether a sample has the property asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .geometry import atom_types, bond_types
from .graph import Graph

SPECTRUM = 64  # eigenvalues of a Coulomb matrix that are kept, the largest first
_PENALTIES = 10.0 ** np.arange(-8, 3)
_WIDTHS = (0.5, 1.0, 2.0, 4.0)  # of the kernel, in root mean square distances of the molecules


def coulomb_spectrum(graph: Graph) -> np.ndarray:
    """(64,) eigenvalues of the Coulomb matrix in falling order of size, padded with zeros; angstrom and units of charge.

        C_ii = Z_i^2.4 / 2,   C_ij = Z_i Z_j / |x_i - x_j|

    Turning, moving, mirroring and renumbering the molecule leave it as it is. Atoms that coincide count as 0.1 angstrom apart.

    Raises:
        ValueError: a molecule without positions.

    Source: Rupp et al. 2012, arXiv:1109.2618.
    """
    if graph.positions is None:
        raise ValueError(f"{graph.name or 'a molecule'} has no positions")
    z = graph.numbers.astype(np.float64)
    distances = np.linalg.norm(graph.positions[:, None] - graph.positions, axis=-1)
    np.fill_diagonal(distances, 1.0)
    matrix = np.outer(z, z) / np.maximum(distances, 0.1)
    np.fill_diagonal(matrix, 0.5 * z**2.4)
    values = np.linalg.eigvalsh(matrix)
    values = values[np.argsort(-np.abs(values), kind="stable")][:SPECTRUM]
    return np.pad(values, (0, SPECTRUM - len(values)))


@dataclass(frozen=True)
class Descriptor:
    """Counts of types of atoms, of bonds and of surroundings (element, charge, neighbours), and the spectrum where there is 3D.

    Args:
        kinds: types that are counted, in order.
        spatial: whether the spectrum is part of it.
    """

    kinds: tuple[int, ...]
    spatial: bool

    @staticmethod
    def of(graphs: Sequence[Graph], spatial: bool) -> Descriptor:
        """With the types that the molecules hold."""
        return Descriptor(tuple(np.unique(np.concatenate([_kinds(graph) for graph in graphs])).tolist()), spatial)

    def __call__(self, graphs: Sequence[Graph]) -> np.ndarray:
        """(n, D); what is of no counted type adds to one number."""
        return np.stack([self._row(graph) for graph in graphs])

    def _row(self, graph: Graph) -> np.ndarray:
        kinds = _kinds(graph)
        counts = (kinds[:, None] == np.array(self.kinds)).sum(0)
        parts = [counts, [len(kinds) - counts.sum(), graph.atoms]]
        return np.concatenate([*parts, coulomb_spectrum(graph)] if self.spatial else parts)


@dataclass(frozen=True)
class Regressor:
    """Kernel ridge regression with a linear and a Gaussian kernel, its two numbers chosen by leaving one out.

    Args:
        descriptor: molecules to rows.
        mean, scale: (D,) of the rows.
        rows: (m, D) of the molecules it was fitted on, scaled.
        weights: (m,) of the kernel.
        width: of the kernel.
        offset: mean of the property.
        left_out: (m,) the prediction for each molecule by a regressor fitted on the others.
    """

    descriptor: Descriptor
    mean: np.ndarray
    scale: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    width: float
    offset: float
    left_out: np.ndarray

    @staticmethod
    def fit(graphs: Sequence[Graph], values: np.ndarray) -> Regressor:
        """On molecules and their property (m,), all finite.

            y_i - f_-i(x_i) = a_i / (G^-1)_ii,   a = G^-1 y,  G = K + penalty I

        Raises:
            ValueError: fewer than 10 molecules, or not one value for each.

        Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, equation (5.12).
        """
        if len(graphs) < 10 or len(values) != len(graphs):
            raise ValueError(f"{len(graphs)} molecules, {len(values)} values: at least 10, and one value for each")
        descriptor = Descriptor.of(graphs, all(graph.positions is not None for graph in graphs))
        rows = descriptor(graphs)
        mean, spread = rows.mean(0), rows.std(0)
        scale = np.where(spread > 0, spread, 1.0)
        rows = (rows - mean) / scale
        offset = float(values.mean())
        best: tuple[float, float, np.ndarray, np.ndarray] | None = None
        for width in _WIDTHS:
            eigenvalues, vectors = np.linalg.eigh(_kernel(rows, rows, width))
            turned = vectors.T @ (values - offset)
            for penalty in _PENALTIES * len(rows):
                inverse = 1 / (np.maximum(eigenvalues, 0) + penalty)
                weights = vectors @ (inverse * turned)
                errors = weights / ((vectors**2) @ inverse)
                loss = float(np.abs(errors).mean())
                if best is None or loss < best[0]:
                    best = loss, width, weights, errors
        assert best is not None
        _, width, weights, errors = best
        return Regressor(descriptor, mean, scale, rows, weights, width, offset, values - errors)

    def __call__(self, graphs: Sequence[Graph]) -> np.ndarray:
        """(n,) the property of each molecule."""
        rows = (self.descriptor(graphs) - self.mean) / self.scale
        return self.offset + _kernel(rows, self.rows, self.width) @ self.weights


def median_of_size(graphs: Sequence[Graph], values: np.ndarray, asked: Sequence[Graph]) -> np.ndarray:
    """(n,) what the number of atoms alone says: the median of the property among the molecules whose size is nearest.

    Args:
        graphs: (m,) molecules, at least one.
        values: (m,) their property.
        asked: (n,) molecules of which it is wanted.
    """
    sizes = np.array([graph.atoms for graph in graphs])
    medians = {size: float(np.median(values[sizes == size])) for size in np.unique(sizes).tolist()}
    known = np.array(list(medians))
    return np.array([medians[int(known[np.abs(known - graph.atoms).argmin()])] for graph in asked])


def _kernel(x: np.ndarray, y: np.ndarray, width: float) -> np.ndarray:
    """(n, m) x.y / D + exp(-|x - y|^2 / (2 width^2 D)): straight lines and what bends them."""
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return x @ y.T / x.shape[1] + np.exp(-np.maximum(squared, 0) / (2 * width**2 * x.shape[1]))


def _kinds(graph: Graph) -> np.ndarray:
    """Types of atoms, bonds and surroundings as numbers that differ from kind to kind."""
    neighbours = (graph.bonds > 0).sum(1)
    surroundings = atom_types(graph) * 10 + np.minimum(neighbours, 9)
    return np.concatenate([atom_types(graph), 10**6 + surroundings, 10**8 + bond_types(graph)])
