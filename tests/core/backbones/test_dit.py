"""What a DiT promises of its outputs: zero at first, symmetries, inert padding, time per token, samples apart."""

from dataclasses import replace

import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Condition, Layout
from torch.nn import functional as F

COMBOS = [("x",), ("type",), ("x", "type"), ("x", "bond"), ("x", "type", "bond", "distance"), ("bond",)]
PLACES = {"distances": "x", "pair_updates": True, "self_conditioning": True}
CASES = [(names, {}) for names in COMBOS] + [
    (("x",), {"distances": "x"}),
    (("x", "type"), PLACES),
    (("bond",), {"pair_updates": True}),
    (("x", "type"), {"waves": 4}),
    (("x", "type", "bond", "distance"), PLACES),
]
C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)


def real_entries(name, y, layout):
    """The outputs at real entries."""
    mask = layout.mask
    return y[mask[:, :, None] & mask[:, None]] if name in ("bond", "distance") else y[mask]


def assert_same(a, b, layout, tol=1e-10):
    for name in a:
        torch.testing.assert_close(
            real_entries(name, a[name], layout), real_entries(name, b[name], layout), atol=tol, rtol=tol
        )


def differs(a, b, tol=1e-4):
    return any(bool((a[name] - b[name]).abs().max() > tol) for name in a)


@pytest.mark.parametrize(("names", "options"), CASES)
@pytest.mark.parametrize("axes", [0, 2])
def test_fresh_network_returns_zero(world, names, options, axes):
    state, layout = world.inputs(names), world.layout(axes)
    out = world.net(names, axes=axes, opened=False, **options)(state, C, layout, {})
    for name in names:
        f = world.fields[name]
        assert out[name].shape == (3, 6, f.channels) if f.axes == "token" else (3, 6, 6, f.channels)
        assert out[name].dtype == torch.float64
        assert (out[name] == 0).all()


@pytest.mark.parametrize(("names", "options"), CASES)
@pytest.mark.parametrize("axes", [0, 1, 3])
def test_padding_is_inert(world, names, options, axes):
    """Garbage of every sort in the padding, and more of it, changes nothing for the real tokens."""
    net, state, layout = (
        world.net(names, axes=axes, **options),
        world.inputs(names),
        world.layout(axes, sizes=[6, 4, 1]),
    )
    known = world.known(state)
    clean = net(state, C[:, None].expand(3, 6), layout, {}, known)
    entries = {
        n: ~(layout.mask[:, :, None] & layout.mask[:, None] if n in ("bond", "distance") else layout.mask)
        for n in names
    }
    bad = {n: x.clone() for n, x in state.items()}
    for n, x in bad.items():
        x[entries[n]] = float("nan") if x.is_floating_point() else 10**6
        known.values[n] = known.values[n].clone()
        known.values[n][entries[n] | ~(known.bits[n].all(-1) if x.is_floating_point() else known.bits[n])] = -(10**6)
    times = C[:, None].repeat(1, 6).masked_fill(~layout.mask, float("inf"))
    positions = layout.positions
    if positions is not None:
        positions = positions.masked_fill(~layout.mask[..., None], float("nan"))
    dirty = net(bad, times, replace(layout, positions=positions), {}, known)
    assert_same(clean, dirty, layout)
    alone = {n: x[1:2, :4, :4] if n in ("bond", "distance") else x[1:2, :4] for n, x in state.items()}
    short = Layout(layout.mask[1:2, :4], None if positions is None else positions[1:2, :4])
    out = net(alone, C[1:2], short, {})
    cut = {n: y[1:2, :4, :4] if n in ("bond", "distance") else y[1:2, :4] for n, y in net(state, C, layout, {}).items()}
    assert_same(out, cut, short)


def test_sample_without_tokens_stays_finite(world):
    names = ("x", "bond")
    net, state, layout = world.net(names), world.inputs(names), world.layout(0, sizes=[6, 0, 2])
    out = net(state, C[:, None].expand(3, 6), layout, {})
    sum(y.sum() for y in out.values()).backward()
    assert all(y.isfinite().all() for y in out.values())
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(("names", "options"), CASES)
def test_sets_are_permuted_with_their_tokens(world, names, options):
    net, state, layout = world.net(names, **options), world.inputs(names), world.layout(0)
    order = torch.tensor([3, 0, 5, 1, 4, 2])

    def permute(tree):
        return {n: y[:, order][:, :, order] if n in ("bond", "distance") else y[:, order] for n, y in tree.items()}

    times = torch.linspace(-2, 2, 18, dtype=torch.float64).view(3, 6)
    assert_same(permute(net(state, times, layout, {})), net(permute(state), times[:, order], layout, {}), layout)


@pytest.mark.parametrize("count", [False, True])
def test_a_set_is_counted(world, count):
    """Of like tokens attention sees no number; told of it, the network knows it, and of padding nothing."""
    net, x = world.net(("x",), count=count), torch.full((2, 6, 3), 0.3, dtype=torch.float64)
    out = net({"x": x}, C[:1].expand(2), Layout(torch.arange(6) < torch.tensor([[6], [3]])), {})["x"]
    assert ((out[0, 0] - out[1, 0]).abs().max() > 1e-3) == count
    alone = net({"x": x[:1, :3]}, C[:1], Layout(torch.ones(1, 3, dtype=torch.bool)), {})["x"]
    torch.testing.assert_close(out[1, :3], alone[0], atol=1e-10, rtol=1e-10)


def test_waves_of_nothing_are_refused(world):
    with pytest.raises(ValueError, match="waves=4: no continuous field of tokens"):
        world.net(("type", "bond"), waves=4)


def test_waves_tell_near_values_apart(world):
    """Before the first layer, 0.02 apart is far with waves and next to nothing without."""
    embed = lambda waves, x: world.net(("x",), opened=False, waves=waves).embeddings[0](  # noqa: E731
        {"x": torch.full((1, 1, 3), x, dtype=torch.float64)}, None, None, None
    )
    apart = [((embed(waves, 0.3) - embed(waves, 0.32)).norm() / embed(waves, 0.3).norm()).item() for waves in (0, 8)]
    assert apart[0] < 0.1 < 0.25 < apart[1]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_common_shift_of_positions(world, axes):
    """Without absolute positions the network sees differences only; with them it sees the place."""
    state, layout = world.inputs(("x",)), world.layout(axes)
    moved = replace(layout, positions=layout.positions + torch.tensor([7.3, -2.0, 11.0], dtype=torch.float64)[:axes])
    blind, seeing = world.net(("x",), axes=axes, absolute_positions=False), world.net(("x",), axes=axes)
    assert_same(blind(state, C, layout, {}), blind(state, C, moved, {}), layout, tol=1e-9)
    assert differs(seeing(state, C, layout, {}), seeing(state, C, moved, {}))
    one = layout.positions.clone()
    one[:, 0] += 1
    assert differs(blind(state, C, layout, {}), blind(state, C, replace(layout, positions=one), {}))


def test_periodic_axis_wraps(world):
    state = world.inputs(("x",), tokens=8)
    net = world.net(("x",), axes=2)
    layout = replace(Layout.of_grid(3, (4, 2)), periodic=(True, False))
    around = replace(layout, positions=layout.positions + torch.tensor([4.0, 0.0]))
    past = replace(layout, positions=layout.positions + torch.tensor([0.0, 2.0]))
    out = net(state, C, layout, {})
    assert_same(out, net(state, C, around, {}), layout, tol=1e-9)
    assert differs(out, net(state, C, past, {}))


def test_circular_shift_on_a_periodic_axis(world):
    """Rolling a periodic series rolls the output."""
    net = world.net(("x",), axes=1, absolute_positions=False)
    x = world.inputs(("x",), tokens=8)["x"]
    layout = replace(Layout.of_grid(3, (8,)), periodic=(True,))
    rolled = net({"x": x.roll(3, 1)}, C, layout, {})
    assert_same({"x": net({"x": x}, C, layout, {})["x"].roll(3, 1)}, rolled, layout, tol=1e-9)


@pytest.mark.parametrize("route", ["global", "cross", "prepend"])
@pytest.mark.parametrize(("names", "options"), [(("x", "type"), {}), (("x", "bond"), {}), (("x", "bond"), PLACES)])
def test_equal_times_per_token_are_one_time_per_sample(world, names, options, route):
    net = world.net(names, [ConditionSpec("label", "class", 4, route)], axes=1, **options)
    state, layout = world.inputs(names), world.layout(1, sizes=[6, 4, 5])
    cond = {"label": Condition(torch.tensor([0, 3, 1]), torch.tensor([True, True, False]))}
    one = net(state, C, layout, cond)
    assert_same(one, net(state, C[:, None].expand(3, 6), layout, cond), layout)
    ramp = C[:, None] + torch.linspace(0, 1, 6, dtype=torch.float64)
    assert differs(one, net(state, ramp, layout, cond))


@pytest.mark.parametrize(("names", "options"), CASES)
def test_samples_do_not_see_each_other(world, names, options):
    net, state, layout = world.net(names, axes=1, **options), world.inputs(names), world.layout(1, sizes=[6, 4, 5])
    whole = net(state, C, layout, {})
    for b in range(3):
        one = Layout(layout.mask[b : b + 1], layout.positions[b : b + 1])
        alone = net({n: x[b : b + 1] for n, x in state.items()}, C[b : b + 1], one, {})
        assert_same(alone, {n: y[b : b + 1] for n, y in whole.items()}, one)


def test_grid_is_unmasked_and_equal_to_a_full_mask(world):
    """Nothing is padded on a grid, nor under a full mask: attention then has no mask, and gives what it gives with one."""
    net, state = world.net(("x",), axes=2), world.inputs(("x",))
    layout = Layout.of_grid(3, (2, 3))
    masks = []
    net.blocks[0].attention.register_forward_pre_hook(lambda _, args: masks.append(args[2]))
    out = net(state, C, layout, {})
    full = net(state, C, replace(layout, grid=None, periodic=()), {})
    padded = Layout(F.pad(layout.mask, (0, 1)), F.pad(layout.positions, (0, 0, 0, 1)))
    masked = net({"x": F.pad(state["x"], (0, 0, 0, 1), value=7.0)}, C, padded, {})
    assert [mask is None for mask in masks] == [True, True, False]
    assert_same(out, full, layout)
    assert_same(out, {"x": masked["x"][:, :-1]}, layout)


def test_pair_outputs_are_symmetric(world):
    names = ("x", "bond", "distance")
    out = world.net(names).float()(
        {n: x.float() if x.is_floating_point() else x for n, x in world.inputs(names).items()}, C, world.layout(0), {}
    )
    for name in ("bond", "distance"):
        assert torch.equal(out[name], out[name].transpose(1, 2))
        assert out[name].std() > 1e-3


@pytest.mark.parametrize("names", [("x", "bond"), ("x", "distance")])
def test_pairs_reach_tokens_and_the_diagonal_does_not(world, names):
    net, state, layout = world.net(names), world.inputs(names), world.layout(0)
    out = net(state, C, layout, {})["x"]
    pair = state[names[1]].clone()
    pair[:, range(6), range(6)] = float("nan") if pair.is_floating_point() else 3
    torch.testing.assert_close(out, net({**state, names[1]: pair}, C, layout, {})["x"])
    pair = state[names[1]].clone()
    pair[:, 0, 1] = pair[:, 1, 0] = 2
    assert differs({"x": out[:, :1]}, {"x": net({**state, names[1]: pair}, C, layout, {})["x"][:, :1]})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 25}, "width 25"),
        ({"width": 6, "heads": 2}, "even size"),
        ({"width": 24, "heads": 6, "axes": 3}, "axes"),
        ({"axes": -1}, "axes"),
        ({"depth": 0}, "depth"),
        ({"heads": 0}, "heads"),
        ({"mlp_ratio": 0.0}, "mlp_ratio"),
        ({"dropout": 1.0}, "dropout"),
        ({"rope_base": 1.0, "axes": 1}, "rope_base"),
        ({"pair_width": 0}, "pair_width"),
        ({"distances": "y"}, "distances: 'y' is no continuous field of tokens; choose from: x"),
        ({"pair_updates": True}, "there are no pairs to update"),
        ({"distances": "x", "axes": 1, "attention_axes": [[0]]}, "distances, stand on no grid"),
        ({"count": True, "axes": 1}, "it is for a set"),
    ],
)
def test_bad_options(world, options, word):
    with pytest.raises(ValueError, match=word):
        DiT([world.fields["x"]], **{"width": 24, "heads": 2, "depth": 1} | options)


def test_bad_inputs(world):
    net, state, layout = world.net(("x", "type"), axes=1), world.inputs(("x", "type")), world.layout(1)
    with pytest.raises(ValueError, match=r"lack the fields \['type'\]"):
        net({"x": state["x"]}, C, layout, {})
    with pytest.raises(ValueError, match="self_conditioning"):
        net(state, C, layout, {}, previous=state)
    with pytest.raises(ValueError, match="1 axes; the layout has no positions"):
        net(state, C, world.layout(0), {})
    with pytest.raises(ValueError, match="on 2 axes"):
        net(state, C, world.layout(2), {})
    with pytest.raises(ValueError, match=r"needs Layout\.grid"):
        net(state, C, replace(layout, periodic=(True,)), {})
    with pytest.raises(ValueError, match="at least one field"):
        DiT([])


def test_arguments_are_kept_as_attributes(world):
    options = {"width": 24, "depth": 1, "heads": 2, "mlp_ratio": 2.0, "qk_norm": False, "dropout": 0.1, "pair_width": 4}
    options |= {"self_conditioning": True, "absolute_positions": False, "rope_base": 50.0}
    options |= {"distances": "x", "pair_updates": True, "waves": 3}
    net = DiT([world.fields["x"]], (), 1, **options)
    assert {name: getattr(net, name) for name in options} == options
    assert (net.fields, net.conditions, net.axes) == ((world.fields["x"],), (), 1)
