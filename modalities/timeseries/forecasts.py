"""How good an ensemble of forecasts, or of fillings of gaps, is: pure functions of NumPy arrays.

Shapes: target (N, T, K), ensemble (N, S, T, K) with S members for each item, judged (N, T, K) bool: the entries that
count, which are those that were unknown to the model and have an observed target.
"""

from __future__ import annotations

import numpy as np

QUANTILES = np.arange(1, 20) / 20  # 0.05 .. 0.95


def crps(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """Continuous ranked probability score over all entries, as a share of the targets' size; 0 is best.

        mean over q of  2 sum |(Q_q - y) (1[y <= Q_q] - q)| / sum |y|,   q = 0.05, 0.10, ..., 0.95

    Q_q is the ensemble's quantile by linear interpolation. A single member gives sum |Q - y| / sum |y|.

    Raises:
        ValueError: shapes that do not fit, nothing to judge, values that are not finite.
    Source: Tashiro et al. 2021 (CSDI), arXiv:2107.03502, appendix, and its published code; Gneiting and Raftery 2007.
    """
    y, members = _entries(target, ensemble, judged)
    size = np.abs(y).sum()
    if not size > 0:
        raise ValueError("all targets are 0: a score relative to their size is undefined; shift or scale them")
    return float(_pinball(y, members).mean() / size)


def crps_sum(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """`crps` of the sum over channels, for the steps at which every channel counts; not comparable with `crps`.

    Source: Salinas et al. 2019, arXiv:1910.03002, section 5; Rasul et al. 2021, arXiv:2101.12072.
    """
    _check(target, ensemble, judged)
    every = np.asarray(judged.all(-1, keepdims=True))
    summed = np.where(every, target, 0.0).sum(-1, keepdims=True), ensemble.sum(-1, keepdims=True)
    return crps(summed[0], summed[1], every)


def normalised_deviation(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """ND: sum |median - y| / sum |y|."""
    y, members = _entries(target, ensemble, judged)
    return float(np.abs(np.median(members, 0) - y).sum() / np.abs(y).sum())


def normalised_error(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """NRMSE: root mean square of (mean of the members - y), over the mean of |y|."""
    y, members = _entries(target, ensemble, judged)
    return float(np.sqrt(np.square(members.mean(0) - y).mean()) / np.abs(y).mean())


def absolute_error(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """MAE of the median, in the target's units."""
    y, members = _entries(target, ensemble, judged)
    return float(np.abs(np.median(members, 0) - y).mean())


def squared_error(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """RMSE of the mean of the members, in the target's units."""
    y, members = _entries(target, ensemble, judged)
    return float(np.sqrt(np.square(members.mean(0) - y).mean()))


def scaled_error(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray, known: np.ndarray, season: int) -> float:
    """MASE: MAE of the median over the MAE, within what is known, of repeating the value a season before.

    Each item and channel is scaled by its own; one whose known part is too short, or never changes, does not count.

    Args:
        known: (N, T, K) bool, observed entries that were given.
        season: steps; 24 for hourly data with a daily course.

    Raises:
        ValueError: no item and channel can be scaled.
    Source: Hyndman and Koehler 2006, with the seasonal naive forecast.
    """
    _check(target, ensemble, judged)
    if not season >= 1:
        raise ValueError(f"a season has at least 1 step, found {season}")
    change = np.abs(target[:, season:] - target[:, :-season])
    both = known[:, season:] & known[:, :-season]
    scale = np.where(both, change, 0.0).sum(1) / np.maximum(both.sum(1), 1)  # (N, K)
    error = np.where(judged, np.abs(np.median(ensemble, 1) - target), 0.0).sum(1) / np.maximum(judged.sum(1), 1)
    counts = (scale > 0) & judged.any(1)
    if not counts.any():
        raise ValueError(f"no item has a known part that changes over a season of {season} steps")
    return float((error[counts] / scale[counts]).mean())


def coverage(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray, share: float = 0.9) -> float:
    """Share of targets within the ensemble's central interval of the given share; that share is best."""
    y, members = _entries(target, ensemble, judged)
    low, high = np.quantile(members, [(1 - share) / 2, (1 + share) / 2], axis=0)
    return float(((low <= y) & (y <= high)).mean())


def calibration_error(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> float:
    """Mean over q = 0.05..0.95 of |share of targets at rank q or below - q|; 0 is best, 1/4 for a sure, wrong forecast.

    The rank of a target is the probability integral transform of the ensemble, members that equal it counting half.

    Source: Gneiting, Balabdaoui and Raftery 2007, "Probabilistic forecasts, calibration and sharpness".
    """
    ranks = ranks_of(target, ensemble, judged)
    return float(np.abs((ranks[:, None] <= QUANTILES).mean(0) - QUANTILES).mean())


def ranks_of(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """(entries,) rank in (0, 1) of each judged target among its members: (below + equal / 2 + 1/2) / (S + 1)."""
    y, members = _entries(target, ensemble, judged)
    below, equal = (members < y).sum(0), (members == y).sum(0)
    return (below + equal / 2 + 0.5) / (len(members) + 1)


def _pinball(y: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(19,) sums over entries of twice the pinball loss."""
    levels = np.quantile(members, QUANTILES, axis=0)
    under = (y <= levels) - QUANTILES[:, None]
    return 2 * np.abs((levels - y) * under).sum(1)


def _entries(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Judged targets (entries,) and their members (S, entries)."""
    _check(target, ensemble, judged)
    return target[judged].astype(np.float64), ensemble.swapaxes(0, 1)[:, judged].astype(np.float64)


def _check(target: np.ndarray, ensemble: np.ndarray, judged: np.ndarray) -> None:
    shape = (ensemble.shape[0], *ensemble.shape[2:]) if ensemble.ndim == 4 else None
    if target.shape != shape or judged.shape != shape:
        raise ValueError(
            f"target and judged (N, T, K) belong to an ensemble (N, S, T, K); found {target.shape}, {judged.shape}, "
            f"{ensemble.shape}"
        )
    if not judged.any():
        raise ValueError("nothing to judge: no unknown entry has an observed target")
    if not np.isfinite(target[judged]).all() or not np.isfinite(ensemble.swapaxes(1, 0)[:, judged]).all():
        raise ValueError("targets or members are not finite where they are judged")
