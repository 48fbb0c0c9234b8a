"""The comparison of samplers: its truth, its figures, what it says of samplers that are one or cannot be run."""

import math

import pytest
import torch
from ornstein.core.compare import WORLDS, Comparison, Line, compare, energy_distance, exact_flow
from ornstein.core.oracle import GaussianWorld
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DDIM, DDPM, RK4, DPMpp, Euler, Heun, UniformGrid
from ornstein.core.samplers.grids import DiscreteGrid, LogSNRGrid
from ornstein.core.schedules import EDM, VP, Rectified


@pytest.mark.parametrize("schedule", [VP(), EDM(), Rectified()], ids=lambda s: type(s).__name__)
def test_the_exact_flow_is_the_closed_form_of_a_gaussian(schedule):
    """The standardised value stays; from t = 1, where the prior is taken for the state."""
    process = Gaussian(schedule, V())
    world = GaussianWorld(
        torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[0.09]], dtype=torch.float64), process
    )
    start = []
    end = exact_flow(world, 16, 0)
    RK4(1).run(world, world.blank(16), seed=0, hooks=[lambda at: start.append(at.state["x"])])
    at = process.at(torch.ones((), dtype=torch.float64))
    expected = 0.7 + 0.3 * (start[0] - at.alpha * 0.7) / (at.alpha**2 * 0.3**2 + at.sigma**2).sqrt()
    torch.testing.assert_close(end, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("world", WORLDS)
def test_the_exact_flow_is_known_far_better_than_any_figure(world):
    oracle = WORLDS[world](Gaussian(VP(), V()))
    assert (exact_flow(oracle, 32, 0) - exact_flow(oracle, 32, 0, steps=800)).abs().max() < 1e-6


def test_the_energy_distance_is_that_of_shifted_points_and_grows_with_the_shift():
    x = torch.zeros(3, 1, 1)
    assert energy_distance(x, x + 2) == pytest.approx(4)  # 2 E|X - Y|, and nothing within
    x, y = torch.randn(2, 400, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    figures = [energy_distance(x, y + shift) for shift in (0.0, 0.5, 1.0)]
    assert 0 < figures[0] < 0.05 < figures[1] < figures[2]
    assert energy_distance(x, x) == pytest.approx(0, abs=1e-12)


def test_errors_fall_by_the_orders_and_calls_are_those_that_were_allowed():
    found = compare({"heun": Heun(), "euler": Euler()}, "line", Rectified(), (16, 32, 64, 128), n=64)
    lines = {line.name: line for line in found.lines}
    assert lines["euler"].used == (16, 32, 64, 128)
    assert lines["heun"].used == (15, 31, 63, 127)
    for name, order in (("euler", 1), ("heun", 2)):
        a, b = lines[name].figures[-2:]
        assert math.log2(a / b) == pytest.approx(order, abs=0.25)
    assert [line.name for line in found.kind(False)] == ["heun", "euler"]  # the best first


def test_samplers_that_are_one_are_run_once_and_named():
    samplers = {
        "ddim": DDIM(),
        "euler": Euler(),
        "one": DPMpp(order=1),
        "two": DPMpp(),
        "ddpm": DDPM(),
        "eta": DDIM(eta=1),
    }
    found = compare(samplers, "line", Rectified(), (4, 8), n=16)
    assert [(line.name, line.same) for line in found.lines] == [
        ("ddim", ("euler", "one")),
        ("two", ()),
        ("ddpm", ("eta",)),
    ]
    assert "the same as ddim here: euler, one" in str(found)
    rows = found.csv().splitlines()
    assert len(rows) == 1 + 6 * 2
    assert rows[1].replace("ddim", "euler") in rows


def test_random_samplers_come_near_exact_samples_and_have_a_table_of_their_own():
    found = compare({"ddpm": DDPM(), "ddim": DDIM()}, "line", Rectified(), (3, 200), n=256)
    (ddpm,) = found.kind(True)
    assert ddpm.figures[1] < 3 * found.floor < ddpm.figures[0]
    assert "energy distance" in str(found)


def test_what_cannot_be_run_is_left_out_with_its_reason_and_the_rest_stays():
    samplers = {
        "leading": DDIM(grid=DiscreteGrid("leading")),
        "high": DDIM(grid=LogSNRGrid(sigma_min=200, sigma_max=300)),
        "rk4": RK4(),
    }
    found = compare(samplers, "line", VP(), (1, 5), n=16)
    lines = {line.name: line for line in found.lines}
    assert set(lines) == {"leading", "rk4"}
    assert lines["leading"].used == (None, 5)
    assert "1 step" in found.refused["leading"]
    assert "(1 calls)" in found.refused["leading"]
    assert "sigma_min=200" in found.refused["high"]
    assert found.csv().count("leading") == 1


def test_numbers_of_calls_are_sorted_and_counted_once():
    assert compare({"ddim": DDIM()}, "line", evaluations=[8, 2, 8], n=4).evaluations == (2, 8)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"world": "gm"}, LookupError, "gmm, line, cloud"),
        ({"n": 1}, ValueError, "n of at least 2"),
        ({"evaluations": ()}, ValueError, "evaluations"),
        ({"evaluations": (5, 0)}, ValueError, r"\[5, 0\]"),
    ],
)
def test_bad_input_is_refused(options, error, said):
    with pytest.raises(error, match=said):
        compare({"ddim": DDIM(grid=UniformGrid())}, **options)


def test_the_figure_shows_the_best_ten_of_each_kind_and_survives_none():
    lines = [Line(f"s{i}", i % 2 == 1, (None, 5), (None, 0.1 + i)) for i in range(24)]
    lines += [Line("broken", False, (None, 5), (None, math.nan)), Line("silent", False, (None, None), (None, None))]
    found = Comparison("line", "VP()", (1, 5), tuple(lines), 0.01, {})
    assert [line.name for line in found.kind(False)][-2:] == ["broken", "silent"]  # the sort stands a NaN
    path, energy = found.figure().axes
    assert [len(x.get_lines()) for x in (path, energy)] == [10, 11]
    assert path.get_title() == "the best 10 of 14"
    assert Comparison("line", "VP()", (5,), (), 0.01, {}).figure().axes == []
    assert "nan" in str(found)
