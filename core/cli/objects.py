"""One part of a recipe to one object, with names, keys and types checked against its constructor."""

from __future__ import annotations

from typing import Any

from .names import check_keys, to_classes

_NOISE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Problem with given class_path",
    "Expected a <class 'NoneType'>",
)


def build(base: type, key: str, part: Any) -> Any:
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
        return parser.instantiate(parser.parse_object({key: tree}))[key]
    except (ArgumentError, ValueError) as error:
        raise ValueError(plain(error)) from error


def plain(error: Exception) -> str:
    """The message of a parser in the words of a recipe: the keys as the user writes them, the causes and nothing else."""
    text = str(error).replace("init_args.", "").replace("Parser key ", "key ").replace('key "model.', 'key "')
    if "Union subtypes" not in text:
        return text
    lines = [line.strip().removeprefix("- ") for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(_NOISE))
