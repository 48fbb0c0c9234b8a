"""The table of `ornstein evaluate --protocol pvd`: what papers on point clouds print."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from ornstein.core.evaluation.protocol import Protocol, Say, Score, Subject, Table
from ornstein.core.evaluation.spec import Track
from ornstein.core.rng import generator

from . import sets
from .cloud import Cloud
from .jsd import Ball, jensen_shannon
from .matrices import APPROXIMATE_EMD, CHAMFER, EXACT_EMD, Distance, matrix

DISTANCES = {distance.name: distance for distance in (CHAMFER, APPROXIMATE_EMD, EXACT_EMD)}
_EVERY = 5.0  # seconds between two words on how far a matrix is


@dataclass(frozen=True)
class PVD(Protocol):
    """Generated shapes against as many reference shapes: MMD, COV and 1-NNA by each distance, and JSD.

    Directions, and coordinates in the unit of the files, as in PVD's evaluation, which LION takes over. MMD is in that unit, or
    its square. The column of training shapes is what real shapes score.

    Args:
        n: shapes to generate, and reference shapes, drawn from the part.
        points: of each shape: samples are made of so many, of real shapes the first ones count. Published tables have 2048.
        part: `validation` or `test`: where reference shapes come from. Published tables take ShapeNet's validation shapes.
        distances: which of `CD squared` (their CD), `EMD squared approximate` (their EMD) and `EMD exact`.
        ball: in which JSD is counted: of `reference`, the smallest about the reference shapes; `published`, of radius 1/2 about
            the origin, for shapes that lie in it.

    Source: Zhou et al. 2021, arXiv:2104.03670; Yang et al. 2019, arXiv:1906.12320; Zeng et al. 2022, arXiv:2210.06978.
    """

    about: ClassVar[str] = (
        "1-NNA, COV, MMD and JSD against held-out shapes, as PVD and LION print them, and by exact EMD"
    )

    n: int = 200
    points: int = 512
    part: Literal["validation", "test"] = "validation"
    distances: tuple[str, ...] = tuple(DISTANCES)
    ball: Literal["reference", "published"] = "reference"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.distances) - set(DISTANCES))
        if unknown or not self.distances:
            raise ValueError(f"distances are {', '.join(DISTANCES)}; found {unknown or 'none'}")
        if self.n < 2 or self.points < 1:
            raise ValueError(f"n={self.n}, points={self.points}: at least 2 shapes of at least 1 point are needed")
        if self.part not in ("validation", "test") or self.ball not in ("reference", "published"):
            raise ValueError(f"part={self.part}, ball={self.ball}: see what they may be in `PVD`")

    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Make the table.

        Raises:
            ValueError: fewer than n reference or training shapes, or shapes of fewer points.
        """
        reference = self._drawn([item.data for item in subject.items(self.part)], seed, self.part)
        training = self._drawn([item.data for item in subject.items("train")], seed, "training")
        say(f"{self.n} samples")
        samples = self._cut(subject.draw(self.n, size=self.points), "a sample")
        columns = {
            "ours": self.scores(samples, reference, say, "ours"),
            "training shapes": self.scores(training, reference, say, "training shapes"),
        }
        return Table(columns, {"shapes in each set": self.n, "points of each": self.points, "reference": self.part})

    def scores(
        self, samples: Sequence[np.ndarray], reference: Sequence[np.ndarray], say: Say, words: str
    ) -> dict[str, Score]:
        """The scores of samples against equally many reference shapes, (points, 3) each."""
        out: dict[str, float] = {}
        for distance in (DISTANCES[name] for name in self.distances):
            out |= _scores(distance, samples, reference, _told(say), words)
        ball = Ball() if self.ball == "published" else Ball.about(reference)
        p, q = (sum(ball.counts(points) for points in clouds) for clouds in (samples, reference))
        out[f"JSD, 28^3, ball {'of radius 1/2' if self.ball == 'published' else 'about the reference'}"] = (
            jensen_shannon(np.asarray(p), np.asarray(q))
        )
        return {name: Score((value,)) for name, value in out.items()}

    def _drawn(self, clouds: Sequence[Cloud], seed: int, words: str) -> list[np.ndarray]:
        if len(clouds) < self.n:
            raise ValueError(
                f"{len(clouds)} {words} shapes, and {self.n} are compared with as many: say -n {len(clouds)} or fewer"
            )
        order = generator(seed, "protocol", words).permutation(len(clouds))[: self.n]
        return self._cut([clouds[i] for i in sorted(order.tolist())], f"a {words} shape")

    def _cut(self, clouds: Sequence[Cloud], words: str) -> list[np.ndarray]:
        short = [cloud for cloud in clouds if cloud.size < self.points]
        if short:
            raise ValueError(
                f"{short[0].name or words} has {short[0].size} points, and {self.points} of each are compared: say "
                f"protocol.points={min(cloud.size for cloud in short)}"
            )
        return [cloud.points[: self.points] for cloud in clouds]


def _scores(
    distance: Distance, samples: Sequence[np.ndarray], reference: Sequence[np.ndarray], track: Track, words: str
) -> dict[str, float]:
    """The three scores by one distance; its name is part of theirs."""
    name = distance.name
    to = matrix(distance, reference, samples, track, f"{words}: {name}, to the reference").T
    own = matrix(distance, samples, None, track, f"{words}: {name}, within samples")
    within = matrix(distance, reference, None, track, f"{name}, within the reference")
    return {
        f"1-NNA, {name}, %": 100 * sets.one_nearest_neighbour_accuracy(own, to, within),
        f"COV, {name}, %": 100 * sets.coverage(to),
        f"MMD, {name}, x 1000": 1000 * sets.minimum_matching_distance(to),
    }


def _told(say: Say) -> Track:
    """A progress bar in words: a line every few seconds."""

    def track(words: str, steps: int) -> Callable[[], None]:
        done, last = 0, time.monotonic()
        say(words)

        def advance() -> None:
            nonlocal done, last
            done += 1
            if time.monotonic() - last > _EVERY:
                last = time.monotonic()
                say(f"{words}: {done} of {steps}")

        return advance

    return track
