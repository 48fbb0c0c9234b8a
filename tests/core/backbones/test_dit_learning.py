"""What a DiT is fed and how it is run: given entries, previous estimates, gradients, conditions, compile, precision."""

import pytest
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Condition, Known, Layout

NAMES = ("x", "type", "bond", "distance")
PLACES = {"distances": "x", "pair_updates": True}
C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
SPECS = [
    ConditionSpec("label", "class", 4, "global"),
    ConditionSpec("heat", "scalar", 1, "prepend"),
    ConditionSpec("direction", "vector", 2, "cross"),
    ConditionSpec("caption", "tokens", 3, "cross"),
    ConditionSpec("melody", "tokens", 3, "prepend"),
    ConditionSpec("mood", "tokens", 3, "global"),
    ConditionSpec("depth", "dense", 2, "concat"),
]


def values(seed=0):
    """A value of each condition for three samples, the last of them absent."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    present = torch.tensor([True, True, False])
    mask = torch.tensor([[True, True, False, False], [True, True, True, True], [True, False, False, False]])
    tokens = lambda: Condition(rand(3, 4, 3), present, mask)  # noqa: E731
    return {
        "label": Condition(torch.randint(4, (3,), generator=g), present),
        "heat": Condition(rand(3), present),
        "direction": Condition(rand(3, 2), present),
        "caption": tokens(),
        "melody": tokens(),
        "mood": tokens(),
        "depth": Condition(rand(3, 6, 2), present),
    }


@pytest.mark.parametrize("name", NAMES)
def test_given_entries_change_the_output(world, name):
    net, state, layout = world.net(NAMES, axes=1), world.inputs(NAMES), world.layout(1)
    free = net(state, C, layout, {})["x"]
    every = world.known(state)
    known = Known({name: every.bits[name]}, {name: every.values[name]})
    given = net(state, C, layout, {}, known)["x"]
    assert (free - given).abs().max() > 1e-4
    other = Known(known.bits, {name: (every.values[name] + 1) % 4})
    assert (net(state, C, layout, {}, other)["x"] - given).abs().max() > 1e-4
    hidden = {name: torch.where(every.bits[name], every.values[name], -7)}  # behind a false bit nothing is read
    torch.testing.assert_close(net(state, C, layout, {}, Known(known.bits, hidden))["x"], given)
    nothing = Known({n: torch.zeros_like(b) for n, b in every.bits.items()}, every.values)
    torch.testing.assert_close(net(state, C, layout, {}, nothing)["x"], free)


@pytest.mark.parametrize("options", [{}, PLACES])
def test_previous_estimate(world, options):
    net, state, layout = world.net(NAMES, self_conditioning=True, **options), world.inputs(NAMES), world.layout(0)
    first = net(state, C, layout, {})
    previous = {n: y if n in ("x", "distance") else y.softmax(-1) for n, y in first.items()}
    second = net(state, C, layout, {}, previous=previous)
    assert all((first[n] - second[n]).abs().max() > 1e-4 for n in NAMES)
    if not options:  # in distances all at one place is not the same as unknown
        zeros = {n: torch.zeros_like(y) for n, y in first.items()}
        torch.testing.assert_close(net(state, C, layout, {}, previous=zeros), first)
    with pytest.raises(ValueError, match="previous estimates lack"):
        net(state, C, layout, {}, previous={"x": first["x"]})


@pytest.mark.parametrize("options", [{}, PLACES])
@pytest.mark.parametrize("self_conditioning", [False, True])
@pytest.mark.parametrize("axes", [0, 2])
def test_every_parameter_gets_a_gradient(world, self_conditioning, axes, options):
    """Also where nothing is given and nothing was estimated: a parameter left out would stall data-parallel training."""
    net = world.net(NAMES, SPECS, axes=axes, self_conditioning=self_conditioning, **options)
    out = net(world.inputs(NAMES), C, world.layout(axes, sizes=[6, 4, 5]), values())
    sum((y * torch.randn_like(y)).sum() for y in out.values()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    net.zero_grad()
    state = world.inputs(NAMES)
    previous = {n: y.detach().softmax(-1) for n, y in out.items()} if self_conditioning else None
    out = net(state, C, world.layout(axes), values(), world.known(state), previous)
    sum((y * torch.randn_like(y)).sum() for y in out.values()).backward()
    assert [n for n, p in net.named_parameters() if not p.grad.abs().max() > 0] == []


def test_fresh_network_starts_to_learn(world):
    """The gates are shut, not dead: a few steps of descent bring the loss of a fixed batch down."""
    net = world.net(("x", "type"), SPECS[:1], opened=False)
    state, layout, cond = world.inputs(("x", "type")), world.layout(0), {"label": values()["label"]}
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        out = net(state, C, layout, cond)
        target = state["type"].clamp(max=4)
        loss = (out["x"] - state["x"].roll(1, 1)).square().mean() + torch.nn.functional.cross_entropy(
            out["type"].flatten(0, 1), target.flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.name}-{s.route}")
def test_each_route(world, spec):
    """A value moves the samples that have one; an absent value, a dropped one and a missing name are the same."""
    net, state, layout = world.net(("x",), [spec], axes=1), world.inputs(("x",)), world.layout(1, sizes=[6, 4, 5])
    cond = {spec.name: values()[spec.name]}
    out = net(state, C, layout, cond)["x"]
    other = net(state, C, layout, {spec.name: values(seed=3)[spec.name]})["x"]
    missing = net(state, C, layout, {})["x"]
    real = layout.mask[..., None]
    moved = ((out - other) * real).abs().flatten(1).amax(1)
    assert (moved[:2] > 1e-5).all()
    torch.testing.assert_close(out[2] * real[2], other[2] * real[2])
    torch.testing.assert_close(out[2] * real[2], missing[2] * real[2])
    assert ((out - missing) * real)[0].abs().max() > 1e-5
    dropped = {spec.name: cond[spec.name].dropped(torch.ones(3, dtype=torch.bool))}
    torch.testing.assert_close(net(state, C, layout, dropped)["x"] * real, missing * real)


def test_unknown_condition(world):
    net = world.net(("x",), SPECS[:2])
    with pytest.raises(ValueError, match=r"'lable' is not declared.*nearest: 'label'"):
        net(world.inputs(("x",)), C, world.layout(0), {"lable": values()["label"]})


@pytest.mark.parametrize(("grid", "qk_norm", "options"), [(False, True, {}), (True, False, {}), (False, True, PLACES)])
def test_compiles_without_breaks(world, grid, qk_norm, options):
    """The compiled network, which turns real numbers, not complex ones, and lists padded pairs too, agrees with the eager one."""
    torch._dynamo.reset()
    names = ("x", "type", "bond")
    net = world.net(names, SPECS, axes=2, qk_norm=qk_norm, **options)
    state = world.inputs(names)
    layout = Layout.of_grid(3, (2, 3)) if grid else world.layout(2, sizes=[6, 4, 5])
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    out = compiled(state, C, layout, values(), world.known(state))
    for name, y in net(state, C, layout, values(), world.known(state)).items():
        torch.testing.assert_close(out[name], y, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("options", [{}, PLACES])
def test_autocast_and_low_precision(world, options):
    """bfloat16 by autocast and by cast stays near the exact result; outputs have the type of c_noise."""
    net = world.net(NAMES, SPECS, axes=2, self_conditioning=True, **options)
    state, layout, known = world.inputs(NAMES), world.layout(2, sizes=[6, 4, 5]), world.known(world.inputs(NAMES))
    exact = net(state, C, layout, values(), known)
    net.float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(state, C.float(), layout, values(), known)
    low = net.bfloat16()(state, C.float(), layout, values(), known)
    for name in NAMES:
        scale = exact[name].std()
        for out in (mixed[name], low[name]):
            assert out.dtype == torch.float32
            assert (out - exact[name])[0].abs().mean() < 0.1 * scale, name


def test_dropout_acts_in_training_only(world):
    net, state, layout = world.net(("x",), dropout=0.5), world.inputs(("x",)), world.layout(0)
    torch.testing.assert_close(net(state, C, layout, {}), net(state, C, layout, {}))
    net.train()
    assert (net(state, C, layout, {})["x"] - net(state, C, layout, {})["x"]).abs().max() > 1e-3
