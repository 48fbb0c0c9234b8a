"""What a rule is: a function that looks at one side of a modality and says what is wrong with it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from .subject import Subject

# Seldom the place to look at: torch, numpy, the core. A plugin may lie beside them, so packages as such are not left out.
_FOREIGN = tuple(str(Path(file).parent) for file in (torch.__file__, np.__file__, json.__file__, Path(__file__).parent))
Status = Literal["passed", "failed", "skipped", "xfailed"]
Rule = Callable[["Subject"], str | None]  # what it returns is a remark on a pass


@dataclass(frozen=True)
class Result:
    """What one rule found.

    Args:
        name: of the rule; what `expected_failures` names.
        status: `xfailed` is a failure that was expected.
        message: what was found and what to do, or why the rule was skipped.
    """

    name: str
    status: Status
    message: str = ""


class Broken(Exception):  # noqa: N818 - it is a finding, not an accident
    """A rule is broken; the message says what was found and what to do."""


class Skipped(Exception):  # noqa: N818
    """A rule has nothing to say here; the message says why."""


def require(holds: bool, message: str) -> None:
    """Break the rule with the message unless it holds."""
    if not holds:
        raise Broken(message)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Break the rule where the block raises, saying what was being done and where in the plugin it went wrong."""
    try:
        yield
    except (Broken, Skipped):
        raise
    except Exception as error:
        raise Broken(f"{what} raised {told(error)}") from error


def told(error: BaseException) -> str:
    """An exception in one line, with the last place in the plugin that it comes from, or the last one of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if not frame.filename.startswith(_FOREIGN) and "site-packages" not in frame.filename
    ]
    where = [f" ({frame.filename}:{frame.lineno})" for frame in (own or frames)[-1:]]
    return f"{type(error).__name__}: {error}{''.join(where)}"
