"""The pictures of a report: each column as the modality draws it, and the samples nearest to training items."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..modality import Modality
from .report import COLUMNS, Picture
from .spec import Judged, MetricSpec

_SHOWN = 64  # samples in a picture
_PAIRS = 8  # closest pairs in a picture
_LONG_SIDE = 640  # pixels to which small arrays are enlarged, by whole factors


def pictures(
    modality: Modality, columns: dict[str, Judged], specs: Sequence[MetricSpec], reference: Judged
) -> list[Picture]:
    """One picture for each column, and one of the closest pairs where a metric knows them; none without `render`."""
    if type(modality).render is Modality.render:
        return []
    drawn = [Picture(f"{name}: {COLUMNS[name]}", png(modality.render(_some(part)))) for name, part in columns.items()]
    for spec in specs:
        if spec.nearest is not None:
            caption = f"{spec.name}: the samples nearest to training items, each before that item"
            drawn.append(Picture(caption, png(modality.render(_pairs(columns["ours"], reference, spec)))))
    return drawn


def png(picture: Any) -> bytes:
    """PNG bytes of a matplotlib Figure or of a (H, W[, 3]) uint8 array, small ones enlarged without smoothing."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        pyplot.close(picture)
        return buffer.getvalue()
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise ValueError(f"render() gave {array.shape} {array.dtype}; a Figure or (H, W[, 3]) uint8 is needed")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    factor = max(1, _LONG_SIDE // max(array.shape[:2]))
    pyplot.imsave(buffer, array.repeat(factor, 0).repeat(factor, 1), format="png", cmap="gray", vmin=0, vmax=255)
    return buffer.getvalue()


def _some(judged: Judged) -> list[Any]:
    """The first samples of a column, in the order of what was asked of them."""
    index = sorted(range(min(_SHOWN, len(judged))), key=lambda i: str(sorted(judged.cond[i].items(), key=str)))
    return [judged.samples[i] for i in index]


def _pairs(ours: Judged, reference: Judged, spec: MetricSpec) -> list[Any]:
    """Sample, its nearest training item, next sample, ...: the closest pairs first."""
    assert spec.nearest is not None
    found = spec.nearest(ours, reference)
    rows = found[:, 0].argsort()[:_PAIRS].tolist()
    return [sample for i in rows for sample in (ours.samples[i], reference.samples[int(found[i, 1])])]
