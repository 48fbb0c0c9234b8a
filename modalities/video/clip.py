"""The clip: frames of one size, the rate they were taken at, and where in which film they stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Filed(Protocol):
    """Frames that lie in a file until they are asked for."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, C)."""
        ...

    def __call__(self) -> np.ndarray:
        """Decode them: uint8 of that shape."""
        ...


class _Frames:
    """The attribute `frames`: an array, or frames on file, decoded each time it is read."""

    def __get__(self, clip: Clip | None, owner: type | None = None) -> np.ndarray:
        if clip is None:
            raise AttributeError("frames")  # so that the field has no default
        held = clip.__dict__["frames"]
        return held if isinstance(held, np.ndarray) else held()

    def __set__(self, clip: Clip, held: np.ndarray | Filed) -> None:
        clip.__dict__["frames"] = held


@dataclass(frozen=True, eq=False)
class Clip:
    """A moving picture at the model's size, rate and channels.

    Args:
        frames: (T, H, W, C) uint8, 0 black, 255 white; C = 1 grey, 3 red, green and blue. Frames on file stay there: `frames`
            decodes them whenever it is read, so a program that needs them twice keeps them itself.
        fps: frames a second, of these frames; those that a stride left out are not counted.
        start: of the first frame in its film, s.
        name: of the file, with what of it where it is a part.

    Raises:
        ValueError: frames of another shape or type, or a rate that is not a positive number.
    """

    frames: _Frames = _Frames()
    fps: float  # type: ignore[misc]  # mypy takes the descriptor for a default
    start: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        held = self.__dict__["frames"]
        kind = getattr(held, "dtype", np.uint8)
        if len(self.shape) != 4 or kind != np.uint8 or self.shape[-1] not in (1, 3) or 0 in self.shape:
            raise ValueError(
                f"{self.name or 'a clip'}: frames are {kind} of shape {self.shape}: "
                "uint8 (T, H, W, C) is wanted, with C of 1 or 3"
            )
        if not 0 < self.fps < float("inf"):
            raise ValueError(f"{self.name or 'a clip'}: {self.fps} frames a second: a positive number is wanted")

    def __repr__(self) -> str:
        return f"Clip({self.shape}, fps={self.fps}, start={self.start}, name={self.name!r})"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, C), without decoding."""
        return self.__dict__["frames"].shape

    @property
    def seconds(self) -> float:
        """How long it lasts, T / fps."""
        return self.shape[0] / self.fps
