"""What the recipe of a run folder may name: run folders are shared, and importing a module runs its code.

As in a checkpoint, a module is imported only where it is loaded already or belongs to ornstein or to a registered plugin. What
the user types on the command line is the user's own and is not asked about.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..registry import plugin_packages
from .names import base_of, load_class, to_classes

_PLAIN = ("data", "init")  # texts and numbers alone: no class is ever built from them


def check(recipe: dict[str, Any], typed: Sequence[str] = ()) -> None:
    """Refuse a recipe that would import or build what neither ornstein nor a registered plugin brings.

    Args:
        recipe: flat, of a run folder, under the user's words.
        typed: those words; a class or file that stands in their values is trusted.

    Raises:
        ValueError: a foreign class or file, with the key that names it.
    """
    tree = to_classes({key: value for key, value in recipe.items() if key not in _PLAIN})
    _check(tree, (), None, [word.partition("=")[2] for word in typed])


def _check(tree: Any, path: tuple[str, ...], above: str | None, typed: list[str]) -> None:
    where = ".".join(path)
    group, base = base_of(path, above)
    if isinstance(tree, list):
        for item in tree:
            _check(item, path, above, typed)
    elif isinstance(tree, str):
        _check_text(tree, where, typed)
    elif isinstance(tree, dict) and "class_path" in tree:
        _check_class(str(tree["class_path"]), where, base is not None, typed)
        for key, value in (tree.get("init_args") or {}).items():
            _check(value, (*path, key), None, typed)
        for value in (tree.get("dict_kwargs") or {}).values():
            _check(value, path, None, typed)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            _check(value, (*path, str(key)), group, typed)


def _check_class(path: str, where: str, has_base: bool, typed: list[str]) -> None:
    """A class; where no base says what it must be, it has to be defined by ornstein, Lightning or a plugin itself."""
    if _is_typed(path, typed):
        return
    if not _is_known(path):
        raise _refusal(path, where)
    if not has_base and str(load_class(path, where).__module__).partition(".")[0] not in _own():
        raise _refusal(path, where)


def _check_text(text: str, where: str, typed: list[str]) -> None:
    """A text, which the parser takes for a class path, a file of values or YAML wherever a class is expected."""
    import yaml

    if _is_typed(text, typed):
        return
    names = text.split(".")
    if len(names) > 1 and all(name.isidentifier() for name in names) and _exists(names[0]) and not _is_known(text):
        raise _refusal(text, where)
    try:
        is_file = Path(text).is_file()
        value = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return
    if is_file or isinstance(value, dict | list):
        raise _refusal(text, where)


def _refusal(text: str, where: str) -> ValueError:
    return ValueError(
        f"{where}: the run folder names {text}, which neither ornstein nor a registered plugin brings, and a shared folder must "
        f"not run code of its own; where you trust it, give that key as a word of your own, or take it away: {where}=null"
    )


def _is_typed(text: str, typed: list[str]) -> bool:
    return any(text in value for value in typed)


def _is_known(path: str) -> bool:
    module = path.rpartition(".")[0]
    return module in sys.modules or module.partition(".")[0] in _own()


def _own() -> set[str]:
    return {"ornstein", "lightning", *plugin_packages()}


def _exists(top: str) -> bool:
    return top in sys.modules or find_spec(top) is not None
