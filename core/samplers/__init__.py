"""Samplers as tables, and the one executor that runs them."""

from .ddim import DDIM, DDPM, Euler
from .dpmpp import DPMpp
from .grid import Grid, KarrasGrid, LogSNRGrid, UniformGrid
from .heun import Heun
from .moves import Ancestral, Move
from .plan import Coefficients, Curve, Plan, Row, Stage
from .run import run
from .sampler import Exactness, Sampler, TableSampler
from .tokens import Autoregressive, FullSequence, Pyramid, TokenGrid

__all__ = [
    "DDIM",
    "DDPM",
    "Ancestral",
    "Autoregressive",
    "Coefficients",
    "Curve",
    "DPMpp",
    "Euler",
    "Exactness",
    "FullSequence",
    "Grid",
    "Heun",
    "KarrasGrid",
    "LogSNRGrid",
    "Move",
    "Plan",
    "Pyramid",
    "Row",
    "Sampler",
    "Stage",
    "TableSampler",
    "TokenGrid",
    "UniformGrid",
    "run",
]
