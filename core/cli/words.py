"""What users type: splitting a command line, and offering the nearest names for what does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from ..registry import suggest

_MANY = 24
_WORD = re.compile(r"^(\+{0,2}|~)[A-Za-z_][\w./@:-]*(=.*)?$", re.DOTALL)


class UsageError(ValueError):
    """The command line itself is wrong: exit code 2."""


def choose(kind: str, got: str, names: Iterable[str]) -> str:
    """A sentence for an unknown name: what was got, the nearest, and all choices where they are not too many."""
    names = sorted(set(names))
    if not names:
        return f"unknown {kind} {got!r}; there are none"
    if len(names) > _MANY:
        names = difflib.get_close_matches(got, names, n=8, cutoff=0.4) or names
    return f"unknown {kind} {got!r}; {suggest(got, names)}"


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words before the first `--flag`, and everything from it on."""
    first = next((i for i, a in enumerate(argv) if a.startswith("-")), len(argv))
    return list(argv[:first]), list(argv[first:])


def check_words(words: Iterable[str]) -> None:
    """Refuse a word that is neither `key=value` nor `~key`.

    Raises:
        UsageError: with the word.
    """
    for word in words:
        if not _WORD.match(word) or ("=" not in word and not word.startswith("~")):
            raise UsageError(f"{word!r} is not a word of a recipe; words read key=value, as in data.batch_size=32")


def take(words: list[str], key: str) -> tuple[str | None, list[str]]:
    """The value of the last word `key=value`, and the words without it."""
    value = None
    rest = []
    for word in words:
        name, _, text = word.partition("=")
        if name == key:
            value = text
        else:
            rest.append(word)
    return value, rest


def take_flag(flags: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value of `--name value` or `--name=value`, and the flags without it.

    Raises:
        UsageError: the flag stands last, without a value.
    """
    value = None
    rest: list[str] = []
    i = 0
    while i < len(flags):
        if flags[i] == name:
            if i + 1 == len(flags):
                raise UsageError(f"{name} needs a value")
            value, i = flags[i + 1], i + 2
        elif flags[i].startswith(f"{name}="):
            value, i = flags[i].partition("=")[2], i + 1
        else:
            rest.append(flags[i])
            i += 1
    return value, rest
