"""Exact tests for anybody's own schedule, parametrisation, sampler or guidance: `verify(subject)`."""

from .report import Report, Rule
from .verify import rules_of, verify

__all__ = ["Report", "Rule", "rules_of", "verify"]
