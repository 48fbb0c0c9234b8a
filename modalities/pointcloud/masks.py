"""A user's own word on what of a given shape is to be made anew."""

from __future__ import annotations

import numpy as np
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File


def read_mask(file: File, item: Item) -> np.ndarray:
    """(N,) bool: the points of a given shape that stay.

    The file is text. Six numbers are the lower and the upper corner of a box, in the unit of the shape: what lies in it is made
    anew. One number is that of a part that the shape's file tells apart: that part is made anew.

    Raises:
        BadItem: other content, parts that the shape does not have, or nothing or all to be made.
    """
    cloud = item.data
    try:
        numbers = np.array(file.read().decode().replace(",", " ").split(), dtype=float)
    except ValueError as error:
        raise BadItem(file.location, "is no text of numbers: six are the corners of a box, one is a part") from error
    if len(numbers) == 6:
        open_ = ((cloud.points >= numbers[:3]) & (cloud.points <= numbers[3:])).all(1)
    elif len(numbers) == 1 and cloud.parts is not None:
        open_ = cloud.parts == int(numbers[0])
    elif len(numbers) == 1:
        raise BadItem(file.location, f"names part {numbers[0]:g}, and {item.key} has no parts: give a box, six numbers")
    else:
        raise BadItem(file.location, f"holds {len(numbers)} numbers: six are the corners of a box, one is a part")
    if not open_.any() or open_.all():
        low, high = cloud.points.min(0).round(3).tolist(), cloud.points.max(0).round(3).tolist()
        parts = "" if cloud.parts is None else f", with parts {', '.join(map(str, np.unique(cloud.parts).tolist()))}"
        found = "all" if open_.any() else "none"
        raise BadItem(
            file.location, f"calls {found} of {item.key} to be made anew: it reaches from {low} to {high}{parts}"
        )
    return ~open_
