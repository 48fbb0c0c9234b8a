"""A source: rows, each a file and what is said of it, with a hash of all they hold."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .manifest import Value
from .store import File, Store


@dataclass(frozen=True)
class Row:
    """One file and what is said of it.

    Args:
        file: the file.
        values: column -> value (label, caption, split, group, ...). A column that is missing has no value.
    """

    file: File
    values: Mapping[str, Value] = field(default_factory=dict)


class Source(ABC):
    """A data set: rows in a fixed order, sorted by name or as a manifest gives them."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Every row."""

    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the content: file names, bytes and values, whatever holds them.

        A folder and a zip of it have the same fingerprint.
        """
        return fingerprint(self.rows())

    def about(self) -> str:
        """One line for a person: what is there, where the labels come from."""
        return f"{len(self.rows()):,} files"


def fingerprint(rows: Sequence[Row]) -> str:
    """The fingerprint of rows, independent of their order."""
    by_store: dict[Store, list[str]] = {}
    for row in rows:
        by_store.setdefault(row.file.store, []).append(row.file.name)
    sums = {store: store.checksums(names) for store, names in by_store.items()}
    lines = [json.dumps([r.file.name, *sums[r.file.store][r.file.name], dict(r.values)], sort_keys=True) for r in rows]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Listing(Source):
    """Rows that are already known.

    Args:
        listed: the rows.
        text: what `about` says.
    """

    listed: tuple[Row, ...]
    text: str = ""

    def rows(self) -> list[Row]:
        """Every row."""
        return list(self.listed)

    def about(self) -> str:
        """One line for a person."""
        return self.text or super().about()
