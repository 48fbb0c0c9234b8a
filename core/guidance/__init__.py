"""Guidance: denoisers that hold a denoiser."""

from .cfg import CFG
from .guidance import Guidance

__all__ = ["CFG", "Guidance"]
