"""What furniture is painted with: sRGB of woods, metals and fabrics."""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]

WOODS: tuple[Colour, ...] = ((205, 170, 125), (160, 110, 65), (110, 70, 40), (225, 205, 170), (80, 55, 40))
METALS: tuple[Colour, ...] = ((185, 190, 195), (70, 72, 76), (190, 160, 90), (35, 35, 38))
FABRICS: tuple[Colour, ...] = (
    (150, 55, 50),
    (60, 85, 120),
    (95, 115, 80),
    (210, 200, 185),
    (70, 70, 75),
    (200, 150, 60),
)
SHADES: tuple[Colour, ...] = ((245, 235, 210), (230, 225, 220), (215, 170, 110), (90, 120, 110), (170, 70, 60))
PAINTS: tuple[Colour, ...] = ((235, 238, 240), (200, 40, 45), (45, 80, 150), (240, 200, 60), (110, 130, 120))


def one_of(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    """Any of them."""
    return colours[int(rng.integers(len(colours)))]
