"""Molecules in 3D on a page that needs nothing else: balls and sticks on a canvas, turned with the mouse."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from .graph import Graph

# Colours of Corey, Pauling and Koltun; elements without one are pink.
_COLOURS = {
    1: "#eeeeee",
    5: "#ffb5b5",
    6: "#606060",
    7: "#3050f8",
    8: "#ff0d0d",
    9: "#90e050",
    14: "#f0c8a0",
    15: "#ff8000",
    16: "#e0c010",
    17: "#1fc01f",
    34: "#ffa100",
    35: "#a62929",
    53: "#940094",
}
_SCRIPT = """
(function () {
  function start(canvas) {
    const m = JSON.parse(canvas.dataset.molecule), pen = canvas.getContext("2d"), W = canvas.width, H = canvas.height;
    let turn = [[1, 0, 0], [0, 1, 0], [0, 0, 1]], from = null, zoom = 1;
    const reach = Math.max(1, ...m.atoms.map(a => Math.hypot(a[0], a[1], a[2]))) + 0.8;
    function rotate(dx, dy) {
      const c = Math.cos(dx), s = Math.sin(dx), d = Math.cos(dy), e = Math.sin(dy);
      const r = [[c, 0, s], [e * s, d, -e * c], [-d * s, e, d * c]];
      turn = r.map(row => [0, 1, 2].map(k => row[0] * turn[0][k] + row[1] * turn[1][k] + row[2] * turn[2][k]));
    }
    function draw() {
      const scale = zoom * Math.min(W, H) / 2 / reach;
      const p = m.atoms.map(a => turn.map(r => r[0] * a[0] + r[1] * a[1] + r[2] * a[2]));
      const at = q => [W / 2 + scale * q[0], H / 2 - scale * q[1]];
      const things = m.atoms.map((a, i) => [p[i][2], i, -1, 0]);
      m.bonds.forEach(b => things.push([(p[b[0]][2] + p[b[1]][2]) / 2 - 0.01, b[0], b[1], b[2]]));
      things.sort((a, b) => a[0] - b[0]);
      pen.clearRect(0, 0, W, H);
      for (const [z, i, j, kind] of things) {
        const [x, y] = at(p[i]);
        if (j < 0) {
          pen.beginPath(); pen.arc(x, y, scale * m.atoms[i][4], 0, 2 * Math.PI);
          pen.fillStyle = m.atoms[i][3]; pen.fill();
          pen.lineWidth = m.atoms[i][5] ? 3 : 1; pen.strokeStyle = m.atoms[i][5] ? "#1a7f37" : "#333333"; pen.stroke();
        } else {
          const [u, v] = at(p[j]), l = Math.hypot(u - x, v - y) || 1, n = kind === 4 ? 2 : kind;
          for (let k = 0; k < n; k++) {
            const o = (k - (n - 1) / 2) * 0.16 * scale, a = -o * (v - y) / l, b = o * (u - x) / l;
            pen.beginPath(); pen.setLineDash(kind === 4 && k ? [4, 3] : []);
            pen.moveTo(x + a, y + b); pen.lineTo(u + a, v + b);
            pen.lineWidth = Math.max(1.5, 0.09 * scale); pen.strokeStyle = "#888888"; pen.stroke();
          }
          pen.setLineDash([]);
        }
      }
    }
    canvas.addEventListener("pointerdown", e => { from = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener("pointerup", () => { from = null; });
    canvas.addEventListener("pointermove", e => {
      if (!from) return;
      rotate((e.clientX - from[0]) / 90, (e.clientY - from[1]) / 90); from = [e.clientX, e.clientY]; draw();
    });
    canvas.addEventListener("wheel", e => {
      e.preventDefault(); zoom = Math.min(6, Math.max(0.4, zoom * Math.exp(-e.deltaY / 800))); draw();
    }, { passive: false });
    rotate(0.5, 0.35); draw();
  }
  document.querySelectorAll("canvas[data-molecule]:not([data-drawn])").forEach(c => { c.dataset.drawn = 1; start(c); });
})();
"""


def view3d(graphs: Sequence[Graph], size: int = 260) -> str:
    """A part of an HTML page with a canvas for each graph: drag to turn, wheel to zoom; given atoms have a green rim.

    Args:
        graphs: what to show; those without positions are named and not drawn.
        size: of a canvas, pixels.
    """
    figures = "".join(_figure(k, graph, size) for k, graph in enumerate(graphs))
    return f'<div class="molecules">{figures}</div><script>{_SCRIPT}</script>'


def _figure(k: int, graph: Graph, size: int) -> str:
    title = html.escape(graph.name or f"sample {k}")
    style = "display:inline-block;margin:4px;text-align:center;font:12px sans-serif"
    if graph.positions is None:
        return f'<figure style="{style}"><figcaption>{title}: no positions</figcaption></figure>'
    told = html.escape(json.dumps(_told(graph), separators=(",", ":")), quote=True)
    canvas = (
        f'<canvas width="{size}" height="{size}" style="touch-action:none;cursor:grab" data-molecule="{told}"></canvas>'
    )
    return f'<figure style="{style}">{canvas}<figcaption>{title}</figcaption></figure>'


def _told(graph: Graph) -> dict[str, list]:
    """Atoms as x, y, z (angstrom, from the centre), colour, radius (angstrom), given; bonds as two atoms and a class."""
    assert graph.positions is not None
    centred = (graph.positions - graph.positions.mean(0)).round(3).tolist()
    known = [False] * graph.atoms if graph.known is None else graph.known.tolist()
    atoms = [
        [*xyz, _COLOURS.get(number, "#ff60c0"), 0.22 if number == 1 else 0.38, int(given)]
        for xyz, number, given in zip(centred, graph.numbers.tolist(), known, strict=True)
    ]
    i, j = graph.bonds.nonzero()
    bonds = [[a, b, int(graph.bonds[a, b])] for a, b in zip(i.tolist(), j.tolist(), strict=True) if a < b]
    return {"atoms": atoms, "bonds": bonds}
