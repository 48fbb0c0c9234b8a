"""Outlines: sets of points in the plane, a text file each. The worked example of "Add a modality in an hour"."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.modality import BadItem, Item, Modality, Rng
from ornstein.core.processes import Gaussian
from ornstein.core.sources import File, Listing, Memory, Row, Source
from ornstein.core.state import CentreFree, Conditions, Encoded, Field, Layout, State
from torch import Tensor

Points = np.ndarray  # (n, 2), in the unit of the file


class Outline(Modality):
    """Outlines of any number of points. What is learnt: their scale, and how many points they have."""

    name = "outline"
    symmetries = ("permutation", "translation")
    extensions = (".txt",)
    axes = 0  # a set: the tokens stand nowhere

    def __init__(self, max_points: int = 256) -> None:
        self.max_points = max_points
        self.scale, self.sizes = 1.0, [1]

    # 1. What is diffused, and what the model can be told.

    @property
    def fields(self) -> tuple[Field, ...]:
        """One point is one token. Where an outline lies says nothing, so its noise has mean zero."""
        return (Field("points", "continuous", 2, Gaussian(), space=CentreFree()),)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """Nothing."""
        return ()

    # 2. Files.

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """Lines of two numbers."""
        try:
            points = np.loadtxt(file.read().decode().splitlines(), ndmin=2)
        except ValueError as error:
            raise BadItem(file.location, f"is not a table of numbers ({error})") from error
        if points.shape[1:] != (2,) or not 0 < len(points) <= self.max_points or not np.isfinite(points).all():
            raise BadItem(file.location, f"holds {points.shape}; (1 to {self.max_points}, 2) finite numbers are needed")
        return Item(points, key=file.name)

    def write(self, samples: Sequence[Points], path: Path) -> list[Path]:
        """One text file each."""
        path.mkdir(parents=True, exist_ok=True)
        paths = [path / f"{i:05d}.txt" for i in range(len(samples))]
        for target, points in zip(paths, samples, strict=True):
            np.savetxt(target, points)
        return paths

    def datasets(self) -> Mapping[str, Source]:
        """Rings, which need no download."""
        return {"rings": rings()}

    # 3. Statistics, once, from the training items; they travel with the checkpoint.

    def fit(self, items: Sequence[Item]) -> None:
        """The scale of the centred points, and the sizes."""
        centred = [item.data - item.data.mean(0) for item in items]
        self.scale = float(np.concatenate(centred).std())
        self.sizes = sorted(len(points) for points in centred)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both, as plain JSON."""
        return {}, {"scale": self.scale, "sizes": self.sizes}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take them back."""
        self.scale, self.sizes = plain["scale"], plain["sizes"]

    # 4. Items to tokens and back. A row of the mask ends in False where an outline has fewer points than the longest.

    def encode(self, items: Sequence[Item], known: Sequence[Any | None] | None, rng: Rng) -> Encoded:
        """Centred points at unit variance, padded."""
        mask = _mask([len(item.data) for item in items])
        x = torch.zeros(*mask.shape, 2)
        for i, item in enumerate(items):
            x[i, : len(item.data)] = torch.from_numpy((item.data - item.data.mean(0)) / self.scale)
        return Encoded({"points": x}, Layout(mask))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | None = None) -> Encoded:
        """Sizes as they were seen in training, or one for all."""
        mask = _mask([int(rng.choice(self.sizes)) if size is None else size for _ in range(n)])
        return Encoded({"points": torch.zeros(*mask.shape, 2)}, Layout(mask))

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Points]:
        """Points in the unit of the files."""
        x = state["points"].double().cpu() * self.scale
        return [points[real].numpy() for points, real in zip(x, mask.cpu(), strict=True)]

    # 5. How a result is judged, and what a person looks at while it trains.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """How far the distribution of radii is off."""
        return (
            MetricSpec("radius distance", "lower", "Wasserstein distance of the radii, in the files' unit.", _radii),
        )

    def render(self, samples: Sequence[Points]) -> Any:
        """All outlines in one plot."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4, 4))
        axes = figure.add_subplot(aspect="equal")
        for points in samples:
            axes.scatter(*points.T, s=4)
        return figure


def rings() -> Source:
    """200 noisy rings of 8 to 24 points and radius 1 to 2, always the same: text files held in memory."""
    rng = np.random.default_rng(0)
    store = Memory("rings", {f"{i:03d}.txt": _ring(rng).encode() for i in range(200)})
    return Listing(tuple(Row(File(name, store)) for name in store.names()), "200 noisy rings")


def _ring(rng: Rng) -> str:
    count, radius = rng.integers(8, 25), rng.uniform(1, 2)
    angle = 2 * np.pi * (np.arange(count) / count + rng.random())
    points = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(scale=0.05, size=(count, 2))
    return "\n".join(f"{x} {y}" for x, y in points)


def _mask(sizes: Sequence[int]) -> Tensor:
    return torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]


def _radii(candidate: Judged, reference: Judged, context: Context) -> float:
    first, second = (np.concatenate([_radius(x) for x in judged.samples]) for judged in (candidate, reference))
    at = (np.arange(512) + 0.5) / 512
    return float(np.abs(np.quantile(first, at) - np.quantile(second, at)).mean())


def _radius(points: Points) -> np.ndarray:
    return np.linalg.norm(points - points.mean(0), axis=1)
