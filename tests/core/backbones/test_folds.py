"""Attention along axes of a grid: folds and back, who sees whom, and what stands on no grid."""

import pytest
import torch
from ornstein.core import checkpoint
from ornstein.core.backbones.dit import DiT
from ornstein.core.backbones.folds import Fold
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Condition, Layout

SHAPE = (3, 4)
C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)


def reach(net, state, shape, **more):
    """(N, N) bool: entry i, j says whether what stands at token j reaches the output at token i."""
    layout = Layout.of_grid(3, shape)
    clean = net(state, C, layout, {}, **more)["x"]
    out = torch.zeros(layout.tokens, layout.tokens, dtype=torch.bool)
    for j in range(layout.tokens):
        x = state["x"].clone()
        x[:, j] += 1.0
        out[:, j] = (net({**state, "x": x}, C, layout, {}, **more)["x"] - clean).abs().amax((0, 2)) > 1e-9
    return out


def on_one_line(shape, axes):
    """(N, N) bool: which tokens differ along `axes` alone."""
    place = Layout.of_grid(1, shape).positions[0]
    rest = [a for a in range(len(shape)) if a not in axes]
    return (place[:, None, rest] == place[None, :, rest]).all(-1)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5,), (0,)), (SHAPE, (0,)), (SHAPE, (1,)), (SHAPE, (1, 0)), ((2, 3, 4), (1,)), ((2, 3, 4), (2, 0))],
)
@pytest.mark.parametrize("more", [(), (7,), (2, 3)])
def test_a_fold_is_undone_and_its_rows_run_along_the_axes(shape, axes, more):
    fold, n = Fold(shape, axes), Layout.of_grid(1, shape).tokens
    x = torch.arange(2 * n * max(1, torch.Size(more).numel())).reshape(2, n, *more)
    assert torch.equal(fold.back(fold(x)), x)
    rows = fold(torch.arange(n)[None, :, None])[..., 0]
    together = torch.zeros(n, n, dtype=torch.bool)
    for row in rows:
        together[row[:, None], row[None]] = True
    assert torch.equal(together, on_one_line(shape, axes))
    two = fold(torch.stack([torch.arange(n), torch.arange(n) + n])[..., None])[..., 0]
    assert ((two < n).all(1) | (two >= n).all(1)).all()  # no row mixes samples


@pytest.mark.parametrize("axes", [[[0, 1]], [[1, 0]]])
@pytest.mark.parametrize("per_token", [False, True])
def test_along_all_axes_is_full_attention(world, axes, per_token):
    state, layout = world.inputs(("x", "type"), tokens=12), Layout.of_grid(3, SHAPE)
    known, c = world.known(state), C[:, None] + torch.linspace(0, 1, 12) if per_token else C
    full, folded = (world.net(("x", "type"), axes=2, attention_axes=a) for a in (None, axes))
    a, b = (net(state, c, layout, {}, known) for net in (full, folded))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-12, rtol=1e-12)


def test_one_block_along_an_axis_is_full_attention_masked_to_it(world):
    """The same weights, told by a mask who sees whom."""
    state, layout = world.inputs(("x",), tokens=12), Layout.of_grid(3, SHAPE)
    full, folded = (world.net(("x",), axes=2, depth=1, attention_axes=a) for a in (None, [[1]]))
    lines = on_one_line(SHAPE, (1,))

    def seen(module, args):
        return (*args[:2], lines[None, None])

    full.blocks[0].attention.register_forward_pre_hook(seen)
    a, b = (net(state, C, layout, {})["x"] for net in (full, folded))
    torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("axes", "along"), [([[0]], (0,)), ([[1]], (1,)), ([(0,), (0,)], (0,))])
def test_rows_along_one_axis_do_not_see_each_other(world, axes, along):
    net = world.net(("x",), axes=2, attention_axes=axes)
    assert torch.equal(reach(net, world.inputs(("x",), tokens=12), SHAPE), on_one_line(SHAPE, along))


@pytest.mark.parametrize(("depth", "whole"), [(1, False), (2, True)])
def test_blocks_take_turns(world, depth, whole):
    """After a block along each axis every token has seen every other."""
    net = world.net(("x",), axes=2, depth=depth, attention_axes=[[0], [1]])
    seen = reach(net, world.inputs(("x",), tokens=12), SHAPE)
    assert torch.equal(seen, torch.ones_like(seen) if whole else on_one_line(SHAPE, (0,)))
    third = world.net(("x",), axes=2, depth=5, attention_axes=[[0], [1]])
    assert third.seen == [(0,), (1,), (0,), (1,), (0,)]


def test_rows_know_their_place(world):
    """Equal rows get different outputs, since tokens know where they stand."""
    x = world.inputs(("x",), tokens=3)["x"].repeat_interleave(4, 1)
    state, layout = {"x": x}, Layout.of_grid(3, SHAPE)
    seeing = world.net(("x",), axes=2, attention_axes=[[0]])(state, C, layout, {})["x"].view(3, *SHAPE, 3)
    blind = world.net(("x",), axes=2, attention_axes=[[0]], absolute_positions=False)(state, C, layout, {})["x"]
    assert (seeing[:, :, 0] - seeing[:, :, 1]).abs().max() > 1e-3
    blind = blind.view(3, *SHAPE, 3)
    torch.testing.assert_close(blind[:, :, 0], blind[:, :, 3])


def test_conditions_of_the_other_routes_reach_every_row(world):
    specs = [ConditionSpec("class", "class", 4), ConditionSpec("words", "tokens", 8, route="cross")]
    specs.append(ConditionSpec("depth", "dense", 2, route="concat"))
    net = world.net(("x",), specs, axes=2, attention_axes=[[0]])
    state, layout, there = world.inputs(("x",), tokens=12), Layout.of_grid(3, SHAPE), torch.ones(3, dtype=torch.bool)
    g = torch.Generator().manual_seed(0)
    cond = {
        "class": Condition(torch.tensor([0, 1, 2]), there),
        "words": Condition(torch.randn(3, 5, 8, generator=g).double(), there),
        "depth": Condition(torch.randn(3, 12, 2, generator=g).double(), there),
    }
    clean = net(state, C, layout, cond)["x"]
    for name in cond:
        moved = net(state, C, layout, {**cond, name: cond[name].dropped(there)})["x"]
        assert ((moved - clean).abs().amax(-1) > 1e-6).all(), name


def test_no_grid_is_refused(world):
    net, state = world.net(("x",), axes=2, attention_axes=[[0], [1]]), world.inputs(("x",), tokens=12)
    with pytest.raises(
        ValueError, match=r"attention along the axes \[[01]\] needs tokens that fill a grid.* fill none"
    ):
        net(state, C, world.layout(2, tokens=12, sizes=[12, 8, 4]), {})
    with pytest.raises(ValueError, match=r"the axes \[1\] needs.*these fill one of 1 axes, \(12,\)"):
        Fold.of(Layout.of_grid(3, (12,)), (1,))


@pytest.mark.parametrize("bad", [[], [[]], [[0], []], [[2]], [[-1]], [[0, 0]]])
def test_axes_that_there_are_not_are_refused(world, bad):
    with pytest.raises(ValueError, match="attention_axes"):
        world.net(("x",), axes=2, attention_axes=bad)


def test_a_set_has_no_axes(world):
    with pytest.raises(ValueError, match=r"attention_axes is \[\[0\]\].*the tokens are a set"):
        world.net(("x",), axes=0, attention_axes=[[0]])


def test_what_stands_on_no_grid_is_refused(world):
    with pytest.raises(ValueError, match="attention_axes: pair fields and prepended conditions"):
        world.net(("x", "bond"), axes=2, attention_axes=[[0]])
    with pytest.raises(ValueError, match="attention_axes: pair fields and prepended conditions"):
        world.net(("x",), [ConditionSpec("words", "tokens", 8, route="prepend")], axes=2, attention_axes=[[0]])


def test_a_checkpoint_rebuilds_it(world):
    net = world.net(("x",), axes=2, attention_axes=[[0], [1]])
    told = checkpoint.describe(net)
    again = checkpoint.build(told).double().eval()
    again.load_state_dict(net.state_dict())
    state, layout = world.inputs(("x",), tokens=12), Layout.of_grid(3, SHAPE)
    assert again.seen == net.seen
    assert torch.equal(again(state, C, layout, {})["x"], net(state, C, layout, {})["x"])
    assert isinstance(again, DiT)
