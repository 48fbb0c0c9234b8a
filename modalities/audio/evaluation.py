"""How clips are judged: the lines of `ornstein evaluate`, and the floor.

Networks are trained on the training clips: a classifier for each condition that is a class, or else an autoencoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from ornstein.core.evaluation.spec import Context, ExtractorSource, Judged, MetricSpec, alike
from ornstein.core.evaluation.standard import class_accuracy, feature_metrics, memorisation
from ornstein.core.modality import Item, Rng
from ornstein.core.rng import generator
from torch import Tensor
from torch.nn import functional as F

from . import sc09
from .classifier import autoencoder, classifier
from .clip import Clip
from .data import hertz
from .floors import coloured_noise, linear_prediction
from .frechet import Embedding, LogMel, audio_distance
from .given import given_metrics
from .hearing import Hearing
from .known import Band
from .pitch import Tracker, cents, clip_pitch
from .silence import FLOOR
from .silence import silence as silent_share

LABEL, PITCH = "label", "pitch"
CLIPPED = 0.999  # of full scale
_IN_TUNE = 50.0  # cents
_LEAST_CLIPS = 2  # to a class, on average: names and captions, of which every clip has its own, cannot be learnt
_LEAST_STEPS, _MOST_STEPS, _STEPS = 600, 4000, 26  # of a classifier: 26 times the root of the number of training clips

Sound = Callable[[np.ndarray, Clip], Clip]  # (what was told, the true clip for its form) -> what can be heard of it


@dataclass(frozen=True)
class Trained:
    """What of a trained modality judging depends on.

    Args:
        rate: Hz.
        steps: samples of the longest training clip.
        clips: how many training clips there are.
        classes: condition -> its names, of those that are classes; the first, or `label`, is judged by the SC09 suite.
        numbers: conditions that are numbers.
        fade: samples over which given stretches are blended with what was made.
        embeddings: of Fréchet audio distances, beside that of log-mel levels.
    """

    rate: int
    steps: int
    clips: int
    classes: Mapping[str, Sequence[str]]
    numbers: Sequence[str] = ()
    fade: int = 0
    embeddings: Sequence[Embedding] = ()


def audio_metrics(task: str, trained: Trained) -> tuple[MetricSpec, ...]:
    """What is measured on clips of a task."""
    hearing = Hearing(trained.rate, trained.steps)
    distances = tuple(audio_distance(each) for each in (LogMel(trained.rate), *trained.embeddings))
    levels = (*distances, *level_metrics())
    if task != "unconditional":
        return (*given_metrics(trained.rate, trained.fade), *levels)
    classes = [name for name, names in trained.classes.items() if 1 < len(names) <= trained.clips / _LEAST_CLIPS]
    steps = round(min(max(_LEAST_STEPS, _STEPS * math.sqrt(trained.clips)), _MOST_STEPS))
    sources = {name: classifier(hearing, name, steps) for name in sorted(classes, key=lambda name: name != LABEL)}
    first = next(iter(sources.values()), None)
    features = feature_metrics(autoencoder(hearing)) if first is None else (*suite(first), *feature_metrics(first)[1:])
    recognised = [
        replace(class_accuracy(source, name), name=f"{name} recognised", about=f"Share of clips in which a classifier "
                f"of the training clips hears the {name} asked for.")
        for name, source in sources.items()
    ]  # fmt: skip
    return (*features, *levels, *recognised, *_pitch(trained), *memorisation(Heard(hearing), "log-mel levels"))


def suite(source: ExtractorSource) -> tuple[MetricSpec, ...]:
    """FID, IS, mIS, AM and NDB from a classifier's features and probabilities; see `sc09`."""

    def said(judged: Judged, context: Context) -> Tensor:
        extractor = context.extractor
        assert extractor is not None
        return judged.rows(f"classes of {extractor.hash}", extractor.log_probs)

    def inception(candidate: Judged, reference: Judged, context: Context) -> float:
        return sc09.inception_score(said(candidate, context), generator(context.seed, "evaluation", "halves"))

    def modified(candidate: Judged, reference: Judged, context: Context) -> float:
        return sc09.modified_inception_score(said(candidate, context))

    def activation(candidate: Judged, reference: Judged, context: Context) -> float:
        return sc09.am_score(said(candidate, context), said(reference, context))

    def different(candidate: Judged, reference: Judged, context: Context) -> float:
        extractor = context.extractor
        assert extractor is not None
        rng = generator(context.seed, "evaluation", "bins")
        found = reference.whole(f"bins of {extractor.hash}", lambda: sc09.bins(extractor.features(reference), rng))
        return sc09.different_bins(extractor.features(candidate), *found)

    frechet = feature_metrics(source)[0]
    return (
        replace(frechet, name="FID", about="Fréchet distance of the classifier's features to the training clips'."),
        MetricSpec("IS", "higher", "Inception score of the classifier's verdicts, between halves: sure and all different.",
                   inception, "fidelity", source),
        MetricSpec("AM", "lower", "How far classes are from the training clips' shares, plus how unsure the classifier is.",
                   activation, "fidelity", source),
        MetricSpec("mIS", "higher", "Modified inception score: how much the verdicts on two clips differ.",
                   modified, "diversity", source),
        MetricSpec("NDB", "lower", "Share of bins of features that hold more or fewer clips than they should; 0.05 by chance.",
                   different, "diversity", source),
    )  # fmt: skip


def level_metrics() -> tuple[MetricSpec, ...]:
    """Clips without sound, silence within clips, and samples at full scale."""

    border = f"{20 * math.log10(FLOOR):.0f} dB"

    def silence(judged: Judged) -> Tensor:
        return judged.rows("silence", lambda clips: torch.tensor([silent_share(c.samples, c.rate) for c in clips]))

    def clipping(judged: Judged) -> Tensor:
        return judged.rows("clipping", lambda clips: torch.tensor([clipped_share(clip) for clip in clips]))

    return (
        MetricSpec("silent clips", "lower", f"Share of clips that nowhere reach {border} of full scale.",
                   lambda c, r, x: float((silence(c) == 1).double().mean())),
        MetricSpec("silence", "lower", f"|share of frames of 20 ms below {border} - that of the training clips|.",
                   lambda c, r, x: abs(float(silence(c).mean() - silence(r).mean()))),
        MetricSpec("clipping", "lower", "Share of samples at full scale or beyond.",
                   lambda c, r, x: float(clipping(c).mean())),
    )  # fmt: skip


def clipped_share(clip: Clip) -> float:
    """Share of samples whose size is at least 0.999."""
    return float((np.abs(clip.samples) >= CLIPPED).mean())


def audio_floor(
    items: Sequence[Item],
    cond: Sequence[Mapping[str, Any]],
    rng: Rng,
    given: Sequence[Item] | None = None,
    known: Sequence[Any] | None = None,
    classes: Sequence[str] = (),
    sounds: Mapping[Any, Sound] | None = None,
) -> list[Clip]:
    """A clip for each cond: coloured noise; where stretches are given, linear prediction; above a band that is given, silence.

    Where a spectrum or a noisy clip is told, it is what can be heard of that without a model: Griffin and Lim's sound of a mel
    spectrum, the noisy clip itself.

    Args:
        items: training clips; classes as in `cond`.
        given, known: the posed item behind each sample, and what of it is known: (T,) bool, a `Band` or None.
        classes: names of the conditions that are classes.
        sounds: what is told -> its sound, by name of the condition.
    """
    if given is None or known is None:
        return coloured_noise(items, cond, classes, rng)
    out: dict[int, Clip] = {}
    for rows in alike(given, known):
        item, bits, clip = given[rows[0]], known[rows[0]], given[rows[0]].data
        told = next((name for name in sounds or {} if item.cond.get(name) is not None), None)
        if told is not None and sounds is not None:
            out |= dict.fromkeys(rows, sounds[told](item.cond[told], clip))
        elif isinstance(bits, Band):
            out |= dict.fromkeys(rows, replace(clip, samples=np.zeros_like(clip.samples)))
        elif bits is None:
            out |= dict(zip(rows, coloured_noise(items, [cond[i] for i in rows], classes, rng), strict=True))
        else:
            out |= {i: linear_prediction(clip, np.asarray(bits, bool), rng) for i in rows}
    return [out[i] for i in range(len(given))]


@dataclass(frozen=True)
class Heard:
    """Clips to rows in which copies lie near each other: log-mel levels, dB, means over 2 bands and 50 ms."""

    hearing: Hearing

    def __call__(self, clips: Sequence[Clip]) -> Tensor:
        """(n, D)."""
        levels = self.hearing(clips)
        frames = min(4, levels.shape[2])
        return F.avg_pool2d(levels, (2, frames), ceil_mode=True).flatten(1)


def _pitch(trained: Trained) -> tuple[MetricSpec, ...]:
    """Whether the tone asked for is heard, where `pitch` is a MIDI number."""
    names = trained.classes.get(PITCH)
    try:
        numbers = None if names is None else [float(name) for name in names]
    except ValueError:
        return ()  # pitches by other names
    if numbers is None and PITCH not in trained.numbers:
        return ()
    highest = trained.rate / 4
    low, high = (hertz(min(numbers)) / 2, hertz(max(numbers)) * 2) if numbers else (50.0, highest)
    tracker = Tracker(trained.rate, min(low, highest / 4), min(high, highest))

    def error(candidate: Judged) -> Tensor:
        """|cents| from the tone asked for; infinite where no tone is heard."""

        def measured(clips: Sequence[Clip]) -> Tensor:
            found = torch.tensor([clip_pitch(tracker, torch.from_numpy(clip.samples.mean(1))) for clip in clips])
            asked = [float(values[PITCH]) for values in candidate.cond]
            wanted = torch.tensor([hertz(a if numbers is None else numbers[int(a)]) for a in asked])
            return cents(found, wanted).abs().nan_to_num(nan=torch.inf)

        return candidate.rows("cents from the pitch asked for", measured)

    return (
        MetricSpec("pitch within 50 cents", "higher", "Share of clips that sound within half a semitone of the pitch asked for.",
                   lambda c, r, x: float((error(c) <= _IN_TUNE).double().mean()), "condition", needs_cond=PITCH),
        MetricSpec("pitch error, cents", "lower", "Median distance from the pitch asked for, hundredths of a semitone.",
                   lambda c, r, x: float(error(c).median()), "condition", needs_cond=PITCH),
    )  # fmt: skip
