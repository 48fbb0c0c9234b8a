"""Clouds on a page that needs nothing else: shaded points on a canvas, turned with the mouse."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence

import numpy as np

from .cloud import Cloud
from .pictures import AZIMUTH, ELEVATION, normals_of, spacing

_MOST = 4096  # points of a shape on the page
_STEPS = 32767  # coordinates are sent as 16-bit integers of the shape's own radius
_PLAIN, _GIVEN = (58, 116, 180), (226, 110, 34)
_SCRIPT = """
(function () {
  function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)); }
  function start(canvas) {
    const told = JSON.parse(canvas.dataset.cloud), pen = canvas.getContext("2d"), W = canvas.width, H = canvas.height;
    const xyz = new Int16Array(bytes(told.points).buffer), nrm = new Int8Array(bytes(told.normals).buffer);
    const rgb = bytes(told.colours), n = xyz.length / 3, order = new Uint32Array(n), seen = new Float32Array(4 * n);
    let azimuth = told.azimuth, elevation = told.elevation, zoom = 1, from = null;
    function draw() {
      const c = Math.cos(azimuth), s = Math.sin(azimuth), d = Math.cos(elevation), e = Math.sin(elevation);
      const size = Math.min(W, H), scale = zoom * 0.47 * size / told.steps;
      const radius = zoom * size * Math.min(0.03, Math.max(0.004, 0.4 * told.spacing));
      for (let i = 0; i < n; i++) {
        const x = xyz[3 * i], y = xyz[3 * i + 1], z = xyz[3 * i + 2], away = s * x + c * z;
        const a = nrm[3 * i] / 127, b = nrm[3 * i + 1] / 127, f = nrm[3 * i + 2] / 127, g = s * a + c * f;
        const p = c * a - s * f, q = d * b - e * g, r = e * b + d * g, side = r < 0 ? -1 : 1;
        seen[4 * i] = W / 2 + scale * (c * x - s * z);
        seen[4 * i + 1] = H / 2 - scale * (d * y - e * away);
        seen[4 * i + 2] = (e * y + d * away) / told.steps;
        seen[4 * i + 3] = 0.6 + 0.55 * Math.max(0, side * (-0.45 * p + 0.8 * q + 0.4 * r));
        order[i] = i;
      }
      order.sort((i, j) => seen[4 * i + 2] - seen[4 * j + 2]);
      pen.clearRect(0, 0, W, H);
      for (const i of order) {
        const pale = 0.25 * (1 - seen[4 * i + 2]), light = seen[4 * i + 3];
        const shade = k => Math.min(255, Math.round(((1 - pale) * rgb[3 * i + k] + pale * 230) * light));
        pen.fillStyle = "rgb(" + shade(0) + "," + shade(1) + "," + shade(2) + ")";
        pen.beginPath(); pen.arc(seen[4 * i], seen[4 * i + 1], radius, 0, 2 * Math.PI); pen.fill();
      }
    }
    canvas.addEventListener("pointerdown", e => { from = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
    canvas.addEventListener("pointermove", e => {
      if (!from) return;
      azimuth -= (e.clientX - from[0]) / 90;
      elevation = Math.min(1.57, Math.max(-1.57, elevation + (e.clientY - from[1]) / 90));
      from = [e.clientX, e.clientY]; draw();
    });
    canvas.addEventListener("wheel", e => {
      e.preventDefault(); zoom = Math.min(6, Math.max(0.4, zoom * Math.exp(-e.deltaY / 800))); draw();
    }, { passive: false });
    draw();
  }
  document.querySelectorAll("canvas[data-cloud]:not([data-drawn])").forEach(c => { c.dataset.drawn = 1; start(c); });
})();
"""


def view3d(clouds: Sequence[Cloud], size: int = 260, known: Sequence[np.ndarray | None] | None = None) -> str:
    """A part of an HTML page with a canvas for each cloud: drag to turn, wheel to zoom; given points are orange.

    Args:
        clouds: what to show, y up; of one with more than 4,096 points that many are shown, and the line below says so.
        size: of a canvas, pixels.
        known: (N,) bool each, which points were given; None: none.
    """
    known = [None] * len(clouds) if known is None else known
    pairs = enumerate(zip(clouds, known, strict=True))
    figures = "".join(_figure(cloud, given, size, cloud.name or f"sample {k}") for k, (cloud, given) in pairs)
    return f'<div class="clouds">{figures}</div><script>{_SCRIPT}</script>'


def _figure(cloud: Cloud, known: np.ndarray | None, size: int, title: str) -> str:
    if cloud.size > _MOST:
        title += f" ({_MOST:,} of {cloud.size:,} points)"
        chosen = np.linspace(0, cloud.size - 1, _MOST).astype(np.int64)
        cloud, known = cloud.take(chosen), None if known is None else known[chosen]
    told = html.escape(json.dumps(_told(cloud, known), separators=(",", ":")), quote=True)
    canvas = (
        f'<canvas width="{size}" height="{size}" style="touch-action:none;cursor:grab" data-cloud="{told}"></canvas>'
    )
    style = "display:inline-block;margin:4px;text-align:center;font:12px sans-serif"
    return f'<figure style="{style}">{canvas}<figcaption>{html.escape(title)}</figcaption></figure>'


def _told(cloud: Cloud, known: np.ndarray | None) -> dict[str, str | int | float]:
    """Points as int16 (little endian) of the shape's radius about the middle of its box, normals as int8, colours as uint8."""
    centred = cloud.points - (cloud.points.min(0) + cloud.points.max(0)) / 2
    reach = np.linalg.norm(centred, axis=1).max() or 1.0
    colours = np.tile(np.array(_PLAIN, np.uint8), (cloud.size, 1)) if cloud.colours is None else cloud.colours.copy()
    if known is not None:
        colours[known] = _GIVEN
    return {
        "points": _base64(np.rint(centred / reach * _STEPS).astype("<i2")),
        "normals": _base64(np.rint(normals_of(cloud) * 127).astype(np.int8)),
        "colours": _base64(colours),
        "steps": _STEPS,
        "spacing": spacing(centred / reach),
        "azimuth": float(np.radians(AZIMUTH)),
        "elevation": float(np.radians(ELEVATION)),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
