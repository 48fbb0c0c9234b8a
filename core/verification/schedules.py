"""T1: what a schedule keeps."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..conformance.rule import Skipped, require
from ..schedules import Schedule
from .report import Rule, Worst

# Not at the knots of tables of 1,000 steps, where a derivative has two values.
_T = torch.tensor(
    [1e-4, 1.07e-3, 0.0137, 0.1003, 0.2511, 0.4999, 0.7503, 0.9003, 0.9901, 1 - 1e-4], dtype=torch.float64
)
_INNER = _T[2:-2]
_ENDS = torch.tensor([0.0, 1.0], dtype=torch.float64)


def data_at_zero(s: Schedule) -> str:
    """alpha(0) = 1, sigma(0) = 0 and log SNR = inf there; at 1 all are finite, but for log SNR where alpha is 0."""
    alpha, sigma, log_snr = (f(_ENDS).tolist() for f in (s.alpha, s.sigma, s.log_snr))
    found = f"alpha {alpha[0]:g}, sigma {sigma[0]:g}, log SNR {log_snr[0]:g} at t = 0"
    require((alpha[0], sigma[0], log_snr[0]) == (1, 0, math.inf), f"{found}; wanted 1, 0, inf")
    end = f"alpha {alpha[1]:.3g}, sigma {sigma[1]:.3g} at t = 1"
    require(
        math.isfinite(alpha[1]) and 0 < sigma[1] < math.inf and alpha[1] >= 0, f"{end}; wanted alpha >= 0, sigma > 0"
    )
    return f"{found}; {end}"


def noise_grows(s: Schedule) -> str:
    """The SNR falls everywhere from data to noise, sigma / alpha with it, and neither scale is negative or NaN."""
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    alpha, sigma, log_snr = s.alpha(t), s.sigma(t), s.log_snr(t)
    for name, x in (("alpha", alpha), ("sigma", sigma)):
        require(bool((x >= 0).all()), f"{name} falls to {float(x.min()):.3g}; wanted at least 0 on [0, 1]")
    for name, step in (("log SNR", log_snr.diff()), ("-sigma / alpha", -(sigma / alpha).diff())):
        rising = ~(step < 0)
        at = float(t[1:][rising][0]) if rising.any() else 0.0
        require(not rising.any(), f"{name} does not fall at t = {at:.4f}")
    return f"log SNR falls at all of {len(t)} times"


def derivatives_are_those_of_autograd(s: Schedule) -> str:
    """d_alpha and d_sigma are the derivatives of alpha and sigma, by autograd."""
    worst = Worst()
    for name, value, rate in _rates(s):
        t = _T.clone().requires_grad_()
        y = value(t)
        slope = torch.autograd.grad(y.sum(), t)[0] if y.requires_grad else torch.zeros_like(t)
        worst.see(_relative(rate(_T), slope), f"d_{name}")
    return worst.at_most(1e-9, "relative difference")


def derivatives_are_finite_differences(s: Schedule) -> str:
    """d_alpha and d_sigma are the derivatives of alpha and sigma, by central differences of step 1e-6."""
    worst, h = Worst(), 1e-6
    for name, value, rate in _rates(s):
        worst.see(_relative(rate(_INNER), (value(_INNER + h) - value(_INNER - h)) / (2 * h)), f"d_{name}")
    return worst.at_most(1e-6, "relative difference")


def log_snr_is_the_ratio(s: Schedule) -> str:
    """log_snr = log(alpha^2 / sigma^2)."""
    worst = Worst()
    error = s.log_snr(_T) - 2 * torch.log(s.alpha(_T) / s.sigma(_T))
    worst.see(error, f"t = {float(_T[error.abs().argmax()]):g}")
    return worst.at_most(1e-9, "difference")


def t_of_is_the_inverse(s: Schedule) -> str:
    """t_of(log_snr(t)) = t on [0, 1], and to its own size next to the data, where differences would cancel."""
    worst, small = Worst(), torch.tensor([1e-5, 1e-7, 1e-10], dtype=torch.float64)
    worst.see(s.t_of(s.log_snr(_T)) - _T, "within")
    worst.see(s.t_of(s.log_snr(_ENDS)) - _ENDS, "at the ends")
    worst.see(1e-3 * (s.t_of(s.log_snr(small)) / small - 1), "t = 1e-5, 1e-7, 1e-10, relative to 1e-3")
    return worst.at_most(1e-9, "difference")


def t_of_is_clamped(s: Schedule) -> str:
    """Beyond what the schedule reaches, t_of is 0 or 1, at infinity too."""
    found = s.t_of(torch.tensor([math.inf, 1e4, -1e4, -math.inf], dtype=torch.float64))
    worst = Worst()
    worst.see(found - torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64), "log SNR = inf, 1e4, -1e4, -inf")
    return worst.at_most(1e-9, "difference")


def drift_and_diffusion_keep_the_marginals(s: Schedule) -> str:
    """With f = alpha' / alpha and g^2 = -sigma^2 d log SNR / dt > 0, d(sigma^2) / dt = 2 f sigma^2 + g^2."""
    t = _T.clone().requires_grad_()
    slope = torch.autograd.grad(s.log_snr(t).sum(), t)[0]
    sigma, f, g2 = s.sigma(_T), s.d_alpha(_T) / s.alpha(_T), -(s.sigma(_T) ** 2) * slope
    require(bool((g2 > 0).all()), f"g^2 falls to {float(g2.min()):.3g}; wanted above 0")
    worst = Worst()
    rate = 2 * sigma * s.d_sigma(_T)
    worst.see((rate - 2 * f * sigma**2 - g2) / (rate.abs() + g2), "from d_alpha, d_sigma and log_snr")
    for name, own, known in (("f", getattr(s, "f", None), f), ("g2", getattr(s, "g2", None), g2)):
        if own is not None:
            worst.see(_relative(own(_T), known), f"the schedule's own {name}")
    return worst.at_most(1e-7, "relative difference")


def flags_tell_the_ends(s: Schedule) -> str:
    """ends_at_noise says whether alpha(1) = 0, finite_rates whether the rates are finite at both ends and not both 0."""
    alpha = float(s.alpha(_ENDS)[1])
    t = torch.tensor([[1e-13, 1e-10], [1 - 1e-13, 1 - 1e-10]], dtype=torch.float64)
    rates = s.d_alpha(t).abs() + s.d_sigma(t).abs()
    finite = bool((rates[:, 0] < 10 * rates[:, 1]).all() and (rates[:, 0] > 1e-9).all())
    found = f"ends_at_noise {s.ends_at_noise}, alpha(1) = {alpha:.3g}"
    require(s.ends_at_noise == (abs(alpha) < 1e-9), found)
    near, far = (" and ".join(f"{x:.2g}" for x in column) for column in rates.T.tolist())
    words = f"finite_rates {s.finite_rates}, |alpha'| + |sigma'| = {near} at 1e-13 from the ends, {far} at 1e-10"
    require(s.finite_rates == finite, words)
    return f"{found}; {words}"


def shape_and_dtype_are_those_of_t(s: Schedule) -> str:
    """Every function of t keeps its shape and dtype."""
    for t in (torch.rand(3), torch.rand(2, 5, dtype=torch.float64), torch.tensor(0.5)):
        for f in (s.alpha, s.sigma, s.d_alpha, s.d_sigma, s.log_snr, lambda t: s.t_of(s.log_snr(t))):
            found = f(t)
            name = getattr(f, "__name__", "t_of")
            require(
                (found.shape, found.dtype) == (t.shape, t.dtype),
                f"{name} of {tuple(t.shape)} {t.dtype} is {tuple(found.shape)} {found.dtype}",
            )
    return "float32 and float64, of 0, 1 and 2 axes"


def float32_is_close_to_float64(s: Schedule) -> str:
    """What a network asks in float32 is what a table asks in float64."""
    worst, t = Worst(), torch.linspace(0, 1, 101, dtype=torch.float64)
    for f in (s.alpha, s.sigma):
        worst.see((f(t.float()).double() - f(t.float().double())) / float(f(t).max()), f.__name__)
    return worst.at_most(1e-4, "difference relative to the largest")


def _rates(s: Schedule) -> list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]:
    return [("alpha", s.alpha, s.d_alpha), ("sigma", s.sigma, s.d_sigma)]


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    """Differences relative to the wanted, or to 1e-2 of the largest of them where that is more."""
    found, wanted = found.detach(), wanted.detach()
    if not torch.isfinite(wanted).all():
        raise Skipped(f"the derivative is not finite at every time: {wanted.tolist()}")
    scale = torch.maximum(wanted.abs(), 1e-2 * wanted.abs().max()).clamp(min=1e-12)
    return (found - wanted) / scale


RULES: tuple[Rule, ...] = (
    data_at_zero,
    noise_grows,
    derivatives_are_those_of_autograd,
    derivatives_are_finite_differences,
    log_snr_is_the_ratio,
    t_of_is_the_inverse,
    t_of_is_clamped,
    drift_and_diffusion_keep_the_marginals,
    flags_tell_the_ends,
    shape_and_dtype_are_those_of_t,
    float32_is_close_to_float64,
)
