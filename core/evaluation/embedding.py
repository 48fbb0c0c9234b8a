"""Networks from outside the project, such as those with published weights: how they are named."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def embedding(where: str, *numbers: str) -> Any:
    """What `package.module:name` makes when it is called without arguments: it has a `name` and maps samples to rows.

    Args:
        numbers: further attributes that it must have, each a whole number, such as a rate.

    Raises:
        ValueError: no such name, it cannot be made, or what it makes lacks one of these.
    """
    module, _, name = where.partition(":")
    try:
        made = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"embedding {where!r}: {error}; write package.module:name of a class without arguments"
        ) from error
    whole = all(isinstance(getattr(made, number, None), int) for number in numbers)
    if not (callable(made) and isinstance(getattr(made, "name", None), str) and whole):
        needs = ", ".join(f"`{attribute}`" for attribute in ("name", *numbers))
        raise ValueError(f"embedding {where!r} is a {type(made).__name__}: it needs {needs} and __call__")
    return made
