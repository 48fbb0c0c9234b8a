"""Every view of (x0, eps) against its definition, at every time and at both ends."""

import inspect
import itertools

import pytest
import torch
from ornstein.core import parametrization, schedules
from ornstein.core.parametrization import EDM, X0, Eps, Flow, Parametrization, Point, Score, V
from ornstein.core.posterior import Continuous, Pair
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified, Schedule
from ornstein.core.state import Field, expand_time


def concrete(module, base):
    found = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]
    return [c for c in found if not inspect.isabstract(c) and c.__module__.startswith(module.__name__)]


PAIRS = list(itertools.product(concrete(schedules, Schedule), concrete(parametrization, Parametrization)))


def allowed(schedule: type[Schedule], view: type[Parametrization]) -> bool:
    """What the formulas say: eps and score need alpha(1) > 0, the flow finite rates that are not 0 together at an end."""
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha, d_alpha, d_sigma = (
        g(ends).detach().abs() for g in (schedule().alpha, schedule().d_alpha, schedule().d_sigma)
    )
    moves = torch.isfinite(d_alpha + d_sigma) & (d_alpha + d_sigma > 0)
    return not (view in (Eps, Score) and alpha[1] < 1e-9) and not (view is Flow and not moves.all())


ALLOWED = [pair for pair in PAIRS if allowed(*pair)]
REFUSED = [pair for pair in PAIRS if not allowed(*pair)]
T = torch.tensor([0.0, 1e-3, 0.1, 0.37, 0.8, 0.999, 1.0], dtype=torch.float64)


def names(pair) -> str:
    return "-".join(cls.__name__ for cls in pair)


def pair_of(seed: int = 0, std: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(len(T), 4, 3, generator=g, dtype=torch.float64) * s for s in (std, 1.0))


@pytest.mark.parametrize("pair", ALLOWED, ids=names)
def test_target_and_view_are_inverse_at_all_times(pair):
    process = Gaussian(pair[0](), pair[1](), sigma_data=0.7)
    f = Field("x", "continuous", 3, process)
    x0, eps = pair_of()
    t = expand_time(T, f)
    x_t = process.corrupt(f, x0, t, eps)
    output = process.parametrization.target(x0, eps, process.at(t))
    view = process.view(f, output, x_t, t)
    assert torch.isfinite(output).all()
    # An estimate of x0 from eps is worth sigma / alpha roundings, and of eps from x0 alpha / sigma.
    noisy = torch.ones_like(T, dtype=torch.bool) if pair[1] not in (Eps, Score) else process.schedule.alpha(T) > 1e-3
    torch.testing.assert_close(view.x0[noisy], x0[noisy], rtol=0, atol=1e-11)
    clean = T > 0 if pair[1] in (X0, Score) else T >= 0
    torch.testing.assert_close(view.eps[clean], eps[clean], rtol=0, atol=1e-11)
    torch.testing.assert_close(view.x0[0], x0[0], rtol=0, atol=1e-12)
    assert torch.isfinite(view.eps).all()


@pytest.mark.parametrize("pair", ALLOWED, ids=names)
def test_mix_and_solve_are_inverse_matrices(pair):
    """(x_t, F) = [[alpha, sigma], [p, q]] (x0, eps) and (x0, eps) = [[A, B], [C, D]] (x_t, F)."""
    at = Gaussian(pair[0](), pair[1](), sigma_data=0.5).at(T[1:-1])
    p, q = pair[1]().mix(at)
    a, b, c, d = pair[1]().solve(at)
    forward = torch.stack([torch.stack([at.alpha, at.sigma]), torch.stack([p, q])]).permute(2, 0, 1)
    backward = torch.stack([torch.stack([a, b]), torch.stack([c, d])]).permute(2, 0, 1)
    eye = torch.eye(2, dtype=torch.float64).expand(len(a), 2, 2)
    torch.testing.assert_close(backward @ forward, eye, rtol=0, atol=1e-11)


@pytest.mark.parametrize("pair", REFUSED, ids=names)
def test_views_that_do_not_exist_at_an_end_are_refused(pair):
    with pytest.raises(ValueError, match=f"{pair[1].__name__} is undefined on {pair[0].__name__}.* take "):
        Gaussian(pair[0](), pair[1]())


def test_there_are_refused_and_allowed_pairs():
    assert len(REFUSED) > 5
    assert len(ALLOWED) > 30


def test_targets_are_what_the_papers_call_them():
    x0, eps = pair_of()
    t = expand_time(T[1:-1], Field("x", "continuous", 3, Gaussian()))
    x0, eps = x0[1:-1], eps[1:-1]
    at = Gaussian(schedules.Trigonometric(), V()).at(t)
    assert torch.equal(Eps().target(x0, eps, at), eps)
    assert torch.equal(X0().target(x0, eps, at), x0)
    torch.testing.assert_close(V().target(x0, eps, at), at.alpha * eps - at.sigma * x0)
    torch.testing.assert_close(Score().target(x0, eps, at), -eps / at.sigma)
    straight = Gaussian(Rectified(), Flow()).at(t)
    torch.testing.assert_close(Flow().target(x0, eps, straight), eps - x0)
    h = 1e-6
    moved = [
        at_.alpha * x0 + at_.sigma * eps for at_ in (Gaussian(schedules.Trigonometric()).at(t + d) for d in (h, -h))
    ]
    torch.testing.assert_close(Flow().target(x0, eps, at), (moved[0] - moved[1]) / (2 * h), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("pair", ALLOWED, ids=names)
def test_the_views_of_one_posterior_agree(pair):
    """x0, eps, v, flow and score of a view are those of its pair, whatever the network predicts."""
    process = Gaussian(pair[0](), pair[1]())
    f = Field("x", "continuous", 3, process)
    x0, eps = (z[2:-1] for z in pair_of())
    t = expand_time(T[2:-1], f)
    x_t = process.corrupt(f, x0, t, eps)
    at = process.at(t)
    view, direct = process.view(f, process.parametrization.target(x0, eps, at), x_t, t), Pair(x0, eps, x_t, at)
    for name in ("x0", "eps", "v", "flow", "score"):
        torch.testing.assert_close(getattr(view, name), getattr(direct, name), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(view.carried, x0, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("schedule", concrete(schedules, Schedule), ids=lambda c: c.__name__)
@pytest.mark.parametrize("sigma_data", [1.0, 0.3])
def test_karras_input_and_target_have_unit_variance(schedule, sigma_data):
    process = Gaussian(schedule(), EDM(), sigma_data)
    f = Field("x", "continuous", 1, process)
    g = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(20000, 2, 1, generator=g, dtype=torch.float64) for _ in range(2))
    for time in (0.02, 0.5, 0.97):
        t = expand_time(torch.tensor([time], dtype=torch.float64), f)  # one time for all
        x_t = process.corrupt(f, x0 * sigma_data, t, eps)
        target = process.parametrization.target(x0 * sigma_data, eps, process.at(t))
        assert float(process.inputs(f, x_t, t).var()) == pytest.approx(1, abs=0.03)
        assert float(target.var()) == pytest.approx(1, abs=0.03)
        # the network's task is the part of x0 that its input does not tell: they are uncorrelated
        assert abs(float((target * x_t).mean() / x_t.std())) < 0.03


def test_karras_coefficients_are_those_of_the_paper():
    sigma, s = torch.tensor([0.01, 0.5, 80.0], dtype=torch.float64), 0.5
    one = torch.ones_like(sigma)
    solution = EDM().solve(Point(one, sigma, 0 * one, one, s))
    torch.testing.assert_close(solution.a, s**2 / (sigma**2 + s**2))
    torch.testing.assert_close(solution.b, sigma * s / (sigma**2 + s**2).sqrt())


def test_mixing_is_linear_in_every_view():
    process = Gaussian(schedules.VP(), Eps())
    f = Field("x", "continuous", 3, process)
    t = expand_time(T[2:4], f)
    x_t, one, two = torch.randn(3, 2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a, b = (process.view(f, out, x_t, t) for out in (one, two))
    for weight in (0.0, 1.0, 3.0, torch.tensor([0.5, 2.0])):
        mixed = a.mix(b, weight)
        w = weight.view(-1, 1, 1).double() if isinstance(weight, torch.Tensor) else weight
        for name in ("x0", "eps", "v", "flow", "score"):
            expected = getattr(b, name) + w * (getattr(a, name) - getattr(b, name))
            torch.testing.assert_close(getattr(mixed, name), expected, rtol=1e-9, atol=1e-9)
    assert isinstance(mixed, Continuous)


def test_lower_precision_costs_only_precision():
    process = Gaussian(schedules.VP(), V())
    f = Field("x", "continuous", 3, process)
    x0, eps = pair_of()
    t = expand_time(T, f)
    x_t = process.corrupt(f, x0.float(), t, eps.float())
    assert x_t.dtype == torch.float32
    view = process.view(f, V().target(x0, eps, process.at(t)).float(), x_t, t)
    assert view.x0.dtype == torch.float32
    torch.testing.assert_close(view.x0, x0.float(), rtol=0, atol=1e-5)
