"""How fields are noised and un-noised."""

from .categorical import Masked
from .gaussian import Gaussian
from .process import CategoricalProcess, Process

__all__ = ["CategoricalProcess", "Gaussian", "Masked", "Process"]
