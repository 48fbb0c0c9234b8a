"""F-score: what share of a shape is found, and what share of what was made is right, within a distance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .chamfer import longest_side, nearest


class FScore(NamedTuple):
    """Shares in [0, 1]."""

    f: float
    precision: float
    recall: float


def f_score(x: np.ndarray, truth: np.ndarray, within: float = 0.01) -> FScore:
    """Harmonic mean of precision and recall of points at a distance.

        precision = share of x within d of the truth,  recall = share of the truth within d of x,  f = 2 p r / (p + r)

    Args:
        x, truth: (N, 3), (M, 3).
        within: d, as a share of the longest side of the truth's box.

    Source: Knapitsch et al. 2017, "Tanks and Temples", section 5; Tatarchenko et al. 2019, arXiv:1905.03678, section 5, which
        sets d to 1 % of the side. Not that of PVD's code, whose d is the root of 0.001 in the files' own unit.
    """
    reach = within * longest_side(truth)
    precision = float((nearest(x, truth)[0] <= reach).mean())
    recall = float((nearest(truth, x)[0] <= reach).mean())
    both = precision + recall
    return FScore(2 * precision * recall / both if both else 0.0, precision, recall)
