"""Features of real data, kept on disk between evaluations by hashes of what was embedded and of what embedded it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from ..sources.cache import Cache
from .extractors import digest, fingerprint
from .spec import Extractor, Judged

FEATURES = Cache("features")
_MOST = 1 << 30  # bytes of one set; larger ones are worked out each time


@contextmanager
def kept(cache: Cache, sets: Sequence[Judged], extractors: Iterable[Extractor]) -> Iterator[None]:
    """Within it the sets have the features that were worked out before; at its end those that are new are kept.

    Args:
        sets: of real data; generated samples are new every time.
    """
    hashes = [fingerprint(judged.samples) for judged in sets]
    places = [
        (judged, extractor.rows_name, digest(data.encode(), extractor.hash.encode()))
        for extractor in extractors
        for judged, data in zip(sets, hashes, strict=True)
    ]
    found = set()
    for judged, rows, name in places:
        arrays = cache.load(name)
        if arrays is not None and len(arrays.get("rows", ())) == len(judged):
            judged.features[rows] = torch.from_numpy(arrays["rows"])
            found.add(name)
    yield
    for judged, rows, name in places:
        new = judged.features.get(rows)
        if name not in found and new is not None and new.nbytes <= _MOST:
            cache.save(name, {"rows": new.numpy()})
