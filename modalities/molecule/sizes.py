"""How many atoms a new molecule has: as the training molecules do, or as those do that are near what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEAREST = 0.01  # share of the training molecules that is near what is asked for
LEAST = 10  # and at least so many


@dataclass(frozen=True, eq=False)
class Sizes:
    """Numbers of atoms of the training molecules, in rising order.

    Args:
        atoms: (M,) int64.
        values: (M, P) float64, the properties of each; NaN where it has none.
    """

    atoms: np.ndarray
    values: np.ndarray

    @staticmethod
    def of(atoms: Sequence[int], values: Sequence[Sequence[float]] | np.ndarray) -> Sizes:
        """From the training molecules in any order."""
        counts = np.asarray(atoms, np.int64)
        order = np.argsort(counts, kind="stable")
        return Sizes(counts[order], np.asarray(values, np.float64).reshape(len(counts), -1)[order])

    @property
    def longest(self) -> int:
        """Atoms of the largest training molecule."""
        return int(self.atoms[-1])

    def draw(self, u: float, asked: np.ndarray | None = None, least: int = 1) -> int:
        """A number of atoms: the quantile u of those of the training molecules.

        Where properties are asked for only the nearest hundredth of the molecules counts, by the distance in standard deviations
        of each property.

        Args:
            u: in [0, 1).
            asked: (P,) values that the molecule is to have, NaN where nothing is asked; None: nothing is.
            least: only molecules of at least so many atoms count.

        Raises:
            ValueError: no training molecule is so large.
        """
        chosen = np.searchsorted(self.atoms, least)
        atoms, values = self.atoms[chosen:], self.values[chosen:]
        if not len(atoms):
            raise ValueError(
                f"at least {least} atoms are needed, and the largest training molecule has {self.longest}: "
                "give a number with --size"
            )
        if asked is not None and np.isfinite(asked).any():
            atoms = atoms[self._nearest(values, asked)]
        return int(atoms[int(u * len(atoms))])

    def _nearest(self, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Rows of `values` that are near what is asked, in their order."""
        wanted = np.isfinite(asked)
        spread = np.nanstd(self.values[:, wanted], axis=0)
        away = (values[:, wanted] - asked[wanted]) / np.where(spread > 0, spread, 1.0)
        distance = np.where(np.isfinite(away).all(1), (away**2).sum(1), np.inf)
        count = min(len(values), max(LEAST, round(NEAREST * len(values))))
        return np.sort(np.argsort(distance, kind="stable")[:count])
