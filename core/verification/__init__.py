"""Exact tests for anybody's own schedule, parametrisation, sampler or guidance: `verify(subject)`."""

from .kit import rules_of, verify
from .report import Report, Rule

__all__ = ["Report", "Rule", "rules_of", "verify"]
