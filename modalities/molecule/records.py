"""One row for each molecule of the files, with the part of the split that it belongs to."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ornstein.core.registry import suggest
from ornstein.core.sources import Row
from ornstein.core.sources.splitting import PARTS, SPLITS

from .options import Options
from .shelves import Shelf, shelf
from .tables import companions
from .tags import offered

RECORD, GIVEN = "record", "given"


def rows(found: Sequence[Row], options: Options, shares: Sequence[float]) -> list[Row]:
    """A row for each record, bad ones too, with `record`, its number from 1, and `split`.

    Where the files name no split, a molecule is placed by a hash of its graph, so that its conformers and repeats share a part,
    and added molecules move no other; a part that they do not name is taken from their training rows. Tables of other files (see
    `tables.companion`) have no rows of their own.

    Raises:
        LookupError: a property that no record gives.
    """
    tables = companions([row.file for row in found])
    files = [row for row in found if row.file not in tables]
    known = shelf([row.file for row in files], options)
    _need_properties(files, known, options)
    _report(known, files, options)
    parts = _parts(files, known, shares)
    out = []
    for row in files:
        _, start, stop = known.places[row.file]
        values = row.values
        out += [
            Row(row.file, {**values, RECORD: i - start + 1, "split": parts[i] or values["split"]})
            for i in range(start, stop)
        ]
    return out


def given(found: Sequence[Row], options: Options) -> list[Row]:
    """A row for each record of files that are given to a task: what `read` takes, and without parts."""
    known = shelf([row.file for row in found], replace(options, strict=False))
    return [
        Row(row.file, {**row.values, RECORD: k + 1, GIVEN: 1})
        for row in found
        for k in range(known.places[row.file][2] - known.places[row.file][1])
    ]


def _parts(files: Sequence[Row], known: Shelf, shares: Sequence[float]) -> list[str]:
    """The part of each record; "" where the row names one that stands."""
    split = dict(zip(PARTS, shares, strict=True))
    words = [SPLITS.get(str(row.values.get("split", "")).lower(), "") for row in files]
    named = np.array(["split" in row.values for row in files])
    if named.any():
        taken = {"train"} | {part for part in PARTS if part not in words}
        split = {part: share if part in taken else 0.0 for part, share in split.items()}
        total = sum(split.values())
        split = {part: share / total for part, share in split.items()} if total else {**split, "train": 1.0}
    u = (known.pack.keys >> np.uint64(11)) * 2.0**-53
    drawn = np.where(u < split["test"], 2, np.where(u < split["test"] + split["validation"], 1, 0))
    drawn[[bool(why) for why in known.pack.whys]] = 0  # bad ones are counted where the training part is read
    out = [PARTS[k] for k in drawn.tolist()]
    for row, word in zip(files, words, strict=True):
        if "split" in row.values and word != "train":
            _, start, stop = known.places[row.file]
            out[start:stop] = [""] * (stop - start)
    return out


def _need_properties(files: Sequence[Row], known: Shelf, options: Options) -> None:
    for k, name in enumerate(options.properties):
        if np.isnan(known.pack.values[:, k]).all() and not any(name in row.values for row in files):
            there = sorted({*offered(files[0].file), *(column for row in files[:1] for column in row.values)})
            raise LookupError(
                f"modality.properties: no record of {files[0].file.location}"
                f"{', ...' if len(files) > 1 else ''} gives {name!r}; {suggest(name, there)}"
            )


def _report(known: Shelf, files: Sequence[Row], options: Options) -> None:
    """Say once what was left out and what was made of it, with counts."""
    pack, where = known.pack, files[0].file.location + (", ..." if len(files) > 1 else "")
    bad: Counter[str] = Counter(re.sub(r"\d+(\.\d+)?|'[^']*'", "#", why.split(";")[0]) for why in pack.whys if why)
    if bad:
        kinds = "; ".join(f"{count:,} x {why}" for why, count in bad.most_common(6))
        more = f"; and {len(bad) - 6} other reasons" if len(bad) > 6 else ""
        warnings.warn(f"{where}: {bad.total():,} of {len(pack):,} records cannot be used: {kinds}{more}", stacklevel=3)
    if pack.cut.any():
        warnings.warn(f"{where}: of {int(pack.cut.sum()):,} records the largest fragment was taken", stacklevel=3)
    if options.representation == "graph":
        keys = pack.keys[[not why for why in pack.whys]]
        again = len(keys) - len(np.unique(keys))
        if again:
            warnings.warn(
                f"{where}: {again:,} of {len(pack):,} records repeat the graph of another (by the neighbourhoods of their "
                "atoms; stereo is not part of it); they are kept, in one part with it",
                stacklevel=3,
            )
