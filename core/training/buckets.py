"""The order of training batches whose items must share something, such as the shape of their grid."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count

import numpy as np
from torch.utils.data import Sampler

from ..rng import generator
from .batches import Order, Stream


class Bucketed(Sampler[Order]):
    """An endless stream of each bucket's own; which one gives a batch follows the numbers of their items.

    In r rounds a bucket of c items gives floor(r c / (W b)) batches of W b samples, in a random order within each round. So a
    round takes about each item once, in the long run every item comes equally often, and a batch of any number can be told
    without those before it.

    Args:
        buckets: of each item; equal ones may share a batch.
        batch_size: b, samples of one process.
        seed: of the order.
        rank: of this process.
        world: W, number of processes.
        position: number of global batches that the run has behind it, asked when an iteration starts.
        costs: cost of each item; None: all the same.
    """

    def __init__(
        self,
        buckets: Sequence[Hashable],
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        position: Callable[[], int] = lambda: 0,
        costs: Sequence[int] | None = None,
    ) -> None:
        self.seed, self.position, self.samples = seed, position, world * batch_size
        self.members = members(buckets)
        self.streams = [
            Stream(len(m), batch_size, seed, rank, world, costs=None if costs is None else [costs[i] for i in m])
            for m in self.members
        ]
        self._dealt = lru_cache(maxsize=4)(self._deal)

    def __iter__(self) -> Iterator[Order]:
        return map(self.order, count(self.position()))

    def order(self, number: int) -> Order:
        """This process's part of global batch `number`."""
        turn = number * self.samples // sum(map(len, self.members))
        while self._before(turn).sum() > number:
            turn -= 1
        while self._before(turn + 1).sum() <= number:
            turn += 1
        bucket, own = self._dealt(turn)[number - int(self._before(turn).sum())]
        order = self.streams[bucket].order(own)
        return replace(order, number=number, items=tuple(int(self.members[bucket][i]) for i in order.items))

    def _before(self, turn: int) -> np.ndarray:
        """How many batches each bucket has given in `turn` rounds."""
        return np.asarray([turn * len(m) // self.samples for m in self.members])

    def _deal(self, turn: int) -> list[tuple[int, int]]:
        """The bucket of each batch of a round, and the batch's number in its stream."""
        first, last = self._before(turn), self._before(turn + 1)
        dealt = [(k, n) for k in range(len(self.members)) for n in range(int(first[k]), int(last[k]))]
        return [dealt[i] for i in generator(self.seed, "buckets", turn).permutation(len(dealt))]


def members(buckets: Sequence[Hashable]) -> list[np.ndarray]:
    """The places of the items of each bucket, buckets in the order in which they first come."""
    found: dict[Hashable, list[int]] = {}
    for i, bucket in enumerate(buckets):
        found.setdefault(bucket, []).append(i)
    return [np.asarray(places) for places in found.values()]
