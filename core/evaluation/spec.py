"""What is judged, and what a modality declares that it measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..modality import Item, Sample

Track = Callable[
    [str, int], Callable[[], None]
]  # (what is done, steps) -> to be called after each step: a progress bar


@dataclass
class Judged:
    """A set of samples, with what was asked of each.

    Args:
        samples: decoded samples, as `Modality.decode` returns them.
        cond: condition name -> value for each sample; classes as numbers. A missing name is a missing value.
        keys: names of the samples.
        given: the posed item behind each sample of a task in which something is given; None where nothing is.
        known: which entries of each given item were given, in the item's own coordinates.
        features: rows worked out once, one for each sample; `take` carries them along.
        memo: what was worked out once from the whole set; `take` drops it.
    """

    samples: Sequence[Sample]
    cond: list[dict[str, Any]]
    keys: list[str]
    given: Sequence[Item] | None = None
    known: Sequence[Any] | None = None
    features: dict[str, Tensor] = field(default_factory=dict, repr=False)
    memo: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        parts: dict[str, Sequence[Any] | None] = {
            "cond": self.cond,
            "keys": self.keys,
            "given": self.given,
            "known": self.known,
        }
        for name, part in parts.items():
            if part is not None and len(part) != len(self.samples):
                raise ValueError(f"{len(self.samples)} samples, {len(part)} entries of {name}: one for each is needed")
        if (self.given is None) != (self.known is None):
            raise ValueError("`given` and `known` go together: the items, and which of their entries were given")

    def __len__(self) -> int:
        return len(self.samples)

    def rows(self, name: str, compute: Callable[[Sequence[Sample]], Tensor]) -> Tensor:
        """(n, ...) rows of the samples, worked out the first time; `name` tells apart what `compute` depends on."""
        if name not in self.features:
            self.features[name] = compute(self.samples)
        return self.features[name]

    def whole(self, name: str, compute: Callable[[], Any]) -> Any:
        """A value of the whole set, worked out the first time."""
        if name not in self.memo:
            self.memo[name] = compute()
        return self.memo[name]

    def ensembles(self) -> list[list[int]]:
        """The numbers of the samples that were made for one given item, item by item; each alone where nothing was given."""
        if self.given is None or self.known is None:
            return [[i] for i in range(len(self))]
        return alike(self.given, self.known)

    def take(self, index: Sequence[int]) -> Judged:
        """The samples of the given numbers, in that order."""
        rows = torch.as_tensor(index)
        return Judged(
            [self.samples[i] for i in index],
            [self.cond[i] for i in index],
            [self.keys[i] for i in index],
            None if self.given is None else [self.given[i] for i in index],
            None if self.known is None else [self.known[i] for i in index],
            {name: feature[rows] for name, feature in self.features.items()},
        )


def alike(given: Sequence[Item], known: Sequence[Any]) -> list[list[int]]:
    """The places at which the same item is given with the same known entries, object by object, in the order they first come."""
    found: dict[tuple[int, int], list[int]] = {}
    for i, (item, bits) in enumerate(zip(given, known, strict=True)):
        found.setdefault((id(item), id(bits)), []).append(i)
    return list(found.values())


class Extractor(ABC):
    """Samples to features; it says by `hash` exactly what it is, and in `facts` what a report should print of it."""

    name: str
    hash: str
    facts: dict[str, Any]

    @abstractmethod
    def embed(self, samples: Sequence[Sample]) -> Tensor:
        """(n, D) float64."""

    def log_probs(self, samples: Sequence[Sample]) -> Tensor:
        """(n, K) log-probabilities of the classes, float64, from an extractor that classifies."""
        raise LookupError(f"extractor {self.name!r} is no classifier: it has no classes")

    @property
    def rows_name(self) -> str:
        """Under which a set has its features."""
        return f"features {self.hash}"

    def features(self, judged: Judged) -> Tensor:
        """`embed` of a set, worked out once."""
        return judged.rows(self.rows_name, self.embed)


class ExtractorSource(ABC):
    """Where an extractor comes from: trained on the reference, or loaded. Equal sources are asked once a report."""

    @abstractmethod
    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Extractor:
        """The extractor for a reference; the same seed gives the same hash on the same machine."""


@dataclass(frozen=True)
class Context:
    """What a metric may use beside the candidate and the reference (the training items).

    Args:
        held_out: items that neither the model nor the extractor has seen.
        extractor: of the metric's source.
        seed: of every random choice.
    """

    held_out: Judged
    extractor: Extractor | None
    seed: int


@dataclass(frozen=True)
class MetricSpec:
    """One line of a report.

    Args:
        name: what the line is called; unique in a report.
        better: which direction is better.
        about: one sentence: what the number says.
        compute: (candidate, reference, context) -> the number.
        kind: under which heading it stands.
        extractor: where its features come from; None for a metric on the samples themselves.
        needs_cond: the condition that each candidate must have been asked for; a column without it is left empty.
        needs_given: whether the candidates must come with what was given; a column without it is left empty. Such a metric
            judges all members of ensembles, any other one sample for each item.
        nearest: (candidate, reference) -> (n, 2) distance and number of each candidate's nearest training item; with
            it a report shows the closest pairs.
    """

    name: str
    better: Literal["lower", "higher"]
    about: str
    compute: Callable[[Judged, Judged, Context], float]
    kind: Literal["fidelity", "diversity", "condition", "memorisation", "task"] = "fidelity"
    extractor: ExtractorSource | None = None
    needs_cond: str | None = None
    needs_given: bool = False
    nearest: Callable[[Judged, Judged], Tensor] | None = None

    def missing(self, candidate: Judged) -> str | None:
        """Why the metric cannot be measured on a candidate; None where it can."""
        if self.needs_given and candidate.given is None:
            return "nothing was given here"
        if self.needs_cond is not None:
            asked = sum(cond.get(self.needs_cond) is not None for cond in candidate.cond)
            if asked < len(candidate):
                return f"{asked} of {len(candidate)} samples were asked for a {self.needs_cond}"
        return None
