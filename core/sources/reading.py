"""From rows to items, with every bad one counted and named, and an error past the share that is allowed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..modality import BadItem, Item
from .source import Row

if TYPE_CHECKING:
    from ..modality import Modality

T = TypeVar("T")


def read_all(
    modality: Modality,
    rows: Sequence[Row],
    max_bad_share: float = 0.01,
    progress: bool = True,
    before: Sequence[BadItem] = (),
    total: int | None = None,
) -> tuple[list[Item], list[BadItem]]:
    """Read every row; a bad item is left out of the items and returned beside them.

    Args:
        modality: what reads.
        rows: the rows, in the order of the items.
        max_bad_share: largest allowed share of bad items, 0 to 1; 0 allows none.
        progress: show a bar where reading takes more than 2 s.
        before: bad items of other parts of the same data, which count too.
        total: rows of the whole data, of which the share is taken; None: these are all.

    Raises:
        ValueError: more items are bad, or all are.
    """
    if not 0 <= max_bad_share <= 1:
        raise ValueError(f"data.max_bad_share={max_bad_share}: a share lies between 0 and 1")
    items: list[Item | None] = [None] * len(rows)
    bad: dict[int, BadItem] = {}
    # In the order of the store: a compressed tar cannot go back.
    order = sorted(range(len(rows)), key=lambda i: rows[i].file.store.position(rows[i].file.name))
    for i in track(order, "reading", len(rows)) if progress else order:
        try:
            items[i] = modality.read(rows[i].file, rows[i].values)
        except BadItem as error:
            bad[i] = error
    named = [bad[i] for i in sorted(bad)]
    good = [item for item in items if item is not None]
    _hold_budget([*before, *named], len(rows) if total is None else total, max_bad_share)
    return good, named


def track(items: Iterable[T], about: str, total: int | None = None, after_s: float = 2.0) -> Iterator[T]:
    """Pass items on; from `after_s` seconds on a progress bar on stderr says how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start, bar, task = time.monotonic(), None, None
    try:
        for done, item in enumerate(items, 1):
            yield item
            if bar is None and time.monotonic() - start > after_s:
                columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
                bar = Progress(*columns, console=Console(stderr=True))
                task = bar.add_task(about, total=total)
                bar.start()
            if bar is not None and task is not None:
                bar.update(task, completed=done)
    finally:
        if bar is not None:
            bar.stop()


def _hold_budget(bad: Sequence[BadItem], total: int, max_bad_share: float) -> None:
    if not bad:
        return
    examples = "; ".join(str(error) for error in bad[:3]) + ("; ..." if len(bad) > 3 else "")
    share = len(bad) / total
    if len(bad) == total:
        raise ValueError(f"none of the {total:,} files can be read: {examples}")
    if len(bad) > max_bad_share * total + 1e-9:  # the share may be a rounded k / total
        raise ValueError(
            f"{len(bad):,} of {total:,} files ({share:.2%}) cannot be read, more than "
            f"data.max_bad_share={max_bad_share:g} allows: {examples}. "
            f"Mend or remove them, or allow them with data.max_bad_share={math.ceil(share * 100) / 100:g}"
        )
