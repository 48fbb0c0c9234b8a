"""What is written is read back: exactly where the format can, and within its rounding where it cannot."""

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("PIL")
from ornstein.core.sources import open_source
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.fitting import Fit
from ornstein.modalities.video.formats import EXTENSIONS
from ornstein.modalities.video.pictures import sheet, side_by_side
from ornstein.modalities.video.reading import Reading
from ornstein.modalities.video.stills import gathered
from ornstein.modalities.video.writing import film, save
from PIL import Image

OVERVIEW = "grid.gif"


def clip(n=5, height=24, width=32, channels=3, fps=12.0, colours=None, seed=0):
    """Smooth moving waves, or noise of so many colours."""
    rng = np.random.default_rng(seed)
    if colours is not None:
        palette = rng.integers(0, 256, (colours, channels), dtype=np.uint8)
        return Clip(palette[rng.integers(0, colours, (n, height, width))], fps)
    t, y, x, c = np.ogrid[:n, :height, :width, :channels]
    wave = np.sin(0.3 * x + 0.2 * y + 0.8 * t + c + seed)
    return Clip((127.5 + 100 * wave).round().astype(np.uint8), fps)


def read_back(folder, height, width, channels=3):
    rows = [row for row in open_source(folder, EXTENSIONS).rows() if row.file.name != OVERVIEW]
    return [Reading(Fit(height, width, channels)).read(row.file, row.values).data for row in gathered(rows)]


@pytest.mark.parametrize("output", ["frames", "npz", "gif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_are_kept(tmp_path, output, channels):
    clips = [clip(n, channels=channels, colours=256, seed=n) for n in (4, 6)]
    paths = save(clips, tmp_path, output)
    assert all(path.exists() for path in paths)
    assert paths[-1].name == OVERVIEW
    for given, found in zip(clips, read_back(tmp_path, 24, 32, channels), strict=True):
        np.testing.assert_array_equal(found.frames, given.frames)
        assert output == "frames" or found.fps == pytest.approx(given.fps, rel=0.05 if output == "gif" else 1e-9)


def test_still_and_repeated_frames_are_kept_in_a_gif(tmp_path):
    frames = clip(2, colours=8).frames[[0, 0, 0, 1, 1]]
    save([Clip(frames, 10.0)], tmp_path, "gif")
    (found,) = read_back(tmp_path, 24, 32)
    np.testing.assert_array_equal(found.frames, frames)


def test_a_gif_of_more_colours_is_near(tmp_path):
    given = clip(3, 64, 64)
    save([given], tmp_path, "gif")
    (found,) = read_back(tmp_path, 64, 64)
    assert 0 < np.abs(found.frames.astype(int) - given.frames).mean() < 6


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fps", [8.0, 24000 / 1001, 60.0])
def test_an_mp4_is_h264_of_its_rate_and_near(tmp_path, channels, fps):
    import av

    given = clip(9, 48, 64, channels, fps)
    path = save([given], tmp_path)[0]
    assert path.name == "0000.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    (found,) = read_back(tmp_path, 48, 64, channels)
    assert found.fps == pytest.approx(fps, rel=1e-6)
    assert found.shape == given.shape
    assert np.abs(found.frames.astype(int) - given.frames).mean() < 3


def test_odd_sides_become_even_in_an_mp4(tmp_path):
    given = clip(3, 31, 45)
    save([given], tmp_path)
    (found,) = read_back(tmp_path, 32, 46)
    assert np.abs(found.frames[:, :31, :45].astype(int) - given.frames).mean() < 3
    np.testing.assert_allclose(found.frames[:, 31].astype(int), found.frames[:, 30], atol=30)


def test_files_are_the_same_when_they_are_written_again(tmp_path):
    for output in ("mp4", "gif", "npz"):
        a, b = (save([clip()], tmp_path / name / output, output)[0].read_bytes() for name in "ab")
        assert a == b


def test_kinds_and_rates_are_checked(tmp_path):
    with pytest.raises(ValueError, match="output 'avi'; choose from mp4, gif, frames, npz"):
        save([clip()], tmp_path, "avi")
    with pytest.raises(ValueError, match="60 frames a second, a GIF at most 50: write mp4"):
        film(clip(fps=60.0), str(tmp_path / "a.gif"), "gif")
    assert save([], tmp_path) == []


# Pictures.


def test_a_sheet_has_a_row_for_each_clip_and_a_column_for_each_frame():
    frames = np.zeros((3, 4, 4, 1), np.uint8)
    frames[1], frames[2] = 100, 200
    picture = sheet([Clip(frames, 10.0), Clip(frames[:2] + 1, 10.0)])
    assert picture.shape == (2 * (32 + 2) + 2, 3 * (32 + 2) + 2)  # enlarged eight times
    middles = picture[18::34, 18::34]
    assert middles.tolist() == [[0, 100, 200], [1, 101, 255]]


def test_of_long_clips_frames_at_even_distances_are_shown():
    frames = np.broadcast_to(np.arange(61, dtype=np.uint8)[:, None, None, None], (61, 32, 32, 3))
    picture = sheet([Clip(frames, 10.0)] * 20)
    assert picture.shape == (16 * 34 + 2, 16 * 34 + 2, 3)
    assert picture[18, 18::34, 0].tolist() == list(range(0, 61, 4))


def test_clips_play_side_by_side_and_the_shorter_stand_still():
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2)
    grid = side_by_side([Clip(frames, 80.0), Clip(frames[:2] + 50, 80.0), Clip(frames + 100, 80.0)])
    assert grid.fps == 50
    assert grid.frames[:, 18::34, 18::34, 0].tolist() == [[[k, 50 + min(k, 1)], [100 + k, 255]] for k in range(5)]


def test_the_overview_is_written(tmp_path):
    save([clip(seed=k) for k in range(3)], tmp_path)
    with Image.open(tmp_path / "grid.gif") as moving:
        assert moving.n_frames == 5
