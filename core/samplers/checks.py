"""What arguments must be: refused where they are given, in words that say what would do."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, TypeGuard, get_args, get_origin, get_type_hints

import numpy as np


def check_choices(owner: object) -> None:
    """Refuse an argument that is none of those its annotation, a `Literal`, lists.

    Raises:
        ValueError: as it says.
    """
    cls: Any = type(owner)
    for name, choices in _choices(cls).items():
        value = getattr(owner, name)
        if isinstance(value, bool | float) or value not in choices:
            words = [str(choice) for choice in choices]
            listed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
            raise ValueError(f"{type(owner).__name__}: {name} must be {listed}, found {value!r}")


@lru_cache
def _choices(cls: Any) -> dict[str, tuple[Any, ...]]:
    """The arguments of a class that are chosen from a list."""
    try:
        hints = get_type_hints(cls)
    except NameError:  # a class within a function, of names that only stand there
        return {}
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def whole(owner: object, name: str, value: object) -> int:
    """A whole number of at least 1.

    Raises:
        ValueError: anything else.
    """
    if _is_number(value) and not isinstance(value, bool) and float(value).is_integer() and value >= 1:
        return int(value)
    raise ValueError(f"{type(owner).__name__}: {name} must be a whole number of at least 1, found {value!r}")


def check_share(owner: object, name: str) -> None:
    """Refuse an argument outside [0, 1].

    Raises:
        ValueError: as it says.
    """
    value = getattr(owner, name)
    if not (_is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{type(owner).__name__}: {name} must be in [0, 1], found {value!r}")


def check_positive(owner: object, *names: str) -> None:
    """Refuse arguments that are not above 0, or not finite.

    Raises:
        ValueError: as it says.
    """
    for name in names:
        value = getattr(owner, name)
        if not (_is_number(value) and 0 < value < math.inf):
            raise ValueError(f"{type(owner).__name__}: {name} must be above 0 and finite, found {value!r}")


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is one number."""
    return isinstance(value, int | float | np.integer | np.floating)
