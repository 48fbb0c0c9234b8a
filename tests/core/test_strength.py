"""Variations: sampling that starts from given values, noised to a time below 1."""

import math

import numpy as np
import pytest
import torch
from ornstein.core import registry
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.oracle import GaussianWorld
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import DDIM, DDPM, DiscreteGrid, Dopri5, DPMpp, TailGrid, UniformGrid, run
from ornstein.core.sampling import sample
from ornstein.core.schedules import VP, Rectified
from ornstein.core.state import Encoded, Field, Layout
from toy import Toy, figures

FIELDS = (
    Field("h", "continuous", 2, Gaussian(Rectified())),
    Field("a", "categorical", 4, Masked()),
    Field("b", "categorical", 3, Masked(), axes="pair"),
)


def awake(denoiser: NeuralDenoiser) -> NeuralDenoiser:
    """Random weights everywhere: networks start at 0."""
    g = torch.Generator().manual_seed(0)
    for p in denoiser.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g) * 0.15)
    return denoiser.eval()


def blank(sizes) -> Encoded:
    layout = Layout.of_sizes(torch.as_tensor(sizes))
    b, n = layout.mask.shape
    state = {"h": torch.zeros(b, n, 2).double(), "a": torch.zeros(b, n).long(), "b": torch.zeros(b, n, n).long()}
    return Encoded(state, layout)


@pytest.fixture(scope="module")
def network() -> NeuralDenoiser:
    return awake(NeuralDenoiser(DiT(FIELDS, (), 0, width=16, depth=2, heads=2, pair_width=8), FIELDS)).double()


@pytest.mark.parametrize("start", [0.2, 0.7])
def test_a_variation_of_a_gaussian_correlates_with_its_origin_as_in_closed_form(start):
    """The flow maps x_s to m + std (x_s - alpha m) / s_x, so corr(x_0, origin) = alpha std / sqrt(alpha^2 std^2 + sigma^2)."""
    mean, std, n = 0.7, 0.6, 20_000
    law = GaussianWorld(torch.full((1, 1), mean), torch.full((1, 1), std**2), Gaussian(Rectified()))
    g = torch.Generator().manual_seed(1)
    encoded = law.blank(n)
    origin = {name: (mean + std * torch.randn(x.shape, generator=g)).to(x) for name, x in encoded.state.items()}
    sampler = DDIM(100, grid=TailGrid(start))
    (made,) = sampler.run(law, encoded, seed=2, origin=origin).values()
    alpha, sigma = 1 - start, start
    expected = alpha * std / math.sqrt(alpha**2 * std**2 + sigma**2)
    (given,) = origin.values()
    found = float(np.corrcoef(made.flatten(), given.flatten())[0, 1])
    assert found == pytest.approx(expected, abs=5 * (1 - expected**2) / math.sqrt(n) + 2e-3)
    assert float(made.mean()) == pytest.approx(mean, abs=0.02)
    assert float(made.std()) == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("sampler", [DDIM(5), DDPM(5), DPMpp(5)], ids=lambda s: type(s).__name__)
def test_at_time_1_nothing_is_left_of_the_origin(network, sampler):
    encoded = blank([4, 3])
    plan = sampler.plan(network.processes)
    origin = {n: torch.ones_like(x) for n, x in encoded.state.items()}
    plain, varied = run(network, plan, encoded, seed=3), run(network, plan, encoded, seed=3, origin=origin)
    for name, x in plain.items():
        torch.testing.assert_close(x, varied[name], rtol=0, atol=1e-9)


def test_categories_stay_with_the_probability_of_their_schedule(network):
    """Right after the start 1 - t of the entries are the origin's, the others masked; a known entry is not touched."""
    seen = []
    encoded = blank([40] * 30)
    origin = {name: x.clone() for name, x in encoded.state.items()}
    origin["a"].fill_(2)
    sampler = DDIM(2, grid=TailGrid(0.3))

    def look(progress):
        seen.append(progress.state["a"])

    sampler.run(network, encoded, seed=1, origin=origin, hooks=[look])
    share = float((seen[0] == 2).double().mean())
    assert share == pytest.approx(0.7, abs=4 * math.sqrt(0.7 * 0.3 / 1200))
    assert bool(((seen[0] == 2) | (seen[0] == 4)).all())


@pytest.mark.parametrize("name", registry.TABLE["grid"])
def test_the_tail_of_a_grid_is_its_own_times(name):
    entry, schedule = registry.TABLE["grid"][name], VP()
    grid = registry.class_of("grid", name)(**entry.options)
    times = TailGrid(0.6, grid).checked(8, schedule)
    assert times[0] == 0.6
    assert any(np.array_equal(times[1:], grid.times(m, schedule)[-8:]) for m in range(8, 200))


def test_the_tail_of_equal_steps_is_equal_steps_and_of_all_is_all():
    np.testing.assert_allclose(TailGrid(0.5).times(5, VP()), [0.5, 0.4, 0.3, 0.2, 0.1, 0], atol=1e-12)
    np.testing.assert_array_equal(TailGrid(1.0).times(7, VP()), UniformGrid().times(7, VP()))
    with pytest.raises(ValueError, match="fewer than 20 times"):
        TailGrid(1e-9, DiscreteGrid()).times(20, VP())


@pytest.fixture(scope="module")
def toy():
    toy = Toy()
    items = [toy.read(row.file, row.values) for row in figures(6).rows()]
    toy.fit(items)
    net = DiT(toy.fields, toy.conditions, toy.axes, width=16, depth=2, heads=2, pair_width=8)
    return awake(NeuralDenoiser(net, toy.fields, toy.conditions, modality=toy)), items


def test_a_little_noise_hardly_changes_an_item_and_much_does(toy):
    denoiser, items = toy
    far = []
    for strength in (0.001, 0.3, 1.0):
        made = sample(denoiser, DDIM(8), 2, given=items[:3], strength=strength, precision="float64")
        assert [len(x) for x in made] == [len(items[k // 2].data) for k in range(6)]
        moved = [np.abs(x.positions - items[k // 2].data.positions).mean() for k, x in enumerate(made)]
        far.append(np.mean(moved))
    assert far[0] < 0.02 < far[1] < far[2]


def test_what_is_known_stays_in_a_variation(toy):
    denoiser, items = toy
    known = [denoiser.modality.tasks()["scaffold"].pose(items[0], np.random.default_rng(0))[1]]
    (made,) = sample(denoiser, DDIM(4), given=items[:1], known=known, strength=0.5)
    (varied,) = sample(denoiser, DDIM(4), given=items[:1], strength=0.5)
    atoms, before = known[0].positions, items[0].data.positions
    np.testing.assert_array_equal(made.positions[atoms], before[atoms])
    assert np.abs(varied.positions - before)[atoms].min() > 0
    assert np.abs(made.positions - before)[~atoms].min() > 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strength": 0.5}, "no items are given"),
        ({"strength": 0.0, "given": 1}, r"in \(0, 1\]"),
        ({"strength": 1.5, "given": 1}, r"in \(0, 1\]"),
        ({"strength": 0.5, "given": 1, "sampler": Dopri5()}, "chooses its times itself"),
    ],
)
def test_a_strength_that_makes_no_sense_is_refused(toy, options, match):
    denoiser, items = toy
    options = dict(options)
    sampler = options.pop("sampler", DDIM(4))
    if "given" in options:
        options["given"] = items[:1]
    with pytest.raises(ValueError, match=match):
        sample(denoiser, sampler, **options)
