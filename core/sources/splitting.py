"""Train, validation and test parts: the official ones, else a seeded hash that keeps groups together."""

from __future__ import annotations

from collections.abc import Sequence

from ..rng import key
from .manifest import need_column
from .source import Row

PARTS = ("train", "validation", "test")
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split(
    rows: Sequence[Row],
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    group_by: str | None = None,
) -> dict[str, list[Row]]:
    """Parts `train`, `validation` and `test` of the rows, in their order.

    Where rows have a `split` value it holds; a part that it never names is taken from its training rows as below. Rows of
    one `part_of` value (windows of one recording) stay together. Else each group is placed by u = key(seed, group) / 2^64: test
    where u < f_test, validation where u < f_test + f_validation, train else. So a group is never divided, and added files move no
    other. A part can be empty where groups are few.

    Args:
        rows: all rows.
        seed: of the hash.
        fractions: expected shares of train, validation and test; they sum to 1.
        group_by: column of values that stay together (person, scene, caption); None: each `part_of` value, else each file.

    Raises:
        LookupError: no such column.
        ValueError: fractions that are no shares, unknown words in `split`, rows without a group or a split.
    """
    shares = _shares(fractions)
    if group_by is not None:
        _need_everywhere(rows, group_by)
    official = _official(rows)
    taken = {"train"} | {part for part in PARTS if part not in official}
    if group_by is not None and taken == {"train"}:
        raise ValueError(f"data.group_by={group_by}: an official split gives all three parts; leave it out")
    if official:  # a part that is there takes no share of the training rows
        shares = {part: share if part in taken else 0.0 for part, share in shares.items()}
        total = sum(shares.values())
        shares = {part: share / total for part, share in shares.items()} if total else {**shares, "train": 1.0}
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    drawn: dict[str, str] = {}  # many rows may share a group
    for row, named in zip(rows, official or ["train"] * len(rows), strict=True):
        if named == "train" and shares["train"] < 1:
            group = str(row.values.get("part_of", row.file.name) if group_by is None else row.values[group_by])
            named = drawn[group] if group in drawn else drawn.setdefault(group, _draw(shares, seed, group))
        parts[named].append(row)
    if rows and not parts["train"]:
        raise ValueError(f"no training rows are left of {len(rows):,}: give a larger first share than {fractions[0]:g}")
    return parts


def _draw(shares: dict[str, float], seed: int, group: str) -> str:
    u = key(seed, "split", group) / 2**64
    if u < shares["test"]:
        return "test"
    return "validation" if u < shares["test"] + shares["validation"] else "train"


def _official(rows: Sequence[Row]) -> list[str]:
    """The part that each row names; empty where none does."""
    words = [str(row.values.get("split", "")).lower() for row in rows]
    if not any(words):
        return []
    wrong = [(row, word) for row, word in zip(rows, words, strict=True) if word not in SPLITS]
    if wrong:
        row, word = wrong[0]
        found = f"split {word!r}" if word else "no split"
        raise ValueError(
            f"{len(wrong):,} of {len(rows):,} rows have a split that is none of {', '.join(SPLITS)}: "
            f"{row.file.location} has {found}"
        )
    return [SPLITS[word] for word in words]


def _shares(fractions: Sequence[float]) -> dict[str, float]:
    if len(fractions) != len(PARTS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"data.split={list(fractions)}: give shares of {', '.join(PARTS)}, none below 0, with sum 1: [0.8, 0.1, 0.1]"
        )
    return dict(zip(PARTS, fractions, strict=True))


def _need_everywhere(rows: Sequence[Row], column: str) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    need_column(column, columns, "the data")
    without = [row.file.location for row in rows if column not in row.values]
    if without:
        raise ValueError(
            f"{len(without):,} of {len(rows):,} rows have no value of {column!r}: {', '.join(without[:3])}"
        )
