"""Frames of any size, shape of pixels and turn to the model's size and channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

Resize = Literal["crop", "stretch", "pad"]


@dataclass(frozen=True)
class Fit:
    """How a frame becomes one of the model's.

    Frames of the model's size and channels are kept value by value. Others are made smaller by area averaging, larger by bicubic
    interpolation (swscale), as a player shows them: oblong pixels are undone, and so is the turn that a camera noted.

    Args:
        height: H of the model.
        width: W of the model.
        channels: 1 grey (ITU-R 601 luma), 3 red, green and blue.
        resize: other shapes are cut at the middle (`crop`), stretched, or get black bars (`pad`).

    Raises:
        ValueError: an option out of range.
    """

    height: int
    width: int
    channels: int = 3
    resize: Resize = "crop"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"modality.height={self.height}, modality.width={self.width}: at least 1")
        if self.channels not in (1, 3):
            raise ValueError(f"modality.channels={self.channels}: choose 1 (grey) or 3 (colour)")
        if self.resize not in ("crop", "stretch", "pad"):
            raise ValueError(f"modality.resize={self.resize!r}: choose from crop, stretch, pad")

    def __call__(self, frame: VideoFrame, aspect: float = 1.0) -> np.ndarray:
        """uint8 (height, width, channels).

        Args:
            frame: decoded.
            aspect: width over height of a pixel.
        """
        turns = round(frame.rotation / 90) % 4
        height, width = self._scaled(frame, aspect, turns)
        if frame.format.is_rgb or self.channels == 3:
            found = self._converted(frame, height, width, "rgb24")
        else:
            found = self._converted(frame, height, width, "gray")[..., None]
        return to_channels(self._cut(np.rot90(found, turns)), self.channels)

    def pixels(self, pixels: np.ndarray) -> np.ndarray:
        """The same for a frame as an array, uint8 (H, W, 1 or 3)."""
        if pixels.shape == (self.height, self.width, self.channels):
            return pixels
        from av import VideoFrame

        return self(VideoFrame.from_ndarray(np.ascontiguousarray(to_channels(pixels, 3)), format="rgb24"))

    def _scaled(self, frame: VideoFrame, aspect: float, turns: int) -> tuple[int, int]:
        """The size to scale to, before the frame is turned and cut."""
        wanted = (self.width, self.height) if turns % 2 else (self.height, self.width)
        if self.resize == "stretch":
            return wanted
        shown = (frame.height, frame.width * aspect)
        ratios = [a / b for a, b in zip(wanted, shown, strict=True)]
        scale = max(ratios) if self.resize == "crop" else min(ratios)
        bound = max if self.resize == "crop" else min
        height, width = (bound(a, max(1, round(b * scale))) for a, b in zip(wanted, shown, strict=True))
        return height, width

    def _converted(self, frame: VideoFrame, height: int, width: int, kind: str) -> np.ndarray:
        reformatter, larger, smaller = _reformatter()
        flags = smaller if height < frame.height or width < frame.width else larger
        # One thread: workers are as many as there are cores, and threads of small frames wait for each other.
        return reformatter.reformat(frame, width, height, kind, interpolation=flags, threads=1).to_ndarray()

    def _cut(self, found: np.ndarray) -> np.ndarray:
        """The middle of what is larger; black around what is smaller."""
        height, width = found.shape[:2]
        if height < self.height or width < self.width:
            canvas = np.zeros((self.height, self.width, found.shape[-1]), np.uint8)
            top, left = (self.height - height) // 2, (self.width - width) // 2
            canvas[top : top + height, left : left + width] = found
            return canvas
        top, left = (height - self.height) // 2, (width - self.width) // 2
        return found[top : top + self.height, left : left + self.width]


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (..., 1 or 3) as (..., channels); colour becomes grey by ITU-R 601 luma: grey in colours stays as it is."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    luma = pixels.astype(np.uint32) @ np.asarray([19595, 38470, 7471], np.uint32)  # / 65536 = 0.299, 0.587, 0.114
    return ((luma + 0x8000) >> 16).astype(np.uint8)[..., None]


@cache
def _reformatter() -> tuple[Any, Any, Any]:
    """One scaler, which keeps its tables from frame to frame; how it enlarges, half-sized colour too; how it shrinks."""
    from av.video.reformatter import Interpolation, VideoReformatter

    exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return VideoReformatter(), Interpolation.BICUBIC | exact, Interpolation.AREA | exact
