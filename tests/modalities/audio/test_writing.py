"""Clips, and clips to files and back."""

import io

import numpy as np
import pytest
from ornstein.core.sources import file_at

pytest.importorskip("soundfile")
import soundfile as sf
from ornstein.modalities.audio.clip import Clip
from ornstein.modalities.audio.reading import Reading
from ornstein.modalities.audio.writing import player_bytes, save


def noise(frames, channels, scale=0.3):
    return np.random.default_rng(frames).normal(0, scale, (frames, channels)).astype(np.float32)


def test_a_clip_knows_its_length_and_the_recordings():
    clip = Clip(noise(800, 2), 8000, start=1.5)
    assert (clip.duration, clip.seconds, clip.channels) == (0.1, 1.6, 2)
    assert Clip(noise(800, 1), 8000, 1.5, 7.0).seconds == 7.0


@pytest.mark.parametrize("samples", [np.zeros(10, np.float32), np.zeros((10, 1)), np.zeros((1, 10, 1), np.float32)])
def test_a_clip_of_another_shape_or_type_is_refused(samples):
    with pytest.raises(ValueError, match=r"samples are float32 \(T, C\), here"):
        Clip(samples, 8000)


def test_a_clip_has_a_rate():
    with pytest.raises(ValueError, match="at least 1 Hz, here 0"):
        Clip(noise(10, 1), 0)


def test_what_is_written_is_read_bit_by_bit_even_beyond_full_scale(tmp_path):
    clips = [Clip(noise(700, 1), 16000), Clip(noise(1200, 2, scale=1.0), 22050)]
    paths = save(clips, tmp_path / "new")
    assert [path.name for path in paths] == ["0000.wav", "0001.wav"]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    for clip, path in zip(clips, paths, strict=True):
        assert (sf.info(path).samplerate, sf.info(path).format, sf.info(path).subtype) == (clip.rate, "WAV", "FLOAT")
        again = Reading(clip.rate, clip.channels).read(file_at(path), {}).data
        np.testing.assert_array_equal(again.samples, clip.samples)


def test_nothing_is_written_of_no_samples(tmp_path):
    assert save([], tmp_path / "new") == []


def test_players_get_16_bits_clipped_and_not_wrapped():
    clip = Clip(np.array([[0.5], [1.7], [-3.0], [0.0]], np.float32), 8000)
    found, rate = sf.read(io.BytesIO(player_bytes(clip)), dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(found, [0.5, 1, -1, 0], atol=2**-15)
