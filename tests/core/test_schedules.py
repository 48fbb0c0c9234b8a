"""Schedules against closed forms, their own derivatives, published tables, and their inverse."""

import inspect
import math

import pytest
import torch
from ornstein.core import schedules
from ornstein.core.schedules import VP, Cosine, LinearBeta, Rectified, ScaledLinearBeta, Schedule

ALL = [
    cls
    for _, cls in inspect.getmembers(schedules, inspect.isclass)
    if issubclass(cls, Schedule) and not inspect.isabstract(cls)
]
TABLES = [cls for cls in ALL if hasattr(cls, "timesteps")]
T = torch.tensor([1e-4, 1e-3, 0.0137, 0.1003, 0.2511, 0.4999, 0.7503, 0.9003, 0.9901, 1 - 1e-4], dtype=torch.float64)
ENDS = torch.tensor([0.0, 1.0], dtype=torch.float64)

each = pytest.mark.parametrize("schedule", [cls() for cls in ALL], ids=lambda s: type(s).__name__)


@each
def test_data_at_zero_and_noise_grows(schedule: Schedule):
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    alpha, sigma, log_snr = schedule.alpha(t), schedule.sigma(t), schedule.log_snr(t)
    assert alpha[0] == 1
    assert sigma[0] == 0
    assert log_snr[0] == math.inf
    assert (alpha.diff() <= 0).all()
    assert (sigma.diff() > 0).all()
    assert (log_snr.diff() < 0).all()


@each
def test_derivatives_are_those_of_autograd(schedule: Schedule):
    for value, rate in ((schedule.alpha, schedule.d_alpha), (schedule.sigma, schedule.d_sigma)):
        t = T.clone().requires_grad_()
        y = value(t)
        slope = torch.autograd.grad(y.sum(), t)[0] if y.requires_grad else torch.zeros_like(T)
        torch.testing.assert_close(rate(T), slope, rtol=1e-10, atol=1e-12)


@each
def test_derivatives_are_finite_differences(schedule: Schedule):
    t, h = T[2:-2], 1e-6
    for value, rate in ((schedule.alpha, schedule.d_alpha), (schedule.sigma, schedule.d_sigma)):
        torch.testing.assert_close(rate(t), (value(t + h) - value(t - h)) / (2 * h), rtol=1e-6, atol=1e-8)


@each
def test_log_snr_is_the_ratio_and_t_of_its_inverse(schedule: Schedule):
    log_snr = schedule.log_snr(T)
    torch.testing.assert_close(log_snr, 2 * torch.log(schedule.alpha(T) / schedule.sigma(T)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(schedule.t_of(log_snr), T, rtol=0, atol=1e-9)
    small = torch.tensor([1e-7, 1e-10], dtype=torch.float64)  # relative precision next to the data
    torch.testing.assert_close(schedule.t_of(schedule.log_snr(small)), small, rtol=1e-6, atol=0)
    torch.testing.assert_close(schedule.t_of(schedule.log_snr(ENDS)), ENDS, rtol=0, atol=1e-9)
    beyond = schedule.t_of(torch.tensor([math.inf, 1e4, -1e4, -math.inf], dtype=torch.float64))
    assert beyond[0] == 0
    assert 0 <= beyond[1] < 1e-9
    torch.testing.assert_close(beyond[2:], torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-9)


@each
def test_the_sde_of_the_schedule_has_real_noise(schedule: Schedule):
    """f = d log alpha / dt and g^2 = d sigma^2 / dt - 2 f sigma^2, which is -sigma^2 d log_snr / dt > 0."""
    t = T.clone().requires_grad_()
    slope = torch.autograd.grad(schedule.log_snr(t).sum(), t)[0]
    alpha, sigma = schedule.alpha(T), schedule.sigma(T)
    f = schedule.d_alpha(T) / alpha
    g2 = 2 * sigma * schedule.d_sigma(T) - 2 * f * sigma**2
    assert (g2 > 0).all()
    torch.testing.assert_close(g2, -(sigma**2) * slope, rtol=1e-8, atol=0)


@each
def test_shape_and_dtype_are_those_of_t(schedule: Schedule):
    for t in (torch.rand(3), torch.rand(2, 5, dtype=torch.float64), torch.tensor(0.5)):
        for f in (schedule.alpha, schedule.sigma, schedule.d_alpha, schedule.d_sigma, schedule.log_snr):
            assert f(t).shape == t.shape
            assert f(t).dtype == t.dtype
        assert schedule.t_of(schedule.log_snr(t)).dtype == t.dtype


@each
def test_the_two_flags_tell_the_ends(schedule: Schedule):
    alpha = float(schedule.alpha(ENDS)[1])
    assert schedule.ends_at_noise == (abs(alpha) < 1e-9)
    small = torch.tensor([1e-12], dtype=torch.float64)
    assert schedule.finite_rates == bool(schedule.d_sigma(small) < 1e4)


def test_closed_forms_of_variance_preservation():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    vp = VP(0.1, 20.0)
    torch.testing.assert_close(vp.alpha(t) ** 2, torch.exp(-(0.1 * t + 19.9 * t**2 / 2)), rtol=1e-13, atol=0)
    cosine = (torch.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    torch.testing.assert_close(Cosine().alpha(t) ** 2, cosine, rtol=1e-12, atol=1e-15)
    for schedule in (vp, Cosine(), LinearBeta(), ScaledLinearBeta(), schedules.Trigonometric()):
        one = schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2
        torch.testing.assert_close(one, torch.ones_like(t), rtol=1e-13, atol=0)
    ve = schedules.VE(0.01, 50.0)
    torch.testing.assert_close(ve.sigma(t) ** 2, 1e-4 * (5000.0 ** (2 * t) - 1), rtol=1e-12, atol=0)
    assert float(schedules.EDM(80.0).sigma(torch.tensor(0.25))) == 20.0


def test_cosine_that_ends_early_keeps_some_signal():
    assert Cosine().ends_at_noise
    early = Cosine(end=0.995)
    assert not early.ends_at_noise
    at = torch.tensor(0.995, dtype=torch.float64)
    assert float(early.alpha(ENDS)[1]) == pytest.approx(float(Cosine().alpha(at)), rel=1e-12)


@pytest.mark.parametrize("cls", TABLES, ids=lambda c: c.__name__)
def test_tables_of_betas_are_the_published_ones(cls):
    diffusers = pytest.importorskip("diffusers")
    kind = {"LinearBeta": "linear", "ScaledLinearBeta": "scaled_linear"}[cls.__name__]
    ours = cls()
    theirs = diffusers.DDPMScheduler(1000, ours.beta_start, ours.beta_end, kind).alphas_cumprod
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(ours.alpha(t) ** 2, theirs.double(), rtol=0, atol=1e-6)  # their product is in float32
    power = {"linear": 1, "scaled_linear": 2}[kind]
    betas = torch.linspace(ours.beta_start ** (1 / power), ours.beta_end ** (1 / power), 1000, dtype=torch.float64)
    torch.testing.assert_close(ours.alpha(t) ** 2, (1 - betas**power).cumprod(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cls", TABLES, ids=lambda c: c.__name__)
def test_tables_are_geometric_between_their_steps(cls):
    alpha = cls().alpha(torch.tensor([0.1, 0.1005, 0.101], dtype=torch.float64))
    assert float(alpha[1]) == pytest.approx(float((alpha[0] * alpha[2]).sqrt()), rel=1e-12)


def test_cosine_table_of_the_paper():
    """Where the paper's betas are not capped, its 1,000-step table is our curve: prod (1 - beta) telescopes to alpha^2."""
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod[:998].double()
    t = torch.arange(1, 999, dtype=torch.float64) / 1000
    torch.testing.assert_close(Cosine().alpha(t) ** 2, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: VP(2.0, 1.0), "beta_min < beta_max"),
        (lambda: schedules.VE(0.0, 1.0), "0 < sigma_min"),
        (lambda: schedules.EDM(-1.0), "sigma_max"),
        (lambda: Cosine(s=0.0), "s=0.0"),
        (lambda: Cosine(end=1.5), "end=1.5"),
        (lambda: LinearBeta(1e-4, 1.0), "below 1"),
        (lambda: ScaledLinearBeta(0.2, 0.1), "beta_start < beta_end"),
        (lambda: LinearBeta(timesteps=0), "timesteps at least 1"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_rectified_is_a_straight_line():
    assert torch.equal(Rectified().alpha(T), 1 - T)
    assert torch.equal(Rectified().sigma(T), T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosine_reaches_zero_and_never_passes_it(dtype):
    one = torch.ones((), dtype=dtype)
    for s in torch.linspace(0.001, 0.2, 200).tolist():
        assert Cosine(s).alpha(one) == 0
        assert Cosine(s).log_snr(one) == -torch.inf
        assert Cosine(s).alpha(0 * one) == 1
