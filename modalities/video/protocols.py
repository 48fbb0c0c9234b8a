"""The table of `ornstein evaluate --protocol fvd`: Fréchet video distances as papers print them, with all they depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ornstein.core.evaluation.protocol import Protocol, Say, Score, Subject, Table
from ornstein.core.evaluation.run import asked
from ornstein.core.evaluation.spec import Extractor, Judged
from ornstein.core.modality import Item

from .clip import Clip
from .evaluation import LABEL
from .extractor import Watching
from .fvd import Given, Pick, Recipe, embedding, reads, unlabelled


@dataclass(frozen=True)
class FVD(Protocol):
    """n samples against n clips of the run's data, one of each file; and held-out clips against the same: what real ones score.

    Published tables have n=2048, 16 frames, the training part (of UCF-101 training and test) and the logits of an I3D network:
    `embeddings=[package.module:name]` of a class that holds it; see `fvd.Embedding`.

    Args:
        n: samples, and reference clips.
        part: `train`, `validation` or `test`: where reference clips come from.
        pick: of each file a `random` clip, the `first`, or `all`.
        mirror: each reference clip a second time, left and right exchanged.
        embeddings: beside the network that is trained on the reference.
        steps: of its training.

    Source: Unterthiner et al. 2018, arXiv:1812.01717; the choice of clips, Skorokhodov et al. 2022, arXiv:2112.14683.
    """

    about: ClassVar[str] = "Fréchet video distance, one clip of each file, with what its value depends on"

    n: int = 2048
    part: Literal["train", "validation", "test"] = "train"
    pick: Pick = "random"
    mirror: bool = False
    embeddings: tuple[str, ...] = ()
    steps: int = 800

    def __post_init__(self) -> None:
        if self.part not in ("train", "validation", "test"):
            raise ValueError(f"part={self.part!r}; choose from train, validation, test")
        Recipe("", self.pick, self.n, self.mirror)
        for each in self.embeddings:
            embedding(each)

    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Make the table.

        Raises:
            ValueError: fewer than n reference clips.
        """
        recipe = Recipe(reads(subject.modality), self.pick, self.n, self.mirror, seed)
        reference = recipe.reference(_judged(subject, recipe.picked(subject.items(self.part))))
        held = _judged(subject, recipe.picked(subject.items("train" if self.part == "test" else "test")))
        say(f"{self.n} samples")
        columns = {"ours": recipe.drawn(unlabelled(subject.draw(self.n)), "sample")}
        if len(held) >= self.n:
            columns["held-out clips"] = recipe.drawn(held, "held-out")
        scores: dict[str, dict[str, Score]] = {name: {} for name in columns}
        facts: dict[str, object] = {
            "n": self.n,
            "reference": f"{len(reference)} of {self.part}",
            "held-out clips": len(held),
        }
        for extractor in self._extractors(reference, seed, say):
            say(f"measuring with {extractor.name}")
            found = {name: recipe.found(judged, reference, extractor) for name, judged in columns.items()}
            for name, value in found.items():
                scores[name][f"FVD, {extractor.name}"] = Score((value.value,))
            facts |= {f"{key}, {extractor.name}": value for key, value in found["ours"].facts.items() if "hash" in key}
        return Table(scores, facts)

    def _extractors(self, reference: Judged, seed: int, say: Say) -> Sequence[Extractor]:
        labelled = all(values.get(LABEL) is not None for values in reference.cond)
        frames = min(clip.shape[0] for clip in reference.samples)
        sources = [
            Watching(frames, LABEL if labelled else None, self.steps),
            *(Given(embedding(each)) for each in self.embeddings),
        ]

        def track(words: str, steps: int) -> Callable[[], None]:
            say(words)
            return lambda: None

        return [source.fit(reference, reference, seed=seed, device="cpu", track=track) for source in sources]


def _judged(subject: Subject, items: Sequence[Item]) -> Judged:
    """Items with their classes as numbers, in memory."""
    clips: list[Clip] = [replace(item.data, frames=item.data.frames) for item in items]
    return Judged(clips, asked(subject.modality, [item.cond for item in items]), [item.key for item in items])
