"""Lamps: on tables, on the floor, on tripods, arcs and jointed arms, and hanging from the ceiling."""

from __future__ import annotations

import numpy as np

from .colours import METALS, SHADES, WOODS, one_of
from .solids import Solid, Stuff

PARTS = ("base", "stem", "shade")


def lamp(rng: np.random.Generator) -> list[Solid]:
    """One lamp: its kind is drawn, then its measures."""
    make = (_table, _table, _floor, _floor, _tripod, _arc, _jointed, _pendant)[int(rng.integers(8))]
    metal, shade = one_of(METALS, rng), one_of(SHADES, rng)
    base = one_of(WOODS + METALS + SHADES, rng)
    return make(Stuff(0, base), Stuff(1, metal), Stuff(2, shade), rng)


def _table(base: Stuff, stem: Stuff, shade: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A vase, a ball, a block or a plate under a short stem."""
    r, h = rng.uniform(0.06, 0.11), rng.uniform(0.18, 0.34)
    how = str(rng.choice(["vase", "gourd", "balls", "block", "plate"]))
    if how == "vase":
        neck, belly = rng.uniform(0.2, 0.4), rng.uniform(0.45, 0.75)
        profile = [(r * 0.6, 0.0), (r, belly * 0.6), (r * 0.95, belly), (r * neck, 0.92), (r * neck, 1.0)]
        parts = [base.turned(profile, (0, 0, 0), (0, h, 0), 20)]
    elif how == "gourd":
        profile = [
            (r * 0.7, 0.0),
            (r, 0.2),
            (r * 0.8, 0.4),
            (r * 0.45, 0.52),
            (r * 0.6, 0.7),
            (r * 0.4, 0.9),
            (r * 0.15, 1.0),
        ]
        parts = [base.turned(profile, (0, 0, 0), (0, h, 0), 20)]
    elif how == "balls":
        radius = h / 6
        parts = [
            base.disc((0, 0, 0), r, 0.02),
            *(base.ball((0, 0.02 + radius * (2 * k + 1), 0), radius) for k in range(3)),
        ]
    elif how == "block":
        parts = [base.block((-r * 0.8, 0, -r * 0.8), (r * 0.8, h * 0.9, r * 0.8))]
    else:
        parts = [base.disc((0, 0, 0), r * 1.1, 0.025), stem.rod((0, 0.025, 0), (0, h, 0), 0.012)]
    top = h + rng.uniform(0.03, 0.08)
    return [
        *parts,
        stem.rod((0, h * 0.9, 0), (0, top + 0.04, 0), 0.009),
        *_shade(shade, top, rng.uniform(0.12, 0.20), rng),
    ]


def _floor(base: Stuff, stem: Stuff, shade: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A plate, a pole, and a shade or a bowl that is open above."""
    r, h, thick = rng.uniform(0.12, 0.17), rng.uniform(1.05, 1.45), rng.uniform(0.011, 0.02)
    foot = [base.disc((0, 0, 0), r, 0.03)]
    if rng.random() < 0.3:
        foot = [base.turned([(r, 0.0), (r * 0.75, 0.35), (0.03, 1.0)], (0, 0, 0), (0, 0.10, 0), 20)]
    pole = stem.rod((0, 0.03, 0), (0, h, 0), thick)
    if rng.random() < 0.25:
        bowl = shade.shell(0.05, rng.uniform(0.15, 0.2), rng.uniform(0.10, 0.16), (0, h, 0))
        return [*foot, pole, bowl]
    return [*foot, pole, *_shade(shade, h - 0.05, rng.uniform(0.16, 0.23), rng)]


def _tripod(base: Stuff, stem: Stuff, shade: Stuff, rng: np.random.Generator) -> list[Solid]:
    """Three or four legs that meet below the shade."""
    h, reach, count = rng.uniform(0.95, 1.3), rng.uniform(0.22, 0.34), int(rng.choice([3, 3, 4]))
    r, start = rng.uniform(0.012, 0.02), rng.uniform(0, 2 * np.pi)
    angles = start + 2 * np.pi * np.arange(count) / count
    legs = [
        base.rod((np.sin(t) * 0.03, h, np.cos(t) * 0.03), (np.sin(t) * reach, 0, np.cos(t) * reach), r) for t in angles
    ]
    return [
        *legs,
        stem.rod((0, h - 0.03, 0), (0, h + 0.08, 0), 0.02),
        *_shade(shade, h + 0.03, rng.uniform(0.16, 0.23), rng),
    ]


def _arc(base: Stuff, stem: Stuff, shade: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A heavy foot, a bow, and a dome at its end, over +z."""
    h, reach = rng.uniform(1.15, 1.5), rng.uniform(0.45, 0.75)
    turn = np.linspace(0, np.pi * rng.uniform(0.85, 1.0), 9)
    straight = h * rng.uniform(0.35, 0.6)
    bow = [(0, straight + (h - straight) * np.sin(t), reach / 2 * (1 - np.cos(t))) for t in turn]
    end, r = np.array(bow[-1]), rng.uniform(0.11, 0.16)
    foot = base.disc((0, 0, 0), rng.uniform(0.13, 0.18), 0.05)
    if rng.random() < 0.4:
        side = rng.uniform(0.12, 0.16)
        foot = base.block((-side, 0, -side), (side, 0.06, side))
    return [foot, *stem.path([(0, 0.03, 0), *bow], 0.012), _dome(shade, end, r)]


def _jointed(base: Stuff, stem: Stuff, shade: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A desk lamp: two arms with a joint, and a cone that looks down and forward."""
    first, second = rng.uniform(0.24, 0.34), rng.uniform(0.22, 0.32)
    lean, bend = rng.uniform(0.2, 0.6), rng.uniform(0.7, 1.2)
    foot, r = rng.uniform(0.08, 0.11), rng.uniform(0.009, 0.013)
    start = np.array([0, 0.03, 0])
    elbow = start + first * np.array([0, np.cos(lean), -np.sin(lean)])
    head = elbow + second * np.array([0, np.cos(bend), np.sin(bend)])
    look = np.array([0, -np.cos(0.5), np.sin(0.5)])
    wide, deep = rng.uniform(0.065, 0.10), rng.uniform(0.10, 0.15)
    cone = shade.turned([(0.025, 0.0), (0.035, 0.25), (wide, 1.0)], head - 0.02 * look, head + deep * look, 20)
    arms = [stem.rod(start, elbow, r), stem.rod(elbow, head, r), stem.ball(elbow, 0.02)]
    return [base.disc((0, 0, 0), foot, 0.03), *arms, cone]


def _pendant(base: Stuff, stem: Stuff, shade: Stuff, rng: np.random.Generator) -> list[Solid]:
    """A rose at the ceiling, a cord, and a shade, a dome, or a chandelier of several."""
    cord, r = rng.uniform(0.35, 0.8), rng.uniform(0.13, 0.24)
    how = str(rng.choice(["shade", "dome", "arms"]))
    deep = r * 0.9 if how == "dome" else 0.25
    top = deep + cord
    parts = [base.disc((0, top, 0), 0.06, 0.025), stem.rod((0, deep - 0.02, 0), (0, top, 0), 0.006)]
    if how == "dome":
        return [*parts, _dome(shade, np.array([0, deep, 0]), r)]
    if how == "shade":
        return [*parts, *_shade(shade, 0.0, r, rng, tall=deep)]
    count, reach = int(rng.integers(3, 7)), rng.uniform(0.22, 0.32)
    for t in 2 * np.pi * np.arange(count) / count:
        tip = np.array([np.sin(t) * reach, 0.13, np.cos(t) * reach])
        cup = [part.moved((tip[0], 0, tip[2])) for part in _shade(shade, 0.12, 0.07, rng, tall=0.10)]
        parts += [*stem.path([(0, deep, 0), tip * [0.6, 0.5, 0.6], tip], 0.008), *cup]
    return parts


def _shade(shade: Stuff, low: float, r: float, rng: np.random.Generator, tall: float | None = None) -> list[Solid]:
    """A cone, a drum, a globe or a square shade."""
    tall = r * rng.uniform(0.95, 1.5) if tall is None else tall
    how = str(rng.choice(["cone", "cone", "drum", "globe", "empire"]))
    if how == "globe":
        return [shade.ball((0, low + r * 0.8, 0), r * 0.8)]
    narrow = {"cone": rng.uniform(0.4, 0.7), "drum": 1.0, "empire": rng.uniform(0.2, 0.35)}[how]
    return [shade.shell(r, r * narrow, tall, (0, low, 0))]


def _dome(shade: Stuff, top: np.ndarray, r: float) -> Solid:
    """Half a ball, open below, hanging from `top`."""
    angle = np.linspace(0.12, np.pi / 2, 7)
    outer = [(r * float(np.sin(t)), float(1 - np.cos(t))) for t in angle]
    inner = [(0.94 * radius, place) for radius, place in reversed(outer)]
    return shade.turned([*outer, *inner], top, top - [0, 0.9 * r, 0], 24)
