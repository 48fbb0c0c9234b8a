"""The network that turns with its molecule, and what sampling keeps: turns, order of atoms, centre, given parts."""

from dataclasses import dataclass, replace

import pytest
import torch
from ornstein.core import checkpoint
from ornstein.core.backbones.dit import DiT
from ornstein.core.cli.names import check_keys, load_class, to_classes
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.objective import Objective
from ornstein.core.parametrization import EDM
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import DDIM, DDPM, Ancestral, DPMpp, run
from ornstein.core.state import CentreFree, Condition, Encoded, Field, Known, Layout
from ornstein.modalities.molecule.equivariant import Equivariant

C = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
ORDER = torch.tensor([3, 0, 5, 1, 4, 2])
FIELDS = (
    Field("positions", "continuous", 3, Gaussian(parametrization=EDM()), space=CentreFree()),
    Field("atoms", "categorical", 5, Masked()),
    Field("bonds", "categorical", 4, Masked(), axes="pair"),
)
OPTIONS = {"width": 24, "depth": 2, "heads": 2, "pair_width": 8, "self_conditioning": True}


@dataclass(frozen=True)
class Moved(Gaussian):
    """Gaussian noising whose noise is put into another order and turned."""

    order: tuple[int, ...] = ()
    turn: tuple[tuple[float, ...], ...] = ()

    def noise(self, f, keys, mask, known, like):
        drawn = super().noise(f, keys, mask, known, like)
        drawn = drawn[:, list(self.order)] if self.order else drawn
        return drawn @ torch.tensor(self.turn, dtype=drawn.dtype) if self.turn else drawn


@dataclass(frozen=True)
class Reordered(Masked):
    """Masked noising whose uniforms are put into another order."""

    order: tuple[int, ...] = ()

    def noise(self, f, keys, mask, known, like):
        u, order = super().noise(f, keys, mask, known, like), list(self.order)
        return u if not order else u[:, order][:, :, order] if f.axes == "pair" else u[:, order]


def network(cls=Equivariant, seed=0, conditions=(), dtype=torch.float64):
    """A small network with every parameter off zero."""
    torch.manual_seed(seed)
    places = {"distances": "positions", "pair_updates": True} if cls is DiT else {}
    net = cls(FIELDS, conditions, 0, **OPTIONS, **places).double().eval()
    for p in net.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return net.to(dtype)


def turn(reflect: bool, seed=0):
    """A rotation, or one with a reflection, (3, 3)."""
    g = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=g, dtype=torch.float64))
    q = q * r.diagonal().sign()
    q = q * q.det()  # a rotation
    return -q if reflect else q


def noised(seed=0, batch=3, tokens=6):
    """Inputs of a network."""
    g = torch.Generator().manual_seed(seed)
    bonds = torch.randint(5, (batch, tokens, tokens), generator=g).triu(1)
    return {
        "positions": torch.randn(batch, tokens, 3, generator=g, dtype=torch.float64),
        "atoms": torch.randint(6, (batch, tokens), generator=g),
        "bonds": bonds + bonds.transpose(1, 2),
    }


def given(state, first=2, names=("positions", "atoms", "bonds")):
    """The first atoms, and the bonds between them."""
    some = (torch.arange(state["atoms"].shape[1]) < first).expand(state["atoms"].shape)
    bits = {
        "positions": some[..., None].expand(*some.shape, 3),
        "atoms": some,
        "bonds": some[:, :, None] & some[:, None],
    }
    values = {n: x if n == "positions" else x.clamp(max=2) for n, x in state.items()}
    return Known({n: bits[n] for n in names}, values)


def turned(tree, q):
    """A state, or what is given, turned."""
    if isinstance(tree, Known):
        return Known(tree.bits, turned(tree.values, q))
    return {n: x @ q.to(x.dtype) if n == "positions" else x for n, x in tree.items()}


def reordered(tree):
    """A state, or what is given, with its atoms in another order."""
    if isinstance(tree, Known):
        return Known(reordered(tree.bits), reordered(tree.values))
    return {n: x[:, ORDER][:, :, ORDER] if n == "bonds" else x[:, ORDER] for n, x in tree.items()}


def same(a, b, mask, tol=1e-9):
    for name, x in a.items():
        real = mask[:, :, None] & mask[:, None] if name == "bonds" else mask
        torch.testing.assert_close(x[real], b[name][real], rtol=0, atol=tol)


# The network


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("with_known", [False, True])
def test_outputs_turn_with_positions_and_logits_do_not(reflect, with_known):
    """To 1e-10, with a previous estimate, times per atom, conditions and padding; the plain transformer turns nothing."""
    spec, q = ConditionSpec("heat", "scalar"), turn(reflect)
    state, layout = noised(), Layout.of_sizes(torch.tensor([6, 4, 5]))
    known = given(noised(seed=1)) if with_known else None
    previous = {"positions": noised(seed=2)["positions"], "atoms": torch.rand(3, 6, 5).double()}
    previous["bonds"] = torch.rand(3, 6, 6, 4).double()
    previous["bonds"] = previous["bonds"] + previous["bonds"].transpose(1, 2)
    cond = {"heat": Condition(torch.tensor([0.1, 2.0, 0.0]).double(), torch.tensor([True, True, False]))}
    times = C[:, None] + torch.linspace(0, 0.5, 6, dtype=torch.float64)
    for cls in (Equivariant, DiT):
        net = network(cls, conditions=[spec])
        out = net(state, times, layout, cond, known, previous)
        moved = net(turned(state, q), times, layout, cond, known and turned(known, q), turned(previous, q))
        assert out["positions"].std() > 0.01
        if cls is Equivariant:
            same(turned(out, q), moved, layout.mask, tol=1e-10)
        else:
            assert (turned(out, q)["positions"] - moved["positions"]).abs().max() > 1e-3
            assert (out["atoms"] - moved["atoms"]).abs().max() > 1e-3


def test_a_shift_changes_nothing_and_outputs_have_no_mean():
    net, state, layout = network(), noised(), Layout.of_sizes(torch.tensor([6, 4, 5]))
    out = net(state, C, layout, {})
    shifted = {**state, "positions": state["positions"] + torch.tensor([3.0, -1.0, 0.5])}
    same(out, net(shifted, C, layout, {}), layout.mask)
    total = torch.where(layout.mask[..., None], out["positions"], 0).sum(1)
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)


def test_atoms_are_a_set():
    net, state, layout = network(), noised(), Layout.of_sizes(torch.full((3,), 6))
    times, known = torch.linspace(-2, 2, 18, dtype=torch.float64).view(3, 6), given(noised(seed=1))
    out = net(state, times, layout, {}, known)
    same(reordered(out), net(reordered(state), times[:, ORDER], layout, {}, reordered(known)), layout.mask, tol=1e-10)


def test_padding_is_inert():
    net, layout = network(), Layout.of_sizes(torch.tensor([6, 4, 1]))
    state, known = noised(), given(noised(seed=1))
    out = net(state, C, layout, {}, known)
    bad = {n: x.clone() for n, x in state.items()}
    bad["positions"][~layout.mask], bad["atoms"][~layout.mask] = float("nan"), 10**6
    bad["bonds"][~(layout.mask[:, :, None] & layout.mask[:, None])] = 10**6
    same(out, net(bad, C, layout, {}, known), layout.mask, tol=1e-12)
    short = {n: x[1:2, :4, :4] if n == "bonds" else x[1:2, :4] for n, x in state.items()}
    part = Known(
        *({n: x[1:2, :4, :4] if n == "bonds" else x[1:2, :4] for n, x in t.items()} for t in (known.bits, known.values))
    )
    alone = net(short, C[1:2], Layout(layout.mask[1:2, :4]), {}, part)
    same(
        alone,
        {n: y[1:2, :4, :4] if n == "bonds" else y[1:2, :4] for n, y in out.items()},
        layout.mask[1:2, :4],
        tol=1e-12,
    )


def test_atoms_are_told_whether_their_place_is_given():
    """With the same inputs: a given bit alone, whose value is what the input shows, changes the answer."""
    net, state, layout = network(), noised(), Layout.of_sizes(torch.full((3,), 6))
    clean = torch.full((3,), -3.0, dtype=torch.float64)
    free, told = (net(state, clean, layout, {}, k) for k in (None, given(state, names=("positions",))))
    assert (free["atoms"] - told["atoms"]).abs().max() > 1e-3


def test_it_starts_at_zero_and_learns():
    torch.manual_seed(0)
    net = Equivariant(FIELDS, **OPTIONS)
    denoiser, objective = NeuralDenoiser(net, FIELDS), Objective(self_conditioning=0.5)
    layout = Layout.of_sizes(torch.tensor([6, 4, 5]))
    state = {n: x.float() if n == "positions" else x.clamp(max=3) for n, x in noised().items()}
    state["positions"] = CentreFree().project(state["positions"], layout.mask)
    encoded = Encoded(state, layout)
    assert all((y == 0).all() for y in net(state, C.float(), layout, {}).values())
    optimizer, losses = torch.optim.Adam(net.parameters(), 1e-2), []
    draw = objective.draw(denoiser, encoded, 0, 0, torch.arange(3))
    for _ in range(40):
        loss = objective(denoiser, encoded, draw)
        optimizer.zero_grad()
        loss.total.mean().backward()
        optimizer.step()
        losses.append({n: float(x.detach().mean()) for n, x in loss.fields.items()})
    assert all(losses[-1][n] < 0.75 * losses[0][n] for n in losses[0]), (losses[0], losses[-1])


def test_a_recipe_names_it_and_a_checkpoint_rebuilds_it(tmp_path):
    part = {"name": "ornstein.modalities.molecule.equivariant.Equivariant", "width": 24, "depth": 1, "heads": 2}
    tree = to_classes(part, ("backbone",))
    check_keys(tree, ("backbone",))
    net = load_class(tree["class_path"], "backbone")(FIELDS, **tree["init_args"])
    checkpoint.save(NeuralDenoiser(net, FIELDS), tmp_path)
    again = checkpoint.load(tmp_path).backbone
    assert type(again) is Equivariant
    assert (again.width, again.depth, again.distances) == (24, 1, "positions")
    assert all(torch.equal(again.state_dict()[n], x) for n, x in net.state_dict().items())


# Sampling


def denoiser(cls=Equivariant, order=(), q=None, dtype=torch.float64):
    """A denoiser with random weights, whose noise is in another order, or turned."""
    gaussian = Moved(parametrization=EDM(), order=order, turn=() if q is None else tuple(map(tuple, q.tolist())))
    processes = {"positions": gaussian, "atoms": Reordered(order=order), "bonds": Reordered(order=order)}
    return NeuralDenoiser(network(cls, dtype=dtype), FIELDS, processes=processes)


def blank(sizes, known=None, dtype=torch.float64):
    layout = Layout.of_sizes(torch.tensor(sizes))
    b, n = layout.mask.shape
    state = {"positions": torch.zeros(b, n, 3, dtype=dtype), "atoms": torch.zeros(b, n).long()}
    return Encoded({**state, "bonds": torch.zeros(b, n, n).long()}, layout, known=known)


SAMPLERS = [DDIM(4), DDPM(4, move=Ancestral(0.7)), DPMpp(4)]
each = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)


@each
@pytest.mark.parametrize("reflect", [False, True])
def test_turning_the_given_part_and_the_noise_turns_the_completion(sampler, reflect):
    q, known = turn(reflect), given(noised(seed=1))
    sizes = [6, 4, 5]
    plain = run(denoiser(), sampler.plan(denoiser().processes), blank(sizes, known), seed=3)
    moved = run(denoiser(q=q), sampler.plan(denoiser().processes), blank(sizes, turned(known, q)), seed=3)
    mask = blank(sizes).mask
    same(turned(plain, q), moved, mask, tol=1e-8)
    assert torch.equal(plain["positions"][:, :2], known.values["positions"][:, :2])
    plain_dit, moved_dit = (
        run(denoiser(DiT, q=r), sampler.plan(denoiser().processes), blank(sizes, k), seed=3)
        for r, k in ((None, known), (q, turned(known, q)))
    )
    assert (turned(plain_dit, q)["positions"] - moved_dit["positions"]).abs().max() > 1e-3  # the test can fail


@each
@pytest.mark.parametrize("cls", [Equivariant, DiT])
@pytest.mark.parametrize("with_known", [False, True])
def test_another_order_of_atoms_and_noise_is_another_order_of_the_sample(sampler, cls, with_known):
    known = given(noised(seed=1)) if with_known else None
    plan, order = sampler.plan(denoiser().processes), tuple(ORDER.tolist())
    plain = run(denoiser(cls), plan, blank([6, 6, 6], known), seed=1)
    moved = run(denoiser(cls, order=order), plan, blank([6, 6, 6], known and reordered(known)), seed=1)
    same(reordered(plain), moved, blank([6, 6, 6]).mask, tol=1e-8)
    assert (plain["positions"] - moved["positions"]).abs().max() > 1e-2


@each
@pytest.mark.parametrize("cls", [Equivariant, DiT])
def test_the_centre_stays_within_1e_5_at_every_step(sampler, cls):
    """In single precision; that of a sample whose part is given is where that puts it."""
    means, model = [], denoiser(cls, dtype=torch.float32)
    encoded = blank([6, 4, 1], dtype=torch.float32)
    real = encoded.mask[..., None]
    hooks = [lambda p: means.append(torch.where(real, p.state["positions"], 0).sum(1) / real.sum(1))]
    sample = run(model, sampler.plan(model.processes), encoded, seed=0, hooks=hooks)
    assert len(means) == sampler.steps + 1
    assert torch.stack(means).abs().max() < 1e-5
    assert sample["positions"][0].std() > 0.1


@each
@pytest.mark.parametrize("cls", [Equivariant, DiT])
def test_a_sample_does_not_see_its_padding(sampler, cls):
    plan = sampler.plan(denoiser().processes)
    full = run(denoiser(cls), plan, blank([6, 4, 1]), seed=5)
    alone = run(denoiser(cls), plan, blank([4]), seed=5, index=torch.tensor([1]))
    torch.testing.assert_close(full["positions"][1, :4], alone["positions"][0], rtol=0, atol=1e-9)
    assert torch.equal(full["atoms"][1, :4], alone["atoms"][0])
    off = ~torch.eye(4, dtype=torch.bool)
    assert torch.equal(full["bonds"][1, :4, :4][off], alone["bonds"][0][off])


def test_every_evaluation_but_the_first_sees_the_estimate_before_it():
    """Positions as x0, atoms and bonds as probabilities of the posterior, whatever the temperature of the draws is."""
    model, seen, made = denoiser(DiT), [], []
    model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[5]))
    plan = replace(DDPM(5), move=Ancestral(0.5)).plan(model.processes)
    run(model, plan, blank([6, 4, 5]), seed=0, hooks=[lambda p: made.append(p.posterior)])
    assert seen[0] is None
    assert len(seen) == 5
    for before, shown in zip(made, seen[1:], strict=False):
        assert torch.equal(shown["positions"], before["positions"].x0)
        for name, classes in (("atoms", 5), ("bonds", 4)):
            assert shown[name].shape[-1] == classes
            assert torch.equal(shown[name], before[name].probs)
            torch.testing.assert_close(shown[name].sum(-1), torch.ones_like(shown[name].sum(-1)))
    model.self_conditioning = False
    free = run(model, plan, blank([6, 4, 5]), seed=0)
    model.self_conditioning = True
    assert (free["positions"] - run(model, plan, blank([6, 4, 5]), seed=0)["positions"]).abs().max() > 1e-3
