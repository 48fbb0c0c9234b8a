"""Clips to files: MP4 (H.264), GIF, numbered PNG pictures, arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from ornstein.core.checkpoint import write_aside

from .clip import Clip
from .pictures import side_by_side

Output = Literal["mp4", "gif", "frames", "npz"]
FASTEST_GIF = 50.0  # frames a second: players take a shorter time than 2/100 s for 10/100 s
_CRF = "12"  # of x264: errors of some 1 % of full scale


def save(clips: Sequence[Clip], folder: Path, output: Output = "mp4") -> list[Path]:
    """Write 0000.mp4, 0001.mp4, ... (or of another kind), then grid.gif, all clips at once.

    `npz` and `frames` (0000/0000.png, ...) keep every value, and so does `gif` where no frame has more than 256 colours; what was
    given to a task is exact in them. `mp4` does not: H.264 halves the resolution of colour and rounds. Its sides are made even
    by doubling the last row or column.

    Raises:
        ValueError: another kind, or a rate that a GIF does not have.
    """
    if output not in get_args(Output):
        raise ValueError(f"output {output!r}; choose from {', '.join(get_args(Output))}")
    folder.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(clips) - 1)))
    paths: list[Path] = []
    for i, clip in enumerate(clips):
        paths += _save(clip, folder / f"{i:0{digits}d}", output)
    if not clips:
        return []
    grid = side_by_side(clips)
    return [*paths, _aside(folder / "grid.gif", lambda aside: film(grid, str(aside), "gif"))]


def film(clip: Clip, file: Any, kind: Literal["mp4", "gif"]) -> None:
    """Encode a clip into a path or an open file.

    Raises:
        ValueError: a rate that a GIF does not have.
    """
    import av

    if kind == "gif" and clip.fps > FASTEST_GIF:
        raise ValueError(
            f"{clip.name or 'a clip'} has {clip.fps:g} frames a second, a GIF at most {FASTEST_GIF:g}: write mp4"
        )
    frames = _even(clip.frames) if kind == "mp4" else clip.frames
    with av.open(file, "w", format=kind) as container:
        rate = Fraction(clip.fps).limit_denominator(1001)
        options = {"crf": _CRF, "chroma_sample_location": "center"} if kind == "mp4" else {}
        stream: Any = container.add_stream("libx264" if kind == "mp4" else "gif", rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.codec_context.thread_count = 1  # of several, the file would depend on how many there are
        stream.pix_fmt = "yuv420p" if kind == "mp4" else "gray" if frames.shape[-1] == 1 else "pal8"
        for pixels in frames:
            container.mux(stream.encode(_frame(pixels, stream.pix_fmt)))
        container.mux(stream.encode())


def _save(clip: Clip, path: Path, output: Output) -> list[Path]:
    if output == "frames":
        path.mkdir(exist_ok=True)
        digits = max(4, len(str(clip.shape[0] - 1)))
        return [_aside(path / f"{k:0{digits}d}.png", partial(_png, each)) for k, each in enumerate(clip.frames)]
    to = path.with_name(f"{path.name}.{output}")
    if output == "npz":
        return [_aside(to, partial(_arrays, clip))]
    return [_aside(to, lambda aside: film(clip, str(aside), output))]


def _aside(path: Path, write: Callable[[Path], None]) -> Path:
    write_aside(path, write)
    return path


def _png(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    grey = pixels.ndim == 3 and pixels.shape[-1] == 1
    Image.fromarray(pixels[..., 0] if grey else pixels).save(path, "PNG")


def _arrays(clip: Clip, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, frames=clip.frames, fps=np.float64(clip.fps))


def _even(frames: np.ndarray) -> np.ndarray:
    return np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")


def _frame(pixels: np.ndarray, kind: str) -> Any:
    """Pixels as a frame of an encoder's format."""
    from av import VideoFrame

    if kind == "pal8":
        numbers, palette = _indexed(pixels)
        return VideoFrame.from_ndarray((numbers, palette), format="pal8")  # type: ignore[arg-type]
    if pixels.shape[-1] == 1:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels[..., 0]), format="gray")
    else:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(format=kind, threads=1) if kind != "gray" else frame


def _indexed(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours as numbers in a palette (256, 4) of alpha, red, green, blue: exact where 256 suffice."""
    from PIL import Image

    colours, numbers = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > 256:
        picture = Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE)
        numbers, colours = np.asarray(picture), np.array(picture.getpalette()).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    palette[: len(colours), 1:] = colours
    return numbers.reshape(pixels.shape[:2]).astype(np.uint8), palette
