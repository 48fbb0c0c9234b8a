"""Time grids: the times t_0 > t_1 > ... > t_N = 0 that a sampler with N steps visits.

All end at 0, where sigma is 0. Elsewhere: EDM and k-diffusion make N noise levels down to sigma_min and append 0, and so do the
grids in noise here; diffusers' `final_sigmas_type="zero"` is the same, its "sigma_min" leaves noise of sigma_min in the sample
and has no counterpart; DDIM's `set_alpha_to_one` is the end at 0. The last step, from sigma_min to 0, is the denoiser's answer.
"""

from .beta import BetaGrid
from .discrete import DiscreteGrid
from .grid import Grid, ShiftedGrid, UniformGrid
from .listed import AlignYourStepsGrid, ListGrid
from .noise import KarrasGrid, LogSNRGrid
from .tail import TailGrid

__all__ = [
    "AlignYourStepsGrid",
    "BetaGrid",
    "DiscreteGrid",
    "Grid",
    "KarrasGrid",
    "ListGrid",
    "LogSNRGrid",
    "ShiftedGrid",
    "TailGrid",
    "UniformGrid",
]
