"""The door: what a subject is, and which rules it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..denoiser import Denoiser
from ..parametrization import Parametrization
from ..samplers import Sampler
from ..schedules import Schedule
from . import guidance, orders, parametrizations, samplers, schedules, states
from .report import Report, Rule, report
from .tables import SCHEDULES, Tried

SAMPLER_RULES = (*samplers.RULES, *orders.RULES, *states.RULES)


def verify(subject: Any, *, schedules: Sequence[Schedule] = SCHEDULES) -> Report:
    """Ask a schedule, a parametrisation, a sampler or guidance for every exact rule.

    Args:
        subject: a `Schedule`, `Parametrization` or `Sampler`, or a class of these that needs no arguments; or what builds
            guidance around a denoiser: a `Guidance` class, a `functools.partial` of one, a function denoiser -> denoiser.
        schedules: on which a sampler is tried.

    Returns:
        a report, which prints as one line a rule, with the measured figure beside what was wanted.

    Raises:
        ValueError: nothing that can be verified; guidance that already holds a denoiser; no schedule.
    """
    if not schedules:
        raise ValueError("verify: schedules is empty; a sampler is tried on at least one")
    wrap = isinstance(subject, type) and issubclass(subject, Schedule | Parametrization | Sampler)
    found = subject() if wrap else subject
    if isinstance(found, Sampler):
        return report(found.describe(), SAMPLER_RULES, Tried(found, schedules))
    if isinstance(found, Schedule | Parametrization):
        return report(str(found), rules_of(found), found)
    if isinstance(found, Denoiser) or not callable(found):
        raise ValueError(
            f"verify: found {type(found).__name__}; give a schedule, a parametrisation, a sampler, or what builds guidance "
            "around a denoiser: a class, functools.partial(CFG, scale=3.0), or a function denoiser -> denoiser"
        )
    return report(_name(found), guidance.RULES, guidance.Guided(found))


def rules_of(subject: Any) -> tuple[Rule, ...]:
    """The rules that `verify` asks a subject for: functions with a name and a sentence."""
    if isinstance(subject, Sampler):
        return SAMPLER_RULES
    if isinstance(subject, Schedule):
        return schedules.RULES
    return parametrizations.RULES if isinstance(subject, Parametrization) else guidance.RULES


def _name(factory: Any) -> str:
    if isinstance(factory, partial):
        return f"{_name(factory.func)}({', '.join(f'{k}={v}' for k, v in factory.keywords.items())})"
    return getattr(factory, "__name__", type(factory).__name__)
