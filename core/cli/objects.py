"""One part of a recipe to one object, with names, keys and types checked against its constructor."""

from __future__ import annotations

from typing import Any, TypeVar

from .names import check_keys, to_classes

T = TypeVar("T")


def build(base: type[T], key: str, part: Any) -> T:
    """The object that `part` of a recipe describes, as in `build(Sampler, "sampler", {"name": "ddim", "steps": 20})`.

    Raises:
        LookupError: an unknown name or key.
        ValueError: a value of the wrong type, or one that the constructor refuses.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    tree = to_classes(part, (key,))
    check_keys(tree, (key,))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, key, required=True)
    try:
        return parser.instantiate_classes(parser.parse_object({key: tree}))[key]
    except ArgumentError as error:
        raise ValueError(plain(error)) from error


def plain(error: Exception) -> str:
    """The message of a parser in the words of a recipe: keys without the parser's inner names."""
    return str(error).replace("init_args.", "").replace("Parser key ", "key ")
