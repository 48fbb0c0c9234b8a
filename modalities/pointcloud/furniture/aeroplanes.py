"""Aeroplanes: models of about a metre that look along +z. Airliners, jets, propeller planes, biplanes and gliders."""

# ruff: noqa: RUF005 - vectors are added, not joined

from __future__ import annotations

import numpy as np

from .colours import METALS, PAINTS, one_of
from .solids import Solid, Stuff

PARTS = ("body", "wings", "tail", "engines")


def aeroplane(rng: np.random.Generator) -> list[Solid]:
    """One aeroplane: its kind is drawn, then its measures."""
    make = (_airliner, _airliner, _jet, _propeller, _propeller, _biplane, _glider)[int(rng.integers(7))]
    paint, other = one_of(PAINTS, rng), one_of(PAINTS + METALS, rng)
    wings = paint if rng.random() < 0.6 else other
    return make(Stuff(0, paint), Stuff(1, wings), Stuff(2, other), Stuff(3, other), rng)


def _airliner(body: Stuff, wing: Stuff, tail: Stuff, engine: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A long tube, swept wings, and two or four engines below them or two at the tail."""
    long, r = rng.uniform(0.9, 1.2), rng.uniform(0.05, 0.075)
    span, chord, sweep = long * rng.uniform(0.42, 0.52), rng.uniform(0.19, 0.26), rng.uniform(0.18, 0.32)
    root, rise = np.array([0, -r * 0.5, long * rng.uniform(0.08, 0.16)]), rng.uniform(0.03, 0.08)
    parts = [_tube(body, long, r, 0.14, 0.35), *_wings(wing, root, span, chord, 0.3, sweep, rise)]
    at_tail = rng.random() < 0.25
    parts += _tail(tail, long, r, rng, high=at_tail or rng.random() < 0.15)
    d = r * rng.uniform(0.4, 0.55)
    if at_tail:
        places = [np.array([r + d, r * 0.3, -long * 0.27])]
    else:
        shares = (0.34,) if rng.random() < 0.6 else (0.3, 0.58)
        places = [root + [u * span, u * rise - d * 1.2, -u * sweep + chord * 0.05] for u in shares]
    for at in places:
        pod = engine.turned(
            [(d * 0.8, 0.0), (d, 0.3), (d * 0.9, 0.75), (d * 0.5, 1.0)], at + [0, 0, 0.04], at - [0, 0, 0.11]
        )
        parts += [pod, pod.mirrored()]
    return parts


def _jet(body: Stuff, wing: Stuff, tail: Stuff, engine: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A pointed body with a delta or swept wing, a canopy, one or two fins."""
    long, r = rng.uniform(0.85, 1.05), rng.uniform(0.05, 0.07)
    span, chord = long * rng.uniform(0.27, 0.38), long * rng.uniform(0.34, 0.5)
    root = np.array([0, 0.0, -long * 0.02])
    parts = [_tube(body, long, r, 0.45, 0.12, blunt=0.75)]
    parts += _wings(wing, root, span, chord, rng.uniform(0.05, 0.3), chord * rng.uniform(0.55, 0.8), 0.0)
    canopy = body.turned([(0.0, 0.0), (0.6, 0.25), (0.7, 0.5), (0.0, 1.0)], (0, 0, 0), (0, 0, 1), 10)
    parts.append(canopy.scaled((r, r, long * 0.2)).moved((0, r * 0.85, long * 0.08)))
    lean = rng.uniform(0.03, 0.08) if rng.random() < 0.5 else 0.0
    fin = _fin(tail, r * 0.5 if lean else 0.0, r * 0.7, -long * 0.30, rng.uniform(0.14, 0.2), 0.17, 0.12, lean)
    parts += [fin, fin.mirrored()] if lean else [fin]
    if rng.random() < 0.7:
        parts += _wings(tail, np.array([0, 0, -long * 0.40]), span * 0.55, 0.13, 0.4, 0.1, 0.0)
    return parts


def _propeller(body: Stuff, wing: Stuff, tail: Stuff, engine: Stuff, rng: np.random.Generator) -> list[Solid]:
    """Straight wings high or low, a propeller at the nose or two on the wings, wheels under many."""
    long, r = rng.uniform(0.72, 0.92), rng.uniform(0.05, 0.075)
    span, chord, is_high = rng.uniform(0.46, 0.62), rng.uniform(0.13, 0.18), rng.random() < 0.5
    root = np.array([0, r * (0.95 if is_high else -0.7), long * rng.uniform(0.14, 0.22)])
    parts = [_tube(body, long, r, 0.10, 0.55), *_wings(wing, root, span, chord, rng.uniform(0.6, 1.0), 0.02, 0.03)]
    parts += _tail(tail, long, r, rng)
    blade = rng.uniform(0.09, 0.13)
    if rng.random() < 0.3:
        u = rng.uniform(0.3, 0.4)
        at = root + [u * span, 0.0, 0.04]
        pod = engine.turned(
            [(0.01, 0.0), (0.032, 0.25), (0.03, 0.7), (0.01, 1.0)], at + [0, 0, 0.07], at - [0, 0, 0.12]
        )
        blades = _blades(engine, at + [0, 0, 0.07], blade)
        return [*parts, pod, pod.mirrored(), *blades, *(b.mirrored() for b in blades)]
    parts += _blades(engine, np.array([0, 0, long / 2]), blade)
    if rng.random() < 0.6:
        parts += _wheels(body, r, long)
    return parts


def _biplane(body: Stuff, wing: Stuff, tail: Stuff, engine: Stuff, rng: np.random.Generator) -> list[Solid]:
    """Two straight wings with struts between them."""
    long, r = rng.uniform(0.65, 0.8), rng.uniform(0.05, 0.07)
    span, chord, gap = rng.uniform(0.40, 0.52), rng.uniform(0.13, 0.17), rng.uniform(0.16, 0.22)
    low = np.array([0, -r * 0.8, long * 0.2])
    high = low + [0, gap, rng.uniform(0.0, 0.06)]
    parts = [_tube(body, long, r, 0.08, 0.6)]
    parts += _wings(wing, low, span, chord, 1.0, 0.0, 0.02) + _wings(wing, high, span, chord, 1.0, 0.0, 0.02)
    for u in (0.25, 0.75):
        for back in (0.02, chord * 0.75):
            strut = wing.rod(low + [u * span, 0, -back], high + [u * span, 0, -back], 0.006)
            parts += [strut, strut.mirrored()]
    return (
        parts + _tail(tail, long, r, rng) + _blades(engine, np.array([0, 0, long / 2]), 0.11) + _wheels(body, r, long)
    )


def _glider(body: Stuff, wing: Stuff, tail: Stuff, engine: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A slim body and very long wings."""
    long, r = rng.uniform(0.65, 0.8), rng.uniform(0.035, 0.045)
    span, root = rng.uniform(0.68, 0.85), np.array([0, r * 0.6, long * 0.15])
    wings = _wings(wing, root, span, rng.uniform(0.085, 0.11), 0.4, 0.02, rng.uniform(0.03, 0.08))
    return [_tube(body, long, r, 0.15, 0.6), *wings, *_tail(tail, long, r, rng, high=True)]


def _tube(stuff: Stuff, long: float, r: float, nose: float, taper: float, blunt: float = 0.12) -> Solid:
    """A body from the tail at -long/2 to the nose at +long/2; `nose` and `taper` are shares of its length."""
    curve = np.linspace(0, np.pi / 2, 6)
    front = [(float(np.cos(t)), 1 - nose + nose * float(np.sin(t))) for t in curve]
    profile = [(blunt, 0.0), (0.5 + blunt / 2, taper * 0.5), (1.0, taper), *front]
    return stuff.turned([(r * radius, place) for radius, place in profile], (0, 0, -long / 2), (0, 0, long / 2), 14)


def _wings(
    stuff: Stuff, root: np.ndarray, span: float, chord: float, taper: float, sweep: float, rise: float
) -> list[Solid]:
    """A pair of wings. `root` is the leading edge at the middle; `span` is of one wing; the tip has `taper` times the chord."""
    thick = max(0.012, chord * 0.09)

    def rib(x: float, share: float, size: float) -> list[np.ndarray]:
        lead = root + [x, rise * share, -sweep * share]
        return [lead + [0, y, -z] for y, z in ((-thick / 2, 0), (-thick / 2, size), (thick / 2, size), (thick / 2, 0))]

    right = stuff.prism(rib(0.0, 0.0, chord), rib(span, 1.0, chord * taper))
    return [right, right.mirrored()]


def _fin(
    stuff: Stuff, x: float, y: float, z: float, tall: float, chord: float, sweep: float, lean: float = 0.0
) -> Solid:
    """An upright fin; (x, y, z) is the front of its root, and its head is `lean` further out."""
    t = 0.007
    lower = [(x + a, y, z - b) for a, b in ((-t, chord), (t, chord), (t, 0), (-t, 0))]
    upper = [(x + lean + a, y + tall, z - sweep - b) for a, b in ((-t, chord * 0.5), (t, chord * 0.5), (t, 0), (-t, 0))]
    return stuff.prism([lower[i] for i in (3, 2, 1, 0)], [upper[i] for i in (3, 2, 1, 0)])


def _tail(stuff: Stuff, long: float, r: float, rng: np.random.Generator, high: bool = False) -> list[Solid]:
    """A fin with a pair of small wings at its foot, or at its head (a T tail)."""
    tall, chord, sweep = rng.uniform(0.12, 0.18), rng.uniform(0.10, 0.15), rng.uniform(0.05, 0.12)
    z = -long / 2 + chord + 0.02
    fin = _fin(stuff, 0.0, r * 0.3, z, tall, chord, sweep)
    root = np.array([0, r * 0.3 + (tall if high else 0.02), z - (sweep if high else 0.0)])
    return [fin, *_wings(stuff, root, rng.uniform(0.15, 0.21), chord * 0.75, 0.55, sweep * 0.6, 0.0)]


def _blades(stuff: Stuff, at: np.ndarray, long: float) -> list[Solid]:
    """A propeller of two blades with its spinner."""
    blades = stuff.block(at + [-long, -0.012, 0.0], at + [long, 0.012, 0.008])
    return [blades, stuff.turned([(0.022, 0.0), (0.016, 0.6), (0.0, 1.0)], at, at + [0, 0, 0.05])]


def _wheels(stuff: Stuff, r: float, long: float) -> list[Solid]:
    """Two wheels on struts, and none at the tail."""
    parts = []
    for a in (-1, 1):
        hub = np.array([a * 0.11, -r - 0.08, long * 0.17])
        parts += [stuff.rod((a * r * 0.5, -r * 0.7, long * 0.17), hub, 0.008),
                  stuff.turned([(0.035, 0.0), (0.035, 1.0)], hub - [0.011, 0, 0], hub + [0.011, 0, 0])]  # fmt: skip
    return parts
