"""How fields are noised and un-noised."""

from .categorical import Masked, Replacing, Uniform
from .gaussian import Gaussian
from .learned_variance import LearnedVariance
from .process import CategoricalProcess, Process

__all__ = ["CategoricalProcess", "Gaussian", "LearnedVariance", "Masked", "Process", "Replacing", "Uniform"]
