"""The contract that a modality signs: what a file is, how it becomes tokens and back, how the result is judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor, nn

from .conditioning.spec import ConditionSpec
from .state import Conditions, Encoded, Field, Known, State
from .tasks import Task, Unconditional

if TYPE_CHECKING:
    from .evaluation.protocol import Protocol
    from .evaluation.spec import MetricSpec
    from .sources import Row, Source

Sample = Any  # what a decoded sample is: an array, a table, a frame: the modality's own, in physical units
Rng = np.random.Generator


class BadItem(ValueError):  # noqa: N818 - it names the item, not the error
    """One file that cannot be used: counted and named, never dropped in silence."""

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = str(path), why


@dataclass
class Item:
    """One thing read from a file: the data in the modality's own form, and what its row says of it.

    Args:
        data: an array, a table: what the modality reads.
        cond: condition name -> raw value (class name or number, caption, ...). A missing name is a missing value.
        key: a stable name, unique in its source: `cats/001.png`, `digits#17`.
        meta: whatever else the modality keeps (rate, original size, group).
    """

    data: Any
    cond: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


class Modality(ABC):
    """One kind of data. Register a subclass under the entry-point group `ornstein.modalities`; see docs/add-a-modality.md.

    Constructor arguments are the modality's options in a recipe (`modality.patch=2`); each is kept as an attribute of the
    same name, from which checkpoints rebuild the object. What depends on data is found in `fit` and kept in `state`.
    """

    name: ClassVar[str]
    symmetries: ClassVar[tuple[str, ...]]  # of permutation, translation, rotation, reflection; explicit, even if empty
    extensions: ClassVar[tuple[str, ...]] = ()  # file name endings that `read` takes, lower case with the dot
    later: ClassVar[tuple[str, ...]] = ()  # options a trained model takes anew: no network or scale rests on them

    latent: nn.Module | None = None

    @property
    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """The fields of the state; valid after `fit`."""

    @property
    @abstractmethod
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What the model can be told; valid after `fit`."""

    @property
    @abstractmethod
    def axes(self) -> int:
        """Number of axes of `Layout.positions`; 0 for a set."""

    @abstractmethod
    def read(self, file: Any, row: Mapping[str, Any]) -> Item:
        """Read one `sources.File` with its row (label, caption, ...).

        Raises:
            BadItem: the file cannot be used; the message says what was found.
        """

    @abstractmethod
    def write(self, samples: Sequence[Sample], path: Path) -> list[Path]:
        """Write decoded samples into the folder `path` in the modality's native formats."""

    @property
    def exact_files(self) -> bool:
        """Whether written samples are read back as they were; a codec may lose some of them."""
        return True

    @abstractmethod
    def encode(self, items: Sequence[Item], known: Sequence[Any | None] | None, rng: Rng) -> Encoded:
        """Items to model space, padded to one batch. `known[i]` is in item i's own coordinates, as its task posed it.

        `rng` serves the batch as a whole: what must not depend on the batch belongs in `augment` or the task.
        """

    @abstractmethod
    def blank(self, n: int, cond: Conditions, rng: Rng, size: Any = None) -> Encoded:
        """Mask, layout and aux of n samples to be made, with a state of zeros; sizes drawn from what `fit` saw."""

    @abstractmethod
    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Sample]:
        """Model space at t = 0 to samples in physical units; rounding and clipping happen here and nowhere else."""

    @abstractmethod
    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What `ornstein evaluate` measures for a task."""

    @abstractmethod
    def datasets(self) -> Mapping[str, Source]:
        """Named data sets; at least one needs no download. The first is the default."""

    # Defaults.

    def rows(self, rows: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each item, where a file holds many: windows of a table, records of a file, clips of a recording.

        The new rows keep their file and say in their values which part of it `read` is to take. A value `split` of train,
        validation or test is obeyed; rows of one value `part_of` stay in one part; `shares` are those that the recipe asks for
        where there is no official split. None: the rows are given to a trained model, to go on with them or to fill them:
        each item whole, and none of a part.

        Raises:
            BadItem: a file that cannot be looked through.
        """
        return rows

    def fit(self, items: Sequence[Item]) -> None:  # noqa: B027 - a modality may have nothing to learn
        """Learn statistics, vocabulary and sizes from the training items; called once, never on resume."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `fit` learnt, as tensors and plain JSON, so that a checkpoint alone can sample, decode and write."""
        return {}, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state` gave."""

    def tasks(self) -> Mapping[str, Task]:
        """Tasks by name; each is a known mask."""
        return {"unconditional": Unconditional()}

    def paste(self, sample: Sample, given: Item, known: Any | None) -> Sample:
        """Put the given values back in data space, so that what was given is exact in the written file."""
        return sample

    def unroll(self, item: Item, known: Any | None) -> Generator[tuple[Item, Any | None], Sample, Sample]:
        """Make a posed item in one piece or more: yield each with what is known of it, be sent its sample, return the whole.

        An item that is longer than those of training is made piece by piece, each given what the ones before it made.
        """
        sample = yield item, known
        return self.paste(sample, item, known)

    def read_known(self, file: Any, item: Item) -> Any:
        """Which entries of a given item a user's own file calls known, in the item's coordinates.

        Raises:
            BadItem: the file does not fit the item.
        """
        raise LookupError(f"modality {self.name!r} reads no masks: its tasks say what is known")

    def augment(self, item: Item, rng: Rng) -> Item:
        """A random variant of a training item."""
        return item

    def couple(self, state: State, noise: State, mask: Tensor, known: Known | None, rng: Rng) -> State:
        """Turn or permute the noise within each sample, after the objective's `coupling`; the default keeps the draw.

        Given the known entries, the coupled noise must be as sampling draws it, where nothing is coupled.
        """
        return noise

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Sample] | None:
        """An honest simple baseline fitted on training items, one sample for each cond: the third column of reports.

        In a task that gives something, `given[i]` is the posed item behind sample i and `known[i]` what of it is given; the given
        values are pasted over the sample in any case.
        """
        return None

    def protocols(self) -> Mapping[str, Protocol]:
        """Tables of papers that can be made again for a run, under their own names: `ornstein evaluate RUN --protocol NAME`."""
        return {}

    def cost(self, item: Item) -> int:
        """Tokens of an item: training makes batches of like sizes."""
        return 1

    def bucket(self, item: Item) -> Hashable:
        """What all items of a batch must share, such as the shape of their grid: batches are made of equal ones."""
        return None

    def render(self, samples: Sequence[Sample]) -> Any:
        """A matplotlib Figure, or an (H, W[, 3]) uint8 array: what a person looks at while it trains."""
        raise LookupError(f"modality {self.name!r} has no render(): it draws no pictures")

    def view(self, samples: Sequence[Sample]) -> str:
        """Part of an HTML page that shows samples where a still picture does not do: turned with the mouse, or played.

        It needs nothing but itself: scripts, styles and data are inline, and it may stand on a page more than once. Empty: none.
        """
        return ""
