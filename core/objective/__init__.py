"""The training objective: at which times, with which weights and noises, over which entries.

`Objective.draw` makes all the randomness of a training step from (seed, step, index in the global batch) and what the objective
itself has learnt so far; calling the objective is then a pure function. The loss of a field is the mean over its real, unknown
entries (pairs i < j once) within each sample, times the field's weight; the loss of a sample is the sum over fields.
"""

from .couplings import Coupling, Immiscible, MinibatchOT
from .draws import Draw, draw_noise
from .loss import Loss, Objective
from .times import CosMap, LogitNormal, LogNormal, LossAware, Mode, TimeDensity, Uniform
from .weights import (
    P2,
    EDMWeight,
    LearnedUncertainty,
    Likelihood,
    MinSNR,
    PairWeight,
    SoftMinSNR,
    TruncatedSNR,
    Unit,
    Weight,
)

__all__ = [
    "P2",
    "CosMap",
    "Coupling",
    "Draw",
    "EDMWeight",
    "Immiscible",
    "LearnedUncertainty",
    "Likelihood",
    "LogNormal",
    "LogitNormal",
    "Loss",
    "LossAware",
    "MinSNR",
    "MinibatchOT",
    "Mode",
    "Objective",
    "PairWeight",
    "SoftMinSNR",
    "TimeDensity",
    "TruncatedSNR",
    "Uniform",
    "Unit",
    "Weight",
    "draw_noise",
]
