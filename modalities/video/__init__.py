"""Video: clips of any frame rate, size and length, as tubelets with a time for each frame."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item, Modality, Rng
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Row, Source
from ornstein.core.state import Conditions, Encoded, Field, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder
from .clip import Clip
from .data import Bounce
from .fitting import Fit, Resize
from .formats import EXTENSIONS
from .known import read_mask
from .reading import Reading
from .tasks import OPEN, Inpaint, Interpolate, Keyframes, Predict
from .unrolling import START, unroll
from .windows import STOP, Cutting, Long
from .writing import Output, save

if TYPE_CHECKING:
    from ornstein.core.evaluation.protocol import Protocol
    from ornstein.core.evaluation.spec import MetricSpec

__all__ = ["Clip", "Video"]

CAPTION, FPS = "caption", "fps"  # conditions


class Video(Modality):
    """Moving pictures at one size; an item's data and a decoded sample are a `Clip`.

    Args:
        frames: of a training clip.
        height, width: of the model, pixels; other sizes are brought to it as `resize` says.
        channels: 1 grey, 3 colour.
        fps: frames a second of the model; a file of another rate is resampled by its time stamps. None: each as it is, and the
            model is told the rate.
        stride: every how many frames one is taken; a clip has fps / stride.
        patch: frames, rows and columns of a tubelet, which is one token; all pixels of a tubelet share a noise level.
        long: of a longer film `windows`, its beginning alone (`crop`), or `refuse` it.
        hop: frames from one window to the next; None: as many as a clip has.
        resize: a picture of another shape is cut (`crop`), distorted (`stretch`), or framed in black (`pad`).
        labels: whether the model can be told the label, where the data has labels.
        columns: further columns that it can be told: words become classes, numbers numbers, `caption` a text.
        timing: tell it the frame rate and where in its file the clip begins, seconds.
        context: frames that are given in the task `prediction`.
        output: files that samples are written as: `mp4`, which is lossy, or `gif`, `frames` (PNG) or `npz`, which are not.
        embeddings: for Fréchet video distances beside that of a network trained on the data: `package.module:name` of classes
            that map clips to rows; see `fvd.Embedding`.
    """

    name: ClassVar[str] = "video"
    symmetries: ClassVar[tuple[str, ...]] = ()
    extensions: ClassVar[tuple[str, ...]] = EXTENSIONS
    later: ClassVar[tuple[str, ...]] = ("context", "output", "embeddings")

    def __init__(
        self,
        frames: int = 16,
        height: int = 32,
        width: int = 32,
        channels: int = 3,
        fps: float | None = None,
        stride: int = 1,
        patch: tuple[int, int, int] = (2, 4, 4),
        long: Long = "windows",
        hop: int | None = None,
        resize: Resize = "crop",
        labels: bool = True,
        columns: list[str] | None = None,
        timing: bool = False,
        context: int = 4,
        output: Output = "mp4",
        embeddings: list[str] | None = None,
    ) -> None:
        if context < 1:
            raise ValueError(f"modality.context={context}: at least 1 frame is given")
        if output not in get_args(Output):
            raise ValueError(f"modality.output={output!r}; choose from {', '.join(get_args(Output))}")
        self.frames, self.height, self.width, self.channels = frames, height, width, channels
        self.fps, self.stride, self.patch = fps, stride, (patch[0], patch[1], patch[2])
        self.long, self.hop, self.resize = long, hop, resize
        self.labels, self.columns, self.timing = labels, columns, timing
        self.context, self.output, self.embeddings = context, output, embeddings
        fit = Fit(height, width, channels, resize)
        self._cutting = Cutting(frames, fps, stride, hop, long)
        self._reading = Reading(fit, fps, stride, labels, columns or (), timing)
        self._tubelets = encoder.Tubelets(*self.patch, channels)
        self._told, self._rates, self._law = Columns(), np.zeros(0), False

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """One field `video`: the pixels of a tubelet, frame by frame."""
        return (Field(encoder.FIELD, "continuous", self._tubelets.size, Gaussian(Rectified(), Flow())),)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """Classes, numbers and captions that the training data has."""
        return self._told.specs({FPS: "1/s", START: "s"})

    @property
    def axes(self) -> int:
        """Time, height and width."""
        return 3

    def fit(self, items: Sequence[Item]) -> None:
        """Learn the conditions and the frame rates, and whether the clips are of the embedded world.

        Raises:
            ValueError: no items, or a condition that is word and number.
        """
        from .physics import obeyed

        if not items:
            raise ValueError("there is no training clip: its frame rate and the classes are unknown")
        self._told = Columns.of(items, texts=[CAPTION])
        self._rates = np.asarray([item.data.fps for item in items], np.float64)
        self._law = obeyed([item.data for item in items])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `fit` learnt."""
        return {"rates": torch.from_numpy(self._rates)}, {"told": vars(self._told), "law": self._law}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._rates, self._told, self._law = tensors["rates"].numpy(), Columns.load(plain["told"]), bool(plain["law"])

    # Files.

    def rows(self, rows: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each clip; given files as they are."""
        return self._cutting.rows(rows, shares)

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """A clip as `rows` names it, whose frames stay on file; or a whole film, open: tasks go on with it, or fill it.

        Raises:
            BadItem: what is wrong with the file.
        """
        item = self._reading.read(file, row)
        if self.fps is None:
            item = replace(item, cond={**item.cond, FPS: item.data.fps})
        if STOP in row:
            return item
        return replace(item, data=replace(item.data, frames=item.data.frames), meta={**item.meta, OPEN: True})

    def write(self, samples: Sequence[Clip], path: Path) -> list[Path]:
        """Films, their frames and the exact values; see `writing.save`."""
        return save(samples, Path(path), self.output)

    @property
    def exact_files(self) -> bool:
        """All but `mp4`."""
        return self.output != "mp4"

    def render(self, samples: Sequence[Clip]) -> Any:
        """A contact sheet: a row for each clip, a column for each of some frames."""
        from .pictures import sheet

        return sheet(samples)

    def view(self, samples: Sequence[Clip]) -> str:
        """Players."""
        from .view import view

        return view(samples)

    def datasets(self) -> Mapping[str, Source]:
        """`bounce` is generated."""
        return {"bounce": Bounce()}

    # Model space.

    def encode(self, items: Sequence[Item], known: Sequence[np.ndarray | None] | None, rng: Rng) -> Encoded:
        """Clips to tubelets; clips of any lengths share a batch.

        Raises:
            ValueError: clips of several sizes, a class that was not in the training data.
        """
        encoded = self._tubelets.encode([item.data for item in items], known)
        return replace(encoded, cond=self._told.encode(items))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | None = None) -> Encoded:
        """n clips to be made, of `frames` or of `size` frames, at the asked rate or that of a training clip.

        Raises:
            ValueError: a size that is no number of frames, or longer than the training clips.
        """
        if size is not None and (not isinstance(size, int) or not 1 <= size <= self.frames):
            raise ValueError(
                f"size {size}: give a number of frames up to {self.frames}, those of a training clip; for more, go on with what "
                "was made: --task prediction --given FILE --size FRAMES"
            )
        # One draw after another, so that sample k does not depend on n.
        rates = [float(self._rates[int(u * len(self._rates))]) for u in rng.random(n)]
        asked = cond.get(FPS)
        if asked is not None:
            rates = [
                float(value) if there else rate
                for rate, value, there in zip(rates, asked.value, asked.present, strict=True)
            ]
        shape = (self.frames if size is None else size, self.height, self.width)
        return replace(self._tubelets.blank(n, shape, rates), cond=cond)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Clip]:
        """Tubelets to clips, uint8."""
        return self._tubelets.decode(state, aux)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given; a beginning, of `context` or of any number of frames; both ends; key frames; all but a box."""
        return {
            "unconditional": Unconditional(),
            "prediction": Predict(self.frames, self.context),
            "continuation": Predict(self.frames),
            "interpolation": Interpolate(self.frames),
            "keyframes": Keyframes(),
            "inpaint": Inpaint(),
        }

    def paste(self, sample: Clip, given: Item, known: np.ndarray | None) -> Clip:
        """The given pixels, exact, over the sample."""
        if known is None:
            return sample
        frames = np.where(known[..., None], given.data.frames, sample.frames)
        return replace(sample, frames=frames, name=given.data.name)

    def unroll(self, item: Item, known: np.ndarray | None) -> Generator[tuple[Item, Any], Clip, Clip]:
        """At once where the clip is no longer than those of training, else window by window."""
        if item.data.shape[0] <= self.frames:
            return (yield from super().unroll(item, known))
        whole = yield from unroll(item, known, self.frames, self.patch[0])
        return self.paste(whole, item, known)

    def read_known(self, file: File, item: Item) -> np.ndarray:
        """A picture or an array: the pixels that stay; see `known.read_mask`."""
        return read_mask(file, item)

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import video_metrics
        from .fvd import embedding

        embeddings = [embedding(each) for each in self.embeddings or ()]
        return video_metrics(task, self.frames, "label" in self._told.classes, self._law, embeddings)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Clip] | None:
        """What needs no model: training clips with noise, the last frame held, motion gone on with; see `floors`."""
        from .floors import video_floor

        return video_floor(items, cond, rng, given, known)

    def protocols(self) -> Mapping[str, Protocol]:
        """Tables as papers on video print them."""
        from .protocols import FVD
        from .rollout import Rollout

        return {"fvd": FVD(), "rollout": Rollout()}
