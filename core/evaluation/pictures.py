"""What `render` gives as pixels and PNG; the pictures of a report: each column, and the samples nearest to training items."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..modality import Modality, Sample
from .report import COLUMNS, Picture
from .spec import Judged, MetricSpec

_SHOWN = 64  # samples in a picture
_VIEWED = 12  # samples in a view
_PAIRS = 8  # closest pairs in a picture
_LONG_SIDE = 640  # pixels to which small pictures are enlarged, by whole factors


def pictures(
    modality: Modality, columns: dict[str, Judged], specs: Sequence[MetricSpec], reference: Judged
) -> list[Picture]:
    """Of each column a view, where the modality has one, and a picture; and the closest pairs where a metric knows them."""
    return [*_views(modality, columns), *_stills(modality, columns, specs, reference)]


def _views(modality: Modality, columns: dict[str, Judged]) -> list[Picture]:
    """What the modality shows of each column on a page."""
    shown = {name: modality.view(_some(part)[:_VIEWED]) for name, part in columns.items()}
    return [Picture(f"{name}: {COLUMNS[name]}", html=html) for name, html in shown.items() if html]


def _stills(
    modality: Modality, columns: dict[str, Judged], specs: Sequence[MetricSpec], reference: Judged
) -> list[Picture]:
    """One picture for each column, and one of the closest pairs; none without `render`."""
    if type(modality).render is Modality.render:
        return []
    drawn = [Picture(f"{name}: {COLUMNS[name]}", _drawn(modality, _some(part))) for name, part in columns.items()]
    for spec in specs:
        if spec.nearest is not None:
            caption = f"{spec.name}: the samples nearest to training items, each before that item"
            drawn.append(Picture(caption, _drawn(modality, _pairs(columns["ours"], reference, spec))))
    return drawn


def as_pixels(picture: Any) -> np.ndarray:
    """What `Modality.render` gave, a matplotlib Figure or an (H, W[, C]) uint8 array, C 1 or 3, as (H, W, 3) uint8.

    A Figure has the size and resolution that it was made with, and is closed.

    Raises:
        ValueError: anything else.
    """
    if hasattr(picture, "savefig"):
        from matplotlib import pyplot
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(picture)
        canvas.draw()
        pyplot.close(picture)
        return np.array(canvas.buffer_rgba())[..., :3]
    pixels = np.asarray(picture)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(
            f"render() gave {pixels.dtype} of shape {pixels.shape}; a Figure or (H, W[, 3]) uint8 is needed"
        )
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def png(pixels: np.ndarray) -> bytes:
    """PNG bytes of (H, W, 3) uint8, such as `as_pixels` gives; `checkpoint.write_aside` makes a file of them."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png")
    return buffer.getvalue()


def _drawn(modality: Modality, samples: Sequence[Sample]) -> bytes:
    """PNG bytes of samples as the modality draws them, small pictures enlarged without smoothing."""
    pixels = as_pixels(modality.render(samples))
    factor = max(1, _LONG_SIDE // max(pixels.shape[:2]))
    return png(pixels.repeat(factor, 0).repeat(factor, 1))


def _some(judged: Judged) -> list[Sample]:
    """The first samples of a column, in the order of what was asked of them."""
    index = sorted(range(min(_SHOWN, len(judged))), key=lambda i: str(sorted(judged.cond[i].items(), key=str)))
    return [judged.samples[i] for i in index]


def _pairs(ours: Judged, reference: Judged, spec: MetricSpec) -> list[Sample]:
    """Sample, its nearest training item, next sample, ...: the closest pairs first."""
    assert spec.nearest is not None
    found = spec.nearest(ours, reference)
    rows = found[:, 0].argsort()[:_PAIRS].tolist()
    return [sample for i in rows for sample in (ours.samples[i], reference.samples[int(found[i, 1])])]
