"""Two sets of shapes compared by the distances of their pairs: MMD, COV and 1-NNA, in the directions of PVD's evaluation.

S are the samples, R the reference shapes; a row of a matrix is a sample, a column a reference shape.
"""

from __future__ import annotations

import numpy as np


def minimum_matching_distance(to_reference: np.ndarray) -> float:
    """Mean over R of the distance of the nearest sample; small where each reference shape has a sample like it.

    Args:
        to_reference: (|S|, |R|).

    Source: Achlioptas et al. 2018, arXiv:1707.02392, section 3; as in Yang et al. 2019, arXiv:1906.12320, equation (14).
    """
    return float(_checked(to_reference).min(0).mean())


def coverage(to_reference: np.ndarray) -> float:
    """Share of R that is the nearest reference shape of some sample; 1 at most, below it even for real shapes.

    Only for |S| = |R|: more samples cover more.

    Args:
        to_reference: (n, n).

    Raises:
        ValueError: unequal numbers of samples and reference shapes.

    Source: the same, equation (13).
    """
    return len(np.unique(_square(to_reference).argmin(1))) / to_reference.shape[1]


def one_nearest_neighbour_accuracy(
    within_samples: np.ndarray, to_reference: np.ndarray, within_reference: np.ndarray
) -> float:
    """Leave-one-out accuracy of the nearest neighbour in S and R together at telling S from R: 1/2 for equal distributions.

    Above 1/2 the two are told apart; below, they are nearer to each other than each is to itself, as copies of R are.

    Args:
        within_samples: (n, n), from S to S; the diagonal is not looked at.
        to_reference: (n, n), from S to R.
        within_reference: (n, n), from R to R.

    Where a distance is not symmetric, entry (i, j) within a set says how near i is to j, as in PVD's code; between the sets the
    one matrix serves both directions.

    Raises:
        ValueError: unequal numbers of samples and reference shapes.

    Source: Lopez-Paz and Oquab 2017, arXiv:1610.06545; Yang et al. 2019, arXiv:1906.12320, equation (15).
    """
    n = len(_square(to_reference))
    if within_samples.shape != (n, n) or within_reference.shape != (n, n):
        raise ValueError(
            f"1-NNA needs equally many samples and reference shapes: {within_samples.shape}, {to_reference.shape}, "
            f"{within_reference.shape}"
        )
    # Columns are the shapes that are judged, rows their neighbours.
    distances = np.block([[within_reference, to_reference.T], [to_reference, within_samples]]).astype(float)
    np.fill_diagonal(distances, np.inf)
    real = np.arange(2 * n) < n
    return float((real[distances.argmin(0)] == real).mean())


def _square(to_reference: np.ndarray) -> np.ndarray:
    n, m = _checked(to_reference).shape
    if n != m:
        raise ValueError(f"{n} samples and {m} reference shapes: COV and 1-NNA compare only equally many")
    return to_reference


def _checked(to_reference: np.ndarray) -> np.ndarray:
    if to_reference.ndim != 2 or not to_reference.size or not np.isfinite(to_reference).all():
        raise ValueError(
            f"a matrix of finite distances, samples by reference shapes, is needed; found {to_reference.shape}"
        )
    return to_reference
