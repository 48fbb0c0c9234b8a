"""The page holds the films that it shows, and needs nothing else."""

import base64
import io
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("av")
import av
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.view import LONGEST, view


def ramp(n=6, height=16, width=24, channels=3, name=""):
    levels = np.linspace(20, 230, n).astype(np.uint8)
    return Clip(np.broadcast_to(levels[:, None, None, None], (n, height, width, channels)).copy(), 8.0, name=name)


def films(page):
    tree = ET.fromstring(re.sub(r"<video controls loop muted autoplay playsinline", "<video", page))
    return tree, [base64.b64decode(each.get("src").split(",")[1]) for each in tree.iter("video")]


def test_each_player_holds_its_clip_and_nothing_comes_from_elsewhere():
    clips = [ramp(name="<a & b>.mp4"), ramp(4, channels=1)]
    page = view(clips)
    assert not re.search(r"https?:|<script|src=\"(?!data:video/mp4;base64,)", page)
    tree, found = films(page)
    assert [caption.text for caption in tree.iter("figcaption")] == [
        "<a & b>.mp4, 6 frames at 8/s",
        "sample 1, 4 frames at 8/s",
    ]
    for clip, content in zip(clips, found, strict=True):
        with av.open(io.BytesIO(content), "r") as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
            assert container.streams.video[0].average_rate == 8
        assert frames.shape == (len(clip.frames), 160, 240, 3)  # ten times as large
        np.testing.assert_allclose(frames.mean((1, 2, 3)), clip.frames.mean((1, 2, 3)), atol=2)


def test_small_frames_are_not_blurred():
    rng = np.random.default_rng(0)
    clip = Clip(rng.choice(np.array([0, 255], np.uint8), (3, 8, 8, 3)), 5.0)
    _, (content,) = films(view([clip]))
    with av.open(io.BytesIO(content), "r") as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(frame[10::20, 10::20].astype(int) - clip.frames[0]).max() < 40


def test_of_long_clips_the_page_says_that_it_holds_the_beginning():
    page = view([Clip(np.zeros((LONGEST + 8, 8, 8, 1), np.uint8), 25.0)])
    assert f"{LONGEST + 8} frames at 25/s (the first {LONGEST})" in page
    _, (content,) = films(page)
    with av.open(io.BytesIO(content), "r") as container:
        assert container.streams.video[0].frames == LONGEST
