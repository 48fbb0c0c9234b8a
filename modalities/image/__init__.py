"""Images: pixels in patches, with a class where there are labels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import class_number
from ornstein.core.modality import Item, Modality, Rng
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Row, Source
from ornstein.core.sources.manifest import need_column
from ornstein.core.state import Conditions, Encoded, Field, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder
from .basis import Basis
from .buckets import Shape, draw, shapes_of
from .channels import to_channels
from .cifar import EXTENSION as BATCH
from .cifar import cifar_rows
from .data import Digits
from .fitting import Filter, Fit, Resize
from .formats import EXTENSIONS, Alpha
from .guides import GUIDE, TASKS, Guide, Told, with_own
from .parts import Grey, Means, Part
from .pictures import grid, save
from .reading import ANIMATED, MISSING, OPEN, ORIGINAL, Hidden, Keep, Reading
from .tasks import Colourise, Inpaint, Outpaint, Upscale

if TYPE_CHECKING:
    from ornstein.core.evaluation.protocol import Protocol
    from ornstein.core.evaluation.spec import MetricSpec


class Image(Modality):
    """Images of 1, 3 or 4 channels; an item's data and a decoded sample are uint8 (H, W, C), the fourth channel alpha.

    Args:
        size: side of the square that every image becomes; None: images stay as they are, and those to train on must have one
            size.
        patch: side of the patches, pixels; it divides height and width.
        channels: 1 grey, 3 colour; None: 1 if every training image is grey, else 3. Where alpha is kept there are 4.
        alpha: transparency is laid on `white`, or `keep` it as a fourth channel.
        resize: an image of another shape is cut (`crop`), distorted (`stretch`), or framed (`pad`).
        filter: `lanczos` or `area`, both antialiased.
        buckets: so many shapes of about size^2 pixels, from 1 : 2 to 2 : 1, of which an image takes the nearest; None: a square.
        hidden: colours that alpha hides and the frames of `pad` are learnt as they are (`learn`), or carry no loss (`ignore`).
        labels: whether the model can be told the class, where the data has labels.
        attributes: further columns that it can be told: words become classes, numbers numbers.
        captions: a column of texts that it can be told.
        mask: a column of the names of pictures whose light pixels carry no loss.
        basis: values of a patch are its `pixels`, or `means` over squares and what differs from them, patch a power of 2: then a
            smaller image and a grey one can be given (tasks `upscale`, `colourise`).
        guide: a lesser picture that the model is told for each pixel: of `low` resolution, `grey`, `blurred`, or `none`.
        factor: pixels of an image, on each axis, for one of the smaller image; for `upscale` a power of 2, at most `patch`.
        keep: decoded images are kept in `memory`, or decoded from their `file` whenever they are needed.
        flip: mirror half of the training images left to right.
        shift: move training images by up to this many pixels each way; edges are continued.
        extractors: published networks that judge beside the one trained on the data; see `named.Given`.
    """

    name: ClassVar[str] = "image"
    symmetries: ClassVar[tuple[str, ...]] = ()
    later: ClassVar[tuple[str, ...]] = ("extractors",)
    extensions: ClassVar[tuple[str, ...]] = (*EXTENSIONS, BATCH)

    def __init__(
        self,
        size: int | None = None,
        patch: int = 2,
        channels: Literal[1, 3] | None = None,
        alpha: Alpha = "white",
        resize: Resize = "crop",
        filter: Filter = "lanczos",
        buckets: int | None = None,
        hidden: Hidden = "learn",
        labels: bool = True,
        attributes: list[str] | None = None,
        captions: str | None = None,
        mask: str | None = None,
        basis: Literal["pixels", "means"] = "pixels",
        guide: Guide = "none",
        factor: int = 4,
        keep: Keep = "memory",
        flip: bool = False,
        shift: int = 0,
        extractors: list[str] | None = None,
    ) -> None:
        if patch < 1:
            raise ValueError(f"modality.patch={patch}: at least 1 pixel")
        if channels not in (None, 1, 3):
            raise ValueError(f"modality.channels={channels}: choose 1 (grey), 3 (colour) or null (as the data is)")
        if alpha == "keep" and channels is not None:
            raise ValueError(f"modality.channels={channels}: with modality.alpha=keep there are 4; leave channels out")
        if shift < 0:
            raise ValueError(f"modality.shift={shift}: a number of pixels, 0 or more")
        if basis not in ("pixels", "means"):
            raise ValueError(f"modality.basis={basis!r}; choose from pixels, means")
        if guide not in get_args(Guide):
            raise ValueError(f"modality.guide={guide!r}; choose from {', '.join(get_args(Guide))}")
        if factor < 2:
            raise ValueError(f"modality.factor={factor}: a smaller image has 2 or more pixels for one, on each axis")
        if basis == "means":
            Basis.of(patch, 1)  # raises where it is no power of 2
        if size is None and (buckets is not None or resize != "crop"):
            raise ValueError("modality.buckets and modality.resize say how images come to modality.size: give it too")
        self.size, self.patch, self.channels, self.alpha = size, patch, channels, alpha
        self.resize, self.filter, self.buckets, self.hidden = resize, filter, buckets, hidden
        self.labels, self.attributes, self.captions, self.mask = labels, attributes, captions, mask
        self.basis, self.guide, self.factor = basis, guide, factor
        self.keep, self.flip, self.shift, self.extractors = keep, flip, shift, extractors
        shapes: tuple[Shape, ...] = ()
        if size is not None:
            encoder.layout([(size, size)], patch)  # raises where the patch does not divide it
            shapes = ((size, size),) if buckets is None else shapes_of(size, patch, buckets)
        self._columns = [*(attributes or ()), *([] if captions is None else [captions])]
        self._channels: int | None = 4 if alpha == "keep" else channels
        self._reading = Reading(
            Fit(shapes, resize, filter), alpha, self._channels, hidden, labels, self._columns, mask, keep
        )
        self._shapes: list[tuple[int, int, int]] = [(*shape, 1) for shape in shapes]  # height, width, training images
        self._told = Columns()

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """One field `pixels` of p p C values for each patch."""
        values = self.patch**2 * self._fitted_channels()
        return (Field(encoder.FIELD, "continuous", values, Gaussian(Rectified(), Flow())),)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """The class `label`, and what `attributes` and `captions` name, as the training data has them."""
        specs = self._told.specs()
        if self.guide == "none" or self._channels is None:
            return specs
        return (*specs, ConditionSpec(GUIDE, "dense", self.patch**2 * self._channels, "concat"))

    @property
    def axes(self) -> int:
        """Row and column."""
        return 2

    def fit(self, items: Sequence[Item]) -> None:
        """Find the sizes, the number of channels and what images are told to be.

        Raises:
            ValueError: no items, images of several sizes while `size` is None, or a column that is word and number.
        """
        if not items:
            raise ValueError("there is no training image: the channels and the classes are unknown")
        if self.size is None:
            _check_one_size(items)
        sizes = Counter(item.data.shape[:2] for item in items)
        encoder.layout(list(sizes), self.patch)
        self._shapes = sorted((int(height), int(width), count) for (height, width), count in sizes.items())
        self._channels = 4 if self.alpha == "keep" else self.channels or max(item.data.shape[-1] for item in items)
        told = [*(["label"] if self.labels else []), *self._columns]
        self._told = Columns.of(items, ["label"], [] if self.captions is None else [self.captions], told)
        animated = [item.key for item in items if ANIMATED in item.meta]
        if animated:
            named = ", ".join(animated[:3]) + (", ..." if len(animated) > 3 else "")
            warnings.warn(f"of {len(animated):,} animated images the first frame is taken: {named}", stacklevel=2)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Sizes, channels, and classes, scales and lengths of what images are told to be."""
        return {}, {"shapes": self._shapes, "channels": self._channels, "told": vars(self._told)}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._shapes = [(int(height), int(width), int(count)) for height, width, count in plain["shapes"]]
        self._channels, self._told = plain["channels"], Columns.load(plain["told"])

    # Files.

    def rows(self, rows: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each picture, of which a batch file of CIFAR-10 holds many.

        Raises:
            BadItem: a batch file that is none.
            LookupError: a column of `attributes`, `captions` or `mask` that the data does not have.
        """
        found = cifar_rows(rows, official=shares is not None)
        if shares is None:
            found = [replace(row, values={**row.values, OPEN: True}) for row in found]
        if shares is not None:
            names = list(dict.fromkeys(name for row in found for name in row.values))
            for column in (*self._columns, *([] if self.mask is None else [self.mask])):
                need_column(column, names, "the data")
        return found

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """Read one file; see `formats.read_picture` for modes and `Fit` for sizes."""
        if self._reading.channels != self._channels:  # as `fit` found
            self._reading = replace(self._reading, channels=self._channels)
        item = self._reading.read(file, row)
        return with_own(item, self.factor, [shape[:2] for shape in self._shapes]) if self.size is None else item

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

    def encode(self, items: Sequence[Item], known: Sequence[np.ndarray | Part | None] | None, rng: Rng) -> Encoded:
        """Pixels to patches, classes to numbers.

        Raises:
            ValueError: several sizes without buckets, a patch that does not divide them, a class that was not in the training
                data.
        """
        sizes = {item.data.shape[:2] for item in items}
        if len(sizes) > 1 and self.buckets is None:
            raise ValueError(f"a batch holds images of one size, not of {_list_sizes(sizes)}: set modality.size")
        pixels = [to_channels(item.data, self._fitted_channels()) for item in items]
        missing = [self._missing(item, image) for item, image in zip(items, pixels, strict=True)]
        encoded, cond = encoder.encode(pixels, known, missing, self.patch, self._basis), self._told.encode(items)
        if self.guide != "none":
            pictures = [item.cond.get(GUIDE) for item in items]
            cond[GUIDE] = encoder.told(pictures, encoded.layout.tokens, self.fields[0].channels, self.patch)
        return replace(encoded, cond=cond)

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | tuple[int, int] | None = None) -> Encoded:
        """n images to be made, of training sizes or of `size` pixels: a side, or (height, width)."""
        if size is None:
            shapes = draw(self._shapes, n, rng) if self._shapes else []
        else:
            sides = (size, size) if isinstance(size, int) else tuple(size)
            shapes = [(int(sides[0]), int(sides[1]))] * n if len(sides) == 2 else []
        if not shapes:
            raise ValueError(f"size {size}: give a side, or a height and a width, in pixels")
        return replace(encoder.blank(shapes, self._fitted_channels(), self.patch), cond=cond)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[np.ndarray]:
        """Patches to pixels, uint8 (H, W, C)."""
        return encoder.decode(state, aux["size"], self.patch, self._basis)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given, a hole to fill, a part to extend; a smaller or a grey image by the basis, a lesser one by the guide."""
        tasks: dict[str, Task] = {"unconditional": Unconditional(), "inpaint": Inpaint(), "outpaint": Outpaint()}
        if self.basis == "means" and self.patch % self.factor == 0:
            tasks["upscale"] = Upscale(self.factor)
        if self.basis == "means" and self._channels in (3, 4):
            tasks["colourise"] = Colourise()
        if self.guide != "none":
            tasks[TASKS[self.guide]] = Told(self.guide, self.factor)
        return tasks

    def paste(self, sample: np.ndarray, given: Item, known: np.ndarray | Part | None) -> np.ndarray:
        """What is given, exact: pixels over the sample, means and grey by the least change of its levels."""
        if known is None:
            return sample
        if isinstance(known, Means | Grey):
            return known.paste(sample, to_channels(given.data, sample.shape[-1]))
        return np.where(known[..., None], to_channels(given.data, sample.shape[-1]), sample)

    def read_known(self, file: File, item: Item) -> np.ndarray:
        """A picture of the given one's size: dark pixels are known, light ones (128 and above) are to be made.

        It is cut and resized as images are.

        Raises:
            BadItem: a mask of another size.
        """
        shape = item.data.shape[:2]
        return ~self._reading.read_mask(file, item.meta.get(ORIGINAL, shape), shape)

    def augment(self, item: Item, rng: Rng) -> Item:
        """Mirror and move, as the options say, and what is missing with them."""
        parts = [np.asarray(item.data)] + ([item.meta[MISSING][..., None]] if MISSING in item.meta else [])
        if self.flip and rng.random() < 0.5:
            parts = [part[:, ::-1] for part in parts]
        if self.shift:
            height, width = item.data.shape[:2]
            top, left = rng.integers(0, 2 * self.shift + 1, size=2)
            around = [(self.shift, self.shift)] * 2 + [(0, 0)]
            parts = [np.pad(part, around, mode="edge")[top : top + height, left : left + width] for part in parts]
        meta = item.meta if len(parts) == 1 else {**item.meta, MISSING: parts[1][..., 0]}
        return replace(item, data=parts[0], meta=meta)

    def bucket(self, item: Item) -> tuple[int, int]:
        """The height and the width."""
        return item.data.shape[:2]

    def cost(self, item: Item) -> int:
        """Number of patches."""
        height, width = item.data.shape[:2]
        return (height // self.patch) * (width // self.patch)

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import image_metrics

        side = None if self.buckets is None else self.size
        return image_metrics(task, "label" in self._told.classes, self.extractors or (), side)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[np.ndarray]:
        """Samples of a Gaussian fitted to the items, of each class, by name or by number; of given items what is told of them."""
        from .floors import gaussian_floor, shown

        channels = self._fitted_channels()
        plain = [replace(item, data=to_channels(item.data, channels), cond=self._numbers(item.cond)) for item in items]
        shapes = None if given is None else [(*item.data.shape[:2], channels) for item in given]
        drawn = gaussian_floor(plain, [self._numbers(values) for values in cond], rng, shapes)
        if given is None or known is None:
            return drawn
        return [shown(*parts) for parts in zip(given, known, drawn, strict=True)]

    def protocols(self) -> Mapping[str, Protocol]:
        """Tables as papers on images print them."""
        from .protocols import Published

        return {"published": Published()}

    def _numbers(self, cond: Mapping[str, Any]) -> dict[str, int]:
        """The class by its number, where there is one."""
        spec = next((spec for spec in self._told.specs() if spec.name == "label"), None)
        label = cond.get("label")
        return {} if spec is None or label is None else {"label": class_number(spec, label)}

    def _missing(self, item: Item, pixels: np.ndarray) -> np.ndarray | None:
        """Values that carry no loss, bool (H, W[, C]): what a mask or a frame leaves out, and colours that alpha hides."""
        masked = item.meta.get(MISSING)
        if pixels.shape[-1] != 4 or self.hidden == "learn":
            return masked
        hidden = np.repeat(pixels[..., 3:] == 0, 4, axis=-1)
        hidden[..., 3] = False
        return hidden if masked is None else hidden | masked[..., None]

    @property
    def _basis(self) -> Basis | None:
        return Basis.of(self.patch, self._fitted_channels()) if self.basis == "means" else None

    def _fitted_channels(self) -> int:
        if self._channels is None:
            raise ValueError("the number of channels is unknown before fit(): set modality.channels, or fit on data")
        return self._channels


def _check_one_size(items: Sequence[Item]) -> None:
    """Raise a ValueError that names one of the odd images, where training images have several sizes."""
    sizes = Counter(item.data.shape[:2] for item in items)
    if len(sizes) == 1:
        return
    (common, _), (odd, _), *_ = sizes.most_common()
    most = _list_sizes(size for size, _ in sizes.most_common(3)) + (", ..." if len(sizes) > 3 else "")
    named = next(item.key for item in items if item.data.shape[:2] == odd)
    raise ValueError(
        f"the {len(items):,} training images have {len(sizes):,} sizes ({most}): {named or 'one'} is not "
        f"{_list_sizes([common])} as most are; set modality.size, for instance modality.size=32"
    )


def _list_sizes(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{height} x {width}" for height, width in sizes)
