"""How images are judged: the lines of `ornstein evaluate`. Samples are uint8 (H, W, C), C 1, 3 or 4 (with alpha).

Features are those of a network trained on the training images, and of published ones where they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ornstein.core.evaluation.extractors import Learned
from ornstein.core.evaluation.metrics import inception_score
from ornstein.core.evaluation.spec import Context, ExtractorSource, Judged, MetricSpec
from ornstein.core.evaluation.standard import (
    class_accuracy,
    extrapolated,
    feature_metrics,
    memorisation,
    sliced_wasserstein,
)

from .extractor import Inputs, judge
from .floors import LABEL
from .given import given_metrics
from .named import Given, Seen
from .spectrum import spectrum_metric


def image_metrics(
    task: str, labelled: bool, extractors: Sequence[str] = (), side: int | None = None
) -> tuple[MetricSpec, ...]:
    """What is measured on images of a task.

    Args:
        labelled: whether the training images have a class; the extractor is then a classifier.
        extractors: published networks beside it; see `named.Given`.
        side: where images have several sizes, the square to which they are brought for networks and distances of pixels.
    """
    source, inputs = judge(LABEL if labelled else None, side), Inputs(side)
    specs = (
        *feature_metrics(source),
        extrapolated(source),
        *((_score(source),) if labelled else ()),
        *(spec for where in extractors for spec in _of(Given(where))),
        sliced_wasserstein(inputs, "pixels"),
        spectrum_metric(),
        *memorisation(inputs, "pixels"),
        *((class_accuracy(source, LABEL),) if labelled else ()),
    )
    return specs if task == "unconditional" else (*specs, *given_metrics(task))


def _of(source: Given) -> tuple[MetricSpec, ...]:
    specs = (*feature_metrics(source), _score(source)) if source.classifies else feature_metrics(source)
    return tuple(replace(spec, name=f"{spec.name}, {source.name}") for spec in specs)


def _score(source: ExtractorSource) -> MetricSpec:
    """The inception score, whichever network gives the verdicts."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        extractor = context.extractor
        assert extractor is not None
        if isinstance(extractor, Seen):
            return inception_score(extractor.verdicts(candidate))
        return inception_score(candidate.rows(f"verdicts {extractor.hash}", extractor.log_probs))

    who = "the classifier" if isinstance(source, Learned) else "the network"
    about = f"exp of the information that {who}'s verdicts hold on which image it is: sure of each, and all different."
    return MetricSpec("inception score", "higher", about, compute, "fidelity", source)
