"""Samplers as tables, and the one executor that runs them."""

from .ddim import DDIM, DDPM, Euler
from .dpmpp import DPMpp
from .grid import Grid, KarrasGrid, LogSNRGrid, UniformGrid
from .heun import Heun
from .plan import Coefficients, Curve, Plan, Row, Stage
from .run import run
from .sampler import Sampler

__all__ = [
    "DDIM",
    "DDPM",
    "Coefficients",
    "Curve",
    "DPMpp",
    "Euler",
    "Grid",
    "Heun",
    "KarrasGrid",
    "LogSNRGrid",
    "Plan",
    "Row",
    "Sampler",
    "Stage",
    "UniformGrid",
    "run",
]
