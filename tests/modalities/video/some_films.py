"""Small films whose frames tell their own numbers by how bright they are."""

from fractions import Fraction

import av
import numpy as np
from ornstein.core.sources import file_at
from ornstein.modalities.video.fitting import Fit
from ornstein.modalities.video.reading import Reading

STEP = 4  # levels of grey from one frame to the next: lossy codecs stay well within half of it
CODECS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "gif": "gif"}
FIT = Fit(24, 32, 1)


def counted(n, height=48, width=64, channels=3, noise=True):
    """Frames 0 .. n - 1, up to 56: level 16 + 4 k, with texture, so that codecs refer to other frames."""
    texture = np.random.default_rng(0).integers(-12, 13, (height, width)) if noise else np.zeros((height, width), int)
    texture -= round(float(texture.mean()))
    levels = 16 + STEP * np.arange(n)[:, None, None] + texture
    return np.repeat(levels.clip(0, 255).astype(np.uint8)[..., None], channels, -1)


def numbers(frames):
    """Which frames these are."""
    return ((frames.reshape(len(frames), -1).mean(1) - 16) / STEP).round().astype(int).tolist()


def write_film(
    path, frames, fps=25, stamps=None, codec=None, gop=12, options=None, rotation=None, aspect=None, front=False
):
    """Encode frames (T, H, W, 3); stamps are in 1/1000 s, in place of an even rate."""
    codec = codec or CODECS[path.suffix[1:]]
    pixels = {"gif": "rgb8", "mjpeg": "yuvj420p", "ffv1": "bgr0"}.get(codec, "yuv420p")
    quality = {
        "libx264": {"crf": "4", "bf": "3"},
        "mpeg4": {"qmax": "3", "b": "4000000", "bf": "2", "b_qfactor": "1", "b_qoffset": "0"},
        "libvpx-vp9": {"crf": "8", "cpu-used": "8"},
    }
    with av.open(str(path), "w", options={"movflags": "faststart"} if front else {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.options = {**quality.get(codec, {}), **(options or {})}
        stream.codec_context.thread_count = 1
        if codec != "gif":
            stream.codec_context.gop_size = gop
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, each in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(each), format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_packets(path, packets, size=(48, 64), rate=25):
    """JPEGs with stamps of one's own: (array, pts in 1/1000 s), of any size each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, pts in packets:
            context = av.CodecContext.create("mjpeg", "w")
            context.height, context.width, context.pix_fmt = *pixels.shape[:2], "yuvj420p"
            context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="yuvj420p")
            for packet in context.encode(frame):
                packet.pts = packet.dts = pts
                packet.time_base, packet.stream = Fraction(1, 1000), stream
                container.mux(packet)
    return path


def read(path, row=None, fit=FIT, **options):
    """The clip of a row, or the whole film."""
    return Reading(fit, **options).read(file_at(path), row or {}).data
