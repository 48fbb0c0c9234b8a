"""One part of a recipe to one object, with names, keys and types checked against its constructor."""

from __future__ import annotations

from typing import Any, TypeVar

from .names import check_keys, to_classes

T = TypeVar("T")
_NOISE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Problem with given class_path",
    "Expected a <class 'NoneType'>",
)


def build(base: type[T], key: str, part: Any) -> T:
    """The object that `part` of a recipe describes, as in `build(Sampler, "sampler", {"name": "ddim", "steps": 20})`.

    Raises:
        LookupError: an unknown name or key.
        ValueError: a value of the wrong type, or one that the constructor refuses.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    settle()
    tree = to_classes(part, (key,))
    check_keys(tree, (key,))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, key, required=True)
    try:
        return parser.instantiate(parser.parse_object({key: tree}))[key]
    except (ArgumentError, ValueError) as error:
        raise ValueError(plain(error)) from error


def settle() -> None:
    """Only what a constructor's annotation asks for is ever built; a class path in a place for any value stays plain data."""
    from jsonargparse import set_parsing_settings

    set_parsing_settings(instantiate_subclass_spec_in_any=False)


def plain(error: Exception) -> str:
    """The message of a parser in the words of a recipe: the keys as the user writes them, the causes and nothing else."""
    text = str(error).replace("init_args.", "").replace("Parser key ", "key ").replace('key "model.', 'key "')
    if "Union subtypes" not in text:
        return text
    lines = [line.strip().removeprefix("- ") for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(_NOISE))
