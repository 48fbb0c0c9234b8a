"""Which items make up which batch, and how a worker makes one: pure functions of the seed and the batch's number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..modality import Modality
from ..rng import generator
from ..state import Encoded
from ..tasks import Task, Unconditional, choose

if TYPE_CHECKING:
    from ..modality import Item


_DEALT = 16  # batches whose items are dealt out by cost: enough that few sizes meet in one, few enough that order stays random


@dataclass(frozen=True)
class Batch:
    """An encoded batch with its place in the run.

    Args:
        encoded: the batch in model space.
        index: (B,) int64, place of each sample in the global batch, or in its held-out part.
        number: how many global batches came before; 0 for a held-out part.
        total: samples of the global batch, over all processes, or of the held-out part.
        keys: names of the items, for messages.
    """

    encoded: Encoded
    index: Tensor
    number: int
    total: int
    keys: tuple[str, ...]

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device, without waiting where its memory is pinned. `aux` stays where it is."""
        return self._each(lambda x: x.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; called by the data loader."""
        return self._each(lambda x: x.pin_memory())

    def _each(self, move: Callable[[Tensor], Tensor]) -> Batch:
        e = self.encoded
        encoded = replace(
            e,
            state=_each(e.state, move),
            layout=_each(e.layout, move),
            cond={name: _each(c, move) for name, c in e.cond.items()},
            known=e.known and replace(e.known, bits=_each(e.known.bits, move), values=_each(e.known.values, move)),
            missing=_each(e.missing, move),
        )
        return replace(self, encoded=encoded, index=move(self.index))


@dataclass(frozen=True)
class Order:
    """One process's part of one global batch: which items, and their places in it."""

    number: int
    items: tuple[int, ...]
    index: tuple[int, ...]


class Stream(Sampler[Order]):
    """The endless order of training batches.

    Permutations of the items, one for each epoch, stand one after the other; global batch g takes the next W b of them, process
    r of W the places r b .. (r + 1) b - 1. So each epoch holds each item once, no batch is short, and any number of items serves.

    Where items differ in cost, the items of each 16 batches in a row are dealt out anew: sorted by cost, cut into batches, the
    batches shuffled and each within itself. So little is padded, and each epoch still holds each item once.

    Args:
        items: number of training items.
        batch_size: b, samples of one process.
        seed: of the permutations.
        rank: r.
        world: W, number of processes.
        position: number of global batches that the run has behind it, asked when an iteration starts.
        costs: (items,) cost of each item; None: all the same.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        position: Callable[[], int] = lambda: 0,
        costs: Sequence[int] | None = None,
    ) -> None:
        self.items = items
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.position = position
        self.costs = np.zeros(items) if costs is None else np.asarray(costs)
        self.differ = len(set(self.costs.tolist())) > 1
        self._permutation = lru_cache(maxsize=4)(self._permute)
        self._dealt = lru_cache(maxsize=2)(self._deal)

    def __iter__(self) -> Iterator[Order]:
        return map(self.order, count(self.position()))

    def order(self, number: int) -> Order:
        """This process's part of global batch `number`."""
        index = range(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        batch = self._stretch(number, 1) if not self.differ else self._dealt(number // _DEALT)[number % _DEALT]
        return Order(number, tuple(batch[index.start : index.stop].tolist()), tuple(index))

    def _deal(self, stretch: int) -> np.ndarray:
        """(16, W b) the items of 16 batches in a row, those of like cost together."""
        items, rng = self._stretch(stretch * _DEALT, _DEALT), generator(self.seed, "deal", stretch)
        batches = items[np.argsort(self.costs[items], kind="stable")].reshape(_DEALT, -1)
        return rng.permuted(rng.permutation(batches), axis=1)

    def _stretch(self, number: int, batches: int) -> np.ndarray:
        """The items of some global batches in a row, as the permutations have them."""
        size = self.world * self.batch_size
        places = np.arange(number * size, (number + batches) * size)
        epochs = range(int(places[0]) // self.items, int(places[-1]) // self.items + 1)
        return np.concatenate([self._permutation(e)[places[places // self.items == e] % self.items] for e in epochs])

    def _permute(self, epoch: int) -> np.ndarray:
        return generator(self.seed, "order", epoch).permutation(self.items)


class HeldOut(Sampler[Order]):
    """The batches of a held-out part: items in order, each once; every process has as many batches as any other.

    A sample's place is that of a fixed permutation, so that times spread over the places do not follow the order of the files.

    Args:
        items: number of items.
        batch_size: largest number of samples in a batch, or one more where the items do not divide among the processes.
        seed: of the permutation.
        rank: of this process.
        world: number of processes.
        members: the places of the items that may share a batch, for each bucket; None: all of them.

    Raises:
        ValueError: fewer items than processes, in all or in a bucket.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        members: Sequence[np.ndarray] | None = None,
    ) -> None:
        place = generator(seed, "held-out").permutation(items)
        parts: list[np.ndarray] = []
        for bucket in [np.arange(items)] if members is None else members:
            n = len(bucket)
            if n < world:
                raise ValueError(
                    f"{n} held-out items cannot be divided among {world} processes: hold out more (data.split, more files), "
                    "set trainer.devices to fewer, or train without validation (trainer.limit_val_batches=0)"
                )
            batches = world * min(math.ceil(n / (world * batch_size)), n // world)
            parts += [bucket[i * n // batches : (i + 1) * n // batches] for i in range(batches)]
        self.orders = [Order(0, tuple(p.tolist()), tuple(place[p].tolist())) for p in parts[rank::world]]

    def __iter__(self) -> Iterator[Order]:
        return iter(self.orders)

    def __len__(self) -> int:
        return len(self.orders)


class Encoder(Dataset[Batch]):
    """Makes the batch of an order, in a worker: augment -> choose a task and pose -> encode.

    The generators of an item come from (seed, purpose, batch number, place in the global batch), so the number of workers and of
    processes changes nothing. `Modality.encode` gets one generator for its whole batch, from the place of the first item.

    Args:
        modality: after `fit`.
        items: decoded items of one part.
        tasks: tasks by name, with their shares.
        seed: of everything drawn here.
        total: samples of a global batch.
        augment: whether items are varied: in training only.
    """

    def __init__(
        self,
        modality: Modality,
        items: Sequence[Item],
        tasks: Mapping[str, tuple[Task, float]],
        seed: int,
        total: int,
        augment: bool,
    ) -> None:
        self.modality = modality
        self.items = items
        self.tasks = {name: task for name, (task, _) in tasks.items()}
        self.shares = {name: share for name, (_, share) in tasks.items()}
        self.seed = seed
        self.total = total
        self.augment = augment
        # Generators of one item each cost more than a small item itself: none is made where nothing is drawn from it.
        self.varies = augment and type(modality).augment is not Modality.augment
        self.poses = any(type(task) is not Unconditional for task in self.tasks.values())

    def __getitem__(self, order: Order) -> Batch:
        items: list[Item] = [self.items[i] for i in order.items]
        given: list[Any | None] | None = None
        if self.varies or self.poses:
            posed = [self._pose(item, order.number, place) for item, place in zip(items, order.index, strict=True)]
            items, known = [item for item, _ in posed], [bits for _, bits in posed]
            given = known if any(bits is not None for bits in known) else None
        encoded = self.modality.encode(items, given, self._rng("encode", order.number, order.index[0]))
        keys = tuple(self.items[i].key for i in order.items)
        return Batch(encoded, torch.tensor(order.index), order.number, self.total, keys)

    def _pose(self, item: Item, number: int, place: int) -> tuple[Item, Any | None]:
        if self.varies:
            item = self.modality.augment(item, self._rng("augment", number, place))
        if not self.poses:
            return item, None
        rng = self._rng("pose", number, place)
        return self.tasks[choose(self.shares, rng)].pose(item, rng)

    def _rng(self, purpose: str, number: int, place: int) -> np.random.Generator:
        part = "train" if self.augment else "held-out"
        return generator(self.seed, part, purpose, number, place)


def encodable(modality: Modality, items: Sequence[Item], train: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """The items that the fitted modality takes, and for each of the others what it says of it.

    Only items with a condition that no training item has are tried: names and numbers are compared, other values always tried.
    """
    seen = {pair for item in train for pair in _comparable(item)}
    kept, foreign = [], []
    for item in items:
        pairs = _comparable(item)
        try:
            if len(pairs) < len(item.cond) or not seen.issuperset(pairs):
                modality.encode([item], None, generator(0, "encodable"))
            kept.append(item)
        except (ValueError, LookupError) as error:
            foreign.append(str(error) if item.key in str(error) else f"{item.key}: {error}")
    return kept, foreign


def _comparable(item: Item) -> list[tuple[str, str | int | float]]:
    return [(name, value) for name, value in item.cond.items() if isinstance(value, str | int | float)]


def _each(value: Any, move: Callable[[Tensor], Tensor]) -> Any:
    """The same mapping or dataclass with every tensor in it moved."""
    if isinstance(value, dict):
        return {name: move(x) for name, x in value.items()}
    tensors = {name: x for name, x in vars(value).items() if isinstance(x, Tensor)}
    return replace(value, **{name: move(x) for name, x in tensors.items()})
