"""The budget autopilot: sampler, order and grid by errors measured on the user's own network."""

from .candidates import Candidate
from .optimise import optimise_grid
from .pilot import Choice, autopilot
from .reference import Reference, measure

__all__ = ["Candidate", "Choice", "Reference", "autopilot", "measure", "optimise_grid"]
