"""Batches of one bucket each: every item as often as any other, the same for any number of processes, told by number."""

from collections import Counter
from itertools import islice

import pytest
from ornstein.core.training.batches import HeldOut
from ornstein.core.training.buckets import Bucketed, members

SHAPES = ["wide"] * 13 + ["tall"] * 5 + ["square"] * 3 + ["wide"] * 4


def test_a_batch_holds_one_bucket_and_every_item_comes_equally_often():
    orders = list(islice(Bucketed(SHAPES, batch_size=4, seed=1), 25 * 40 // 4))
    assert all(len({SHAPES[i] for i in order.items}) == 1 for order in orders)
    assert [order.number for order in orders] == list(range(len(orders)))
    seen = Counter(i for order in orders for i in order.items)
    assert set(seen) == set(range(25))
    assert max(seen.values()) - min(seen.values()) <= 2
    first = [SHAPES[order.items[0]] for order in orders[:25]]
    assert len({tuple(first[i : i + 5]) for i in range(0, 25, 5)}) > 1  # no fixed turn


@pytest.mark.parametrize("seed", [0, 1])
def test_any_number_of_processes_and_any_start_give_the_same_batches(seed):
    whole = list(islice(Bucketed(SHAPES, 4, seed), 60))
    halves = [list(islice(Bucketed(SHAPES, 2, seed, rank, 2), 60)) for rank in range(2)]
    assert [a.items + b.items for a, b in zip(*halves, strict=True)] == [order.items for order in whole]
    assert list(islice(Bucketed(SHAPES, 4, seed, position=lambda: 37), 23)) == whole[37:]


def test_a_bucket_smaller_than_a_batch_waits_for_its_turn():
    orders = list(islice(Bucketed(["a"] * 30 + ["b"] * 2, batch_size=8), 80))
    share = sum(order.items[0] >= 30 for order in orders) / len(orders)
    assert abs(share - 2 / 32) < 0.02


def test_held_out_batches_keep_to_a_bucket_too():
    ranks = [HeldOut(25, 4, 2, rank, 2, members(SHAPES)).orders for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1])
    orders = [order for rank in ranks for order in rank]
    assert all(len({SHAPES[i] for i in order.items}) == 1 for order in orders)
    assert sorted(i for order in orders for i in order.items) == list(range(25))
    assert sorted(i for order in orders for i in order.index) == list(range(25))
    with pytest.raises(ValueError, match="3 held-out items cannot be divided among 4"):
        HeldOut(25, 4, 2, 0, 4, members(SHAPES))
