"""How a picture of any size comes to the model's: cut, distorted or framed, by one of two filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from .buckets import Shape, nearest

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Resize = Literal["crop", "stretch", "pad"]
Filter = Literal["lanczos", "area"]
_MOST = 16  # times that a picture is enlarged: by so much or more it is no picture of that size


@dataclass(frozen=True)
class Fit:
    """What becomes of pictures of other sizes.

    Args:
        shapes: heights and widths of which a picture takes the one that is nearest in aspect ratio; none: it stays as it is.
        resize: `crop`: its middle, of that aspect ratio; `stretch`: all of it, distorted; `pad`: all of it, framed in white, or
            in nothing where alpha is kept.
        filter: `lanczos`, or `area`, the mean over the pixels that a pixel stands for (enlarging, the nearest). Both are
            antialiased.

    Raises:
        ValueError: a word that is none of these.
    """

    shapes: tuple[Shape, ...] = ()
    resize: Resize = "crop"
    filter: Filter = "lanczos"

    def __post_init__(self) -> None:
        for name, value, choices in (("resize", self.resize, Resize), ("filter", self.filter, Filter)):
            if value not in get_args(choices):
                raise ValueError(f"modality.{name}={value!r}; choose from {', '.join(get_args(choices))}")

    def shape(self, height: int, width: int) -> Shape:
        """The size that a picture of a size becomes."""
        if len(self.shapes) < 2:
            return self.shapes[0] if self.shapes else (height, width)
        return nearest(self.shapes, height, width)

    def refusal(self, height: int, width: int) -> str | None:
        """Why a picture of a size cannot become one of the model's; None: it can."""
        shape = self.shape(height, width)
        up, across = shape[0] / height, shape[1] / width
        times = min(up, across) if self.resize == "pad" else max(up, across)
        said, target = f"is {height} x {width} pixels", f"{shape[0]} x {shape[1]}"
        if times >= _MOST:
            return f"{said}: it would be enlarged {times:.0f} times to be {target}, and {_MOST} times is too much"
        if self.resize == "pad" and min(height, width) * times < 0.5:
            return f"{said}: all of it in {target} has a side of less than half a pixel"
        return None

    def apply(self, picture: Picture, height: int, width: int) -> Picture:
        """The picture at the model's size; one that has it already is untouched.

        Args:
            picture: the whole of it, perhaps decoded at a part of its size.
            height, width: its own size.
        """
        from PIL import Image

        shape = self.shape(height, width)
        if (shape[1], shape[0]) == picture.size:
            return picture
        how = Image.Resampling.LANCZOS if self.filter == "lanczos" else Image.Resampling.BOX
        top, left, rows, columns = self._place(height, width)
        made = picture.resize((columns, rows), how, box=self._box(picture, shape))
        if (rows, columns) == shape:
            return made
        frame = Image.new(picture.mode, (shape[1], shape[0]), (0, 0, 0, 0) if picture.mode == "RGBA" else "white")
        frame.paste(made, (left, top))
        return frame

    def border(self, height: int, width: int) -> np.ndarray | None:
        """Which pixels of what a picture of a size becomes are its frame, bool (H, W); None: it has none."""
        shape = self.shape(height, width)
        top, left, rows, columns = self._place(height, width)
        if (rows, columns) == shape:
            return None
        frame = np.ones(shape, bool)
        frame[top : top + rows, left : left + columns] = False
        return frame

    def _box(self, picture: Picture, shape: Shape) -> tuple[float, float, float, float]:
        """Left, upper, right and lower of the part that is taken."""
        width, height = picture.size
        if self.resize != "crop":
            return 0, 0, width, height
        scale = min(height / shape[0], width / shape[1])
        rows, columns = shape[0] * scale, shape[1] * scale
        left, top = (width - columns) // 2, (height - rows) // 2
        return left, top, min(width, left + columns), min(height, top + rows)  # rounding must not lead outside

    def _place(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, rows and columns of the part in what the picture becomes."""
        shape = self.shape(height, width)
        if self.resize != "pad":
            return 0, 0, *shape
        scale = min(shape[0] / height, shape[1] / width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        return (shape[0] - rows) // 2, (shape[1] - columns) // 2, rows, columns
