"""Every kind of file is read; every bad one is refused with what was found, and never taken for a shorter film."""

import io
import subprocess
import sys
import zipfile
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("PIL")
import av
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, file_at, open_source
from ornstein.modalities.video.fitting import Fit
from ornstein.modalities.video.formats import EXTENSIONS, frames, header
from ornstein.modalities.video.probing import UNTOLD
from ornstein.modalities.video.reading import Reading
from ornstein.modalities.video.stills import gathered
from ornstein.modalities.video.windows import REFUSED, Cutting
from PIL import Image
from some_films import CODECS, FIT, counted, numbers, read, write_film, write_packets

SHARES = (0.8, 0.1, 0.1)


# Kinds.


def write_webp(path, n, milliseconds=40):
    pictures = [Image.fromarray(frame) for frame in counted(n, noise=False)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, lossless=True)
    return path


def write_stills(folder, n, first=1, step=1, ending=".png", size=(24, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(counted(n, *size, noise=False)):
        Image.fromarray(frame).save(folder / f"{first + step * k:04d}{ending}")


@pytest.mark.parametrize("ending", [*CODECS, "webp"])
def test_kinds_of_film(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    write_webp(path, 20) if ending == "webp" else write_film(path, counted(20))
    clip = read(path)
    assert numbers(clip.frames) == list(range(20))
    assert (clip.fps, clip.start, clip.name) == (25, 0, f"a.{ending}")
    assert path.suffix in EXTENSIONS


def test_every_real_film_has_the_frames_that_its_table_says(shared_data):
    for part in ("intel_asl", "intel_scenes", "misc_clips"):
        for row in open_source(shared_data / "video" / part, EXTENSIONS).rows():
            found = header(row.file)
            assert len(found.times) == row.values["frames"]
            assert found.size == (row.values["height"], row.values["width"])
            if found._even():
                assert found.rate == pytest.approx(row.values["fps"], rel=0.12)  # a GIF's is its usual one in the table


def test_arrays(tmp_path):
    grey = counted(6, 24, 32, 1)
    np.savez(tmp_path / "a.npz", frames=grey[..., 0], fps=12.5)
    np.savez_compressed(tmp_path / "b.npz", frames=grey)
    clip, other = read(tmp_path / "a.npz"), read(tmp_path / "b.npz")
    np.testing.assert_array_equal(clip.frames, grey)
    np.testing.assert_array_equal(other.frames, grey)
    assert (clip.fps, other.fps) == (12.5, UNTOLD)
    assert read(tmp_path / "b.npz", fps=8.0).fps == 8  # a file without a clock is at any rate
    assert numbers(frames(file_at(tmp_path / "a.npz"), [1, 1, 4], FIT)) == [1, 1, 4]


def test_folders_of_numbered_pictures_are_films(tmp_path):
    write_stills(tmp_path / "walk" / "one", 12)
    write_stills(tmp_path / "run" / "two", 4, first=0, step=5, ending=".jpg")
    Image.fromarray(counted(1)[0]).save(tmp_path / "run" / "cover.png")
    rows = gathered(open_source(tmp_path, EXTENSIONS).rows())
    assert [(row.file.name, row.values["label"]) for row in rows] == [
        ("run/cover.png", "run"),
        ("run/two", "run"),
        ("walk/one", "walk"),
    ]
    one, two = (Reading(FIT).read(row.file, row.values).data for row in (rows[2], rows[1]))
    assert numbers(one.frames) == list(range(12))
    assert numbers(two.frames) == list(range(4))
    assert one.fps == UNTOLD
    np.testing.assert_array_equal(one.frames, counted(12, 24, 32, 1, noise=False))
    still = Reading(FIT).read(rows[0].file, rows[0].values).data  # given to a task, a picture is a film of one frame
    assert still.shape == (1, 24, 32, 1)


def test_pictures_are_in_the_order_of_their_numbers_and_each_prefix_is_a_film(tmp_path):
    for name, level in {"a_9": 1, "a_10": 2, "a_11": 3, "b-1": 8, "b-2": 9}.items():
        Image.fromarray(counted(10, 24, 32, noise=False)[level]).save(tmp_path / f"{name}.png")
    a, b = gathered(open_source(tmp_path, EXTENSIONS).rows())
    assert (a.file.name, b.file.name) == ("a", "b")
    assert numbers(frames(a.file, range(3), FIT)) == [1, 2, 3]
    assert numbers(frames(b.file, range(2), FIT)) == [8, 9]


def test_a_folder_that_is_one_film_is_not_its_class(tmp_path):
    for k in range(3):
        write_stills(tmp_path / f"film{k}", 3)
    assert all("label" not in row.values for row in gathered(open_source(tmp_path, EXTENSIONS).rows()))


def test_films_of_zips_and_their_tables(tmp_path):
    write_film(tmp_path / "a.mp4", counted(10))
    np.savez(tmp_path / "b.npz", frames=counted(5))
    write_stills(tmp_path / "c", 4)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [tmp_path / "a.mp4", tmp_path / "b.npz", *sorted((tmp_path / "c").iterdir())]:
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("labels.csv", "file,label,caption\na.mp4,walk,a man walks\nb.npz,run,a dog\n")
    rows = open_source(tmp_path / "all.zip", EXTENSIONS).rows()
    reading = Reading(FIT, conditions=("caption",))
    walk, run = (reading.read(row.file, row.values) for row in rows)
    assert walk.cond == {"label": "walk", "caption": "a man walks"}
    assert numbers(walk.data.frames) == list(range(10))
    assert numbers(run.data.frames) == list(range(5))
    (film,) = gathered([r for r in open_source(tmp_path / "all.zip", EXTENSIONS, "none").rows() if "c/" in r.file.name])
    assert numbers(frames(film.file, range(4), FIT)) == list(range(4))


def test_transparency_lies_on_white(tmp_path):
    frame = np.full((8, 8, 4), 50, np.uint8)
    frame[..., 3] = [0, 0, 0, 0, 255, 255, 255, 255]
    pictures = [Image.fromarray(frame), Image.fromarray(frame[:, ::-1].copy())]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=40, lossless=True)
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / f"{k}.png")
    (film,) = gathered([Row(file_at(tmp_path / f"{k}.png")) for k in range(2)])
    for file in (file_at(tmp_path / "a.webp"), film.file):
        found = frames(file, [0, 1], Fit(8, 8, 1))
        assert found[0, 0].ravel().tolist() == [255] * 4 + [50] * 4
        assert found[1, 0].ravel().tolist() == [50] * 4 + [255] * 4


def test_the_first_of_several_streams_is_used_and_that_is_said(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for bright, dark in zip(counted(8)[::-1], counted(8), strict=True):
            for stream, pixels in zip(streams, (dark, bright), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    with pytest.warns(
        UserWarning, match=r"1 of 2 films have several streams of video, of which the first is used: a\.mkv"
    ):
        Cutting(4).rows(
            [Row(file_at(tmp_path / "a.mkv")), Row(file_at(write_film(tmp_path / "b.mp4", counted(4))))], SHARES
        )
    assert numbers(read(tmp_path / "a.mkv").frames)[0] < 2


# Time stamps.


def test_a_variable_rate_is_what_is_on_the_screen(tmp_path):
    stamps = [0, 40, 80, 120, 520, 560]  # frame 3 stands for 0.4 s
    path = write_film(tmp_path / "a.mkv", counted(6), stamps=stamps, codec="ffv1")
    clip = read(path)
    assert clip.fps == pytest.approx(25)
    assert numbers(clip.frames) == [0, 1, 2, *[3] * 10, 4, 5]
    assert numbers(read(path, fps=12.5).frames) == [0, 2, 3, 3, 3, 3, 3]  # 0.6 s


@pytest.mark.parametrize(("source", "target"), [(30, 25), (25, 30), (24, 12), (30000 / 1001, 10), (10, 60)])
def test_another_rate_shows_the_nearest_frame(tmp_path, source, target):
    path = write_film(tmp_path / "a.mp4", counted(40), fps=source)
    fps, grid = header(file_at(path)).grid(target)
    assert fps == target
    assert len(grid) == int(40 / source * target + 0.05)
    at = np.minimum(np.arange(len(grid)) / target, 39 / source)  # the last frame stays to its end
    assert np.abs(grid / source - at).max() <= 0.5 / source + 1e-6
    assert numbers(read(path, fps=target).frames) == grid.tolist()


def test_rounded_time_stamps_are_no_variable_rate(tmp_path):
    path = write_film(tmp_path / "a.mkv", counted(50), fps=60000 / 1001)  # Matroska's are rounded to 1/1000 s
    assert header(file_at(path)).rate == pytest.approx(59.94, abs=1e-3)
    assert numbers(read(path).frames) == list(range(50))


# Bad input.


def bad(name, make):
    def made(folder):
        make(folder / name)
        return folder / name

    made.__name__ = name
    return made


def cut(path, share=0.6, **options):
    write_film(path, counted(50), **options)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def cut_front(path):
    """An MP4 whose index stands at its front, as on the web."""
    write_film(path, counted(50), front=True)
    path.write_bytes(path.read_bytes()[:-2000])


def sound_alone(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def unknown_codec(path):
    write_film(path, counted(4))
    content = path.read_bytes()
    assert b"V_MPEG4/ISO/AVC" in content
    path.write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_NOBODYS/KNOWN"))


def one_webp(path):
    Image.fromarray(counted(1)[0]).save(path)


def cut_webp(path):
    write_webp(path, 9)
    path.write_bytes(path.read_bytes()[:-40])


def sized(path):
    small = counted(9)[:, :24, :32]
    write_packets(path, [(counted(9)[k] if k < 5 else small[k], 40 * k) for k in range(9)])


def damaged(path, codec):
    write_film(path, counted(50), codec=codec)
    content = bytearray(path.read_bytes())
    at = len(content) * 6 // 10
    content[at : at + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(bytes(content))


BAD = [
    (bad("empty.mp4", lambda p: p.write_bytes(b"")), r"is empty \(0 bytes\)"),
    (
        bad("text.mp4", lambda p: p.write_text("this is no film at all")),
        "cannot be opened as a film .*begins with b'this is no f",
    ),
    (bad("cut.mp4", cut), "an MP4 without its index .*cut short"),
    (bad("cut_front.mp4", cut_front), r"holds \d+ of its 50 frames.*cut short"),
    (bad("cut.mkv", cut), "cut short"),
    (bad("cut.webm", lambda p: cut(p, gop=5)), "cut short"),
    (bad("cut.avi", cut), r"of its 50 frames.*cut short"),
    (bad("cut.gif", cut), "cut short"),
    (bad("cut.webp", cut_webp), "promises .* bytes and has .*cut short"),
    (bad("sound.mp4", sound_alone), "has no stream of video: it holds audio"),
    (bad("one.mp4", lambda p: write_film(p, counted(1))), "holds one frame"),
    (bad("one.gif", lambda p: write_film(p, counted(1))), "holds one frame"),
    (bad("one.webp", one_webp), "holds one frame"),
    (bad("sizes.mkv", sized), r"changes its size: frame 5 at 0\.20 s is 32 x 24, and the file says 64 x 48"),
    (
        bad("twice.mkv", lambda p: write_packets(p, [(f, 40 * min(k, 5)) for k, f in enumerate(counted(9))])),
        r"wrong time stamps: frames 5 and 6 are both at 0\.200 s",
    ),
    (
        bad(
            "jump.mkv",
            lambda p: write_packets(p, [(f, 40 * k + 9_000_000 * (k > 4)) for k, f in enumerate(counted(9))]),
        ),
        r"wrong time stamps: frame 4 is at 0\.160 s and the next at 9000\.200 s",
    ),
    (bad("codec.mkv", unknown_codec), "video of an unknown codec"),
    (bad("damaged.mp4", lambda p: damaged(p, "libx264")), r"cannot be decoded at 1\.\d\d s .*damaged there"),
    (bad("damaged.mkv", lambda p: damaged(p, "ffv1")), r"cannot be decoded at 1\.\d\d s .*damaged there"),
    (bad("none.npz", lambda p: np.savez(p, video=counted(3))), "holds video, and no array `frames`"),
    (bad("float.npz", lambda p: np.savez(p, frames=counted(3) / 255.0)), "`frames` of float64 .*uint8"),
    (bad("many.npz", lambda p: np.savez(p, frames=counted(4)[None])), "one film a file"),
    (bad("text.npz", lambda p: p.write_text("nothing")), "no .npz, damaged or cut short"),
    (bad("fps.npz", lambda p: np.savez(p, frames=counted(3), fps=0.0)), "fps 0.0: a positive number"),
    (bad("no_frames.npz", lambda p: np.savez(p, frames=counted(3)[:0])), "holds no frames"),
]


@pytest.mark.parametrize(("make", "why"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_a_bad_file_is_refused_with_what_is_wrong(tmp_path, make, why):
    path = make(tmp_path)
    with pytest.raises(BadItem, match=why) as caught:
        read(path)
    assert path.name in caught.value.path


@pytest.mark.parametrize(
    "make", [make for make, _ in BAD if make.__name__ in ("cut.mp4", "one.gif", "sizes.mkv", "codec.mkv")]
)
def test_a_bad_file_among_good_ones_is_counted_and_named(tmp_path, make):
    from ornstein.core.sources import read_all

    class Films:
        read = staticmethod(Reading(FIT).read)

    for k in range(9):
        write_film(tmp_path / f"{k}.mp4", counted(4, noise=False))
    name = make(tmp_path).name
    rows = Cutting(4).rows(open_source(tmp_path, EXTENSIONS).rows(), SHARES)
    items, named = read_all(Films(), rows, 0.2)
    assert len(items) == 9 + (name == "sizes.mkv")  # whose first clip has one size
    assert {error.path for error in named} == {str(tmp_path / name)}


def test_films_that_are_shorter_than_a_clip_are_refused_and_named(tmp_path):
    path = write_film(tmp_path / "a.mp4", counted(10))
    (row, _) = Cutting(16).rows([Row(file_at(path)), Row(file_at(path))], SHARES)
    assert row.values[REFUSED].startswith(
        "has 10 frames, and a clip takes 16: leave it out, or take smaller modality.frames"
    )
    with pytest.raises(BadItem, match=r"a\.mp4: has 10 frames"):
        Reading(FIT).read(row.file, row.values)


def test_pictures_that_make_no_film(tmp_path):
    write_stills(tmp_path / "gap", 4)
    (tmp_path / "gap" / "0003.png").unlink()
    write_stills(tmp_path / "sizes", 2)
    Image.fromarray(counted(1)[0]).save(tmp_path / "sizes" / "0003.png")
    write_stills(tmp_path / "torn", 2)
    (tmp_path / "torn" / "0002.png").write_bytes((tmp_path / "torn" / "0002.png").read_bytes()[:60])
    write_stills(tmp_path / "deep", 2)
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(tmp_path / "deep" / "0002.png")
    whys = {
        "gap": "not numbered evenly: 2 is followed by 4",
        "sizes": "changes its size: sizes/0003.png is 64 x 48, others are 32 x 24",
        "torn": r"torn/0002\.png.* cut short",
        "deep": r"deep/0002\.png: has pixels of mode I;16: save it with 8 bits",
    }
    for row in gathered(open_source(tmp_path, EXTENSIONS).rows()):
        with pytest.raises(BadItem, match=whys[row.file.name]):
            Reading(FIT).read(row.file, row.values)


def test_damaged_members_of_archives_are_named(tmp_path):
    write_film(tmp_path / "a.mp4", counted(10))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "a.mp4", "a.mp4")
    content = bytearray((tmp_path / "all.zip").read_bytes())
    content[200:260] = bytes(60)
    (tmp_path / "all.zip").write_bytes(bytes(content))
    (row,) = open_source(tmp_path / "all.zip", EXTENSIONS).rows()
    with pytest.raises(BadItem, match=r"all\.zip!a\.mp4: cannot be read \(Bad CRC"):
        header(row.file)


def test_formats_are_read_without_their_library_being_imported_first():
    code = "import sys, ornstein.modalities.video.formats as f; sys.exit('av' in sys.modules or 'PIL' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_films_in_memory():
    content = io.BytesIO()
    with av.open(content, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgr0"
        for frame in counted(9):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file = File("a.mkv", Memory("here", {"a.mkv": content.getvalue()}))
    assert numbers(frames(file, [2, 7], FIT)) == [2, 7]
