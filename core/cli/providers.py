"""Where recipes and parts are found: this package's folders, and those of packages that announce themselves.

A package joins by an entry point of the group `ornstein.recipes` whose value is its import name; its folders `recipes/`
and `configs/` are read as files, the package itself is not imported. `ORNSTEIN_PLUGINS=off` leaves third parties out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..registry import recipe_packages
from .words import choose

_BUILT_IN = {"recipes": "ornstein.recipes", "configs": "ornstein.configs"}
_DEFAULT = re.compile(r"^default:\s*true\b", re.MULTILINE)


@dataclass(frozen=True)
class Recipe:
    """A recipe file; `about` is its first line of comment, `default` whether the modality's name alone means it."""

    name: str  # "<modality>/<name>"; the stem of the file for a user's own
    path: Path
    owner: str
    default: bool = False
    about: str = ""


def folders(kind: str) -> list[tuple[str, Path]]:
    """Owner and path of each folder of `recipes` or `configs`, the built-in one first.

    Raises:
        LookupError: an entry point names a package that is not installed.
    """
    found = [("ornstein", _package(_BUILT_IN[kind]))]
    for point in recipe_packages().values():
        folder = _package(point.value, owner=point.dist.name if point.dist else point.name) / kind
        if folder.is_dir():
            found.append((point.value, folder))
    return found


@cache
def recipes() -> dict[str, Recipe]:
    """Every recipe by name.

    Raises:
        ValueError: two packages bring the same name.
    """
    table: dict[str, Recipe] = {}
    for owner, folder in folders("recipes"):
        for path in sorted(folder.glob("*/*.yaml")):
            name = f"{path.parent.name}/{path.stem}"
            if name in table:
                raise ValueError(f"recipe {name!r} comes from {table[name].owner!r} and from {owner!r}; uninstall one")
            text = path.read_text(encoding="utf-8")
            about = text.partition("\n")[0].lstrip("# ").strip() if text.startswith("#") else ""
            table[name] = Recipe(name, path, owner, _DEFAULT.search(text) is not None, about)
    return table


def recipe(word: str) -> Recipe:
    """The recipe a user names: `<modality>/<name>`, a modality for its default, or the path of a YAML file.

    Raises:
        LookupError: nothing has that name; the nearest are listed.
    """
    path = Path(word)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise FileNotFoundError(f"recipe file {word} does not exist")
        return Recipe(path.stem, path.resolve(), "user")
    table = recipes()
    if word in table:
        return table[word]
    own = [r for r in table.values() if r.name.startswith(f"{word}/")]
    if own:
        return next((r for r in own if r.default), own[0])
    modalities = sorted({name.partition("/")[0] for name in table})
    raise LookupError(
        choose("recipe", word, [*table, *modalities]) + "; the path of a recipe of your own ends in .yaml"
    )


def example() -> str:
    """The name of a recipe for examples: a default one."""
    names = sorted(recipes().values(), key=lambda r: (not r.default, r.name))
    return names[0].name if names else "MODALITY/RECIPE"


@cache
def parts() -> dict[str, dict[str, Path]]:
    """The options of each group: `parts()["sampler"]["ddim"]` is the file `configs/sampler/ddim.yaml`."""
    table: dict[str, dict[str, Path]] = {}
    for group, path in _part_files():
        table.setdefault(group, {}).setdefault(path.stem, path)
    return table


def _part_files() -> Iterator[tuple[str, Path]]:
    for _, folder in folders("configs"):
        for path in sorted(folder.glob("*/*.yaml")):
            yield path.parent.name, path


def _package(name: str, owner: str = "ornstein") -> Path:
    """The folder of a package, found without importing it."""
    top, _, rest = name.partition(".")
    spec = find_spec(name) if top == "ornstein" else find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(
            f"{owner} announces recipes in the package {name!r}, which is not installed; reinstall {owner}"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder if top == "ornstein" else folder.joinpath(*rest.split(".")) if rest else folder
