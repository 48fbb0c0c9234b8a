"""How clips are judged: the lines of `ornstein evaluate`.

Networks are trained on the training clips. Fidelity: the Fréchet video distance, that of single frames, motion, frequencies in
time, and the law where clips are of the embedded world. Tasks in which pixels are given: each sample against its true clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ornstein.core.evaluation.spec import MetricSpec
from ornstein.core.evaluation.standard import class_accuracy, feature_metrics

from .extractor import Watching
from .frame_distance import frame_distance
from .fvd import Embedding, Given, video_distance
from .given import given_metrics
from .memory import memory_metrics
from .motion import motion_metrics
from .physics import physics_metrics
from .spectrum import spectrum_metric

LABEL = "label"


def video_metrics(
    task: str, frames: int, labelled: bool, law: bool = False, embeddings: Sequence[Embedding] = ()
) -> tuple[MetricSpec, ...]:
    """What is measured on clips of a task.

    Args:
        frames: of a training clip; of longer samples the last ones are seen by networks.
        labelled: whether the training clips have a class; a classifier of it is then part of the extractor.
        law: whether the training clips obey the law of the embedded world; see `physics.obeyed`.
        embeddings: for Fréchet video distances beside that of the network trained on the training clips.
    """
    label, given = LABEL if labelled else None, task != "unconditional"
    source = Watching(frames, label)
    classes = (replace(class_accuracy(source, LABEL), name="class agreement"),) if labelled else ()
    fidelity = (
        video_distance(source, "self-trained"),
        *(video_distance(Given(each), each.name) for each in embeddings),
        frame_distance(label),
        *motion_metrics(),
        spectrum_metric(frames),
        *(physics_metrics(given) if law else ()),
    )
    if given:
        return (*given_metrics(task), *fidelity, *classes)
    return (*fidelity, *feature_metrics(source)[1:], *classes, *memory_metrics(frames))
