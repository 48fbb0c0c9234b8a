"""The table of `ornstein evaluate --protocol rollout`: clips far longer than those of training, and whether they obey the law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from ornstein.core.evaluation.protocol import Protocol, Say, Score, Subject, Table
from ornstein.core.modality import Item
from ornstein.core.rng import generator

from .clip import Clip
from .floors import linear_motion
from .physics import obeyed, residuals, speeds
from .tasks import OPEN, Predict


@dataclass(frozen=True)
class Rollout(Protocol):
    """The beginnings of n held-out clips of the bouncing digits, gone on with to many frames, window by window.

    Times of frames are those of the sampler: `sampler.tokens=pyramid` or `autoregressive` lets them slide within a window. The
    floor is the motion of the last two given frames, gone on with.

    Args:
        n: clips.
        task: by which a trained model is asked.
        context: frames that are given.
        frames: of a finished clip, those that are given among them.
    """

    about: ClassVar[str] = "whether clips of the bouncing digits obey their law far behind the frames that are given"

    n: int = 50
    task: str = "prediction"
    context: int = 4
    frames: int = 64

    def __post_init__(self) -> None:
        if self.task != "prediction":
            raise ValueError(f"task={self.task!r}: a roll-out is a prediction")
        if self.n < 1:
            raise ValueError(f"n={self.n}: at least 1 clip is needed")
        if not 2 <= self.context < self.frames:
            raise ValueError(
                f"context={self.context}, frames={self.frames}: 2 frames or more tell a motion, and some are to be made"
            )

    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Make the table.

        Raises:
            ValueError: data that are not the bouncing digits, or too few clips.
        """
        held = subject.items("test")
        if not obeyed([item.data for item in held]):
            raise ValueError("--protocol rollout: its law is that of the bouncing digits; these clips do not obey it")
        if len(held) < self.n:
            raise ValueError(f"--protocol rollout: {len(held)} held-out clips; n={self.n} asks for more")
        longest = min(item.data.shape[0] for item in held)
        if self.context > longest:
            raise ValueError(
                f"--protocol rollout: context={self.context}, and the held-out clips have {longest} frames"
            )
        order = generator(seed, "rollout").permutation(len(held))[: self.n]
        pose = Predict(self.frames, more=self.frames - self.context).pose
        posed = [pose(self._beginning(held[i]), generator(seed, "rollout", int(i))) for i in order]
        given, known = [item for item, _ in posed], [bits for _, bits in posed]
        say(f"{self.n} clips of {self.frames} frames")
        made = subject.draw(1, task=self.task, given=given, known=known)
        gone_on = [
            replace(item.data, frames=linear_motion(item.data.frames, bits))
            for item, bits in zip(given, known, strict=True)
        ]
        columns = {"ours": self._scores(made), "linear motion": self._scores(gone_on)}
        return Table(columns, {"held-out clips": len(held)})

    def _beginning(self, item: Item) -> Item:
        """Its first frames, as of a file in which there is no more."""
        clip: Clip = item.data
        return replace(item, data=replace(clip, frames=clip.frames[: self.context]), meta={**item.meta, OPEN: True})

    def _scores(self, clips: Sequence[Clip]) -> dict[str, Score]:
        apart, speed = residuals(clips), speeds(clips)
        last = f"residual in frame {self.frames}, median, pixels"
        return {
            "residual of the law, median, pixels": Score((float(apart.mean(1).median()),)),
            last: Score((float(apart[:, -1].median()),)),
            "frames without a digit, share": Score((float(np.isinf(apart.numpy()).mean()),)),
            "speed, median, pixels a frame": Score((float(speed.median()),)),
        }
