"""Is it new, or a training molecule again? By shape and by graph, always beside what held-out molecules score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from ornstein.core.evaluation.spec import MetricSpec
from ornstein.core.evaluation.standard import copying, nearest_by
from torch import Tensor

from .drug import fingerprint
from .graph import Graph
from .parallel import over_cores
from .regress import coulomb_spectrum


def memory_metrics(spatial: bool) -> tuple[MetricSpec, ...]:
    """For distances of shapes, where there are positions, and of graphs: who is nearer, and near copies."""
    by_graph = _metrics("graph", "fingerprints", fingerprint)
    return (*_metrics("shape", "Coulomb spectra", coulomb_spectrum), *by_graph) if spatial else by_graph


def _metrics(word: str, of: str, vector: Callable[[Graph], np.ndarray]) -> tuple[MetricSpec, ...]:
    def vectors(samples: Sequence[Graph]) -> Tensor:
        return torch.from_numpy(np.stack(over_cores(vector, samples)))

    return copying(nearest_by(vectors, of), of, word)
