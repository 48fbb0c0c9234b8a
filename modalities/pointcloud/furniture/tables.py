"""Tables: a top of several shapes on legs, a pedestal, trestles, panels or drawers."""

from __future__ import annotations

import numpy as np

from .colours import METALS, WOODS, one_of
from .solids import Solid, Stuff

PARTS = ("legs", "top", "shelves and drawers")


def table(rng: np.random.Generator) -> list[Solid]:
    """One table: its kind is drawn, then its measures. Coffee, dining and bar tables differ in height."""
    kind = str(rng.choice(["legs", "legs", "legs", "pedestal", "pedestal", "trestle", "panels", "desk"]))
    height = float(rng.choice([rng.uniform(0.38, 0.50), rng.uniform(0.70, 0.78), rng.uniform(0.95, 1.08)],
                              p=[0.25, 0.62, 0.13]))  # fmt: skip
    height = rng.uniform(0.70, 0.78) if kind == "desk" else height
    thick, wood, metal = rng.uniform(0.02, 0.055), one_of(WOODS, rng), one_of(METALS, rng)
    legs = Stuff(0, wood if rng.random() < 0.6 else metal)
    shapes = {
        "legs": ["rectangle", "rectangle", "square", "round", "oval"],
        "pedestal": ["round", "round", "square", "oval"],
    }
    shape = str(rng.choice(shapes.get(kind, ["rectangle"])))
    deep = rng.uniform(0.55, 0.95) if height < 0.9 else rng.uniform(0.45, 0.65)
    long = {"rectangle": deep * rng.uniform(1.35, 2.1), "oval": deep * rng.uniform(1.3, 1.7)}.get(shape, deep)
    under = height - thick
    parts = _top(Stuff(1, wood), shape, long / 2, deep / 2, under, thick)
    room = (long / 2 * 0.72, deep / 2 * 0.72) if shape in ("round", "oval") else (long / 2 - 0.06, deep / 2 - 0.06)
    return parts + _UNDER[kind](legs, Stuff(2, wood), room, under, rng)


def _top(stuff: Stuff, shape: str, x: float, z: float, low: float, thick: float) -> list[Solid]:
    if shape in ("round", "oval"):
        return [stuff.disc((0, 0, 0), 1.0, thick, 28).scaled((x, 1, z)).moved((0, low, 0))]
    return [stuff.block((-x, low, -z), (x, low + thick, z))]


def _legs(legs: Stuff, more: Stuff, room: tuple[float, float], top: float, rng: np.random.Generator) -> list[Solid]:
    """Four legs, square or round, straight, tapered or splayed, with an apron, a shelf or stretchers, or hairpins."""
    (x, z), side = room, rng.uniform(0.035, 0.08)
    how = str(rng.choice(["straight", "straight", "tapered", "splayed", "hairpin"]))
    if how == "hairpin":
        return [rod for a in (-x, x) for b in (-z, z) for rod in legs.path(
            [(a - 0.06 * np.sign(a), top, b), (a * 1.04, 0.0, b * 1.04), (a, top, b - 0.06 * np.sign(b))], 0.009)]  # fmt: skip
    spread, taper = (1.14 if how == "splayed" else 1.0), (1.0 if how == "straight" else 0.5)
    make, thick = (legs.rod, side / 2) if rng.random() < 0.4 else (legs.beam, side)
    inner = 0.86 if how == "splayed" else 1.0
    parts = [make((a * inner, top, b * inner), (a * inner * spread, 0, b * inner * spread), thick, thick * taper)
             for a in (-x, x) for b in (-z, z)]  # fmt: skip
    extra = str(rng.choice(["none", "none", "apron", "shelf", "stretchers"]))
    if extra == "apron":
        low = top - rng.uniform(0.06, 0.11)
        parts += [more.block((-x, low, b - 0.012), (x, top, b + 0.012)) for b in (-z, z)]
        parts += [more.block((a - 0.012, low, -z), (a + 0.012, top, z)) for a in (-x, x)]
    elif extra == "shelf" and how == "straight":
        h = top * rng.uniform(0.2, 0.4)
        parts.append(more.block((-x, h, -z), (x, h + 0.02, z)))
    elif extra == "stretchers" and how == "straight":
        h = top * rng.uniform(0.12, 0.3)
        parts += [legs.beam((a, h, -z), (a, h, z), side * 0.6) for a in (-x, x)]
        parts.append(legs.beam((-x, h, 0), (x, h, 0), side * 0.6))
    return parts


def _pedestal(legs: Stuff, more: Stuff, room: tuple[float, float], top: float, rng: np.random.Generator) -> list[Solid]:
    """A column on a plate, a trumpet, crossed feet or three curved feet; two of them under a long top."""
    (x, z), r = room, rng.uniform(0.03, 0.06)
    foot, how = min(x, z) * rng.uniform(0.75, 1.1), str(rng.choice(["plate", "trumpet", "cross", "three"]))
    if how == "trumpet":
        profile = [(foot, 0.0), (foot * 0.6, 0.05), (r * 1.3, 0.3), (r, 0.6), (r * 2.5, 1.0)]
        one = [legs.turned(profile, (0, 0, 0), (0, top, 0), 16)]
    elif how == "plate":
        one = [legs.disc((0, 0, 0), foot, 0.03), legs.rod((0, 0.03, 0), (0, top, 0), r)]
    else:
        count = 4 if how == "cross" else 3
        angles = 2 * np.pi * np.arange(count) / count + np.pi / count
        start = 0.06 if how == "cross" else 0.22
        one = [legs.rod((0, 0.03 if how == "cross" else 0.18, 0), (0, top, 0), r)]
        one += [legs.beam((0, start, 0), (np.sin(t) * foot, 0.02, np.cos(t) * foot), 0.06, 0.04) for t in angles]
    if x > 1.5 * z:
        return [part.moved((a * x * 0.55, 0, 0)) for a in (-1, 1) for part in one]
    return one


def _trestle(legs: Stuff, more: Stuff, room: tuple[float, float], top: float, rng: np.random.Generator) -> list[Solid]:
    """An A, an X or a T with a foot at each end, and a bar between them."""
    (x, z), side, how = room, rng.uniform(0.04, 0.07), str(rng.choice(["A", "X", "T"]))
    x, parts = x * rng.uniform(0.7, 0.95), []
    for a in (-x, x):
        if how == "A":
            parts += [legs.beam((a, top, b * 0.25), (a, 0, b), side) for b in (-z, z)]
        elif how == "X":
            parts += [legs.beam((a, top, b), (a, 0, -b), side) for b in (-z, z)]
        else:
            parts += [legs.block((a - side / 2, 0, -z), (a + side / 2, side, z)),
                      legs.block((a - side / 2, side, -side * 1.5), (a + side / 2, top, side * 1.5))]  # fmt: skip
    h = top * (0.5 if how == "X" else rng.uniform(0.25, 0.5))
    return [*parts, legs.beam((-x, h, 0), (x, h, 0), side * 0.8)]


def _panels(legs: Stuff, more: Stuff, room: tuple[float, float], top: float, rng: np.random.Generator) -> list[Solid]:
    """Whole sides, with a back board, a shelf or neither."""
    (x, z), t, extra = room, rng.uniform(0.025, 0.05), str(rng.choice(["back", "shelf", "none"]))
    parts = [legs.block((a, 0, -z), (a + t, top, z)) for a in (-x, x - t)]
    if extra == "back":
        parts.append(more.block((-x, top * rng.uniform(0.4, 0.6), -0.012), (x, top, 0.012)))
    elif extra == "shelf":
        h = top * rng.uniform(0.25, 0.5)
        parts.append(more.block((-x + t, h, -z), (x - t, h + 0.02, z)))
    return parts


def _desk(legs: Stuff, more: Stuff, room: tuple[float, float], top: float, rng: np.random.Generator) -> list[Solid]:
    """A chest of drawers on one side or both, legs on the other."""
    (x, z), wide = room, rng.uniform(0.24, 0.36)
    floor = rng.choice([0.0, 0.08, top * 0.55])
    chests = [(x - wide, x)] if rng.random() < 0.6 else [(x - wide, x), (-x, wide - x)]
    parts = [more.block((low, floor, -z), (high, top, z)) for low, high in chests]
    bare = [(-x, -z), (-x, z)] if len(chests) == 1 else []
    bare += [(a, b) for low, high in chests for a in (low + 0.02, high - 0.02) for b in (-z + 0.02, z - 0.02) if floor]
    return parts + [legs.beam((a, floor if abs(b) < z else top, b), (a, 0, b), 0.045) for a, b in bare]


_UNDER = {"legs": _legs, "pedestal": _pedestal, "trestle": _trestle, "panels": _panels, "desk": _desk}
