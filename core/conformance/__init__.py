"""The conformance kit: rules that every modality keeps, and the function that asks for all of them."""

from .kit import RULES, check_modality, results
from .rule import Broken, Result, Skipped, Status
from .subject import BackboneFactory, Subject, small_dit

__all__ = [
    "RULES",
    "BackboneFactory",
    "Broken",
    "Result",
    "Skipped",
    "Status",
    "Subject",
    "check_modality",
    "results",
    "small_dit",
]
