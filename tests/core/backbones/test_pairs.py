"""The stream of pairs: lists and squares, distances that every layer reads anew, and places that every layer refines."""

import pytest
import torch
from ornstein.core.backbones.distances import BASIS, SOFTENING, RadialBasis
from ornstein.core.backbones.dit import DiT
from ornstein.core.backbones.pairing import Pairing
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.parametrization import EDM
from ornstein.core.processes import Gaussian, LearnedVariance
from ornstein.core.schedules import Rectified, Trigonometric
from ornstein.core.state import Field, Known, Layout
from torch.nn.attention import SDPBackend, sdpa_kernel

NAMES = ("x", "type", "bond")
PLACES = {"distances": "x", "pair_updates": True}
C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)


@pytest.fixture
def padded_pairs(monkeypatch):
    """Pairs as a GPU lists them: padded ones too."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


def lengths(x):
    """|x_i - x_j|, (B, N, N), softened."""
    return torch.sqrt((x[:, :, None] - x[:, None]).square().sum(-1) + SOFTENING)


def read_distances(net, *args, **kwargs):
    """What each layer reads of the estimate, as squares (B, N, N, K), and the outputs."""
    seen, pairing = [], Pairing.of(args[2].mask)
    hooks = [
        layer.distances.register_forward_pre_hook(lambda _, a: seen.append(pairing.square(a[0])))
        for layer in net.pairs.layers
    ]
    out = net(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return seen, out


# Lists of pairs


@pytest.mark.parametrize("all_pairs", [False, True])
def test_lists_and_squares_agree(all_pairs, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: all_pairs)
    mask = Layout.of_sizes(torch.tensor([4, 1, 3]), 5).mask
    pairing = Pairing.of(mask)
    assert len(pairing.i) == (30 if all_pairs else 9)
    x = torch.randn(3, 5, 2)
    a, b = pairing.ends(x)
    both = (mask[:, :, None] & mask[:, None] & ~torch.eye(5, dtype=torch.bool))[..., None]
    even, odd = x[:, :, None] + x[:, None], x[:, :, None] - x[:, None]
    assert torch.equal(pairing.square(a + b), even * both)
    assert torch.equal(pairing.square(a - b, odd=True), odd * both)
    torch.testing.assert_close(pairing.total(a - b, odd=True), (odd * both).sum(2))
    assert torch.equal(pairing.square(pairing.entries(even)), even * both)
    assert pairing.partners.flatten().tolist() == [3, 0, 2]


def test_listing_padded_pairs_changes_nothing(world, request):
    names = (*NAMES, "distance")
    net, state, layout = world.net(names, **PLACES), world.inputs(names), world.layout(0, sizes=[6, 4, 1])
    known, previous = world.known(state), None
    real = net(state, C, layout, {}, known, previous)
    request.getfixturevalue("padded_pairs")
    for name, y in net(state, C, layout, {}, known, previous).items():
        keep = layout.mask[:, :, None] & layout.mask[:, None] if y.ndim == 4 else layout.mask
        torch.testing.assert_close(y[keep], real[name][keep], rtol=0, atol=1e-12)


# Distances


def test_radial_functions_tell_small_distances_apart():
    """Each distance up to 8 has a shape of its own, and a hundredth at bond length shows."""
    d = torch.linspace(0, 8, 81, dtype=torch.float64)
    shapes = RadialBasis()(d)
    assert shapes.shape == (81, BASIS)
    assert float(torch.pdist(shapes).min()) > 0.01
    near = RadialBasis()(torch.tensor([0.8, 0.81], dtype=torch.float64))
    assert float((near[0] - near[1]).norm()) > 0.05


def test_every_layer_reads_the_distances_of_the_estimate_so_far(world):
    """cos(phi) u + sin(phi) F with tan(phi) = exp(4 c_noise): what layer 0 adds to F shows in layer 1, not in layer 0."""
    net, state, layout = (
        world.net(("x", "bond"), distances="x", opened=False),
        world.inputs(("x", "bond")),
        world.layout(0),
    )
    angle = torch.atan(torch.exp(4 * C))[:, None, None]
    push = torch.randn(6, 3, dtype=torch.float64)
    for F in (torch.zeros(6, 3, dtype=torch.float64), push):
        net.pairs.coordinates.moves[0].register_forward_hook(lambda *_, F=F: F.expand(3, -1, -1))
        seen, _ = read_distances(net, state, C, layout, {})
        u = angle.cos() * state["x"]
        off = ~torch.eye(6, dtype=torch.bool)
        for found, x0 in ((seen[0], u), (seen[1], u + angle.sin() * F)):
            torch.testing.assert_close(found[:, off], RadialBasis()(lengths(x0))[:, off], rtol=0, atol=1e-4)


@pytest.mark.parametrize("schedule", [Rectified(), Trigonometric()], ids=str)
@pytest.mark.parametrize("time", ["number", "sample", "token"])
def test_the_estimate_is_what_the_denoiser_makes_of_the_output(world, schedule, time):
    """With EDM's parametrisation and data of unit variance: the layers see the x0 that the sampler will."""
    fields = [Field("x", "continuous", 3, Gaussian(schedule, EDM()))]
    torch.manual_seed(0)
    net = DiT(fields, (), 0, width=24, depth=2, heads=2, distances="x").double().eval()
    for p in net.pairs.parameters():
        p.data += 0.3 * torch.randn_like(p)
    net.pairs.coordinates.mix.weight.data.zero_()
    net.pairs.coordinates.mix.bias.data.zero_()
    ends = []
    net.pairs.coordinates.basis.register_forward_pre_hook(lambda _, a: ends.append(a[0]))
    x, layout = world.inputs(("x",))["x"], world.layout(0)
    t = {"number": 0.3, "sample": torch.tensor([0.1, 0.5, 0.9]), "token": torch.rand(3, 6).clamp(0.05, 0.95)}[time]
    x0 = NeuralDenoiser(net, fields)({"x": x}, t, layout, {})["x"].x0
    pairing = Pairing.of(layout.mask)
    torch.testing.assert_close(ends[-1], pairing.entries(lengths(x0)[..., None])[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        ends[0], pairing.entries(lengths(x / _scale(schedule, t))[..., None]), rtol=1e-4, atol=1e-4
    )
    assert (ends[0][:, 0] - ends[-1]).abs().max() > 0.1


def _scale(schedule, t):
    t = torch.as_tensor(t, dtype=torch.float64)
    scale = torch.hypot(schedule.alpha(t), schedule.sigma(t))
    return scale.view(*scale.shape, *(1,) * (3 - scale.ndim)) if scale.ndim else scale


def test_given_places_are_seen_as_they_are_at_any_noise(world):
    net, state, layout = world.net(("x",), self_conditioning=True, **PLACES), world.inputs(("x",)), world.layout(0)
    known = world.known(state, first=3)
    known = Known(known.bits, {"x": torch.randn(3, 6, 3, dtype=torch.float64)})
    previous = {"x": torch.randn(3, 6, 3, dtype=torch.float64)}
    noisy = torch.full((3,), 2.4, dtype=torch.float64)
    seen, _ = read_distances(net, state, noisy, layout, {}, known, previous)
    off = ~torch.eye(3, dtype=torch.bool)
    for found in seen:
        expected = RadialBasis()(lengths(known.values["x"][:, :3]))
        torch.testing.assert_close(found[:, :3, :3][:, off], expected[:, off], rtol=0, atol=1e-4)


def test_two_tokens_pull_each_other_along_their_difference(world):
    """F_1 = w (u_1 - u_2) / (1 + |u_1 - u_2|) = -F_2, w the weight of the input's direction in each of the layers."""
    net = world.net(("x",), opened=False, distances="x")
    for pull in net.pairs.coordinates.pulls:
        pull.bias.data[1] = 0.25
    x = world.inputs(("x",), tokens=2)["x"]
    out = net({"x": x}, C, world.layout(0, tokens=2), {})["x"]
    d = x[:, 0] - x[:, 1]
    expected = 2 * 0.25 * d / (1 + d.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(out[:, 0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out[:, 1], -expected, rtol=1e-5, atol=1e-6)


def test_previous_distances_are_told_from_none(world):
    net, state, layout = world.net(("x",), self_conditioning=True, **PLACES), world.inputs(("x",)), world.layout(0)
    none = net(state, C, layout, {})["x"]
    with torch.no_grad():
        net.embeddings[0].values.weight[:, -3:] = 0  # what is left of the previous estimate are its distances
    before = net(state, C, layout, {})["x"]
    torch.testing.assert_close(before, none)
    one = net(state, C, layout, {}, previous={"x": state["x"]})["x"]
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    assert (one - none).abs().max() > 1e-4
    with torch.no_grad():
        for pull in net.pairs.coordinates.pulls:
            pull.weight[2], pull.bias[2] = 0, 0
    still = net(state, C, layout, {}, previous={"x": state["x"]})["x"]
    torch.testing.assert_close(net(state, C, layout, {}, previous={"x": state["x"] @ turn + 5})["x"], still)


# Updates


@pytest.mark.parametrize("updates", [False, True])
def test_layers_write_pairs_from_tokens_only_with_updates(world, updates):
    """The bias of a layer's attention depends on what tokens are, or on pairs and time alone."""
    net, state, layout = world.net(NAMES, pair_updates=updates), world.inputs(NAMES), world.layout(0)
    masks = []
    for block in net.blocks:
        block.attention.register_forward_pre_hook(lambda _, args: masks.append(args[2]))
    net(state, C, layout, {})
    net({**state, "type": (state["type"] + 1) % 5}, C, layout, {})
    for i in range(2):
        assert bool((masks[i] - masks[i + 2]).abs().max() > 1e-4) == updates


def test_pair_outputs_see_the_places_that_the_last_layer_left(world):
    """A push in the last layer changes no token, yet the logits of pairs."""
    net, state, layout = world.net(NAMES, **PLACES), world.inputs(NAMES), world.layout(0)
    before = net(state, C, layout, {})
    net.pairs.coordinates.moves[-1].register_forward_hook(lambda m, a, y: y + torch.randn(6, 3, dtype=torch.float64))
    after = net(state, C, layout, {})
    torch.testing.assert_close(after["type"], before["type"])
    assert (after["bond"] - before["bond"]).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_at_one_place_and_alone_have_finite_gradients(world, dtype):
    net, layout = world.net(("x", "bond"), self_conditioning=True, **PLACES).to(dtype), world.layout(0, sizes=[6, 1, 0])
    state = {"x": torch.zeros(3, 6, 3, dtype=dtype, requires_grad=True), "bond": world.inputs(("bond",))["bond"]}
    sum(y.square().sum() for y in net(state, C.to(dtype), layout, {}).values()).backward()
    assert state["x"].grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_forward_derivatives(world):
    """Directional derivatives, which consistency training takes, agree with differences."""
    net, state, layout = world.net(NAMES, **PLACES), world.inputs(NAMES), world.layout(0)
    direction = torch.randn_like(state["x"])
    f = lambda x: net({**state, "x": x}, C, layout, {})["x"]  # noqa: E731
    with sdpa_kernel(SDPBackend.MATH):  # the only one on a CPU that has them
        _, slope = torch.func.jvp(f, (state["x"],), (direction,))
    difference = (f(state["x"] + 1e-5 * direction) - f(state["x"] - 1e-5 * direction)) / 2e-5
    torch.testing.assert_close(slope, difference, rtol=1e-4, atol=1e-5)


def test_a_learnt_variance_stands_behind_the_places(world):
    field = Field("x", "continuous", 3, LearnedVariance())
    torch.manual_seed(0)
    net = DiT([field], (), 0, width=24, depth=1, heads=2, distances="x").double()
    net.pairs.coordinates.moves[0].bias.data += 1
    out = net(world.inputs(("x",)), C, world.layout(0), {})["x"]
    assert torch.equal(out, torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64).expand_as(out))
