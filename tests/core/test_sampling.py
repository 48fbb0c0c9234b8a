"""sample(): decoded samples that depend on seed and number alone, and leave the network as it was."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from ornstein.core import guidance
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.oracle import Mixture
from ornstein.core.samplers import DDIM, DDPM, DPMpp
from ornstein.core.sampling import sample
from toy import Atoms, Toy, figures


@pytest.fixture(scope="module")
def items():
    toy = Toy()
    return [toy.read(row.file, row.values) for row in figures(6).rows()]


@pytest.fixture
def denoiser(items) -> NeuralDenoiser:
    """An untrained network that does something everywhere, with dropout."""
    toy = Toy()
    toy.fit(items)
    net = DiT(toy.fields, toy.conditions, toy.axes, width=16, depth=2, heads=2, pair_width=8, dropout=0.2)
    g = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.1)
    return NeuralDenoiser(net, toy.fields, toy.conditions, modality=toy)


def assert_same(a: list[Atoms], b: list[Atoms], atol: float) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        for f in fields(Atoms):
            np.testing.assert_allclose(getattr(one, f.name), getattr(other, f.name), rtol=0, atol=atol)


@pytest.mark.parametrize(("precision", "atol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("sampler", [DDIM(20), DDPM(20), DPMpp(20)], ids=lambda s: type(s).__name__)
def test_samples_are_the_same_for_any_batch_size(denoiser, sampler, precision, atol):
    priors = []

    def keep(progress):
        if progress.row == 0:
            priors.append(progress.state["positions"])

    draws, noises = [], []
    for size in (1, 7, 64):
        priors.clear()
        draws.append(
            sample(denoiser, sampler, n=12, seed=3, size=5, batch_size=size, precision=precision, hooks=[keep])
        )
        noises.append(torch.cat(priors))
    assert torch.equal(noises[0], noises[1])
    assert torch.equal(noises[0], noises[2])
    assert_same(draws[0], draws[1], atol)
    assert_same(draws[0], draws[2], atol)
    assert np.std([x.positions for x in draws[0]]) > 0.1


def test_a_seed_makes_a_sample_and_another_another(denoiser):
    one, again, other = (sample(denoiser, DDIM(3), n=3, seed=s) for s in (1, 1, 2))
    assert_same(one, again, 0)
    assert len({len(x) for x in one + other}) > 1  # sizes are drawn too
    assert not all(len(a) == len(b) and np.allclose(a.positions, b.positions) for a, b in zip(one, other, strict=True))


def test_the_network_is_left_as_it_was(denoiser):
    denoiser.train()
    denoiser.backbone.blocks[0].eval()
    modes = [m.training for m in denoiser.modules()]
    weights = {k: v.clone() for k, v in denoiser.state_dict().items()}
    seen = []
    sample(
        denoiser,
        DDIM(2),
        precision="float64",
        hooks=[lambda p: seen.append((denoiser.training, p.state["positions"].dtype))],
    )
    assert set(seen) == {(False, torch.float64)}
    assert [m.training for m in denoiser.modules()] == modes
    assert all(torch.equal(v, weights[k]) and v.dtype == torch.float32 for k, v in denoiser.state_dict().items())
    denoiser.eval()
    sample(guidance.CFG(denoiser, 2.0), DDIM(2), cond={"shape": "ring"})
    assert not any(m.training for m in denoiser.modules())  # a fresh wrapper is in training mode, what it holds is not
    broken = DDIM(2)
    with pytest.raises(RuntimeError, match="stop"):
        sample(denoiser.train(), broken, hooks=[lambda p: (_ for _ in ()).throw(RuntimeError("stop"))])
    assert denoiser.training


def test_half_precision_is_autocast(denoiser):
    half, full = (sample(denoiser, DDIM(4), n=2, size=4, precision=p) for p in ("bf16", "float32"))
    assert np.isfinite(half[0].positions).all()
    np.testing.assert_allclose(half[0].positions, full[0].positions, rtol=0, atol=0.3)
    assert not np.array_equal(half[0].positions, full[0].positions)


def test_conditions_of_people_reach_the_network(denoiser):
    both = sample(denoiser, DDIM(3), n=2, size=4, cond={"shape": ["ring", "chain"], "radius": 2.0})
    alone = [
        sample(denoiser, DDIM(3), n=2, size=4, cond={"shape": s, "radius": 2.0})[i] for i, s in enumerate(("ring", 0))
    ]
    assert_same(both, alone, 1e-5)
    other = sample(denoiser, DDIM(3), n=2, size=4)
    assert not np.allclose(both[0].positions, other[0].positions)
    with pytest.raises(ValueError, match="unknown condition 'shap'; the model takes shape"):
        sample(denoiser, DDIM(3), cond={"shap": "ring"})


def test_given_items_come_back_with_what_was_given(denoiser, items):
    out = sample(denoiser, DDPM(4), n=2, task="conformer", given=items[:3], seed=5)
    assert len(out) == 6
    for k, atoms in enumerate(out):  # item by item, n members each
        item = items[k // 2].data
        assert np.array_equal(atoms.types, item.types)
        assert np.array_equal(atoms.bonds, item.bonds)
        assert len(atoms) == len(item)
    assert not np.allclose(out[0].positions, out[1].positions)
    again = sample(denoiser, DDPM(4), n=2, task="conformer", given=items[:3], seed=5, batch_size=1)
    assert_same(out, again, 1e-4)
    fewer = sample(denoiser, DDPM(4), n=2, task="conformer", given=items[:1], seed=5)
    assert_same(fewer, out[:2], 1e-4)  # sample number item * n + member


def test_given_items_bring_their_own_conditions(denoiser, items):
    def positions(given, **options):
        return sample(denoiser, DDIM(3), task="conformer", given=given, **options)[0].positions

    item, other = items[0], {"chain": "ring", "ring": "chain"}[items[0].cond["shape"]]
    bare = replace(item, cond={})
    own = positions([item])
    assert not np.allclose(own, positions([bare]))
    np.testing.assert_allclose(positions([bare], cond=item.cond), own, rtol=0, atol=1e-6)
    assert not np.allclose(positions([item], cond={"shape": other}), own)  # what is asked for goes first


def test_a_given_scaffold_is_exact_in_physical_units(denoiser, items):
    posed = [denoiser.modality.tasks()["scaffold"].pose(item, np.random.default_rng(0)) for item in items[:2]]
    out = sample(denoiser, DDIM(3), given=[x for x, _ in posed], known=[g for _, g in posed])
    for atoms, (item, g) in zip(out, posed, strict=True):
        assert np.array_equal(atoms.positions[g.positions], item.data.positions[g.positions])
        assert np.array_equal(atoms.types[g.types], item.data.types[g.types])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "n and batch_size must be at least 1, found n=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"precision": "half"}, "precision 'half' does not exist; choose from float32"),
        ({"task": "conformer"}, "a task, or known entries, need given items"),
    ],
)
def test_nonsense_is_refused(denoiser, items, options, words):
    with pytest.raises(ValueError, match=words):
        sample(denoiser, DDIM(2), **options)
    with pytest.raises(ValueError, match="task 'dock' does not exist for toy; choose from unconditional, conformer"):
        sample(denoiser, DDIM(2), task="dock", given=items[:1])
    with pytest.raises(ValueError, match="task 'dock' does not exist"):
        sample(denoiser, DDIM(2), task="dock", given=items[:1], known=[None])
    with pytest.raises(ValueError, match="size 4 is for new samples"):
        sample(denoiser, DDIM(2), task="conformer", given=items[:1], size=4)
    with pytest.raises(ValueError, match="nothing of them is known: name a task"):
        sample(denoiser, DDIM(2), given=items[:1])
    with pytest.raises(ValueError, match="2 known masks for 1 given items"):
        sample(denoiser, DDIM(2), given=items[:1], known=[None, None])


def test_what_cannot_decode_or_would_lose_precision_is_refused(denoiser):
    with pytest.raises(ValueError, match=r"this denoiser has none: `load` attaches it"):
        sample(Mixture(torch.zeros(1, 1, 1), 1.0), DDIM(2))
    with pytest.raises(ValueError, match="take float64"):
        sample(denoiser.double(), DDIM(2))
