"""Is it new, or a training molecule again? By shape and by graph, always beside what held-out molecules score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from ornstein.core.evaluation.metrics import nearer_share
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.evaluation.standard import memorisation
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

    copies, _ = memorisation(vectors, of)
    found = copies.nearest
    assert found is not None

    def nearer(candidate: Judged, reference: Judged, context: Context) -> float:
        return nearer_share(*(found(each, reference)[:, 0] for each in (candidate, context.held_out)))

    about = (
        f"How often a sample is nearer to the training molecules, by {of}, than a held-out one is: about 0.5 is honest, "
        "copies give 1."
    )
    return (
        MetricSpec(f"memorisation, {word}", "lower", about, nearer, "memorisation", nearest=found),
        replace(copies, name=f"near copies, {word}", nearest=None),
    )
