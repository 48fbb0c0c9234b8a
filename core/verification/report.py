"""What the rules of a subject found, with the measured figure beside what was wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..conformance.rule import Broken, Result, Skipped, require, told

Rule = Callable[[Any], str | None]  # a sentence as docstring; what it returns is said on a pass
_MARKS = {"passed": "pass", "failed": "FAIL", "skipped": "n/a"}


@dataclass(frozen=True)
class Report:
    """One result for each rule.

    Args:
        subject: what was looked at.
        results: in the order of the rules; `skipped` is a rule that does not apply, with the reason.
    """

    subject: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.failures

    @property
    def failures(self) -> tuple[Result, ...]:
        """What is broken."""
        return tuple(result for result in self.results if result.status == "failed")

    def __getitem__(self, name: str) -> Result:
        """The result of one rule, by its name."""
        return next(result for result in self.results if result.name == name)

    def raise_if_failed(self) -> Report:
        """The report itself.

        Raises:
            ValueError: a broken rule; the message is the report.
        """
        if not self.passed:
            raise ValueError(str(self))
        return self

    def __str__(self) -> str:
        width = max((len(result.name) for result in self.results), default=0)
        count = sum(result.status == "passed" for result in self.results)
        head = f"{self.subject}: {count} of {len(self.results)} rules kept, {len(self.failures)} broken"
        return "\n".join(
            [head, *(f"  {_MARKS[r.status]:<5}{r.name.replace('_', ' '):<{width}}  {r.message}" for r in self.results)]
        )


def report(name: str, rules: Sequence[Rule], subject: object) -> Report:
    """Ask a subject for every rule."""
    return Report(name, tuple(_ask(rule, subject) for rule in rules))


def _ask(rule: Rule, subject: object) -> Result:
    name = rule.__name__
    try:
        return Result(name, "passed", rule(subject) or "")
    except Skipped as reason:
        return Result(name, "skipped", str(reason))
    except Broken as found:
        return Result(name, "failed", str(found))
    except Exception as error:
        return Result(name, "failed", f"raised {told(error)}")


class Worst:
    """The largest error seen, and where."""

    def __init__(self) -> None:
        self.error, self.where, self.seen = 0.0, "", 0

    def see(self, error: np.ndarray | torch.Tensor | float, where: object) -> None:
        """Look at some errors; one that is not a number counts as infinite."""
        error = error.detach() if isinstance(error, torch.Tensor) else error
        values = np.abs(np.asarray(error, dtype=float))
        largest = float(np.where(np.isnan(values), np.inf, values).max(initial=0.0))
        self.seen += 1
        if largest > self.error or not self.where:
            self.error, self.where = max(largest, self.error), str(where)

    def at_most(self, bound: float, what: str) -> str:
        """The figure beside the bound.

        Raises:
            Skipped: nothing was seen.
            Broken: the error is above the bound.
        """
        if not self.seen:
            raise Skipped(f"there is nowhere to look at {what}")
        message = f"{what}: {self.error:.1e}, wanted at most {bound:.0e}"
        require(self.error <= bound, f"{message} ({self.where})")
        return message
