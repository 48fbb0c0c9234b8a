"""Tasks of video: what of a clip is given. `known` is (T, H, W) bool, True where a pixel is given.

A clip that was read whole from a file, with no window cut, is *open*: what is to be made is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.tasks import Task

from .clip import Clip

OPEN = "open"  # key of Item.meta


@dataclass(frozen=True)
class Predict(Task):
    """The first frames are given, the others are to be made.

    Args:
        window: frames of the training clips; an open clip is made as long, and half of it is made behind a longer one.
        first: frames that are given, of a clip that is not open; None: drawn.
        more: frames to be made instead.
    """

    window: int
    first: int | None = None
    more: int | None = None

    def sized(self, size: int) -> Predict:
        """With another number of frames to be made, also more than a training clip has: they are then made window by window.

        Raises:
            ValueError: a size that is not a whole number above 0.
        """
        return replace(self, more=_count(size, "a prediction takes one number, the frames to make"))

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The clip, extended where it is open, and its beginning.

        Raises:
            ValueError: a clip that is too short to leave so many frames to be made.
        """
        clip: Clip = item.data
        count = clip.shape[0]
        if item.meta.get(OPEN):
            more = self.more or (self.window - count if count < self.window else max(1, self.window // 2))
            room = np.zeros((more, *clip.shape[1:]), np.uint8)
            extended = replace(clip, frames=np.concatenate([clip.frames, room]))
            return replace(item, data=extended), _in_time(np.arange(count + more) < count, extended)
        first = self.first if self.first is not None else int(rng.integers(1, max(2, count)))
        first = first if self.more is None else count - self.more
        if not 0 < first < count:
            raise ValueError(f"{item.key}: has {count} frames: of them {first} cannot be given and the others be made")
        return item, _in_time(np.arange(count) < first, clip)


@dataclass(frozen=True)
class Interpolate(Task):
    """The first and the last frame are given, those between are to be made; also of an open clip.

    Args:
        window: frames of the training clips; an open clip becomes as long.
        frames: length that an open clip is to have instead.
    """

    window: int
    frames: int | None = None

    def sized(self, size: int) -> Interpolate:
        """With another number of frames, both ends among them.

        Raises:
            ValueError: a size below 3.
        """
        count = _count(size, "an interpolation takes one number, its frames with both ends")
        if count < 3:
            raise ValueError(f"size {size}: both ends and a frame between them are 3")
        return replace(self, frames=count)

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The ends, with room between them.

        Raises:
            ValueError: fewer than two frames, or three where the clip is not open.
        """
        clip: Clip = item.data
        count = clip.shape[0]
        if item.meta.get(OPEN):
            if count < 2:
                raise ValueError(f"{item.key}: has one frame, and two ends are needed")
            count = self.frames or max(3, self.window)
            frames, ends = np.zeros((count, *clip.shape[1:]), np.uint8), clip.frames
            frames[0], frames[-1] = ends[0], ends[-1]
            clip = replace(clip, frames=frames)
        if count < 3:
            raise ValueError(f"{item.key}: has {count} frames: nothing lies between its ends")
        return replace(item, data=clip), _in_time(np.isin(np.arange(count), (0, count - 1)), clip)


@dataclass(frozen=True)
class Keyframes(Task):
    """Every so many frames one is given; of an open clip every frame, and frames between them are made, at its rate.

    Args:
        between: frames to be made between two; None: drawn, and 3 of an open clip.
    """

    between: int | None = None

    def sized(self, size: int) -> Keyframes:
        """With another number of frames between two.

        Raises:
            ValueError: a size that is not a whole number above 0.
        """
        return replace(self, between=_count(size, "key frames take one number, the frames to make between two"))

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The clip, spread out where it is open, and its key frames.

        Raises:
            ValueError: one frame alone.
        """
        clip: Clip = item.data
        count = clip.shape[0]
        if count < 2:
            raise ValueError(f"{item.key}: has one frame, and key frames are two or more")
        if item.meta.get(OPEN):
            step = (3 if self.between is None else self.between) + 1
            frames = np.zeros(((count - 1) * step + 1, *clip.shape[1:]), np.uint8)
            frames[::step] = clip.frames
            clip = replace(clip, frames=frames)
        else:
            step = (int(rng.integers(1, max(2, count // 2))) if self.between is None else self.between) + 1
        return replace(item, data=clip), _in_time(np.arange(clip.shape[0]) % step == 0, clip)


@dataclass(frozen=True)
class Inpaint(Task):
    """A box of 1/4 to 3/4 of each side, anywhere, the same in all frames, is to be filled."""

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, np.ndarray]:
        """The clip, and the pixels outside the box."""
        shape = item.data.shape[:3]
        known = np.ones(shape, bool)
        sides = [int(np.clip(round(rng.uniform(0.25, 0.75) * n), 1, max(1, n - 1))) for n in shape[1:]]
        top, left = (int(rng.integers(n - side + 1)) for n, side in zip(shape[1:], sides, strict=True))
        known[:, top : top + sides[0], left : left + sides[1]] = False
        return item, known


def _in_time(given: np.ndarray, clip: Clip) -> np.ndarray:
    """Whole frames (T,) as pixels (T, H, W)."""
    return np.broadcast_to(given[:, None, None], clip.shape[:3]).copy()


def _count(size: int, what: str) -> int:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size {size}: {what}")
    return size
