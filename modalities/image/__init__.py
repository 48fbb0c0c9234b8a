"""Images: pixels in patches, with a class where there are labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import class_number
from ornstein.core.modality import BadItem, Item, Modality, Rng
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Source
from ornstein.core.state import Conditions, Encoded, Field, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder
from .data import EXTENSIONS, Digits, read_pixels, to_channels
from .pictures import grid, save
from .tasks import Inpaint, Outpaint

if TYPE_CHECKING:
    from ornstein.core.evaluation.spec import MetricSpec


class Image(Modality):
    """Images of 1 or 3 channels; an item's data and a decoded sample are uint8 (H, W, C).

    Args:
        size: side of the square that every image is cut and resized to; None: images stay as they are, and those to
            train on must have one size.
        patch: side of the patches, pixels; it divides height and width.
        channels: 1 grey, 3 colour; None: 1 if every training image is grey, else 3.
        labels: whether the model can be told the class, where the data has labels.
        flip: mirror half of the training images left to right.
        shift: move training images by up to this many pixels each way; edges are continued.
    """

    name: ClassVar[str] = "image"
    symmetries: ClassVar[tuple[str, ...]] = ()
    extensions: ClassVar[tuple[str, ...]] = EXTENSIONS

    def __init__(
        self,
        size: int | None = None,
        patch: int = 2,
        channels: Literal[1, 3] | None = None,
        labels: bool = True,
        flip: bool = False,
        shift: int = 0,
    ) -> None:
        if patch < 1:
            raise ValueError(f"modality.patch={patch}: at least 1 pixel")
        if channels not in (None, 1, 3):
            raise ValueError(f"modality.channels={channels}: choose 1 (grey), 3 (colour) or null (as the data is)")
        if shift < 0:
            raise ValueError(f"modality.shift={shift}: a number of pixels, 0 or more")
        if size is not None:
            encoder.layout(1, size, size, patch)  # raises where the patch does not divide it
        self.size, self.patch, self.channels, self.labels = size, patch, channels, labels
        self.flip, self.shift = flip, shift
        self._shape: tuple[int, int] | None = None if size is None else (size, size)
        self._channels: int | None = channels
        self._told = Columns()

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """One field `pixels` of p p C values for each patch."""
        values = self.patch**2 * self._fitted_channels()
        return (Field(encoder.FIELD, "continuous", values, Gaussian(Rectified(), Flow())),)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """The class `label`, where the training data has labels."""
        return self._told.specs()

    @property
    def axes(self) -> int:
        """Row and column."""
        return 2

    def fit(self, items: Sequence[Item]) -> None:
        """Find the size, the number of channels and the names of the classes.

        Raises:
            ValueError: no items, or images of several sizes while `size` is None.
        """
        if not items:
            raise ValueError("there is no training image: the channels and the classes are unknown")
        if self.size is None:
            self._shape = _one_size(items)
            encoder.layout(1, *self._shape, self.patch)
        self._channels = self.channels or max(item.data.shape[-1] for item in items)
        self._told = Columns.of(items, classes=["label"], only=["label"] if self.labels else [])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Size, channels and class names."""
        shape = None if self._shape is None else list(self._shape)
        return {}, {"size": shape, "channels": self._channels, "told": vars(self._told)}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._shape = None if plain["size"] is None else (int(plain["size"][0]), int(plain["size"][1]))
        self._channels, self._told = plain["channels"], Columns.load(plain["told"])

    # Files.

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """Read one file; see `data.read_pixels` for modes and sizes."""
        pixels = read_pixels(file, self.size, self._channels)
        cond = {"label": str(row["label"])} if self.labels and "label" in row else {}  # a name, never a class number
        return Item(pixels, cond, file.name)

    def write(self, samples: Sequence[np.ndarray], path: Path) -> list[Path]:
        """One PNG file for each sample and `grid.png` of all, in their order."""
        return save(samples, Path(path))

    def render(self, samples: Sequence[np.ndarray]) -> np.ndarray:
        """All samples side by side, uint8 (H, W) or (H, W, 3)."""
        return grid(samples)

    def datasets(self) -> Mapping[str, Source]:
        """`digits` comes with scikit-learn."""
        return {"digits": Digits()}

    # Model space.

    def encode(self, items: Sequence[Item], known: Sequence[np.ndarray | None] | None, rng: Rng) -> Encoded:
        """Pixels to patches, classes to numbers; all images of a batch have one size.

        Raises:
            ValueError: several sizes, a patch that does not divide them, a class that was not in the training data.
        """
        sizes = {item.data.shape[:2] for item in items}
        if len(sizes) > 1:
            raise ValueError(f"a batch holds images of one size, not of {_list_sizes(sizes)}: set modality.size")
        pixels = np.stack([to_channels(item.data, self._fitted_channels()) for item in items])
        encoded = encoder.encode(pixels, [None] * len(items) if known is None else known, self.patch)
        return replace(encoded, cond=self._told.encode(items))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | tuple[int, int] | None = None) -> Encoded:
        """n images to be made, of the training size or of `size` pixels: a side, or (height, width)."""
        channels = self._fitted_channels()
        shape = self._shape if size is None else (size, size) if isinstance(size, int) else tuple(size)
        if shape is None or len(shape) != 2:
            raise ValueError(f"size {size}: give a side, or a height and a width, in pixels")
        return replace(encoder.blank(n, int(shape[0]), int(shape[1]), channels, self.patch), cond=cond)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[np.ndarray]:
        """Patches to pixels, uint8 (H, W, C)."""
        return encoder.decode(state, aux["size"], self.patch)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given, a hole to fill, a part to extend."""
        return {"unconditional": Unconditional(), "inpaint": Inpaint(), "outpaint": Outpaint()}

    def paste(self, sample: np.ndarray, given: Item, known: np.ndarray | None) -> np.ndarray:
        """The given pixels, exact, over the sample."""
        if known is None:
            return sample
        return np.where(known[..., None], to_channels(given.data, sample.shape[-1]), sample)

    def read_known(self, file: File, item: Item) -> np.ndarray:
        """A picture of the given one's size: dark pixels are known, light ones (128 and above) are to be made.

        It is cut and resized as images are.
        """
        levels = read_pixels(file, self.size, channels=1)[..., 0]
        if levels.shape != item.data.shape[:2]:
            there, here = (" x ".join(map(str, shape)) for shape in (levels.shape, item.data.shape[:2]))
            raise BadItem(file.location, f"is a mask of {there} pixels for an image of {here}: they must be equal")
        return levels < 128

    def augment(self, item: Item, rng: Rng) -> Item:
        """Mirror and move, as the options say."""
        pixels = item.data
        if self.flip and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if self.shift:
            height, width = pixels.shape[:2]
            top, left = rng.integers(0, 2 * self.shift + 1, size=2)
            pad = (self.shift, self.shift)
            pixels = np.pad(pixels, (pad, pad, (0, 0)), mode="edge")[top : top + height, left : left + width]
        return replace(item, data=pixels)

    def cost(self, item: Item) -> int:
        """Number of patches."""
        height, width = item.data.shape[:2]
        return (height // self.patch) * (width // self.patch)

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import image_metrics

        return image_metrics(task, labelled="label" in self._told.classes)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[np.ndarray]:
        """Samples of a Gaussian fitted to the items, of each class; classes by name or by number. It knows of nothing given."""
        from .evaluation import gaussian_floor

        plain = [
            replace(item, data=to_channels(item.data, self._fitted_channels()), cond=self._numbers(item.cond))
            for item in items
        ]
        return gaussian_floor(plain, [self._numbers(values) for values in cond], rng)

    def _numbers(self, cond: Mapping[str, Any]) -> dict[str, int]:
        """The class by its number, where there is one."""
        label = cond.get("label")
        return {"label": class_number(self.conditions[0], label)} if self._told.classes and label is not None else {}

    def _fitted_channels(self) -> int:
        if self._channels is None:
            raise ValueError("the number of channels is unknown before fit(): set modality.channels, or fit on data")
        return self._channels


def _one_size(items: Sequence[Item]) -> tuple[int, int]:
    sizes = Counter(item.data.shape[:2] for item in items)
    if len(sizes) > 1:
        most = _list_sizes(size for size, _ in sizes.most_common(3)) + (", ..." if len(sizes) > 3 else "")
        raise ValueError(
            f"the {len(items):,} training images have {len(sizes):,} sizes ({most}): "
            "set modality.size, for instance modality.size=32"
        )
    return next(iter(sizes))


def _list_sizes(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{height} x {width}" for height, width in sizes)
