"""From names and words to one flat recipe: Hydra composes, nothing is built here.

Two steps. A recipe's own `defaults` list is composed into a plain tree. Then words are applied to that tree: `sampler=ddim`
replaces the whole group by the option `configs/sampler/ddim.yaml`, every other word sets a key. So words mean the same
on a recipe, on a printed config and on the config of a run.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

from . import providers
from .names import GROUPS
from .words import UsageError, check_words, choose

Flat = dict[str, Any]


def compose(path: Path, words: Sequence[str] = (), overlay: Path | None = None) -> Flat:
    """The flat recipe of a file under words; `overlay` is another flat YAML laid over it before the words.

    Raises:
        ValueError, LookupError: broken YAML, a word that cannot be read, an option that does not exist.
    """
    check_words(words)
    tree = load(path)
    if overlay is not None:
        over = read_yaml(overlay)
        _one_source(tree, over.get("data") or {})
        tree = lay_over(tree, over)
    return apply(tree, words)


def load(path: Path) -> Flat:
    """A recipe with its defaults, not yet resolved: what it leaves to the user is still open.

    Raises:
        ValueError: broken YAML, or defaults that do not exist.
    """
    read_yaml(path)  # a broken file is told in plain words
    return merged(path.parent, name=path.name)


@contextmanager
def stage(tree: Flat, words: Sequence[str]) -> Iterator[tuple[Path, list[str]]]:
    """A folder with `recipe.yaml`, and the Hydra overrides that apply the words to it."""
    body = copy.deepcopy({k: v for k, v in tree.items() if k != "default"})
    pairs = (word.partition("=")[::2] for word in words if word.lstrip("+").startswith("data."))
    _one_source(body, {key.lstrip("+").removeprefix("data."): value for key, value in pairs})
    overrides = [override for word in words if (override := _make_way(body, word))]
    with tempfile.TemporaryDirectory(prefix="ornstein-") as name:
        _write(Path(name) / "recipe.yaml", body)
        yield Path(name), [*overrides, search_path()]


def search_path() -> str:
    """The Hydra override that makes every provider's parts visible."""
    places = ",".join(f"'file://{folder}'" for _, folder in providers.folders("configs"))
    return f"hydra.searchpath=[{places}]"


def read_yaml(path: Path) -> Flat:
    """A YAML mapping.

    Raises:
        ValueError: it is no YAML, or no mapping.
    """
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds {type(tree).__name__}, not a mapping of recipe keys")
    return tree


def apply(tree: Flat, words: Sequence[str]) -> Flat:
    """A flat recipe under words.

    Raises:
        ValueError, LookupError: a word that cannot be read, an option that does not exist.
    """
    check_words(words)
    if words:
        with stage(tree, words) as (folder, overrides):
            tree = merged(folder, overrides)
    return resolve(tree)


def lay_over(base: Flat, over: Flat) -> Flat:
    """Merge two trees; where both name a class and the names differ, the upper one replaces the lower one whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = value
        if isinstance(old, dict) and isinstance(value, dict) and value.get("name", old.get("name")) == old.get("name"):
            merged[key] = lay_over(old, value)
    return merged


def resolve(tree: Flat) -> Flat:
    """The tree with its interpolations filled in, without the mark of a default recipe.

    Raises:
        ValueError: a key that the recipe leaves to the user (`???`) was not given.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = OmegaConf.create({k: v for k, v in tree.items() if k != "default"})
    try:
        filled: Flat = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ValueError(f"recipe: {str(error).partition(chr(10))[0]}") from error
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        if "modality" in filled:  # a mistyped key is the nearer reason
            from . import bridge

            bridge.check_sections(bridge.to_sections(filled))
        raise ValueError(f"the recipe leaves {missing[0]} to you: add the word {missing[0]}=...")
    return filled


def _one_source(tree: Flat, given: Mapping[str, Any]) -> None:
    """Let a user's `data.root` take the place of a recipe's `data.name`, and the reverse, where one of them is given."""
    data = tree.get("data")
    for key, other in (("root", "name"), ("name", "root")):
        if isinstance(data, dict) and given.get(key) not in (None, "", "null") and other not in given:
            data.pop(other, None)


def _make_way(body: Flat, word: str) -> str:
    """Take from the recipe what gives way to a word, and return Hydra's form of it; empty where nothing is left to say."""
    key, _, value = word.partition("=")
    bare = key.lstrip("+~")
    if word.startswith(("~", "hydra")):
        return word
    group, _, place = bare.partition(".")
    options, classes = providers.parts().get(group, {}), GROUPS.get(group, {})
    chosen = [v.strip() for v in value.split(",")]  # several in a sweep
    if options and not place and value == "null":  # no option of the group, to Hydra
        body[group] = None
        return ""
    if not options or not _is_choice(body, group, place) or value[:1] in ("{", "["):
        return f"++{bare}={value}"
    if value in classes and value not in options:  # a class that has no file of its own
        (body[group] if place else body).pop(place or group, None)
        return f"++{bare}={{name:{value}}}"
    for name in chosen:
        if name not in options:
            raise LookupError(choose(group, name, {**options, **classes}))
    if place:
        body[group].pop(place, None)
        return f"+{group}@{group}.{place}={value}"
    return _make_way_for_option(body, group, value, [read_yaml(options[name]) for name in chosen])


def _is_choice(body: Flat, group: str, place: str) -> bool:
    """Whether `group=x` or `group.place=x` names an option rather than the value of a key."""
    if not place:
        return True
    part = body.get(group)
    # one class for each field: `process.pixels=edm`
    return group in GROUPS and "." not in place and isinstance(part, dict) and "name" not in part


def _make_way_for_option(body: Flat, group: str, value: str, options: list[Flat]) -> str:
    """As `_make_way`, for an option of a whole group."""
    part = body.get(group)
    if not isinstance(part, dict) or "name" in part:
        body.pop(group, None)  # another class: what the recipe said of the old one is void
        return f"+{group}={value}"
    fields = [key for key, value in part.items() if isinstance(value, dict) and "name" in value]
    if group in GROUPS and len(fields) == len(part) == 1:
        body.pop(group)  # one field: `process=edm` means its process
        return f"+{group}@{group}.{fields[0]}={value}"
    for option in options:  # values, laid over those of the recipe
        for key in option:
            part.pop(key, None)
    return f"+{group}={value}"


def merged(folder: Path, overrides: Sequence[str] = (), name: str = "recipe") -> Flat:
    """What Hydra makes of a recipe of a folder under its overrides, not yet resolved.

    Raises:
        ValueError: a part that does not exist, an override that cannot be read.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not any(o.startswith("hydra.searchpath") for o in overrides):
        overrides = [*overrides, search_path()]
    try:
        with initialize_config_dir(str(folder.resolve()), version_base="1.3", job_name="ornstein"), catch_warnings():
            filterwarnings("error", message=".*missing `_self_`")
            config = hydra_compose(name, list(overrides))
        return OmegaConf.to_container(config, resolve=False)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, UserWarning) as error:
        raise _told(error, name) from error


def _told(error: Exception, name: str) -> ValueError:
    """A Hydra error as a user can act on it."""
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, UserWarning):
        where = "its `defaults` do not say where its own keys stand: add `- _self_` as the last of them"
        return ValueError(f"recipe {name}: {where}")
    if isinstance(error, MissingConfigException):
        options = [f"{group}/{option}" for group, options in providers.parts().items() for option in options]
        return ValueError(f"recipe {name}: {choose('part', str(error.missing_cfg_file), options)}")
    if isinstance(error, OverrideParseException):
        word = error.override.lstrip("+")
        return UsageError(f"{word!r} cannot be read: close its brackets and quotes; a text with signs reads key='a, b'")
    text = str(error).partition("Config search path")[0].partition("\nfull_key:")[0].partition("\nSee https")[0].strip()
    return ValueError(f"{'words' if name == 'recipe' else f'recipe {name}'}: {text}")  # `stage` calls its file so


def _write(path: Path, tree: Flat) -> None:
    import yaml

    path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
