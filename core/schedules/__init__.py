"""Noise schedules: x_t = alpha_t x_0 + sigma_t eps with t in [0, 1], 0 is data (alpha = 1, sigma = 0), 1 is noise.

Everything is a function of t in the dtype of t; samplers ask in float64 on the host, once. `log_snr` is
log(alpha^2 / sigma^2), +inf at t = 0 and falling. Signal-to-noise alone distinguishes two schedules up to a factor of x, so a
network trained under one can be asked under another (Kingma et al. 2021, arXiv:2107.00630, section 5.1): see `viewed`.
"""

from .circle import Cosine, Sigmoid, Trigonometric
from .learned import Learned
from .retimed import Retimed
from .schedule import Interpolant, Schedule, VarianceExploding, VariancePreserving
from .sde import EDM, VE, VP, SubVP
from .shifted import LinearShifted, RootShifted, Shift, Shifted
from .straight import Decay, Polynomial, Rectified
from .tables import CosineBeta, LinearBeta, ScaledLinearBeta, SigmoidBeta, Table, Tabulated
from .terminal import ZeroTerminalSNR

__all__ = [
    "EDM",
    "VE",
    "VP",
    "Cosine",
    "CosineBeta",
    "Decay",
    "Interpolant",
    "Learned",
    "LinearBeta",
    "LinearShifted",
    "Polynomial",
    "Rectified",
    "Retimed",
    "RootShifted",
    "ScaledLinearBeta",
    "Schedule",
    "Shift",
    "Shifted",
    "Sigmoid",
    "SigmoidBeta",
    "SubVP",
    "Table",
    "Tabulated",
    "Trigonometric",
    "VarianceExploding",
    "VariancePreserving",
    "ZeroTerminalSNR",
]
