from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from ornstein.core.training.batches import Encoder, HeldOut, Stream
from ornstein.core.training.data import choose_tasks
from training_world import Tiny, listing


def test_each_epoch_holds_each_item_once_and_they_differ():
    orders = list(islice(Stream(items=10, batch_size=4, seed=1), 10))
    flat = [i for order in orders for i in order.items]
    epochs = [flat[:10], flat[10:20], flat[20:30], flat[30:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [order.number for order in orders] == list(range(10))


def test_fewer_items_than_a_batch_are_repeated_evenly():
    order = next(iter(Stream(items=3, batch_size=8)))
    counts = Counter(order.items)
    assert set(counts) == {0, 1, 2}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_processes_share_the_batch_of_one():
    whole = list(islice(Stream(items=7, batch_size=6, seed=3), 5))
    ranks = [list(islice(Stream(items=7, batch_size=2, seed=3, rank=r, world=3), 5)) for r in range(3)]
    for g, order in enumerate(whole):
        assert order.items == sum((rank[g].items for rank in ranks), ())
        assert order.index == sum((rank[g].index for rank in ranks), ())


def test_a_stream_goes_on_from_any_position():
    whole = list(islice(Stream(items=7, batch_size=3, seed=3), 9))
    assert list(islice(Stream(items=7, batch_size=3, seed=3, position=lambda: 5), 4)) == whole[5:]


def test_batches_are_of_like_costs_and_an_epoch_still_holds_each_item_once():
    """Sizes 0..9 mixed: batches waste at most a few tokens; a stretch of 16 batches of 4 holds what the permutations hold."""
    costs = [i % 10 for i in range(64)]
    stream = Stream(items=64, batch_size=4, seed=1, costs=costs)
    orders = list(islice(stream, 48))
    for epoch in range(3):
        assert sorted(i for o in orders[16 * epoch : 16 * epoch + 16] for i in o.items) == list(range(64))
    spread = [max(costs[i] for i in o.items) - min(costs[i] for i in o.items) for o in orders]
    assert max(spread) <= 2
    means = [sum(costs[i] for i in o.items) for o in orders[:16]]
    assert means != sorted(means)  # nor do small ones come first
    assert [o.number for o in orders] == list(range(48))


def test_batches_of_like_costs_are_divided_among_processes_and_go_on_where_they_stood():
    costs = [i % 5 for i in range(30)]
    whole = list(islice(Stream(30, 6, 3, costs=costs), 40))
    halves = [list(islice(Stream(30, 3, 3, rank, 2, costs=costs), 40)) for rank in range(2)]
    assert [a.items + b.items for a, b in zip(*halves, strict=True)] == [o.items for o in whole]
    assert list(islice(Stream(30, 6, 3, position=lambda: 21, costs=costs), 19)) == whole[21:]


def test_the_place_in_a_batch_of_like_costs_says_nothing_of_the_cost():
    """Times are spread over the places: sorted batches would tie the noise level to the size."""
    costs = list(range(64))
    orders = islice(Stream(64, 8, 2, costs=costs), 160)
    ranks = np.array([np.argsort(np.argsort([costs[i] for i in o.items])) for o in orders])
    assert np.abs(ranks.mean(0) - 3.5).max() < 0.8  # standard error 0.18


def test_held_out_items_come_once_over_all_processes_with_places_of_their_own():
    one = HeldOut(items=11, batch_size=3, seed=2).orders
    two = [order for rank in range(2) for order in HeldOut(items=11, batch_size=3, seed=2, rank=rank, world=2)]
    assert sorted(i for order in two for i in order.items) == list(range(11))
    assert sorted(i for order in one for i in order.index) == list(range(11))
    assert {i: p for o in one for i, p in zip(o.items, o.index, strict=True)} == {
        i: p for o in two for i, p in zip(o.items, o.index, strict=True)
    }


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
@pytest.mark.parametrize("world", [1, 2, 4, 7])
def test_every_process_has_as_many_held_out_batches(world, batch_size):
    for items in range(world, 40):
        ranks = [HeldOut(items, batch_size, 2, rank, world).orders for rank in range(world)]
        assert len({len(orders) for orders in ranks}) == 1
        sizes = [len(order.items) for orders in ranks for order in orders]
        assert 1 <= min(sizes) <= max(sizes) <= min(batch_size, -(-items // world)) + (world > 1)
        assert sorted(i for orders in ranks for order in orders for i in order.items) == list(range(items))


def test_fewer_held_out_items_than_processes_are_refused():
    with pytest.raises(
        ValueError, match=r"3 held-out items cannot be divided among 4 processes: .*data\.split.*devices"
    ):
        HeldOut(3, 8, world=4)


@pytest.fixture
def items():
    tiny = Tiny()
    return [tiny.read(row.file, row.values) for row in listing(12).rows()]


def encoder(items, augment=True, total=6):
    return Encoder(Tiny(), items, choose_tasks(Tiny(), {"unconditional": 1, "first": 1}), 5, total, augment)


def test_a_batch_is_a_function_of_its_order_alone(items):
    order = Stream(items=12, batch_size=6, seed=5).order(3)
    a, b = encoder(items)[order], encoder(items)[order]
    assert torch.equal(a.encoded.state["x"], b.encoded.state["x"])
    assert torch.equal(a.encoded.known.bits["x"], b.encoded.known.bits["x"])
    assert a.keys == tuple(f"{i:03d}.json" for i in order.items)


def test_two_processes_make_the_halves_of_one_batch(items):
    whole = encoder(items)[Stream(items=12, batch_size=6, seed=5).order(2)]
    halves = [encoder(items)[Stream(12, 3, 5, rank, 2).order(2)] for rank in range(2)]
    assert torch.equal(whole.encoded.state["x"], torch.cat([h.encoded.state["x"] for h in halves]))
    bits = [
        torch.zeros(3, 3, dtype=torch.bool) if h.encoded.known is None else h.encoded.known.bits["kind"] for h in halves
    ]
    assert torch.equal(whole.encoded.known.bits["kind"], torch.cat(bits))
    assert torch.equal(whole.index, torch.cat([h.index for h in halves]))
    assert {h.total for h in halves} == {whole.total}


def test_augmentation_and_poses_differ_between_batches_and_follow_their_shares(items):
    signs, given, mixed = Counter(), 0, 0
    for number in range(200):
        batch = encoder(items)[Stream(items=12, batch_size=6, seed=5).order(number)]
        for key, x in zip(batch.keys, batch.encoded.state["x"], strict=True):
            original = torch.tensor(items[int(key[:3])].data["x"], dtype=torch.float32)
            signs[bool(torch.allclose(x, original))] += 1
        bits = batch.encoded.known
        mixed += bits is not None and not bool(bits.bits["kind"][:, 0].all())
        given += 0 if batch.encoded.known is None else int(batch.encoded.known.bits["kind"][:, 0].sum())
    assert mixed > 150  # each item draws for itself
    assert 0.45 < signs[True] / 1200 < 0.55
    assert 0.2 < given / 1200 < 0.3  # the task has half of the items, and gives its token to half of them


def test_held_out_items_are_not_varied(items):
    batch = encoder(items, augment=False)[HeldOut(12, 12).orders[0]]
    originals = torch.stack([torch.tensor(i.data["x"], dtype=torch.float32) for i in items])
    assert torch.equal(batch.encoded.state["x"], originals)


def test_moving_a_batch_moves_every_tensor(items):
    batch = encoder(items)[Stream(items=12, batch_size=6, seed=5).order(3)].to("meta")
    e = batch.encoded
    moved = [batch.index, e.mask, e.cond["label"].value, e.cond["label"].present, *e.state.values()]
    moved += [*e.known.bits.values(), *e.known.values.values()]
    assert all(x.device.type == "meta" for x in moved)
