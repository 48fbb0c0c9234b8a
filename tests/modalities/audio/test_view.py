"""Pictures and players show the clip that they stand for."""

import base64
import io
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("soundfile")
pytest.importorskip("torchaudio")
import soundfile as sf
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.pictures import draw, extremes, mel_decibels
from ornstein.modalities.audio.view import view

RATE = 16000


def sine(hertz, seconds=0.5, amplitude=0.5, name=""):
    t = np.arange(round(seconds * RATE)) / RATE
    return Clip((amplitude * np.sin(2 * np.pi * hertz * t))[:, None].astype(np.float32), RATE, name=name)


def test_extremes_are_those_of_each_stretch():
    x = np.array([[0, 1], [-2, 0.5], [3, 0], [0, 0]], np.float32)
    assert [list(e) for e in extremes(x, 2)] == [[-2, 0], [1, 3]]
    assert [list(e) for e in extremes(x, 100)] == [[0, -2, 0, 0], [1, 0.5, 3, 0]]


def mel_of(hertz):
    return 2595 * np.log10(1 + hertz / 700)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 5000.0])
def test_a_sine_lights_its_mel_band_and_ten_times_the_sound_is_20_decibels(hertz):
    loud, soft = mel_decibels(sine(hertz)), mel_decibels(sine(hertz, amplitude=0.05))
    bands, column = len(loud), loud.shape[1] // 2
    assert abs(loud[:, column].argmax() + 1 - mel_of(hertz) / mel_of(RATE / 2) * (bands + 1)) <= 1.5
    assert loud.max() - soft.max() == pytest.approx(20, abs=0.1)
    offset = Clip(sine(hertz).samples + np.float32(0.3), RATE)
    np.testing.assert_allclose(mel_decibels(offset).max(), loud.max(), atol=0.1)


@pytest.mark.parametrize("n", [1, 3, 17])
def test_the_picture_has_a_waveform_and_a_spectrogram_for_each_clip(n):
    clips = [sine(440, 0.05 * (i % 4 + 1), name=f"clip {i}") for i in range(n)]
    figure = draw(clips)
    filled = [axis for axis in figure.axes if axis.collections]
    spectra = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title("left") for axis in filled] == [f"clip {i}" for i in range(min(n, 16))]
    assert [axis.get_xlim()[1] for axis in spectra] == [clip.duration for clip in clips[:16]]


def test_silence_and_single_samples_can_be_drawn():
    picture = io.BytesIO()
    draw([Clip(np.zeros((1, 2), np.float32), 8000), Clip(np.zeros((8000, 1), np.float32), 48000)]).savefig(picture)
    assert picture.getvalue()[:4] == b"\x89PNG"


def test_the_players_hold_the_sound_and_nothing_from_elsewhere():
    clips = [sine(440, name="<a & b>.wav"), Clip(np.repeat(sine(300).samples, 2, 1), RATE)]
    page = view(clips)
    tree = ET.fromstring(page.replace("<br>", "<br/>").replace("<audio controls ", '<audio controls="" '))
    assert len(tree.findall("figure")) == 2
    assert not re.search(r"https?:|<script|src=\"(?!data:audio/wav;base64,)", page)
    assert [caption.text for caption in tree.iter("figcaption")] == ["<a & b>.wav, 0.5 s", "sample 1, 0.5 s"]
    for clip, sound in zip(clips, tree.iter("audio"), strict=True):
        samples, rate = sf.read(io.BytesIO(base64.b64decode(sound.get("src").split(",")[1])), always_2d=True)
        assert rate == RATE
        np.testing.assert_allclose(samples, clip.samples, atol=2**-15)


def test_the_drawn_line_is_the_waveform():
    page = view([Clip(np.array([[0.0], [1.0], [-1.0], [5.0]], np.float32), 8000)])
    points = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]*)"', page)[1].split()]
    assert [y for _, y in points[:4]] == [24, 0, 48, 0]  # 48 pixels high, up is loud, beyond full scale at the rim
    assert [x for x, _ in points[:4]] == [0, 65, 130, 195]


def test_of_long_clips_the_page_says_that_it_holds_the_beginning():
    page = view([sine(440, 31.0)])
    assert "31 s (the first 30 s)" in page
    sound = base64.b64decode(re.search(r"base64,([^\"]*)", page)[1])
    assert sf.info(io.BytesIO(sound)).frames == 30 * RATE
