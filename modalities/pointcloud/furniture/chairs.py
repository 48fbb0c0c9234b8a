"""Chairs: a seat on legs, a frame, panels, a sled or a column; backs and arms of several kinds. They face +z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colours import FABRICS, METALS, WOODS, one_of
from .solids import Solid, Stuff

PARTS = ("legs", "seat", "back", "arms")


@dataclass(frozen=True)
class Measures:
    """Metres: width and depth of the seat, height of its upper face and its thickness, height and lean of the back."""

    width: float
    depth: float
    seat: float
    thick: float
    back: float
    lean: float


def chair(rng: np.random.Generator) -> list[Solid]:
    """One chair: its kind is drawn, then its measures."""
    if rng.random() < 0.15:
        return _armchair(rng)
    kind = str(rng.choice(["legs", "legs", "legs", "sled", "swivel", "pedestal", "panels"]))
    size = Measures(
        rng.uniform(0.40, 0.56), rng.uniform(0.40, 0.52), rng.uniform(0.42, 0.50), rng.uniform(0.025, 0.08),
        rng.uniform(0.34, 0.62), rng.uniform(0.02, 0.14),
    )  # fmt: skip
    wood, metal, fabric = one_of(WOODS, rng), one_of(METALS, rng), one_of(FABRICS, rng)
    frame = wood if kind in ("legs", "panels") and rng.random() < 0.75 else metal
    soft = fabric if kind in ("swivel", "sled") or rng.random() < 0.5 else wood
    round_seat = kind in ("legs", "pedestal") and rng.random() < 0.2
    parts = _UNDER[kind](Stuff(0, frame), size, rng) + _seat(Stuff(1, soft), size, round_seat, rng)
    parts += _back(Stuff(2, soft), Stuff(2, frame), size, kind, rng)
    if rng.random() < 0.35 and not round_seat:
        parts += _arms(Stuff(3, frame), size, rng)
    return parts


def _legs(stuff: Stuff, s: Measures, rng: np.random.Generator) -> list[Solid]:
    """Four legs, square or round, straight, tapered or splayed, with or without stretchers."""
    side, splay, taper = rng.uniform(0.03, 0.055), rng.choice([0.0, 0.0, 0.05, 0.09]), rng.choice([1.0, 0.6])
    is_round, top = rng.random() < 0.45, s.seat - s.thick
    x, z = s.width / 2 - side / 2 - 0.01, s.depth / 2 - side / 2 - 0.01
    inset = 0.75 if splay else 1.0
    feet = [(np.sign(a) * (x * inset + splay), b) for a in (-1, 1) for b in (-z * inset - splay, z * inset + splay)]
    parts = []
    for fx, fz in feet:
        head = (np.sign(fx) * x * inset, top, np.sign(fz) * z * inset)
        make = stuff.rod if is_round else stuff.beam
        thick = side / 2 if is_round else side
        parts.append(make(head, (fx, 0, fz), thick, thick * taper))
    if not splay and rng.random() < 0.5:  # stretchers
        h = rng.uniform(0.10, 0.25)
        parts += [stuff.beam((a * x, h, -z), (a * x, h, z), side * 0.6) for a in (-1, 1)]
        z_bar = 0.0 if rng.random() < 0.6 else z
        parts.append(stuff.beam((-x, h, z_bar), (x, h, z_bar), side * 0.6))
    return parts


def _sled(stuff: Stuff, s: Measures, rng: np.random.Generator) -> list[Solid]:
    """A bent tube on each side: runners on the floor, or a cantilever that springs from the front."""
    r, top = rng.uniform(0.011, 0.018), s.seat - s.thick
    x, z = s.width / 2 - r, s.depth / 2 - r
    cantilever = rng.random() < 0.5
    parts = []
    for a in (-x, x):
        side = [(a, top, -z), (a, top, z), (a, r, z), (a, r, -z)] if cantilever else [
            (a, top, -z), (a, r, -z - 0.04), (a, r, z + 0.04), (a, top, z)]  # fmt: skip
        parts += stuff.path(side, r)
    return [*parts, stuff.rod((-x, r, -z), (x, r, -z), r)]


def _swivel(stuff: Stuff, s: Measures, rng: np.random.Generator) -> list[Solid]:
    """A column on a star of arms with castors."""
    arms, reach, r = int(rng.choice([4, 5, 5])), rng.uniform(0.26, 0.33), rng.uniform(0.022, 0.032)
    parts = [stuff.rod((0, 0.10, 0), (0, s.seat - s.thick, 0), r)]
    for angle in 2 * np.pi * (np.arange(arms) / arms + 0.05):
        tip = np.array([np.sin(angle) * reach, 0.07, np.cos(angle) * reach])
        parts += [stuff.beam((0, 0.11, 0), tip, 0.045, 0.03), stuff.ball(tip - [0, 0.04, 0], 0.03)]
    return parts


def _pedestal(stuff: Stuff, s: Measures, rng: np.random.Generator) -> list[Solid]:
    """A trumpet foot, or a column on a plate."""
    r, foot, top = rng.uniform(0.025, 0.045), rng.uniform(0.20, 0.27), s.seat - s.thick
    if rng.random() < 0.5:
        profile = [(foot, 0.0), (foot * 0.55, 0.06), (r * 1.3, 0.25), (r, 0.6), (r * 1.8, 1.0)]
        return [stuff.turned(profile, (0, 0, 0), (0, top, 0), 16)]
    return [stuff.disc((0, 0, 0), foot, 0.025), stuff.rod((0, 0.025, 0), (0, top, 0), r)]


def _panels(stuff: Stuff, s: Measures, rng: np.random.Generator) -> list[Solid]:
    """Two side panels down to the floor."""
    t, x, z = rng.uniform(0.025, 0.05), s.width / 2, s.depth / 2
    bottom = s.seat - s.thick
    return [stuff.block((a, 0, -z), (a + t, bottom, z)) for a in (-x, x - t)]


_UNDER = {"legs": _legs, "sled": _sled, "swivel": _swivel, "pedestal": _pedestal, "panels": _panels}


def _seat(stuff: Stuff, s: Measures, is_round: bool, rng: np.random.Generator) -> list[Solid]:
    """A slab, wider in front or not, or a disc."""
    if is_round:
        return [stuff.disc((0, s.seat - s.thick, 0), (s.width + s.depth) / 4, s.thick)]
    behind, x, z = s.width / 2 * rng.uniform(0.82, 1.0), s.width / 2, s.depth / 2
    lower, upper = ([(-x, h, z), (x, h, z), (behind, h, -z), (-behind, h, -z)] for h in (s.seat - s.thick, s.seat))
    return [stuff.prism(lower, upper)]


def _back(soft: Stuff, frame: Stuff, s: Measures, kind: str, rng: np.random.Generator) -> list[Solid]:
    """A panel, a low panel on posts, upright slats, rungs, a cross, or a hoop of spindles."""
    how = str(rng.choice(["panel", "raised"] if kind in ("swivel", "sled") else
                         ["panel", "raised", "slats", "rungs", "cross", "hoop"]))  # fmt: skip
    x, post = s.width / 2 * rng.uniform(0.84, 0.97), rng.uniform(0.028, 0.045)

    def at(side: float, share: float) -> np.ndarray:
        """A point of the plane of the back: -1 to 1 across, 0 to 1 up."""
        return np.array([side * x, s.seat + share * s.back, -s.depth / 2 + post / 2 - s.lean * share])

    def board(low: float, high: float, thick: float, left: float = -1, right: float = 1) -> Solid:
        deep = np.array([0, 0, thick / 2])
        rows = ([at(left, h) + deep, at(right, h) + deep, at(right, h) - deep, at(left, h) - deep] for h in (low, high))
        return soft.prism(*rows)

    if how == "panel":
        return [board(0.0, 1.0, rng.uniform(0.025, 0.08))]
    if how == "hoop":
        turn = np.linspace(np.pi, 0, 9)
        bow = [at(float(np.cos(t)), 0.45 + 0.55 * float(np.sin(t))) for t in turn]
        spindles = np.linspace(-0.7, 0.7, int(rng.integers(4, 7)))
        rods = [frame.rod(at(u * 0.85, 0.0), at(u, 0.45 + 0.55 * float(np.sqrt(1 - u * u))), 0.009) for u in spindles]
        return [*frame.path([at(-0.95, 0), *bow, at(0.95, 0)], 0.013), *rods]
    posts = [frame.beam(at(a, 0), at(a, 1), post, post * 0.8) for a in (-1, 1)]
    if how == "raised":
        return [*posts, board(rng.uniform(0.3, 0.6), 1.0, rng.uniform(0.02, 0.06))]
    rail = board(0.86, 1.0, 0.025)
    if how == "slats":
        places = np.linspace(-1, 1, int(rng.integers(4, 7)) + 2)[1:-1]
        return [*posts, rail, *(frame.beam(at(u, 0), at(u, 0.86), 0.03) for u in places)]
    if how == "rungs":
        heights = np.linspace(0.25, 0.9, int(rng.integers(3, 5)))
        return posts + [board(h, h + 0.09, 0.022) for h in heights]
    return [*posts, rail, frame.beam(at(-1, 0.1), at(1, 0.86), 0.03), frame.beam(at(1, 0.1), at(-1, 0.86), 0.03)]


def _arms(stuff: Stuff, s: Measures, rng: np.random.Generator) -> list[Solid]:
    """Rests on posts at the front."""
    h, side, x = s.seat + rng.uniform(0.17, 0.25), rng.uniform(0.03, 0.055), s.width / 2
    front = s.depth / 2 * rng.uniform(0.5, 0.95)
    parts = []
    for a in (-x, x):
        parts.append(stuff.block((a - side / 2, h - 0.025, -s.depth / 2 - s.lean / 3), (a + side / 2, h, front)))
        parts.append(stuff.beam((a, s.seat - s.thick, front - side / 2), (a, h - 0.025, front - side / 2), side * 0.7))
    return parts


def _armchair(rng: np.random.Generator) -> list[Solid]:
    """A club chair, or a sofa for two: thick cushions between solid arms."""
    fabric, feet = one_of(FABRICS, rng), Stuff(0, one_of(WOODS, rng))
    seat, arm, back = Stuff(1, fabric), Stuff(3, fabric), Stuff(2, fabric)
    w = rng.uniform(0.55, 0.75) if rng.random() < 0.65 else rng.uniform(1.0, 1.3)
    d, h, foot = rng.uniform(0.55, 0.68), rng.uniform(0.38, 0.46), rng.uniform(0.05, 0.14)
    t, rest, top = rng.uniform(0.09, 0.16), rng.uniform(0.16, 0.26), rng.uniform(0.34, 0.50)
    x, z, lean = w / 2, d / 2, rng.uniform(0.02, 0.12)
    parts = [feet.beam((a * (x + t / 2), foot, b * (z - 0.06)), (a * (x + t / 2), 0, b * (z - 0.06)), 0.05, 0.035)
             for a in (-1, 1) for b in (-1, 1)]  # fmt: skip
    sunk = 0.01  # of cushions in what holds them, so that they have no sides between them
    parts.append(seat.block((-x - sunk, foot, -z), (x + sunk, h, z + 0.03)))
    parts += [arm.block((a, foot, -z), (a + t, h + rest, z)) for a in (-x - t, x)]
    w, rows = x + sunk, ((h - sunk, -z), (h + top, -z - lean))
    lower, upper = ([(-w, y, c + t), (w, y, c + t), (w, y, c), (-w, y, c)] for y, c in rows)
    return [*parts, back.prism(lower, upper)]
