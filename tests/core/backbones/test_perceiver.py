"""What a Perceiver promises: zero at first, sets stay sets, inert padding, time per token, every route, cost linear in N."""

from dataclasses import replace

import pytest
import torch
from ornstein.core import checkpoint, registry
from ornstein.core.backbones.perceiver import Perceiver
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Condition, Known, Layout, state_to
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

NAMES = ("x", "type")
C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
SPECS = [
    ConditionSpec("label", "class", 4, "global"),
    ConditionSpec("heat", "scalar", 1, "prepend"),
    ConditionSpec("caption", "tokens", 3, "cross"),
    ConditionSpec("melody", "tokens", 3, "prepend"),
    ConditionSpec("depth", "dense", 2, "concat"),
]


def perceiver(world, names=NAMES, conditions=(), axes=0, opened=True, **options):
    """A small one in float64; `opened`: with every parameter moved off zero."""
    torch.manual_seed(0)
    options = {"width": 12, "depth": 2, "heads": 2, "latents": 5, "latent_width": 16, "latent_depth": 1} | options
    net = Perceiver([world.fields[n] for n in names], conditions, axes, **options).double().eval()
    if opened:
        for p in net.parameters():
            p.data += 0.2 * torch.randn_like(p)
    return net


def values(seed=0):
    """A value of each condition for three samples, the last of them absent."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    present = torch.tensor([True, True, False])
    mask = torch.tensor([[True, True, False, False], [True, True, True, True], [True, False, False, False]])
    return {
        "label": Condition(torch.randint(4, (3,), generator=g), present),
        "heat": Condition(rand(3), present),
        "caption": Condition(rand(3, 4, 3), present, mask),
        "melody": Condition(rand(3, 4, 3), present, mask),
        "depth": Condition(rand(3, 6, 2), present),
    }


def assert_same(a, b, mask, tol=1e-10):
    for name in a:
        torch.testing.assert_close(a[name][mask], b[name][mask], atol=tol, rtol=tol)


@pytest.mark.parametrize("axes", [0, 2])
def test_fresh_network_returns_zero(world, axes):
    out = perceiver(world, axes=axes, opened=False)(world.inputs(NAMES), C, world.layout(axes), {})
    for name in NAMES:
        assert out[name].shape == (3, 6, world.fields[name].channels)
        assert (out[name] == 0).all()


@pytest.mark.parametrize("axes", [0, 2])
def test_tokens_are_permuted_with_their_places(world, axes):
    """In float64 and, where the order of sums shows, in float32; noise levels, given values and padding go along."""
    net, state, layout = perceiver(world, axes=axes), world.inputs(NAMES), world.layout(axes, sizes=[6, 4, 5])
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    known, times = world.known(state), torch.linspace(-2, 2, 18, dtype=torch.float64).view(3, 6)
    positions = None if layout.positions is None else layout.positions[:, order]
    moved = Layout(layout.mask[:, order], positions)

    def permute(tree):
        return {n: y[:, order] for n, y in tree.items()}

    for dtype, tol in ((torch.float64, 1e-11), (torch.float32, 2e-5)):
        at, to, given, c = layout.to("cpu", dtype), moved.to("cpu", dtype), known.to("cpu", dtype), times.to(dtype)
        there, x = Known(permute(given.bits), permute(given.values)), state_to(state, "cpu", dtype)
        one = permute(net.to(dtype)(x, c, at, {}, given))
        assert_same(one, net(permute(x), c[:, order], to, {}, there), to.mask, tol)
        assert all(y.std() > 0.1 for y in one.values())


@pytest.mark.parametrize("axes", [0, 1, 3])
def test_padding_is_inert(world, axes):
    """Garbage of every sort in the padding, and more of it, changes nothing for the real tokens."""
    net, state, layout = (
        perceiver(world, conditions=SPECS, axes=axes),
        world.inputs(NAMES),
        world.layout(axes, sizes=[6, 4, 1]),
    )
    known, cond = world.known(state, first=1), values()
    times = C[:, None].repeat(1, 6) + torch.linspace(0, 1, 6)
    clean = net(state, times, layout, cond, known)
    bad = {n: x.clone() for n, x in state.items()}
    for x in bad.values():
        x[~layout.mask] = float("nan") if x.is_floating_point() else 10**6
    positions = (
        None if layout.positions is None else layout.positions.masked_fill(~layout.mask[..., None], float("nan"))
    )
    dirty = net(bad, times.masked_fill(~layout.mask, float("inf")), replace(layout, positions=positions), cond, known)
    assert_same(clean, dirty, layout.mask)
    alone = {n: x[1:2, :4] for n, x in state.items()}
    short = Layout(layout.mask[1:2, :4], None if positions is None else positions[1:2, :4])
    row = {n: replace(c.rows(1, 2), value=c.value[1:2, :4]) if n == "depth" else c.rows(1, 2) for n, c in cond.items()}
    own = Known({n: b[1:2, :4] for n, b in known.bits.items()}, {n: v[1:2, :4] for n, v in known.values.items()})
    assert_same(net(alone, times[1:2, :4], short, row, own), {n: y[1:2, :4] for n, y in clean.items()}, short.mask)


def test_sample_without_tokens_stays_finite(world):
    net, state, layout = perceiver(world), world.inputs(NAMES), world.layout(0, sizes=[6, 0, 2])
    out = net(state, C[:, None].expand(3, 6), layout, {})
    sum(y.sum() for y in out.values()).backward()
    assert all(y.isfinite().all() for y in out.values())
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_a_time_of_each_token(world):
    """Equal times are one time; a time of its own moves the token itself and, through the latents, the others."""
    net, state, layout = perceiver(world), world.inputs(NAMES), world.layout(0, sizes=[6, 4, 5])
    one = net(state, C, layout, {})
    times = C[:, None].repeat(1, 6)
    assert_same(one, net(state, times, layout, {}), layout.mask)
    times[:, 0] += 1.0
    moved = (net(state, times, layout, {})["x"] - one["x"]).abs().amax(-1)
    assert (moved[layout.mask] > 1e-6).all()


def test_every_token_reaches_every_other_through_the_latents_alone(world):
    net, state, layout = perceiver(world), world.inputs(NAMES), world.layout(0)
    clean = net(state, C, layout, {})["x"]
    x = state["x"].clone()
    x[:, 2] += 1.0
    assert ((net({**state, "x": x}, C, layout, {})["x"] - clean).abs().amax(-1) > 1e-6).all()
    for block in net.blocks:
        block.write.out.weight.data.zero_()
    deaf = net(state, C, layout, {})["x"]
    moved = (net({**state, "x": x}, C, layout, {})["x"] - deaf).abs().amax(-1)
    assert (moved[:, 2] > 1e-3).all()
    assert (moved[:, [0, 1, 3, 4, 5]] == 0).all()


def test_given_entries_and_previous_estimates_are_seen(world):
    net, state, layout = perceiver(world, self_conditioning=True), world.inputs(NAMES), world.layout(0)
    free, every = net(state, C, layout, {}), world.known(state)
    for name in NAMES:
        known = Known({name: every.bits[name]}, {name: every.values[name]})
        given = net(state, C, layout, {}, known)["x"]
        assert (given - free["x"]).abs().max() > 1e-4
        other = Known(known.bits, {name: (every.values[name] + 1) % 4})
        assert (net(state, C, layout, {}, other)["x"] - given).abs().max() > 1e-4
    previous = {n: y if n == "x" else y.softmax(-1) for n, y in free.items()}
    assert (net(state, C, layout, {}, previous=previous)["x"] - free["x"]).abs().max() > 1e-4


def test_positions_are_seen_on_a_grid_and_off_it(world):
    """A grid promises that nothing is padded: the same without a mask. A periodic axis has no seam."""
    net, state = perceiver(world, ("x",), axes=2), world.inputs(("x",))
    layout = replace(Layout.of_grid(3, (2, 3)), periodic=(False, True))
    out = net(state, C, layout, {})
    around = replace(layout, positions=layout.positions + torch.tensor([0.0, 3.0]))
    assert_same(out, net(state, C, around, {}), layout.mask, 1e-9)
    swapped = replace(layout, positions=layout.positions.flip(1))
    assert (net(state, C, swapped, {})["x"] - out["x"]).abs().max() > 1e-3
    plain = replace(layout, periodic=())
    assert_same(net(state, C, plain, {}), net(state, C, replace(plain, grid=None), {}), layout.mask)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.name}-{s.route}")
def test_each_route(world, spec):
    """A value moves the samples that have one; an absent value, a dropped one and a missing name are the same."""
    net, state, layout = perceiver(world, ("x",), [spec]), world.inputs(("x",)), world.layout(0, sizes=[6, 4, 5])
    cond = {spec.name: values()[spec.name]}
    out = net(state, C, layout, cond)["x"]
    other = net(state, C, layout, {spec.name: values(seed=3)[spec.name]})["x"]
    missing = net(state, C, layout, {})["x"]
    real = layout.mask[..., None]
    moved = ((out - other) * real).abs().flatten(1).amax(1)
    assert (moved[:2] > 1e-6).all()
    torch.testing.assert_close(out[2] * real[2], missing[2] * real[2])
    assert ((out - missing) * real)[0].abs().max() > 1e-6
    if cond[spec.name].mask is not None:  # what is masked is not looked at
        c = cond[spec.name]
        hidden = replace(c, value=c.value.masked_fill(~c.mask[..., None], 7.0))
        torch.testing.assert_close(net(state, C, layout, {spec.name: hidden})["x"], out)


@pytest.mark.parametrize("self_conditioning", [False, True])
@pytest.mark.parametrize("axes", [0, 2])
def test_every_parameter_gets_a_gradient(world, axes, self_conditioning):
    """Also where nothing is given and nothing was estimated: a parameter left out would stall data-parallel training."""
    net = perceiver(world, NAMES, SPECS, axes=axes, self_conditioning=self_conditioning, latent_depth=2)
    state = world.inputs(NAMES)
    out = net(state, C, world.layout(axes, sizes=[6, 4, 5]), values())
    sum((y * torch.randn_like(y)).sum() for y in out.values()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    net.zero_grad()
    previous = {n: y.detach().softmax(-1) for n, y in out.items()} if self_conditioning else None
    out = net(state, C, world.layout(axes), values(), world.known(state), previous)
    sum((y * torch.randn_like(y)).sum() for y in out.values()).backward()
    assert [n for n, p in net.named_parameters() if not p.grad.abs().max() > 0] == []


def test_fresh_network_learns_what_only_other_tokens_tell(world):
    """The gates are shut, not dead. The target is the mean of the set, which no token knows by itself."""
    net = perceiver(world, ("x",), opened=False)
    state, layout = world.inputs(("x",)), world.layout(0)
    target = 3 * state["x"].mean(1, keepdim=True).expand_as(state["x"])
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=5e-3), []
    for _ in range(100):
        loss = (net(state, C * 0, layout, {})["x"] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def flops(net, tokens):
    """Products of matrices, forwards: in float64 and without a fused attention PyTorch counts them all."""
    (field,) = net.fields
    state = {field.name: torch.randn(1, tokens, field.channels, dtype=torch.float64)}
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        net(state, C[:1], Layout(torch.ones(1, tokens, dtype=torch.bool)), {})
    return counter.get_total_flops()


def test_the_cost_is_linear_in_the_number_of_tokens(world):
    """Equal steps in N cost equally much; of a DiT, whose tokens see each other, the second step costs more."""
    a, b, c = (flops(perceiver(world, ("x",)), n) for n in (100, 300, 500))
    assert c - b == b - a > 200 * 12 * 12
    a, b, c = (flops(world.net(("x",)), n) for n in (100, 300, 500))
    assert c - b > 1.5 * (b - a)


@pytest.mark.parametrize("grid", [False, True])
def test_compiles_without_breaks(world, grid):
    torch._dynamo.reset()
    net, state = perceiver(world, NAMES, SPECS, axes=2), world.inputs(NAMES)
    layout = Layout.of_grid(3, (2, 3)) if grid else world.layout(2, sizes=[6, 4, 5])
    out = torch.compile(net, fullgraph=True, backend="eager")(state, C, layout, values(), world.known(state))
    for name, y in net(state, C, layout, values(), world.known(state)).items():
        torch.testing.assert_close(out[name], y, atol=1e-9, rtol=1e-9)


def test_autocast_stays_near(world):
    net, state = perceiver(world, NAMES, SPECS, axes=1), world.inputs(NAMES)
    exact = net(state, C, world.layout(1, sizes=[6, 4, 5]), values())["x"]
    with torch.autocast("cpu", torch.bfloat16):
        near = net.float()(
            state_to(state, "cpu", torch.float32),
            C.float(),
            world.layout(1, sizes=[6, 4, 5]).to("cpu", torch.float32),
            {n: c.to("cpu", torch.float32) for n, c in values().items()},
        )["x"]
    assert near.dtype == torch.float32
    assert (near - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"latents": 0}, "latents is 0"),
        ({"latent_width": 0}, "latent_width"),
        ({"latent_depth": 0}, "latent_depth"),
        ({"heads": 5}, r"width 12 and latent_width 16 do not both split into 5 heads; heads may be \[1, 2, 4\]"),
        ({"heads": 3}, "do not both split"),
        ({"axes": -1}, "axes"),
        ({"dropout": 1.0}, "dropout"),
        ({"mlp_ratio": 0.0}, "mlp_ratio"),
        ({"names": ("x", "bond")}, "bond hold pairs of them: use a DiT"),
        ({"names": ()}, "a Perceiver needs at least one field"),
    ],
)
def test_bad_options(world, options, word):
    with pytest.raises(ValueError, match=word):
        perceiver(world, **options)


def test_bad_inputs(world):
    net, state = perceiver(world, axes=1), world.inputs(NAMES)
    with pytest.raises(ValueError, match=r"lack the fields \['type'\]"):
        net({"x": state["x"]}, C, world.layout(1), {})
    with pytest.raises(ValueError, match="given to a Perceiver with self_conditioning=False"):
        net(state, C, world.layout(1), {}, previous=state)
    with pytest.raises(ValueError, match="1 axes; the layout has no positions"):
        net(state, C, world.layout(0), {})
    with pytest.raises(ValueError, match="not declared"):
        net(state, C, world.layout(1), {"label": values()["label"]})


def test_the_name_of_a_recipe_and_a_checkpoint_make_it(world):
    assert registry.class_of("backbone", "perceiver") is Perceiver
    net = perceiver(world, NAMES, SPECS, axes=1, qk_norm=False, mlp_ratio=2.0, dropout=0.1, rope_base=50.0)
    again = checkpoint.build(checkpoint.describe(net)).double().eval()
    again.load_state_dict(net.state_dict())
    state, layout = world.inputs(NAMES), world.layout(1)
    assert_same(again(state, C, layout, values()), net(state, C, layout, values()), layout.mask, 0)
