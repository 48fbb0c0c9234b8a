"""The data path of video, clips at the model's size, beside PyAV decoding the same frames of the same clips, with seeking.

Both run in one thread, as a worker does, with the films held open. The order of the clips is drawn, so neither goes through
a film from its beginning. PyAV seeks and decodes up to the end of the clip: bare, or with each frame as an array of full size.

make bench, or pytest -m benchmark_ratio -s tests/benchmarks/test_video_reading.py
"""

import time
from functools import lru_cache

import numpy as np
import pytest

pytest.importorskip("av")
import av
from ornstein.core.sources import open_source
from ornstein.modalities.video import reading
from ornstein.modalities.video.decoding import film_header
from ornstein.modalities.video.fitting import Fit
from ornstein.modalities.video.formats import FILMS
from ornstein.modalities.video.windows import FIRST, REFUSED, STOP, Cutting

FRAMES, ROUNDS = 16, 3


def clips_of(folder):
    """Rows of clips in a drawn order; what both need to know of the films is looked up before."""
    rows = Cutting(FRAMES, hop=FRAMES // 2).rows(open_source(folder, FILMS).rows(), (0.8, 0.1, 0.1))
    rows = [row for row in rows if REFUSED not in row.values]
    order = np.random.default_rng(0).permutation(len(rows))[:80]
    return [rows[i] for i in order]


def ours(clips):
    """Seconds of this process, and frames."""
    start = time.process_time()
    frames = sum(len(clip.frames) for clip in clips)
    return time.process_time() - start, frames


def plain(rows, arrays):
    """The same by PyAV alone, with films held open too; as arrays, or decoded and thrown away."""

    @lru_cache(maxsize=8)
    def film(path):
        container = av.open(path)
        container.streams.video[0].codec_context.thread_count = 1
        return container

    start, frames = time.process_time(), 0
    for row in rows:
        stamps = film_header(row.file).stamps
        container = film(str(row.file.store.path / row.file.name))
        first, last = stamps[row.values[FIRST]], stamps[row.values[STOP] - 1]
        container.seek(int(first), stream=container.streams.video[0])
        for frame in container.decode(video=0):
            if first <= frame.pts <= last:
                frames += 1 if not arrays else len(frame.to_ndarray(format="rgb24")[:1])
            if frame.pts >= last:
                break
    return time.process_time() - start, frames


@pytest.mark.benchmark_ratio
@pytest.mark.filterwarnings("ignore:.*several streams of video")
@pytest.mark.parametrize("name", ["intel_asl", "intel_scenes", "misc_clips"])
def test_clips_come_about_as_fast_as_frames_are_decoded(shared_data, name, monkeypatch):
    monkeypatch.setattr(reading, "_kept", reading._Kept(0))  # nothing that was decoded is kept
    rows = clips_of(shared_data / "video" / name)
    read = reading.Reading(Fit(64, 64)).read
    clips = [read(row.file, row.values).data for row in rows]
    ways = {
        "read": lambda: ours(clips),
        "arrays": lambda: plain(rows, True),
        "bare": lambda: plain(rows, False),
    }
    times: dict = {way: [] for way in ways}
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows all
        for way, run in ways.items():
            seconds, frames = run()
            assert frames == FRAMES * len(rows)
            times[way].append(frames / seconds)
    fps = {way: max(found) for way, found in times.items()}
    print(
        f"\n{name}: {fps['read']:.0f} frames a second at 64 x 64; PyAV as arrays of the film's size {fps['arrays']:.0f}, "
        f"ratio {fps['read'] / fps['arrays']:.2f}; decoded alone {fps['bare']:.0f}, ratio {fps['read'] / fps['bare']:.2f}"
    )
    assert fps["read"] >= 0.8 * fps["bare"]
