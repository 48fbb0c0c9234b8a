"""What a U-Net promises: zero at first, any grid, wrapped and padded axes, every route of conditions, times of tokens."""

from dataclasses import replace

import pytest
import torch
from ornstein.core import checkpoint, registry
from ornstein.core.backbones.grids import Grid, GridConv, GridNorm
from ornstein.core.backbones.unet import UNet
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Condition, Known, Layout
from torch.nn import functional as F

C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
SPECS = [
    ConditionSpec("label", "class", 4, "global"),
    ConditionSpec("heat", "scalar", 1, "prepend"),
    ConditionSpec("caption", "tokens", 3, "cross"),
    ConditionSpec("depth", "dense", 2, "concat"),
]


def unet(world, names=("x",), conditions=(), axes=2, opened=True, **options):
    """A small one in float64; `opened`: with every parameter moved off zero."""
    torch.manual_seed(0)
    options = {"widths": (8, 12, 16), "depth": 1, "attention": (1, 2), "head_width": 4} | options
    net = UNet([world.fields[n] for n in names], conditions, axes, **options).double().eval()
    if opened:
        for p in net.parameters():
            p.data += 0.2 * torch.randn_like(p)
    return net


def inputs(world, tokens, batch=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    channels = world.fields["x"].channels
    return {"x": torch.randn(batch, tokens, channels, generator=g, dtype=torch.float64)}


def grid(shape, periodic=None, batch=3):
    layout = Layout.of_grid(batch, shape)
    layout = replace(layout, positions=layout.positions.double())
    return layout if periodic is None else replace(layout, periodic=periodic)


def line(sizes):
    layout = grid((max(sizes),), batch=len(sizes))
    return replace(layout, mask=torch.arange(max(sizes)) < torch.tensor(sizes)[:, None], grid=None)


def values(tokens, seed=0):
    """A value of each condition for three samples, the last of them absent."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    present = torch.tensor([True, True, False])
    mask = torch.tensor([[True, True, False, False], [True, True, True, True], [True, False, False, False]])
    return {
        "label": Condition((torch.arange(3) + seed) % 4, present),
        "heat": Condition(rand(3), present),
        "caption": Condition(rand(3, 4, 3), present, mask),
        "depth": Condition(rand(3, tokens, 2), present),
    }


@pytest.mark.parametrize("shape", [(7,), (4, 6), (3, 4, 5), (1, 1)])
def test_fresh_network_returns_zero_on_any_grid(world, shape):
    layout = grid(shape)
    x = inputs(world, layout.tokens)
    assert (unet(world, axes=len(shape), opened=False)(x, C, layout, {})["x"] == 0).all()
    out = unet(world, axes=len(shape))(x, C, layout, {})["x"]
    assert out.shape == x["x"].shape
    assert out.isfinite().all()
    assert out.std() > 0.1


def test_each_place_sees_every_other_and_the_far_ones_by_way_of_coarse_levels(world):
    """Without attention, one convolution block reaches 2 places a level; three levels reach across 16."""
    x, layout = inputs(world, 16, 1), grid((16,), batch=1)
    moved = {"x": x["x"].clone()}
    moved["x"][:, 0] += 1.0

    def reach(net):
        change = (net(x, C[:1], layout, {})["x"] - net(moved, C[:1], layout, {})["x"]).abs().sum(-1)[0]
        return change > 1e-9

    # group norm alone ties all places together, by their mean: it is held still to see the rest
    for levels, far in (((8,), False), ((8, 8, 8), True)):
        net = unet(world, axes=1, widths=levels, attention=())
        for norm in (m for m in net.modules() if isinstance(m, GridNorm)):
            norm.forward = lambda y, at: y
        assert bool(reach(net)[-1]) is far


@pytest.mark.parametrize("axis", [0, 1])
def test_periodic_axis_has_no_ends(world, axis):
    """A shift by a whole number of coarsest places moves the output alike; on an open axis it does not."""
    net, x = unet(world), inputs(world, 64)
    shifted = {"x": x["x"].unflatten(1, (8, 8)).roll(4, axis + 1).flatten(1, 2)}
    for periodic, same in ((tuple(a == axis for a in range(2)), True), ((False, False), False)):
        layout = grid((8, 8), periodic)
        out = net(x, C, layout, {})["x"].unflatten(1, (8, 8)).roll(4, axis + 1).flatten(1, 2)
        assert torch.allclose(out, net(shifted, C, layout, {})["x"], atol=1e-10) is same


@pytest.mark.parametrize("sizes", [[8, 5, 1], [7, 6, 3]])
def test_padding_is_inert(world, sizes):
    """Garbage in the padding changes nothing, and a sample alone gives what it gives among longer ones."""
    net, layout = unet(world, conditions=SPECS, axes=1), line(sizes)
    x, cond = inputs(world, layout.tokens), values(layout.tokens)
    bits = torch.zeros_like(x["x"], dtype=torch.bool)
    bits[:, 0] = True
    known = Known({"x": bits}, {"x": x["x"] * bits})
    clean = net(x, C, layout, cond, known)["x"]
    bad = {"x": x["x"].masked_fill(~layout.mask[..., None], float("nan"))}
    torch.testing.assert_close(net(bad, C, layout, cond, known)["x"][layout.mask], clean[layout.mask])
    for i, n in enumerate(sizes):
        row = {k: c.rows(i, i + 1) for k, c in cond.items()}
        row["depth"] = replace(row["depth"], value=row["depth"].value[:, :n])
        own = Known({"x": bits[i : i + 1, :n]}, {"x": known.values["x"][i : i + 1, :n]})
        alone = net({"x": x["x"][i : i + 1, :n]}, C[i : i + 1], grid((n,), batch=1), row, own)["x"]
        torch.testing.assert_close(alone, clean[i : i + 1, :n], atol=1e-10, rtol=1e-10)


def test_levels_average_and_repeat():
    full = Grid((5,), (False,))
    x = torch.tensor([[[1.0, 3.0, 5.0, 7.0, 4.0]]])
    assert full.halved().shape == (3,)
    assert full.halve(x).tolist() == [[[2.0, 6.0, 4.0]]]
    assert full.double(full.halve(x)).tolist() == [[[2.0, 2.0, 6.0, 6.0, 4.0]]]
    padded = Grid((5,), (False,), torch.tensor([[[True, True, True, False, False]]]))
    assert padded.halve(x).tolist() == [[[2.0, 5.0, 0.0]]]
    assert padded.halved().real.tolist() == [[[True, True, False]]]


def test_norm_of_real_places_is_that_of_the_unpadded():
    x = torch.randn(2, 16, 6, dtype=torch.float64)
    real = torch.arange(6) < torch.tensor([6, 4])[:, None, None]
    norm = GridNorm(16)
    y = norm(x, Grid((6,), (False,), real))
    torch.testing.assert_close(y[1:, :, :4], norm(x[1:, :, :4], Grid((4,), (False,))), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(y[:1], F.group_norm(x[:1], norm.groups, eps=1e-6), atol=1e-6, rtol=1e-6)


def test_wrapped_convolution_is_that_of_the_repeated_signal():
    conv, x = GridConv(2, 3, 4), torch.randn(1, 3, 4, 5)
    wide = torch.cat([x, x, x], dim=3)
    open_, wrapped = Grid((4, 15), (False, False)), Grid((4, 5), (False, True))
    torch.testing.assert_close(conv(x, wrapped), conv(wide, open_)[..., 5:10])


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_every_condition_is_heard_and_its_absence_too(world, name):
    net, layout = unet(world, conditions=SPECS), grid((3, 4))
    x, cond = inputs(world, 12), values(12)
    other = values(12, seed=1)
    base = net(x, C, layout, cond)["x"]
    told = net(x, C, layout, cond | {name: other[name]})["x"]
    missing = net(x, C, layout, {k: v for k, v in cond.items() if k != name})["x"]
    for changed in (told, missing):
        assert (changed - base)[:2].abs().amax((1, 2)).min() > 1e-3
        torch.testing.assert_close(changed[2], base[2])  # the last sample has no value either way


def test_time_given_values_and_the_previous_estimate_are_heard(world):
    net, layout, x = unet(world, self_conditioning=True), grid((3, 4)), inputs(world, 12)
    base = net(x, C, layout, {})["x"]
    bits = torch.zeros_like(x["x"], dtype=torch.bool)
    bits[:, :2] = True
    for changed in (
        net(x, C + 0.5, layout, {}),
        net(x, C, layout, {}, Known({"x": bits}, {"x": x["x"] * bits})),
        net(x, C, layout, {}, None, inputs(world, 12, seed=1)),
    ):
        assert (changed["x"] - base).abs().amax((1, 2)).min() > 1e-3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"axes": 0}, "grid of 1 to 3 axes"),
        ({"axes": 4}, "grid of 1 to 3 axes"),
        ({"names": ("x", "bond")}, "bond hold pairs"),
        ({"widths": ()}, "at least one level"),
        ({"attention": (3,)}, "levels 0 to 2"),
        ({"head_width": 5}, "do not divide"),
        ({"conditions": SPECS, "attention": ()}, "no level attends"),
        ({"dropout": 1.0}, "dropout"),
        ({"depth": 0}, "depth is 0"),
    ],
)
def test_what_does_not_fit_is_refused(world, options, match):
    with pytest.raises(ValueError, match=match):
        unet(world, **options)


@pytest.mark.parametrize("shape", [(5, 6), (4, 3, 3)])
def test_a_time_of_each_token(world, shape):
    """Equal times are one time; a time of its own moves its own place most, and is carried to the same place in any memory."""
    layout = grid(shape)
    net, x = unet(world, axes=len(shape), attention=()), inputs(world, layout.tokens)
    one = net(x, C, layout, {})["x"]
    times = C[:, None].repeat(1, layout.tokens)
    torch.testing.assert_close(net(x, times, layout, {})["x"], one, rtol=1e-10, atol=1e-10)
    for token in (0, layout.tokens - 1):
        late = times.clone()
        late[:, token] += 1.0
        moved = (net(x, late, layout, {})["x"] - one).abs().mean((0, 2))
        assert moved.argmax() == token
        assert moved[token] > 2 * moved.median() > 0


def test_padded_tokens_have_no_time(world):
    net, layout, x = unet(world, axes=1), line([5, 3, 4]), inputs(world, 5)
    times = C[:, None] + 0.1 * torch.arange(5, dtype=torch.float64)
    one = net(x, times, layout, {})["x"]
    other = net(x, torch.where(layout.mask, times, 7.0), layout, {})["x"]
    torch.testing.assert_close(one[layout.mask], other[layout.mask], rtol=0, atol=1e-12)


def test_tokens_without_a_grid_are_refused(world):
    net, x = unet(world), inputs(world, 12)
    with pytest.raises(ValueError, match="these fill none"):
        net(x, C, replace(grid((3, 4)), grid=None), {})
    with pytest.raises(ValueError, match=r"one of 1, \(12,\)"):
        net(x, C, grid((12,)), {})


def test_it_is_rebuilt_from_its_arguments(world):
    assert registry.class_of("backbone", "unet") is UNet
    net = unet(world, conditions=SPECS, qk_norm=False, dropout=0.1, self_conditioning=True)
    again = checkpoint.build(checkpoint.describe(net)).double().eval()
    again.load_state_dict(net.state_dict())
    layout, x, cond = grid((3, 4)), inputs(world, 12), values(12)
    torch.testing.assert_close(again(x, C, layout, cond)["x"], net(x, C, layout, cond)["x"])
