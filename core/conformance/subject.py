"""A modality under test, with what several rules need of it: each thing is made once, and its failure reported once."""

from __future__ import annotations

import copy
import io
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch

from .. import rng
from ..backbones.backbone import Backbone
from ..backbones.dit import DiT
from ..conditioning.spec import ConditionSpec
from ..denoiser import NeuralDenoiser
from ..modality import Item, Modality, Rng, Sample
from ..sources import Row, Source
from ..state import Encoded, Field
from .rule import Broken, Skipped, require

T = TypeVar("T")
BackboneFactory = Callable[[tuple[Field, ...], tuple[ConditionSpec, ...], int], Backbone]
BATCH = 6


def small_dit(fields: tuple[Field, ...], conditions: tuple[ConditionSpec, ...], axes: int) -> Backbone:
    """A transformer small enough to be asked many times."""
    return DiT(fields, conditions, axes, width=32, depth=2, heads=2, pair_width=16)


class stage(Generic[T]):  # noqa: N801 - used as `property` is
    """A property made once. The rule that asks first sees why it cannot be made; later ones are skipped."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __get__(self, subject: Subject, owner: type | None = None) -> T:
        name = self.make.__name__
        if name in subject.failed:
            raise Skipped(f"needs {name.replace('_', ' ')}, which an earlier rule could not get")
        if name not in subject.made:
            try:
                subject.made[name] = self.make(subject)
            except Exception:
                subject.failed.add(name)
                raise
        return subject.made[name]


class Subject:
    """A modality with its rows, items, batches and a small network.

    Args:
        modality: left as it is; the rules look at a copy.
        backbone: makes the network of the rules that need one.
        items: how many items of the default data set are read, spread over it.
        tolerance: largest error of a round trip through decoding, in units of model space.
    """

    def __init__(self, modality: Modality, backbone: BackboneFactory, items: int, tolerance: float) -> None:
        self.modality, self.backbone, self.count, self.tolerance = copy.deepcopy(modality), backbone, items, tolerance
        self.made: dict[str, Any] = {}
        self.failed: set[str] = set()

    @stage
    def source(self) -> Source:
        """The first data set that opens without a network."""
        errors = []
        with no_network():
            for name, source in self.modality.datasets().items():
                try:
                    if source.rows():
                        return source
                    errors.append(f"{name}: it has no rows")
                except Exception as error:
                    errors.append(f"{name}: {error}")
        raise Broken(
            f"no data set of datasets() opens without a network ({'; '.join(errors) or 'it is empty'}); at least one "
            "must: rows that come with a library, or files made by a rule and held in sources.Memory"
        )

    @stage
    def rows(self) -> Sequence[Row]:
        """Some of the rows of its items, spread over it."""
        rows = self.modality.rows(self.source.rows(), (0.8, 0.1, 0.1))
        return rows[:: max(1, len(rows) // self.count)][: self.count]

    @stage
    def items(self) -> list[Item]:
        """The items of the rows."""
        with no_network():
            return [self.modality.read(row.file, row.values) for row in self.rows]

    @stage
    def fitted(self) -> Modality:
        """The modality after `fit` on the items."""
        self.modality.fit(self.items)
        return self.modality

    @stage
    def encoded(self) -> Encoded:
        """The first items as a batch, nothing known."""
        return self.encode(self.items[:BATCH])

    @stage
    def posed(self) -> Encoded:
        """Two batches' worth of items as a batch, posed by the tasks in turn."""
        tasks = list(self.fitted.tasks().values())
        items = self.items[: 2 * BATCH]
        pairs = [tasks[i % len(tasks)].pose(item, generator("pose", i)) for i, item in enumerate(items)]
        given = [known for _, known in pairs] if any(known is not None for _, known in pairs) else None
        return self.encode([item for item, _ in pairs], given)

    @stage
    def network(self) -> NeuralDenoiser:
        """A denoiser at its initialisation."""
        m = self.fitted
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return NeuralDenoiser(self.backbone(m.fields, m.conditions, m.axes), m.fields, m.conditions, modality=m)

    @stage
    def stirred(self) -> NeuralDenoiser:
        """The same with every weight moved, so that nothing is zero and all that is wired up can be seen."""
        denoiser = copy.deepcopy(self.network)
        denoiser.modality = self.fitted
        source = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in denoiser.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.1)
        return denoiser.eval()

    @stage
    def denoiser(self) -> NeuralDenoiser:
        """The stirred one in float64, so that tolerances can be tight."""
        return copy.deepcopy(self.stirred).double()

    def encode(self, items: Sequence[Item], known: Sequence[Any | None] | None = None) -> Encoded:
        """A batch, with randomness that is always the same."""
        return self.fitted.encode(items, known, generator("encode"))

    def item_of(self, item: Item, sample: Sample) -> Item:
        """A decoded sample in the place of an item's data."""
        if type(sample) is not type(item.data):
            raise Skipped(
                f"decode gives {type(sample).__name__}, items hold {type(item.data).__name__}: "
                "they cannot be compared; files are (written_files_can_be_read)"
            )
        return replace(item, data=sample)


def generator(*words: int | str) -> Rng:
    """A generator that is the same on every run."""
    return rng.generator(0, "conformance", *words)


class _Snapshot(pickle.Pickler):
    """Tensors by their content: their own pickles hold addresses in memory."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        flat = value.detach().cpu().contiguous().view(-1)
        return _content, (str(value.dtype), tuple(value.shape), flat.view(torch.uint8).numpy().tobytes())


def _content(*parts: Any) -> tuple[Any, ...]:
    return parts


def snapshot(value: Any) -> bytes:
    """All of a value, to see whether it was changed."""
    content = io.BytesIO()
    try:
        _Snapshot(content).dump(value)
        return content.getvalue()
    except Exception as error:
        raise Broken(f"{type(value).__name__} cannot be pickled, so no worker process can have it: {error}") from error


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse connections to other machines within the block."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError("the conformance kit allows no network here")
        connect(self, address)

    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]


def need(items: Sequence[Any], count: int, what: str) -> None:
    """Break the rule where there are too few to test anything."""
    require(len(items) >= count, f"{len(items)} {what}; the rules need at least {count}")
