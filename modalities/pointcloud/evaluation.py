"""How point clouds are judged: the metrics of `ornstein evaluate`.

Set against held-out shapes: 1-NNA, MMD and COV, by squared Chamfer distance and by exact EMD. Against all training shapes: where
points lie, features of a PointNet, classes, memorisation. Tasks in which something is given: each sample against its truth. The
table of PVD and LION, with their own EMD, is a protocol (`protocols`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.evaluation.standard import class_accuracy, feature_metrics

from .jsd import Ball, jensen_shannon
from .matrices import CHAMFER, EXACT_EMD
from .memory import memory_metrics
from .paired import given_metrics
from .pairs import Pairs, set_metrics
from .pointnet import AUTOENCODER, CLASSIFIER
from .reading import LABEL

__all__ = ["cloud_metrics"]

SHAPES = 200  # of each set that are compared by Chamfer distance, some 0.5 ms a pair
MATCHED = 80  # by exact EMD, some 10 ms a pair of 512 points
MATCHED_POINTS = 512


def cloud_metrics(task: str, points: int, labelled: bool) -> tuple[MetricSpec, ...]:
    """What is measured on clouds of a task.

    Args:
        points: of a shape, that distances are worked out on; for exact EMD at most 512.
        labelled: whether the training shapes have a class; the extractor is then a classifier.
    """
    source = CLASSIFIER if labelled else AUTOENCODER
    classes = (replace(class_accuracy(source, LABEL), name="class agreement"),) if labelled else ()
    features = (*feature_metrics(source), *classes)
    if task != "unconditional":
        return (*features, *given_metrics())
    return (
        *set_metrics(Pairs(CHAMFER, points, SHAPES)),
        *set_metrics(Pairs(EXACT_EMD, min(points, MATCHED_POINTS), MATCHED)),
        _occupancy(),
        *features,
        *memory_metrics(),
    )


def _occupancy() -> MetricSpec:
    """Jensen-Shannon divergence of where points lie."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        ball: Ball = reference.whole("ball", lambda: Ball.about([cloud.points for cloud in reference.samples]))

        def counted(judged: Judged) -> np.ndarray:
            rows = judged.rows(
                "occupancy",
                lambda samples: torch.from_numpy(np.stack([ball.counts(c.points).astype(np.int32) for c in samples])),
            )
            return rows.sum(0).numpy()

        real = reference.whole("occupancy", lambda: sum(ball.counts(cloud.points) for cloud in reference.samples))
        return jensen_shannon(counted(candidate), real)

    about = (
        "Jensen-Shannon divergence (base 2, 0 to 1) of where the points of all samples and of all training shapes lie, on a "
        "grid of 28 x 28 x 28 in the ball about the training shapes."
    )
    return MetricSpec("JSD, 28^3 in a ball", "lower", about, compute)
