"""Point clouds: shapes as sets of points, from meshes or scans."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import class_number
from ornstein.core.modality import BadItem, Item, Modality, Rng
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Row, Source
from ornstein.core.state import Conditions, Encoded, Field, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder, reading
from .cloud import Cloud
from .data import shapenet
from .formats import EXTENSIONS
from .furniture import Furniture
from .masks import read_mask
from .normalise import KINDS, Frame, Frames, Normalise
from .reading import CAPTION, LABEL
from .tasks import DRAWN, OPEN, Completion, Denoise, Drop, Half, Regenerate, Upsample, View

if TYPE_CHECKING:
    from ornstein.core.evaluation.protocol import Protocol
    from ornstein.core.evaluation.spec import MetricSpec

__all__ = ["Cloud", "PointClouds"]

GIVEN = "given"  # in a row: the item is a user's own, given to a trained model


class PointClouds(Modality):
    """Shapes; an item's data and a decoded sample are a `Cloud`.

    A token is a point, and tokens stand nowhere: a shape is a set. A mesh is sampled by area when it is read, `dense` points by a
    seed of its own content; each training step takes others of them, and what is held out its first `points`.

    Args:
        points: N, points of a shape in training and of new samples; shapes that have fewer keep theirs.
        vary: least and most points of a shape in training, drawn log-uniformly for each; None: always `points`.
        dense: points that are kept of each file; None: 4 times the most that a training step takes.
        normals: whether unit normals are made too.
        colours: whether colours are made too.
        normalise: what places and scales shapes in model space; see `normalise.Frames`.
        up: the axis of the files that points up; clouds have y up.
        unit: of the files, where they do not say theirs: um, mm, cm, m, inch, ft; clouds are then in metres. None: as they stand.
        rotate: turn training shapes about the upright axis at random.
        labels: whether the model can be told the class, where the data has labels.
        captions: whether the model can be told a caption, where the data has captions.
        factor: the task `upsample` makes so many points of one.
    """

    name: ClassVar[str] = "pointcloud"
    symmetries: ClassVar[tuple[str, ...]] = ("permutation",)
    extensions: ClassVar[tuple[str, ...]] = EXTENSIONS

    def __init__(
        self,
        points: int = 512,
        vary: tuple[int, int] | None = None,
        dense: int | None = None,
        normals: bool = False,
        colours: bool = False,
        normalise: Normalise = "dataset",
        up: Literal["y", "z"] = "y",
        unit: str | None = None,
        rotate: bool = False,
        labels: bool = True,
        captions: bool = False,
        factor: int = 4,
    ) -> None:
        if points < 2 or factor < 2:
            raise ValueError(f"modality.points={points}, modality.factor={factor}: at least 2 of each are needed")
        if vary is not None and not 2 <= vary[0] <= vary[1]:
            raise ValueError(f"modality.vary={list(vary)}: the least and the most points of a shape, at least 2")
        if normalise not in KINDS:
            raise ValueError(f"modality.normalise={normalise}: choose {', '.join(KINDS)}")
        most = points if vary is None else max(points, vary[1])
        if dense is not None and dense < most:
            raise ValueError(f"modality.dense={dense}: training takes up to {most} points of a shape; give as many")
        self.points, self.vary, self.dense = points, None if vary is None else (vary[0], vary[1]), dense
        self.normals, self.colours, self.normalise = normals, colours, normalise
        self.up, self.unit, self.rotate = up, unit, rotate
        self.labels, self.captions, self.factor = labels, captions, factor
        self._reading = reading.Reading(4 * most if dense is None else dense, up, unit, points)
        self._frames: Frames | None = None
        self._told = Columns()

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """`points`, and where they are asked for `normals` and `colours`: 3 numbers for each point."""
        names = encoder.Space(Frames(), self.normals, self.colours).names
        return tuple(Field(name, "continuous", 3, Gaussian(Rectified(), Flow())) for name in names)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """`label` and `caption`, where they are asked for and the training data has them."""
        return self._told.specs()

    @property
    def axes(self) -> int:
        """Points are a set."""
        return 0

    def fit(self, items: Sequence[Item]) -> None:
        """Learn the frames, the classes and the longest caption; warns where shapes have fewer points than a training step takes.

        Raises:
            ValueError: no items, shapes without extent, or a column that is to be made and that none of them has.
        """
        if not items:
            raise ValueError("there is no training shape: the scale of the points is unknown")
        for column in ("normals", "colours"):
            if getattr(self, column) and all(getattr(item.data, column) is None for item in items):
                raise ValueError(
                    f"no training shape has {column}: set modality.{column}=false, or give files that have them"
                )
        least, sizes = self.points if self.vary is None else self.vary[0], [item.data.size for item in items]
        if min(sizes) < least:
            warnings.warn(
                f"{sum(size < least for size in sizes):,} of {len(items):,} training shapes have fewer than {least:,} points, "
                f"the smallest {min(sizes):,}: they keep those that they have, none is taken twice",
                stacklevel=2,
            )
        wanted = [name for name, use in ((LABEL, self.labels), (CAPTION, self.captions)) if use]
        self._told = Columns.of(items, classes=[LABEL], texts=[CAPTION], only=wanted)
        numbers = [self._told.number(item, LABEL) for item in items]
        labels = [-1 if number is None else number for number in numbers]
        self._frames = Frames.of(self.normalise, [item.data.points for item in items], labels)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The frames and the conditions."""
        if self._frames is None:
            return {}, {}
        one = [*self._frames.one.centre.tolist(), self._frames.one.scale]
        tensors = {}
        if self.normalise != "dataset":
            tensors = {"bank": torch.from_numpy(self._frames.bank), "labels": torch.from_numpy(self._frames.labels)}
        return tensors, {"frame": one, "told": vars(self._told)}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        *centre, scale = plain["frame"]
        bank = {name: x.cpu().numpy() for name, x in tensors.items()}
        self._frames = Frames(self.normalise, Frame(np.array(centre), scale), **bank)
        self._told = Columns.load(plain["told"])

    # Files.

    def rows(self, rows: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each cloud of a file of arrays, with the part that ShapeNet's folders name; given ones are marked."""
        found = reading.rows(rows)
        return shapenet(found) if shares is not None else [Row(row.file, {**row.values, GIVEN: 1}) for row in found]

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """A shape, with the columns that are of use.

        Raises:
            BadItem: what is wrong with the file.
        """
        item = reading.read(file, row, self._reading)
        if self._frames is None:
            lacks = [
                name for name in ("normals", "colours") if getattr(self, name) and getattr(item.data, name) is None
            ]
            if lacks:
                raise BadItem(file.location, f"has no {' and no '.join(lacks)}, which modality.{lacks[0]}=true needs")
        cloud = replace(
            item.data,
            normals=item.data.normals if self.normals else None,
            colours=item.data.colours if self.colours else None,
        )
        cond = {name: value for name, value in item.cond.items() if name in self._wanted}
        return replace(item, data=cloud, cond=cond, meta={**item.meta, **({OPEN: True} if GIVEN in row else {})})

    def write(self, samples: Sequence[Cloud], path: Path) -> list[Path]:
        """PLY files, all samples in one NPZ, and a GLB to look at; see `writing.save`."""
        from .writing import save

        return save(samples, Path(path))

    def render(self, samples: Sequence[Cloud]) -> Any:
        """Shaded views side by side, (H, W, 3) uint8."""
        from .pictures import grid

        return grid(samples)

    def view(self, samples: Sequence[Cloud]) -> str:
        """Shapes to turn with the mouse."""
        from .view import view3d

        return view3d(samples)

    def datasets(self) -> Mapping[str, Source]:
        """`furniture` is made with trimesh."""
        return {"furniture": Furniture()}

    # Model space.

    def encode(self, items: Sequence[Item], known: Sequence[np.ndarray | None] | None, rng: Rng) -> Encoded:
        """Shapes to sets of points.

        Raises:
            ValueError: a class that the training data does not have.
        """
        masks = [None] * len(items) if known is None else known
        clouds = [self._counted(item, mask) for item, mask in zip(items, masks, strict=True)]
        return replace(self._space().encode(clouds, known), cond=self._told.encode(items))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | None = None) -> Encoded:
        """n shapes to be made, of `points` or of `size` points; where and how large, as training shapes are.

        Raises:
            ValueError: a size that is not a number of points.
        """
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"size {size}: give a number of points, at least 1")
        space, label = self._space(), cond.get("label")
        classes = [None] * n if label is None else [
            int(value) if there else None for value, there in zip(label.value, label.present, strict=True)]  # fmt: skip
        # One draw after another, so that sample k does not depend on n.
        frames = [space.frames.drawn(u, number) for u, number in zip(rng.random(n), classes, strict=True)]
        return replace(space.blank([self.points if size is None else size] * n, frames), cond=cond)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Cloud]:
        """Sets of points to shapes in the unit of the training data."""
        return self._space().decode(state, mask, aux)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given; a view, a half, or some points; every fourth; all but a part; all but strays."""
        n = self.points
        return {
            "unconditional": Unconditional(),
            "completion": Completion(n),
            "completion_view": View(n),
            "completion_half": Half(n),
            "completion_drop": Drop(n),
            "upsample": Upsample(n, factor=self.factor),
            "regenerate": Regenerate(n),
            "denoise": Denoise(n),
        }

    def paste(self, sample: Cloud, given: Item, known: np.ndarray | None) -> Cloud:
        """The given points, exact, over the sample: the same rows."""
        if known is None:
            return sample
        columns = {}
        for name, made in sample.columns.items():
            there = getattr(given.data, name)
            mask = known if made.ndim == 1 else known[:, None]
            columns[name] = made if there is None else np.where(mask, there, made).astype(made.dtype)
        return replace(sample, **columns, name=given.data.name)

    def read_known(self, file: File, item: Item) -> np.ndarray:
        """What of a given shape stays: all but a box, or a part; see `masks.read_mask`."""
        return read_mask(file, item)

    def augment(self, item: Item, rng: Rng) -> Item:
        """Some of the points, others each time; turned about the upright axis where `rotate` is set."""
        low, high = self.vary or (self.points, self.points)
        count = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        cloud = item.data.take(rng.permutation(item.data.size)[:count])
        if self.rotate:
            angle = rng.uniform(0, 2 * np.pi)
            c, s = np.cos(angle), np.sin(angle)
            turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
            normals = None if cloud.normals is None else cloud.normals @ turn.T
            cloud = replace(cloud, points=cloud.points @ turn.T, normals=normals)
        return replace(item, data=cloud, meta={**item.meta, DRAWN: True})

    def cost(self, item: Item) -> int:
        """Number of points."""
        return min(item.data.size, self.points)

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import cloud_metrics

        return cloud_metrics(task, self.points, labelled=LABEL in self._told.classes)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Cloud]:
        """Training shapes with jitter; where something is given, its mirror image; see `floors`."""
        from .floors import cloud_floor

        cut = [replace(item, data=self._counted(item, None), cond=self._named(item.cond)) for item in items]
        return cloud_floor(cut, [self._named(values) for values in cond], rng, given, known)

    def protocols(self) -> Mapping[str, Protocol]:
        """Tables as papers on point clouds print them."""
        from .protocols import PVD

        return {"pvd": PVD()}

    def _named(self, cond: Mapping[str, Any]) -> dict[str, Any]:
        """The class by its name, where it is told by name or by number."""
        label, names = cond.get(LABEL), self._told.classes.get(LABEL)
        return (
            {**cond, LABEL: names[class_number(self.conditions[0], label)]}
            if names and label is not None
            else dict(cond)
        )

    def _counted(self, item: Item, mask: np.ndarray | None) -> Cloud:
        """The points that count: all that are posed, drawn for a step or a user's own; the first `points` of any other item."""
        scan = (
            item.meta.get(OPEN) and item.meta.get("points", item.data.size) > 0
        )  # 0: of a surface, which has no points of its own
        if mask is not None or scan or item.meta.get(DRAWN):
            return item.data
        return item.data.take(slice(self.points))

    def _space(self) -> encoder.Space:
        if self._frames is None:
            raise ValueError("the scale of the points is unknown before fit()")
        return encoder.Space(self._frames, self.normals, self.colours)

    @property
    def _wanted(self) -> tuple[str, ...]:
        return (*(("label",) if self.labels else ()), *(("caption",) if self.captions else ()))
