"""Ornstein's core: schedules, samplers, guidance, conditioning, backbones and training for any modality.

Names are imported when they are used: `from ornstein.core import guidance, load, sample, samplers`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import autopilot, conformance, guidance, processes, samplers, schedules
    from .checkpoint import load, save
    from .denoiser import Denoiser, NeuralDenoiser
    from .inversion import interpolate, invert
    from .objective import Objective
    from .sampling import sample
    from .verification import verify
    from .views import viewed

_MODULES = ("autopilot", "conformance", "guidance", "oracle", "processes", "samplers", "schedules")
_NAMES = {
    "load": "checkpoint",
    "save": "checkpoint",
    "sample": "sampling",
    "interpolate": "inversion",
    "invert": "inversion",
    "verify": "verification",
    "Denoiser": "denoiser",
    "NeuralDenoiser": "denoiser",
    "Objective": "objective",
    "viewed": "views",
}

__all__ = [
    "Denoiser",
    "NeuralDenoiser",
    "Objective",
    "autopilot",
    "conformance",
    "guidance",
    "interpolate",
    "invert",
    "load",
    "processes",
    "sample",
    "samplers",
    "save",
    "schedules",
    "verify",
    "viewed",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
