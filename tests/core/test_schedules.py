"""Schedules against closed forms, their own derivatives, published tables, peers, and their inverse."""

import copy
import math

import pytest
import torch
from ornstein.core import registry, schedules
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.schedules import (
    EDM,
    VE,
    VP,
    Cosine,
    CosineBeta,
    Decay,
    Learned,
    LinearBeta,
    LinearShifted,
    Polynomial,
    Rectified,
    Retimed,
    RootShifted,
    ScaledLinearBeta,
    Schedule,
    Shifted,
    Sigmoid,
    SigmoidBeta,
    SubVP,
    Tabulated,
    Trigonometric,
    ZeroTerminalSNR,
)

T = torch.tensor([1e-4, 1.37e-3, 0.0137, 0.1003, 0.2511, 0.4999, 0.7503, 0.9003, 0.9901, 1 - 1e-4], dtype=torch.float64)
ENDS = torch.tensor([0.0, 1.0], dtype=torch.float64)
INNER = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)


def bent() -> Learned:
    """A learned schedule whose weights are not the ones it starts with."""
    schedule = Learned(units=8)
    for weight in schedule.parameters():
        weight.data += torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return schedule.requires_grad_(False)


def every() -> dict[str, Schedule]:
    """All that the registry lists, and combinations with those of other families."""
    found = {name: registry.class_of("schedule", name)() for name in registry.TABLE["schedule"]}
    for schedule in found.values():
        if isinstance(schedule, Learned):
            schedule.requires_grad_(False)
    more = [
        Shifted(VP(), 0.5),
        Shifted(VE(), 2.0),
        Shifted(SubVP(), 2.0),
        Shifted(Sigmoid(), 3.0),
        Shifted(Polynomial(), 2.0),
    ]
    more += [Shifted(Shifted(Cosine(), 2.0), 1.5), ZeroTerminalSNR(VP(), 0.0), ZeroTerminalSNR(CosineBeta(), 0.001)]
    more += [Tabulated((0.9, 0.5, 0.0)), Sigmoid(0.0, 3.0, 0.7), Retimed(VE(), Rectified(), Trigonometric())]
    more += [Retimed(Rectified(), LinearBeta(), VP()), Learned(-15.0, 10.0, units=3).requires_grad_(False)]
    return found | {str(schedule): schedule for schedule in more} | {"bent": bent()}


EVERY = every()
each = pytest.mark.parametrize("schedule", EVERY.values(), ids=EVERY)
near = torch.testing.assert_close


@each
def test_data_at_zero_and_noise_grows(schedule: Schedule):
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    alpha, sigma, log_snr = schedule.alpha(t), schedule.sigma(t), schedule.log_snr(t)
    assert alpha[0] == 1
    assert sigma[0] == 0
    assert log_snr[0] == math.inf
    assert (alpha.diff() <= 1e-15).all()
    assert (sigma.diff() > -1e-15).all()
    assert (log_snr.diff() < 0).all()


@each
def test_derivatives_are_those_of_autograd(schedule: Schedule):
    pairs = [(schedule.alpha, schedule.d_alpha), (schedule.sigma, schedule.d_sigma)]
    pairs += [(lambda t: schedule.sigma(t) ** 2, schedule.d_sigma2), (lambda t: schedule.alpha(t).log(), schedule.f)]
    if not isinstance(schedule, Retimed):  # whose t_of has no gradient where its clock's is a table
        for value, rate in pairs:
            t = T.clone().requires_grad_()
            y = value(t)
            slope = torch.autograd.grad(y.sum(), t)[0] if y.requires_grad else torch.zeros_like(T)
            near(rate(T), slope, rtol=2e-8, atol=1e-12)


@each
def test_derivatives_are_finite_differences(schedule: Schedule):
    t, h = T[2:-2], 1e-6
    for value, rate in ((schedule.alpha, schedule.d_alpha), (schedule.sigma, schedule.d_sigma)):
        near(rate(t), (value(t + h) - value(t - h)) / (2 * h), rtol=2e-6, atol=1e-7)
    near(schedule.d_log_snr(t), (schedule.log_snr(t + h) - schedule.log_snr(t - h)) / (2 * h), rtol=2e-6, atol=1e-7)


@each
def test_log_snr_is_the_ratio_and_t_of_its_inverse(schedule: Schedule):
    log_snr = schedule.log_snr(T)
    near(log_snr, 2 * torch.log(schedule.alpha(T) / schedule.sigma(T)), rtol=1e-9, atol=1e-9)
    near(schedule.t_of(log_snr), T, rtol=0, atol=1e-12)
    small = torch.tensor([1e-7, 1e-10], dtype=torch.float64)  # relative precision next to the data
    near(schedule.t_of(schedule.log_snr(small)), small, rtol=1e-9, atol=0)
    near(schedule.t_of(schedule.log_snr(ENDS)), ENDS, rtol=0, atol=1e-12)
    beyond = schedule.t_of(torch.tensor([math.inf, 1e4, -1e4, -math.inf], dtype=torch.float64))
    assert beyond[0] == 0
    assert 0 <= beyond[1] < 1e-9
    near(beyond[2:], torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-9)


@each
def test_drift_and_diffusion_give_the_marginals_back(schedule: Schedule):
    """d alpha / dt = f alpha and d sigma^2 / dt = 2 f sigma^2 + g^2, g^2 = -sigma^2 d log_snr / dt > 0."""
    f, g2, sigma = schedule.f(T), schedule.g2(T), schedule.sigma(T)
    near(schedule.d_alpha(T), f * schedule.alpha(T), rtol=1e-9, atol=1e-15)
    size = g2 + 2 * f.abs() * sigma**2  # the two nearly cancel next to t = 1
    near((schedule.d_sigma2(T) - (2 * f * sigma**2 + g2)) / size, torch.zeros_like(T), rtol=0, atol=1e-12)
    near(g2, -(sigma**2) * schedule.d_log_snr(T), rtol=1e-8, atol=0)
    assert (g2 > 0).all()


@each
def test_the_sde_of_the_schedule_has_its_marginals(schedule: Schedule):
    """The moments of dx = f x dt + g dw, integrated from t = 0.1, are alpha and sigma^2."""
    edges = torch.linspace(0.1, 0.9, 8001, dtype=torch.float64)
    t, h = (edges[1:] + edges[:-1]) / 2, 1e-4
    log_alpha = torch.cat([t.new_zeros(1), (schedule.f(t) * h).cumsum(0)])
    near(log_alpha.exp(), schedule.alpha(edges) / schedule.alpha(edges[:1]), rtol=1e-4, atol=1e-9)
    noise = (schedule.g2(t) / schedule.alpha(t) ** 2 * h).sum()  # d (sigma / alpha)^2 = g^2 / alpha^2 dt
    ratio = torch.exp(-schedule.log_snr(edges[[0, -1]]))
    near(ratio[0] + noise, ratio[1], rtol=1e-4, atol=1e-9)


@each
def test_the_ends_are_numbers_or_honest_infinities(schedule: Schedule):
    for rate in (schedule.d_alpha, schedule.d_sigma, schedule.d_sigma2, schedule.f, schedule.g2, schedule.d_log_snr):
        assert not torch.isnan(rate(ENDS)).any(), rate
    assert torch.isfinite(schedule.d_sigma2(ENDS)).all()
    assert (schedule.g2(ENDS) >= 0).all()
    assert schedule.d_log_snr(ENDS)[0] == -math.inf
    if schedule.ends_at_noise:
        assert schedule.alpha(ENDS)[1] == 0
        assert schedule.f(ENDS)[1] == -math.inf
        assert schedule.log_snr(ENDS)[1] == -math.inf


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_those_of_t(schedule: Schedule, dtype: torch.dtype):
    for t in (torch.rand(3, dtype=dtype), torch.rand(2, 5, dtype=dtype), torch.tensor(0.5, dtype=dtype)):
        for f in (*(schedule.alpha, schedule.sigma, schedule.d_alpha, schedule.d_sigma, schedule.log_snr), schedule.g2):
            assert f(t).shape == t.shape
            assert f(t).dtype == t.dtype
        assert schedule.t_of(schedule.log_snr(t)).dtype == t.dtype
        assert schedule.t_of(schedule.log_snr(t)).shape == t.shape


@each
def test_float32_costs_only_precision(schedule: Schedule):
    t = INNER.float()
    for f in (schedule.alpha, schedule.sigma, schedule.log_snr):
        near(f(t).double(), f(t.double()), rtol=2e-3, atol=1e-4)


@each
def test_the_two_flags_tell_the_ends(schedule: Schedule):
    alpha = float(schedule.alpha(ENDS)[1])
    assert schedule.ends_at_noise == (abs(alpha) < 1e-9)

    def speeds(d: float) -> torch.Tensor:
        t = torch.tensor([d, 1 - d], dtype=torch.float64)
        return schedule.d_sigma(t).abs() + schedule.d_alpha(t).abs()

    growth = speeds(1e-12) / speeds(1e-8)
    assert schedule.finite_rates == bool(((growth > 0.1) & (growth < 10)).all())


def test_closed_forms_of_the_laws():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    b = 0.1 * t + 19.9 * t**2 / 2
    near(VP(0.1, 20.0).alpha(t) ** 2, torch.exp(-b), rtol=1e-13, atol=0)
    cosine = (torch.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    near(Cosine().alpha(t) ** 2, cosine, rtol=1e-12, atol=1e-15)
    preserving = [
        VP(),
        Cosine(),
        LinearBeta(),
        ScaledLinearBeta(),
        SigmoidBeta(),
        CosineBeta(),
        Trigonometric(),
        bent(),
    ]
    for schedule in (*preserving, Sigmoid(), ZeroTerminalSNR(), Shifted(VP(), 3.0), Tabulated()):
        near(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones_like(t), rtol=1e-12, atol=0)
    for schedule in (Rectified(), Polynomial(3.0), Decay(), Shifted(Decay(), 0.3), LinearShifted()):
        near(schedule.alpha(t) + schedule.sigma(t), torch.ones_like(t), rtol=1e-13, atol=0)
    near(VE(0.01, 50.0).sigma(t) ** 2, 1e-4 * (5000.0 ** (2 * t) - 1), rtol=1e-12, atol=0)
    assert float(EDM(80.0).sigma(torch.tensor(0.25))) == 20.0
    near(Polynomial(3.0).alpha(t), (1 - t) ** 3, rtol=0, atol=0)
    near(SubVP().sigma(t), 1 - torch.exp(-b), rtol=1e-13, atol=1e-15)
    near(Decay(0.1).sigma(t), (1 - 0.1**t) / 0.9, rtol=1e-14, atol=0)
    near(Decay(1 - 1e-9).sigma(t), t, rtol=0, atol=1e-9)


def test_the_sdes_have_the_drift_and_diffusion_of_their_paper():
    beta = 0.1 + 19.9 * T
    b = 0.1 * T + 19.9 * T**2 / 2
    near(VP().f(T), -beta / 2)
    near(VP().g2(T), beta)
    near(SubVP().f(T), -beta / 2)
    near(SubVP().g2(T), beta * (1 - torch.exp(-2 * b)), rtol=1e-10, atol=0)
    near(VE(0.01, 50.0).g2(T), 1e-4 * 5000.0 ** (2 * T) * 2 * math.log(5000.0))
    near(Rectified().g2(T), 2 * T / (1 - T))
    near(VP().g2(ENDS), torch.tensor([0.1, 20.0], dtype=torch.float64))
    near(EDM().g2(T), 2 * 80.0**2 * T)


def test_sigmoid_is_the_published_gamma():
    """Chen 2023, algorithm 1: gamma = (S(end / tau) - S((t (end - start) + start) / tau)) / (S(end / tau) - S(start / tau))."""
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    for start, end, tau in ((-3.0, 3.0, 1.0), (0.0, 3.0, 0.3), (-3.0, 3.0, 0.05)):
        low, high = (torch.sigmoid(torch.tensor(x / tau, dtype=torch.float64)) for x in (start, end))
        gamma = (high - torch.sigmoid((t * (end - start) + start) / tau)) / (high - low)
        near(Sigmoid(start, end, tau).alpha(t) ** 2, gamma, rtol=0, atol=1e-14)
    assert not any(
        torch.allclose(Sigmoid(-6.0, 6.0, tau).alpha(INNER), SigmoidBeta().alpha(INNER), atol=1e-2)
        for tau in (0.5, 1, 2)
    )  # the betas on a sigmoid are another law


def test_cosine_that_ends_early_keeps_some_signal():
    assert Cosine().ends_at_noise
    early = Cosine(end=0.995)
    assert not early.ends_at_noise
    at = torch.tensor(0.995, dtype=torch.float64)
    assert float(early.alpha(ENDS)[1]) == pytest.approx(float(Cosine().alpha(at)), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_schedules_that_reach_zero_never_pass_it(dtype):
    one = torch.ones((), dtype=dtype)
    many = [Cosine(s) for s in torch.linspace(0.001, 0.2, 200).tolist()]
    many += [Decay(g) for g in torch.linspace(0.01, 0.99, 99).tolist()]
    many += [Sigmoid(-a, b, tau) for a in (0, 1, 3) for b in (0.5, 3) for tau in (0.1, 0.9)]
    for schedule in (*many, Trigonometric(), ZeroTerminalSNR()):
        assert schedule.alpha(one) == 0
        assert not torch.signbit(schedule.alpha(one))
        assert schedule.log_snr(one) == -torch.inf
        assert schedule.alpha(0 * one) == 1


STEPS = torch.arange(1, 1001, dtype=torch.float64) / 1000
PUBLISHED = {
    "linear": LinearBeta(),
    "scaled_linear": ScaledLinearBeta(0.00085, 0.012),
    "sigmoid": SigmoidBeta(),
    "squaredcos_cap_v2": CosineBeta(),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_are_those_of_diffusers(name: str):
    """alphas_cumprod of the betas that diffusers makes; the product is taken again in float64, which diffusers does not."""
    diffusers = pytest.importorskip("diffusers")
    from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

    schedule = PUBLISHED[name]
    ends = {end: getattr(schedule, end) for end in ("beta_start", "beta_end") if hasattr(schedule, end)}
    theirs = diffusers.DDPMScheduler(1000, beta_schedule=name, **ends)
    betas = theirs.betas.double()
    near(schedule.alpha(STEPS) ** 2, (1 - betas).cumprod(0), rtol=0, atol=1e-7)
    near(schedule.alpha(STEPS) ** 2, theirs.alphas_cumprod.double(), rtol=0, atol=1e-6)
    rescaled = (1 - rescale_zero_terminal_snr(betas)).cumprod(0)
    near(ZeroTerminalSNR(schedule, 0.001).alpha(STEPS) ** 2, rescaled, rtol=0, atol=1e-7)


def test_tables_are_the_products_of_their_betas():
    def line(start, end, power):
        return torch.linspace(start ** (1 / power), end ** (1 / power), 1000, dtype=torch.float64) ** power

    sigmoid = 1e-4 + (0.02 - 1e-4) * torch.sigmoid(torch.linspace(-6, 6, 1000, dtype=torch.float64))
    tables = [
        (LinearBeta(), line(1e-4, 0.02, 1)),
        (ScaledLinearBeta(), line(0.00085, 0.012, 2)),
        (SigmoidBeta(), sigmoid),
    ]
    for schedule, betas in tables:
        near(schedule.alpha(STEPS) ** 2, (1 - betas).cumprod(0), rtol=0, atol=1e-12)


def test_zero_terminal_snr_is_the_published_rescaling():
    for base in (LinearBeta(), ScaledLinearBeta(), SigmoidBeta()):
        root = base.alpha(STEPS)
        rescaled = (root - root[-1]) * root[0] / (root[0] - root[-1])
        near(ZeroTerminalSNR(base, 0.001).alpha(STEPS), rescaled, rtol=0, atol=1e-14)
    smooth, base = ZeroTerminalSNR(VP(), 0.0), VP()
    end = float(base.alpha(ENDS)[1])
    near(smooth.alpha(INNER), (base.alpha(INNER) - end) / (1 - end), rtol=1e-13, atol=0)


def test_cosine_table_of_the_paper_is_the_curve_where_it_is_not_capped():
    """prod (1 - beta) telescopes to alpha^2."""
    near(CosineBeta().alpha(STEPS[:998]), Cosine().alpha(STEPS[:998]), rtol=1e-9, atol=0)
    assert not CosineBeta().ends_at_noise
    betas = 1 - (CosineBeta().alpha(STEPS)[1:] / CosineBeta().alpha(STEPS)[:-1]) ** 2
    assert float(betas.max()) == pytest.approx(0.999, rel=1e-12)


@pytest.mark.parametrize("schedule", [LinearBeta(), CosineBeta(), Tabulated(), ScaledLinearBeta(timesteps=10)], ids=str)
def test_tables_are_geometric_between_their_steps(schedule: Schedule):
    steps = getattr(schedule, "timesteps", 10)
    alpha = schedule.alpha(torch.tensor([3, 3.5, 4], dtype=torch.float64) / steps)
    assert float(alpha[1]) == pytest.approx(float((alpha[0] * alpha[2]).sqrt()), rel=1e-12)


def test_a_table_of_another_library_is_taken_as_it_is():
    made = Tabulated((LinearBeta().alpha(STEPS) ** 2).tolist())
    near(made.alpha(T), LinearBeta().alpha(T), rtol=1e-10, atol=0)
    near(made.log_snr(T), LinearBeta().log_snr(T), rtol=1e-8, atol=0)
    assert made == Tabulated(list(made.alphas_cumprod))
    hash(made)
    to_zero = Tabulated((ZeroTerminalSNR().alpha(STEPS) ** 2).tolist())
    near(to_zero.alpha(STEPS), ZeroTerminalSNR().alpha(STEPS), rtol=1e-9, atol=0)
    assert to_zero.ends_at_noise


BASES = [s for s in EVERY.values() if not isinstance(s, Learned)]


@pytest.mark.parametrize("base", BASES, ids=str)
@pytest.mark.parametrize("s", [0.4, 3.0])
def test_a_shift_is_one_of_the_log_snr_along_the_same_curve(base: Schedule, s: float):
    shifted = Shifted(base, s)
    near(shifted.log_snr(T), base.log_snr(T) - 2 * math.log(s), rtol=1e-12, atol=1e-12)
    near(shifted.alpha(T) / shifted.sigma(T), base.alpha(T) / base.sigma(T) / s, rtol=1e-12, atol=0)
    near(shifted.t_of(shifted.log_snr(T)), T, rtol=0, atol=1e-12)
    for value, rate in ((shifted.alpha, shifted.d_alpha), (shifted.sigma, shifted.d_sigma)):
        t, h = T[2:-2], 1e-6
        near(rate(t), (value(t + h) - value(t - h)) / (2 * h), rtol=2e-6, atol=1e-7)
    near(Shifted(Shifted(base, s), 1 / s).alpha(T), base.alpha(T), rtol=1e-12, atol=0)
    near(Shifted(Shifted(base, s), 2.0).sigma(T), Shifted(base, 2 * s).sigma(T), rtol=1e-12, atol=0)
    assert not torch.isnan(shifted.g2(ENDS)).any()


def test_a_shifted_straight_line_is_run_at_another_speed():
    """Esser et al. 2024, equation 23: t' = s t / (1 + (s - 1) t)."""
    for s in (0.5, 3.0):
        warped = s * T / (1 + (s - 1) * T)
        for schedule in (Shifted(Rectified(), s), Retimed(Rectified(), Rectified(), Shifted(Rectified(), s))):
            near(schedule.sigma(T), warped, rtol=1e-12, atol=0)
            near(schedule.alpha(T), 1 - warped, rtol=1e-10, atol=0)


def test_a_shift_by_the_number_of_tokens():
    assert RootShifted(tokens=4096, reference=1024).s == 2.0
    near(RootShifted(VP(), 1024, 256).log_snr(T), VP().log_snr(T) - 2 * math.log(2.0))
    assert LinearShifted(tokens=256).mu == 0.5
    assert LinearShifted(tokens=4096).mu == pytest.approx(1.15)
    assert LinearShifted(tokens=2176).s == pytest.approx(math.exp((0.5 + 1.15) / 2))


def test_the_shift_is_that_of_diffusers_where_it_shifts_once():
    diffusers = pytest.importorskip("diffusers")
    grid = torch.linspace(1.0, 0.1, 10, dtype=torch.float64)
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(sigmas=grid.tolist())
    near(Shifted(Rectified(), 3.0).sigma(grid), theirs.sigmas[:-1].double(), rtol=0, atol=1e-6)
    dynamic = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    dynamic.set_timesteps(sigmas=grid.tolist(), mu=LinearShifted(tokens=1024).mu)
    near(LinearShifted(tokens=1024).sigma(grid), dynamic.sigmas[:-1].double(), rtol=0, atol=1e-6)


def test_the_default_grid_of_diffusers_shifts_twice():
    """Its table is shifted when it is made and its smallest number, shifted already, is shifted again by set_timesteps."""
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(1000)
    once = Shifted(Rectified(), 3.0).sigma(torch.tensor([0.001], dtype=torch.float64))
    last = theirs.sigmas[-2:-1].double()
    assert float(last / once) > 2.9
    near(
        Shifted(Shifted(Rectified(), 3.0), 3.0).sigma(torch.tensor([0.001], dtype=torch.float64)),
        last,
        rtol=1e-4,
        atol=0,
    )


def test_azula_has_the_same_laws_with_small_numbers_left_at_the_ends():
    noise = pytest.importorskip("azula.noise")
    tiny = 1e-9
    alpha, sigma = noise.DecaySchedule(tiny, tiny, 0.1)(INNER)
    near(Decay(0.1).alpha(INNER), alpha, rtol=0, atol=2e-9)
    near(Decay(0.1).sigma(INNER), sigma, rtol=0, atol=2e-9)
    alpha, sigma = noise.RectifiedSchedule(tiny, tiny)(INNER)
    near(Rectified().alpha(INNER), alpha, rtol=0, atol=2e-9)
    alpha, sigma = noise.CosineSchedule(tiny, tiny)(INNER)
    near(Trigonometric().alpha(INNER), alpha, rtol=0, atol=2e-9)
    near(Trigonometric().sigma(INNER), sigma, rtol=0, atol=2e-9)
    sigma = noise.VESchedule(0.01, 50.0).sigma(INNER)  # which does not start at data
    near(VE(0.01, 50.0).sigma(INNER) ** 2, sigma**2 - 1e-4, rtol=1e-10, atol=0)
    alpha = noise.VPSchedule(1e-3, tiny).alpha(INNER)  # beta linear in t and 0 at t = 0
    near(VP(1e-12, -4 * math.log(1e-3)).alpha(INNER), alpha, rtol=1e-10, atol=0)


def test_a_learned_schedule_keeps_its_ends_whatever_its_weights():
    for schedule in (Learned(-7.0, 9.0, start=0.05).requires_grad_(False), bent()):
        ends = schedule.log_snr(torch.tensor([schedule.start, 1.0], dtype=torch.float64))
        near(ends, torch.tensor([schedule.log_snr_max, schedule.log_snr_min], dtype=torch.float64), rtol=0, atol=1e-12)
        assert not schedule.ends_at_noise
    rates = Learned().requires_grad_(False).d_log_snr(torch.linspace(0.01, 1, 99, dtype=torch.float64))
    assert float(rates.max() / rates.min()) > 0.5  # about straight before it is trained


def test_gradients_reach_the_weights_and_are_finite_at_data():
    schedule = Learned(units=4)
    t = torch.tensor([0.0, 0.3, 1.0])
    values = (schedule.alpha(t), schedule.sigma(t), -schedule.log_snr(t).clamp(-20, 20))
    torch.stack(values).sum().backward()
    for weight in schedule.parameters():
        assert torch.isfinite(weight.grad).all()
        assert (weight.grad != 0).any()


def loss_of(schedule: Learned, t: torch.Tensor) -> torch.Tensor:
    """The loss of the likelihood at t, -SNR' |x_0 - x_hat|^2 / 2, for x_0 ~ N(0, 1) and its exact denoiser."""
    snr = torch.exp(schedule.log_snr(t))
    return -0.5 * schedule.d_log_snr(t) * snr / (1 + snr)


def test_scaled_gradients_are_those_of_the_squared_loss():
    t = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    schedule, other = bent().requires_grad_(), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (other * loss_of(schedule, t)).pow(2).mean().backward()
    wanted = [p.grad.clone() for p in schedule.parameters()]
    loss = other * loss_of(schedule, t)
    plain = torch.autograd.grad(loss.mean(), other, retain_graph=True)[0]
    schedule.zero_grad()
    other.grad = None
    schedule.scale_gradients(loss).mean().backward()
    for weight, expected in zip(schedule.parameters(), wanted, strict=True):
        near(weight.grad, expected, rtol=1e-5, atol=1e-7)
    near(other.grad, plain)
    schedule.zero_grad()
    other.grad = None
    (other * loss_of(schedule, t)).mean().backward()  # a later step that is not scaled is not
    plain = [p.grad.clone() for p in schedule.parameters()]
    assert not any(torch.allclose(a, b) for a, b in zip(plain, wanted, strict=True))
    with pytest.raises(ValueError, match="3 losses, but the schedule was asked at times of shape"):
        schedule.scale_gradients(loss_of(schedule, t[:2]).sum() * torch.ones(3)).mean().backward()


def test_the_trained_shape_has_less_variance_and_the_same_bound():
    schedule, rng = Learned(-6.0, 8.0, units=16), torch.Generator().manual_seed(0)

    def moments() -> tuple[float, float]:
        t = torch.linspace(schedule.start, 1, 4001, dtype=torch.float64)
        with torch.no_grad():
            losses = loss_of(schedule, t)
        return float(torch.trapezoid(losses, t)), float(losses.std())

    mean, std = moments()
    exact = math.log1p(math.exp(8.0)) / 2 - math.log1p(math.exp(-6.0)) / 2  # the integral over log-SNR
    assert mean == pytest.approx(exact, rel=1e-5)
    optimizer = torch.optim.Adam(schedule.parameters(), lr=0.1)
    for _ in range(200):
        t = schedule.start + (1 - schedule.start) * torch.rand(64, generator=rng, dtype=torch.float64)
        optimizer.zero_grad()
        schedule.scale_gradients(loss_of(schedule, t)).mean().backward()
        optimizer.step()
    after, after_std = moments()
    assert after == pytest.approx(exact, rel=1e-4)
    assert after_std < 0.6 * std


def test_a_learned_schedule_belongs_to_its_denoiser(tmp_path):
    from ornstein.core import load, save
    from ornstein.core.backbones.dit import DiT
    from ornstein.core.parametrization import V
    from ornstein.core.processes import Gaussian
    from ornstein.core.state import Field

    def build(schedule: Schedule) -> NeuralDenoiser:
        f = Field("x", "continuous", 2, Gaussian(schedule, V()))
        return NeuralDenoiser(DiT([f], [], 1, width=32, depth=1, heads=2), [f])

    schedule = bent()
    for held in (schedule, Shifted(schedule, 2.0)):
        denoiser = build(held)
        assert set(schedule.parameters()) <= set(denoiser.parameters())
        twin = copy.deepcopy(denoiser)
        inner = next(iter(twin.schedules["of_x"]))
        assert inner is not schedule
        assert twin.processes["x"].schedule in (inner, Shifted(inner, 2.0))
        save(denoiser, tmp_path)
        loaded = load(tmp_path).processes["x"].schedule
        near(loaded.log_snr(T).detach(), held.log_snr(T), rtol=1e-6, atol=0)
    assert not build(VP()).schedules["of_x"]
    assert Shifted(schedule, 2.0).learns
    assert not VP().learns


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: VP(2.0, 1.0), "beta_min < beta_max"),
        (lambda: SubVP(2.0, 1.0), "SubVP: needs 0 < beta_min"),
        (lambda: VE(0.0, 1.0), "0 < sigma_min"),
        (lambda: EDM(-1.0), "sigma_max"),
        (lambda: EDM(math.inf), "sigma_max"),
        (lambda: Cosine(s=0.0), "s=0.0"),
        (lambda: Cosine(end=1.5), "end=1.5"),
        (lambda: Sigmoid(3.0, -3.0), "start < end"),
        (lambda: Sigmoid(tau=0.0), "tau > 0"),
        (lambda: Sigmoid(tau=1e-3), "take tau above 0.01"),
        (lambda: Polynomial(0.5), "n must be at least 1"),
        (lambda: Decay(1.0), "Rectified is its limit"),
        (lambda: LinearBeta(1e-4, 1.0), "below 1"),
        (lambda: ScaledLinearBeta(0.2, 0.1), "beta_start < beta_end"),
        (lambda: LinearBeta(timesteps=0), "timesteps must be at least 1"),
        (lambda: CosineBeta(cap=1.0), "cap in"),
        (lambda: Tabulated(()), "empty"),
        (lambda: Tabulated((0.9, 0.95)), "found 0.95 after 0.9 at number 1"),
        (lambda: Tabulated((0.9, 0.0, 0.0)), "found 0 after 0 at number 2"),
        (lambda: Tabulated((1.0, 0.5)), "found 1 after 1 at number 0"),
        (lambda: Tabulated((math.nan,)), "found nan"),
        (lambda: Shifted(shift=0.0), "Shifted: the shift must be above 0"),
        (lambda: RootShifted(tokens=0), "tokens and reference must be at least 1"),
        (lambda: LinearShifted(low=(10, 0.5), high=(10, 1.0)), "low tokens < high tokens"),
        (lambda: ZeroTerminalSNR(Rectified()), "Rectified has not alpha"),
        (lambda: ZeroTerminalSNR(Cosine()), "Cosine ends at alpha = 0 already"),
        (lambda: ZeroTerminalSNR(first=1.0), "first must be in"),
        (lambda: Learned(5.0, -5.0), "log_snr_min < log_snr_max"),
        (lambda: Learned(units=0), "units must be at least 1"),
        (lambda: Learned(start=0.0), "start in"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_rectified_is_a_straight_line():
    assert torch.equal(Rectified().alpha(T), 1 - T)
    assert torch.equal(Rectified().sigma(T), T)


def test_the_package_exports_what_the_registry_lists():
    for name in registry.TABLE["schedule"]:
        assert registry.class_of("schedule", name).__name__ in schedules.__all__


def test_a_clock_that_is_never_so_noisy_rests_at_its_end():
    schedule = Retimed(Cosine(), VP(), Rectified())  # VP ends at a log-SNR above -11, Rectified has no end
    t = torch.tensor([0.5, 0.999], dtype=torch.float64, requires_grad=True)
    for value, rate in ((schedule.alpha, schedule.d_alpha), (schedule.sigma, schedule.d_sigma)):
        (slope,) = torch.autograd.grad(value(t).sum(), t)
        torch.testing.assert_close(rate(t), slope)
    assert schedule.d_alpha(t)[1] == schedule.d_log_snr(t)[1] == 0
