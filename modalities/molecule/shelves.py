"""Records parsed once, on all cores, and kept: in memory, and on disk by what the files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
from ornstein.core.modality import BadItem
from ornstein.core.sources import Cache, File, Store

from .formats import Record, records
from .options import Options
from .packs import Pack, packed
from .parallel import over_cores
from .repeats import repeats
from .tables import companion, joined

_VERSION = 4  # of what is kept on disk
_CACHE = Cache("molecule")
_KEPT = 4  # data sets that stay in memory
_CHUNK = {
    "smiles": 256,
    "inchi": 256,
    "bad": 256,
    "mol": 64,
    "mol2": 64,
    "xyz": 16,
    "pdb": 16,
}  # records parsed at once
_WORTH = 8  # chunks from which a bar is shown and the disk is used


@dataclass(frozen=True, eq=False)
class Shelf:
    """The records of some files, and where in the pack those of each file lie.

    Args:
        options: they were read with.
        pack: all records.
        places: file -> (stamp, first record, one past its last).
    """

    options: Options
    pack: Pack
    places: dict[File, tuple[tuple[int, int] | None, int, int]]


_shelves: list[Shelf] = []  # the latest first


def shelf(files: Sequence[File], options: Options) -> Shelf:
    """The records of files, from memory, from disk, or parsed: the first of these that has them as the files are now.

    A file that is bad as a whole is one bad record.
    """
    stamps = [file.stamp for file in files]
    for known in _shelves:
        if known.options == options and all(
            file in known.places and known.places[file][0] == stamp for file, stamp in zip(files, stamps, strict=True)
        ):
            return known
    pack, counts = _kept(files, options)
    places, start = {}, 0
    for file, stamp, count in zip(files, stamps, counts, strict=True):
        places[file] = (stamp, start, start + count)
        start += count
    made = Shelf(options, pack, places)
    _shelves.insert(0, made)
    del _shelves[_KEPT:]
    return made


def place(file: File, options: Options) -> tuple[Pack, int, int]:
    """The pack that has the records of one file, the first of them and one past the last; quick, since every `read` asks."""
    stamp = file.stamp
    for known in _shelves:
        span = known.places.get(file)
        if span is not None and span[0] == stamp and known.options == options:
            return known.pack, span[1], span[2]
    known = shelf((file,), options)
    return known.pack, 0, len(known.pack)


def _kept(files: Sequence[File], options: Options) -> tuple[Pack, list[int]]:
    """The pack, and the number of records of each file."""
    name = _name(files, options)
    arrays = _CACHE.load(name)
    if arrays is not None:
        counts = arrays.pop("counts").tolist()
        return Pack.of_arrays(arrays), counts
    found = [_records(file, options) for file in files]
    counts = [len(each) for each in found]
    chunks = _chunks([record for each in found for record in each])
    pack = Pack.joined(_parsed(chunks, options))
    where = [(file.name, k) for file, count in zip(files, counts, strict=True) for k in range(1, count + 1)]
    for later, earlier in repeats(pack).items():
        file, k = where[earlier]
        pack.whys[later] = f"is the same conformer as record {k} of {file}"
    if len(chunks) >= _WORTH:
        _CACHE.save(name, {**pack.arrays(), "counts": np.array(counts, np.int64)})
    return pack, counts


def _records(file: File, options: Options) -> list[Record]:
    try:
        return joined(file, records(file, options), options)
    except BadItem as error:
        return [Record("bad", error.why)]


def _chunks(found: list[Record]) -> list[list[Record]]:
    size = min((_CHUNK[kind] for kind in {record.kind for record in found}), default=1)
    return [found[start : start + size] for start in range(0, len(found), size)]


def _parsed(chunks: list[list[Record]], options: Options) -> list[Pack]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("parsing molecules"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=len(chunks) < _WORTH, refresh_per_second=2
    ) as bar:
        task = bar.add_task("", total=sum(map(len, chunks)))
        return over_cores(partial(packed, options=options), chunks, lambda: bar.advance(task, len(chunks[0])))


def _name(files: Sequence[File], options: Options) -> str:
    """Of what is kept: it changes with the content of the files, the options, RDKit, and this code."""
    from rdkit import rdBase

    by_store: dict[Store, list[str]] = {}
    for file in files:
        beside = companion(file) if options.properties else None
        by_store.setdefault(file.store, []).extend([file.name, *([beside.name] if beside else [])])
    sums = {store: store.checksums(names) for store, names in by_store.items()}
    lines = [[name, *sums[store][name]] for store, names in by_store.items() for name in names]
    told = json.dumps([_VERSION, rdBase.rdkitVersion, astuple(options), lines])
    return hashlib.sha256(told.encode()).hexdigest()[:24]
