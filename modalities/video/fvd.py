"""Fréchet video distance, with everything its value depends on in one place.

What a value depends on: which files, which clip of each, frames, size, rate, how frames are made smaller, the embedding, how many
clips. All of it is in `Recipe` and `Found.facts`, under one hash. Rows are summed in the order of their values, networks asked in
the order of what clips hold: the order of the files does not touch a digit.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from ornstein.core.checkpoint import describe
from ornstein.core.evaluation.embedding import embedding as named
from ornstein.core.evaluation.extractors import digest
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.evaluation.spec import Context, Extractor, ExtractorSource, Judged, MetricSpec, Track
from ornstein.core.modality import Item, Modality
from ornstein.core.rng import generator
from ornstein.core.sources import Row
from torch import Tensor

from .clip import Clip
from .extractor import batch, content, in_order, resized

Pick = Literal["random", "first", "all"]
T = TypeVar("T", Row, Item)
_BATCH = 8  # clips that a given embedding sees at once
_PART = re.compile(r"\[\d+:\d+\]$")


class Embedding(Protocol):
    """What a distance needs: any object that maps clips to rows.

    I3D, VideoMAE or C3D become one in some lines: weights are loaded in the constructor, from where the user keeps them.
    """

    @property
    def name(self) -> str:
        """What a report calls it."""
        ...

    @property
    def frames(self) -> int:
        """Of a clip that it sees."""
        ...

    @property
    def side(self) -> int:
        """Pixels: height and width to which frames are brought, bilinear, with the filter widened where they become smaller."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """(n, 3, frames, side, side) float32 in [0, 1] -> (n, D)."""
        ...


def embedding(where: str) -> Embedding:
    """The embedding that `package.module:name` makes when it is called without arguments.

    Raises:
        ValueError: no such name, or what it makes is no embedding.
    """
    made: Embedding = named(where, "frames", "side")
    return made


class Seen(Extractor):
    """Clips as a given embedding sees them: the last of its frames, at its size, grey as three equal channels.

    The hash is that of its name, frames, side and answer to two fixed clips of noise.
    """

    def __init__(self, embedding: Embedding) -> None:
        self.embedding, self.name = embedding, embedding.name
        shape = (2, 3, embedding.frames, embedding.side, embedding.side)
        probe = torch.from_numpy(generator(0, "probe").random(shape, dtype=np.float32))
        answer = self._asked(probe)
        settings = f"{self.name} {embedding.frames} {embedding.side}".encode()
        self.hash = digest(settings, answer.float().numpy().tobytes())
        self.facts: dict[str, Any] = {
            "trained as": "given", "features": answer.shape[1], "frames": embedding.frames, "side, pixels": embedding.side
        }  # fmt: skip

    def embed(self, samples: Sequence[Clip]) -> Tensor:
        """(n, D) float64.

        Raises:
            ValueError: a clip with fewer frames.
        """
        return in_order(samples, self._rows)

    def _rows(self, clips: Sequence[Clip]) -> Tensor:
        parts = [
            self._asked(torch.cat([self._input(c) for c in clips[i : i + _BATCH]]))
            for i in range(0, len(clips), _BATCH)
        ]
        return torch.cat(parts).double()

    def _input(self, clip: Clip) -> Tensor:
        wanted, side = self.embedding.frames, self.embedding.side
        if clip.shape[0] < wanted:
            raise ValueError(f"{clip.name or 'a clip'} has {clip.shape[0]} frames, and {self.name} sees {wanted}")
        x = resized(batch([clip.frames[-wanted:]]), (side, side)).clamp(0, 1)
        return x.expand(-1, 3, -1, -1, -1)

    @torch.inference_mode()
    def _asked(self, x: Tensor) -> Tensor:
        return self.embedding(x).cpu()


@dataclass(frozen=True)
class Given(ExtractorSource):
    """A given embedding: nothing is trained.

    Args:
        embedding: one that hashes by what it is, such as a frozen dataclass, or by identity.
    """

    embedding: Embedding

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Seen:
        """The extractor."""
        return Seen(self.embedding)


def distance(x: Tensor, y: Tensor) -> float:
    """Squared Fréchet distance of rows x (n, D) and y (m, D), to the last digit the same for any order of the rows."""
    return frechet_distance(ordered(x), ordered(y))


def ordered(x: Tensor) -> Tensor:
    """Rows in the order of their values, first column first."""
    return x[torch.from_numpy(np.lexsort(x.double().numpy().T[::-1]))]


def video_distance(source: ExtractorSource, name: str) -> MetricSpec:
    """A line of a report: the distance of the samples to the training clips, one sample for each item."""

    def compute(candidate: Judged, reference: Judged, context: Context) -> float:
        assert context.extractor is not None
        return distance(context.extractor.features(candidate), context.extractor.features(reference))

    about = f"Fréchet video distance: of the mean and covariance of clips as {name} sees them."
    return MetricSpec(f"FVD, {name}", "lower", about, compute, extractor=source)


@dataclass(frozen=True)
class Recipe:
    """From files to a number.

    Args:
        modality: what it reads files by: frames, size, rate, how frames are fitted; see `reads`.
        pick: of each file a `random` clip, drawn by the seed and the file's name, the `first`, or `all`.
        n: clips of each set, drawn by the seed and what they hold; None: all.
        mirror: each reference clip a second time, left and right exchanged.
        seed: of these choices, and of a network that is trained.
    """

    modality: str = ""
    pick: Pick = "random"
    n: int | None = 2048
    mirror: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pick not in ("random", "first", "all"):
            raise ValueError(f"pick={self.pick!r}; choose from random, first, all")
        if self.n is not None and self.n < 2:
            raise ValueError(f"n={self.n}: at least 2 clips are compared")

    def picked(self, clips: Sequence[T]) -> list[T]:
        """Of rows or items, one for each clip of a file and those of a file in the order of time: those that are compared.

        They are sorted by file. Rows are picked before anything is decoded.
        """
        files: dict[str, list[T]] = {}
        for clip in clips:
            files.setdefault(_file(clip), []).append(clip)
        return [clip for name in sorted(files) for clip in self._of_file(name, files[name])]

    def drawn(self, judged: Judged, words: str) -> Judged:
        """n of the clips, in the order of hashes of the seed and of what they hold.

        Raises:
            ValueError: fewer than n.
        """
        n = len(judged) if self.n is None else self.n
        if len(judged) < n:
            raise ValueError(f"{len(judged)} {words} clips, and {n} are compared: say -n {len(judged)} or fewer")
        hashes = [digest(str(self.seed).encode(), content(clip).encode()) for clip in judged.samples]
        return judged.take(sorted(range(len(judged)), key=hashes.__getitem__)[:n])

    def reference(self, judged: Judged) -> Judged:
        """n of the clips of the reference, each a second time as in a mirror where that is asked for."""
        real = self.drawn(judged, "reference")
        if not self.mirror:
            return real
        turned = [replace(clip, frames=clip.frames[:, :, ::-1].copy()) for clip in real.samples]
        return Judged([*real.samples, *turned], real.cond * 2, real.keys * 2)

    def found(self, samples: Judged, reference: Judged, extractor: Extractor) -> Found:
        """The distance of two sets that are drawn already."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)} | {
            "samples": len(samples), "samples hash": set_hash(samples.samples),
            "reference": len(reference), "reference hash": set_hash(reference.samples),
            "embedding": extractor.name, "embedding hash": extractor.hash,
        }  # fmt: skip
        value = distance(extractor.features(samples), extractor.features(reference))
        return Found(value, facts | {"hash": digest(repr(sorted(facts.items())).encode())})

    def _of_file(self, name: str, clips: Sequence[T]) -> Sequence[T]:
        if self.pick == "all":
            return clips
        at = int(generator(self.seed, "clip", name).integers(len(clips))) if self.pick == "random" else 0
        return [clips[at]]


@dataclass(frozen=True)
class Found:
    """A distance, and all it depends on; `facts["hash"]` names that."""

    value: float
    facts: dict[str, Any]


def clips_of(rows: Sequence[Row], modality: Modality, recipe: Recipe) -> list[Clip]:
    """The clips of files that the recipe picks, decoded as the modality's options say.

    Args:
        rows: of files, as a source gives them, in any order.

    Raises:
        ValueError: a file that cannot be looked through, and more than 1 % that cannot be decoded; fewer are warned of.
    """
    from ornstein.core.sources import read_all

    items, bad = read_all(modality, recipe.picked(modality.rows(rows, (1.0, 0.0, 0.0))), progress=False)
    if bad:
        warnings.warn(f"{len(bad)} clips were left out, the first: {bad[0]}", stacklevel=2)
    return [item.data for item in items]


def reads(modality: Modality) -> str:
    """What a modality reads files by: its options as text."""
    return json.dumps(describe(modality), sort_keys=True)


def unlabelled(clips: Sequence[Clip]) -> Judged:
    """Clips of which nothing else is known, in memory."""
    held = [replace(clip, frames=clip.frames) for clip in clips]
    return Judged(held, [{} for _ in held], [clip.name for clip in held])


def _file(clip: Row | Item) -> str:
    """The name of the file that a row or an item is of; an item's key is that, and behind it the part."""
    return clip.file.name if isinstance(clip, Row) else _PART.sub("", clip.key)


def set_hash(clips: Sequence[Clip]) -> str:
    """16 hexadecimal digits that name a set of clips, whatever their order."""
    return digest(*sorted(content(clip).encode() for clip in clips))
