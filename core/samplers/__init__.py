"""Samplers as tables, and the one executor that runs them."""

from .adaptive import AdaptiveProgress, AdaptiveSampler
from .churn import EDMStochastic
from .consistency import LCM, Consistency
from .ddim import DDIM, DDPM, Euler
from .deis import DEIS, LMS
from .dopri5 import Dopri5
from .dpm2 import DPM2
from .dpm_adaptive import DPMAdaptive
from .dpm_singlestep import DPMppSDE, DPMSinglestep
from .dpm_v3 import DPMSolverV3
from .dpmpp import DPMpp, DPMSolver
from .grids import (
    AlignYourStepsGrid,
    BetaGrid,
    DiscreteGrid,
    Grid,
    KarrasGrid,
    ListGrid,
    LogSNRGrid,
    ShiftedGrid,
    TailGrid,
    UniformGrid,
)
from .langevin import PredictorCorrector
from .learned_variance import LearnedDDPM
from .moves import Ancestral, Confidence, EntropyBound, Move, Ordered, Remasking, TauLeaping
from .plan import Coefficients, Curve, Plan, Row, Stage
from .pndm import PNDM
from .reverse_sde import ReverseSDE
from .run import run
from .runge_kutta import RK4, Heun, Midpoint, Ralston, RungeKutta
from .sampler import Exactness, Sampler, TableSampler
from .stepping import SteppingSampler
from .tokens import Autoregressive, FullSequence, Pyramid, TokenGrid
from .unipc import SASolver, UniPC

__all__ = [
    "DDIM",
    "DDPM",
    "DEIS",
    "DPM2",
    "LCM",
    "LMS",
    "PNDM",
    "RK4",
    "AdaptiveProgress",
    "AdaptiveSampler",
    "AlignYourStepsGrid",
    "Ancestral",
    "Autoregressive",
    "BetaGrid",
    "Coefficients",
    "Confidence",
    "Consistency",
    "Curve",
    "DPMAdaptive",
    "DPMSinglestep",
    "DPMSolver",
    "DPMSolverV3",
    "DPMpp",
    "DPMppSDE",
    "DiscreteGrid",
    "Dopri5",
    "EDMStochastic",
    "EntropyBound",
    "Euler",
    "Exactness",
    "FullSequence",
    "Grid",
    "Heun",
    "KarrasGrid",
    "LearnedDDPM",
    "ListGrid",
    "LogSNRGrid",
    "Midpoint",
    "Move",
    "Ordered",
    "Plan",
    "PredictorCorrector",
    "Pyramid",
    "Ralston",
    "Remasking",
    "ReverseSDE",
    "Row",
    "RungeKutta",
    "SASolver",
    "Sampler",
    "ShiftedGrid",
    "Stage",
    "SteppingSampler",
    "TableSampler",
    "TailGrid",
    "TauLeaping",
    "TokenGrid",
    "UniPC",
    "UniformGrid",
    "run",
]
