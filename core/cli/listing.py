"""`ornstein list`: everything that has a name, from static tables and file names; imports neither torch nor a plugin."""

from __future__ import annotations

import argparse
import shutil
import textwrap

from ..registry import modality_entries
from . import providers
from .names import GROUPS
from .words import choose


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `list`."""
    parser.add_argument(
        "group", nargs="?", help="modalities, recipes, or a group such as sampler; without it: all names"
    )


def run(args: argparse.Namespace) -> int:
    """Print the names of every group, or those of one group with what they are."""
    groups = tables()
    if args.group is None:
        for group, names in groups.items():
            print(_wrapped(group, "  ".join(names) or "-"))
        print("\n`ornstein list GROUP` says what each of them is.")
        return 0
    aliases = {"modality": "modalities", "recipe": "recipes"}
    group = aliases.get(args.group, args.group)
    if group not in groups:
        group = group.removesuffix("s")
    if group not in groups:
        raise LookupError(choose("group", args.group, groups))
    facts = {name: entry.facts for name, entry in GROUPS.get(group, {}).items()}
    heads = list(next((found for found in facts.values() if found), {}))
    rows = [["name", *heads]] if heads else []
    rows += [[name, *(facts.get(name, {}).get(head, "") for head in heads)] for name in groups[group]]
    abouts = ["", *groups[group].values()] if heads else list(groups[group].values())
    widths = [max((len(row[i]) for row in rows), default=0) + 2 for i in range(1 + len(heads))]
    for row, about in zip(rows, abouts, strict=True):
        print(_wrapped("".join(x.ljust(w) for x, w in zip(row, widths, strict=True)), about, sum(widths)))
    return 0


def tables() -> dict[str, dict[str, str]]:
    """group -> name -> one sentence; a part that is a file of `configs/` stands beside the classes of its group."""
    groups: dict[str, dict[str, str]] = {
        "modalities": {name: point.value for name, point in modality_entries().items()},
        "recipes": {
            name: recipe.about + (" (the default)" if recipe.default else "")
            for name, recipe in providers.recipes().items()
        },
    }
    for group, entries in GROUPS.items():
        groups[group] = {name: entry.about for name, entry in entries.items()}
    for group, options in providers.parts().items():
        named = groups.setdefault(group, {})
        for name, path in options.items():
            named.setdefault(name, _first_comment(path.read_text(encoding="utf-8")))
    return groups


def _first_comment(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ").strip() if text.startswith("#") else ""


def _wrapped(name: str, text: str, width: int = 18) -> str:
    columns = max(shutil.get_terminal_size((120, 24)).columns, width + 30)
    lines = textwrap.wrap(text, columns - width, break_long_words=False) or [""]
    return "\n".join(f"{name if i == 0 else '':{width}}{line}".rstrip() for i, line in enumerate(lines))
