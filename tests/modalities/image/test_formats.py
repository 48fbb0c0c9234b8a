"""Every kind of file is read; every bad one is refused with what was found."""

import io
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
from ornstein.core.modality import BadItem
from ornstein.core.sources import file_at, open_source, read_all
from ornstein.modalities.image import Image, formats
from ornstein.modalities.image.channels import to_channels
from PIL import Image as Pillow
from some_images import LEVELS, RNG, noise, read_pixels, saved


def test_a_file_of_the_right_size_is_untouched(tmp_path):
    data = noise(12, 12)
    file = saved(tmp_path, Pillow.fromarray(data))
    for size in (None, 12):
        assert np.array_equal(read_pixels(file, size), data)


def test_grey_is_one_channel_and_colour_three(tmp_path):
    grey = LEVELS[..., 0]
    for picture in (Pillow.fromarray(grey), Pillow.fromarray(np.stack([grey] * 3, -1))):
        file = saved(tmp_path, picture)
        assert np.array_equal(read_pixels(file), LEVELS)
        assert np.array_equal(read_pixels(file, channels=3), np.repeat(LEVELS, 3, -1))
    data = noise(9, 7)
    file = saved(tmp_path, Pillow.fromarray(data))
    assert read_pixels(file).shape == (9, 7, 3)
    luma = np.asarray(Pillow.fromarray(data).convert("L"))[..., None]
    assert np.array_equal(read_pixels(file, channels=1), luma)
    assert np.array_equal(to_channels(data, 1), luma)


def test_transparency_is_laid_on_white(tmp_path):
    colour, alpha = np.array([200, 100, 0]), np.array([0, 255, 128])
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[..., :3], rgba[0, :, 3] = colour, alpha
    expected = np.rint(colour * alpha[:, None] / 255 + 255 * (1 - alpha[:, None] / 255))
    pixels = read_pixels(saved(tmp_path, Pillow.fromarray(rgba)))
    assert np.abs(pixels[0] - expected).max() <= 1

    grey_alpha = Pillow.merge("LA", [Pillow.new("L", (2, 2), 50), Pillow.new("L", (2, 2), 0)])
    assert (read_pixels(saved(tmp_path, grey_alpha)) == 255).all()

    palette = Pillow.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    pixels = read_pixels(saved(tmp_path, palette, transparency=1))
    assert pixels[0].tolist() == [[255, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(
    ("mode", "name"), [("P", "x.png"), ("P", "x.gif"), ("CMYK", "x.tif"), ("1", "x.png"), ("RGB", "x.bmp")]
)
def test_other_modes_keep_their_colours(tmp_path, mode, name):
    colour = (255, 255, 255) if mode == "1" else (255, 0, 0)
    picture = Pillow.new("RGB", (4, 4), colour).convert(mode)
    assert (read_pixels(saved(tmp_path, picture, name), channels=3) == colour).all()


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name):
    levels = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    pixels = read_pixels(saved(tmp_path, Pillow.fromarray(levels), name))
    assert np.array_equal(pixels[..., 0], np.rint(levels / 257).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_of_exif_is_applied(tmp_path, orientation):
    upright = noise(4, 6)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),  # to be turned clockwise
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    file = saved(tmp_path, Pillow.fromarray(np.ascontiguousarray(turned)), exif=exif)
    assert np.array_equal(read_pixels(file), upright)


def test_other_sizes_become_the_centre_square(tmp_path):
    data = np.zeros((40, 80, 3), np.uint8)
    data[:, 20:60] = (0, 128, 255)  # the centre square
    pixels = read_pixels(saved(tmp_path, Pillow.fromarray(data)), size=10)
    assert pixels.shape == (10, 10, 3)
    assert (pixels[:, 3:-3] == (0, 128, 255)).all()  # the filter reaches 3 pixels past the edge
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the small picture can show: antialiased to an even grey
    pixels = read_pixels(saved(tmp_path, Pillow.fromarray(stripes)), size=8)
    assert abs(pixels.astype(int) - 127).max() < 16


def test_a_large_photograph_is_as_if_it_was_decoded_whole(tmp_path):
    y, x = np.mgrid[0:900, 0:1200]
    smooth = np.stack([x / 5, y / 4, (x + y) / 9], -1).astype(np.uint8)
    picture = Pillow.fromarray(smooth)
    jpeg = read_pixels(saved(tmp_path, picture, "x.jpg", quality=95), size=32)
    png = read_pixels(saved(tmp_path, picture, "x.png"), size=32)
    assert np.abs(jpeg.astype(int) - png).max() <= 4


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    file = saved(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert (read_pixels(file) == (255, 0, 0)).all()


def bad_png(picture, cut):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()[:cut]


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    photo = io.BytesIO()
    Pillow.fromarray(noise(64, 64)).save(photo, "JPEG")
    huge = bytearray(bad_png(Pillow.new("L", (1, 1)), None))
    huge[16:24] = (60000).to_bytes(4, "big") * 2
    cases = {
        "empty.jpg": (b"", r"is empty \(0 bytes\)"),
        "text.png": (b"hello world, I am a text", r"is not an image: it begins with b'hello world,'"),
        "cut.jpg": (photo.getvalue()[:1500], r"is damaged or cut short \(.*truncated"),
        "cut.png": (bad_png(Pillow.fromarray(noise(64, 64)), 900), r"is damaged or cut short"),
        "head.png": (bad_png(Pillow.fromarray(noise(64, 64)), 20), r"is (damaged or cut short|not an image)"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadItem, match=rf"{name}: {message}") as caught:
            read_pixels(file_at(tmp_path / name))
        assert caught.value.path == str(tmp_path / name)
    for name, picture, message in [
        ("float.tif", Pillow.fromarray(np.ones((2, 2), np.float32)), "floating-point pixels of unknown range"),
        (
            "deep.tif",
            Pillow.fromarray(np.full((2, 2), 70000, np.int32)),
            "grey levels 70000 to 70000, more than 16 bits",
        ),
    ]:
        with pytest.raises(BadItem, match=message):
            read_pixels(saved(tmp_path, picture, name))


def test_an_absurd_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    file = saved(tmp_path, Pillow.new("L", (30, 30)))
    for limit in (500, 300):  # Pillow warns from its limit on, and raises from twice that
        monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(BadItem, match=f"says that it has more than {limit} pixels"):
            read_pixels(file)


def test_bad_files_are_counted_among_good_ones(tmp_path):
    for i in range(20):
        Pillow.fromarray(noise(8, 8, seed=i)).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "07.jpg").write_bytes(b"")
    modality = Image()
    rows = open_source(tmp_path, modality.extensions).rows()
    with pytest.raises(ValueError, match=r"1 of 21 files \(4\.76%\) .*07\.jpg: is empty .*data\.max_bad_share=0\.05"):
        read_all(modality, rows)
    items, bad = read_all(modality, rows, 0.05)
    assert [item.key for item in items] == [f"{i:02d}.png" for i in range(20)]
    assert [error.why for error in bad] == ["is empty (0 bytes)"]


# Alpha.


def test_alpha_is_kept_as_a_fourth_channel_and_hides_no_colour(tmp_path):
    rgba = noise(6, 6, 4)
    rgba[..., 3] = np.repeat((0, 0, 0, 1, 128, 255), 6).reshape(6, 6)
    pixels = read_pixels(saved(tmp_path, Pillow.fromarray(rgba)), alpha="keep")
    assert pixels.shape == (6, 6, 4)
    assert (pixels[:3] == 0).all()
    assert np.array_equal(pixels[3:], rgba[3:])


def test_what_has_no_alpha_is_opaque(tmp_path):
    for name, picture in (
        ("grey.png", Pillow.fromarray(LEVELS[..., 0])),
        ("rgb.jpg", Pillow.new("RGB", (4, 4), "red")),
    ):
        pixels = read_pixels(saved(tmp_path, picture, name), alpha="keep")
        assert pixels.shape[-1] == 4
        assert (pixels[..., 3] == 255).all()


def test_a_palette_and_grey_with_alpha_keep_theirs(tmp_path):
    palette = Pillow.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    pixels = read_pixels(saved(tmp_path, palette, transparency=1), alpha="keep")
    assert pixels[0].tolist() == [[255, 0, 0, 255], [0, 0, 0, 0]]
    grey_alpha = Pillow.merge("LA", [Pillow.new("L", (2, 2), 50), Pillow.new("L", (2, 2), 128)])
    assert (read_pixels(saved(tmp_path, grey_alpha), alpha="keep") == (50, 50, 50, 128)).all()


def test_resizing_mixes_no_hidden_colour_into_seen_ones(tmp_path):
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[..., 0] = 255  # red that nobody sees
    rgba[:, 16:] = (0, 0, 255, 255)
    for how in ("lanczos", "area"):
        pixels = read_pixels(saved(tmp_path, Pillow.fromarray(rgba)), size=5, alpha="keep", filter=how)
        seen = pixels[pixels[..., 3] > 8]
        assert len(seen)
        assert (seen[:, 0] <= 2).all()
        assert (seen[:, 2] >= 253).all()


def test_alpha_goes_by_white_to_fewer_channels_and_comes_back_opaque():
    rgba = noise(4, 4, 4)
    weight = rgba[..., 3:] / 255
    expected = rgba[..., :3] * weight + 255 * (1 - weight)
    assert np.abs(to_channels(rgba, 3) - expected).max() <= 0.5
    assert np.array_equal(to_channels(rgba, 1), to_channels(to_channels(rgba, 3), 1))
    assert np.array_equal(to_channels(to_channels(rgba, 3), 4)[..., :3], to_channels(rgba, 3))
    assert (to_channels(noise(2, 2, 1), 4)[..., 3] == 255).all()


# Containers, names and modes.


MODES = {"L": "png", "1": "png", "P": "png", "RGB": "jpg", "RGBA": "webp", "CMYK": "jpg", "YCbCr": "tif", "LA": "png"}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_folders_and_archives_hold_pictures_of_any_mode_and_size(tmp_path, kind):
    root = tmp_path / "data"
    for i, (mode, ending) in enumerate(MODES.items()):
        path = root / ("cats" if i % 2 else "dogs") / f"{i}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(noise(20 + i, 16 + 2 * i, seed=i)).convert(mode).save(path)
    if kind == "zip":
        shutil.make_archive(str(root), "zip", root)
    elif kind != "folder":
        shutil.make_archive(str(root), "gztar" if kind == "tgz" else "tar", root)
    whole = {
        "folder": root,
        "zip": tmp_path / "data.zip",
        "tar": tmp_path / "data.tar",
        "tgz": tmp_path / "data.tar.gz",
    }
    modality = Image(size=16)
    items, bad = read_all(modality, modality.rows(open_source(whole[kind], modality.extensions).rows(), (1, 0, 0)), 0)
    assert bad == []
    assert [item.key for item in items] == sorted(item.key for item in items)
    assert {item.data.shape[:2] for item in items} == {(16, 16)}
    modality.fit(items)
    assert modality.conditions[0].names == ("cats", "dogs")
    assert modality.encode(items, None, RNG).state["pixels"].shape == (8, 64, 12)


def test_a_wrong_ending_does_not_matter_but_wrong_content_does(tmp_path):
    Pillow.fromarray(noise(4, 4)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert np.array_equal(read_pixels(file_at(tmp_path / "x.jpg")), noise(4, 4))
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html>not found</html>")
    with pytest.raises(BadItem, match=r"page\.jpg: is not an image: it begins with b'<!DOCTYPE ht'"):
        read_pixels(file_at(tmp_path / "page.jpg"))


def test_colours_of_print_come_out_right(tmp_path):
    cmyk = Pillow.new("CMYK", (16, 16), (0, 255, 255, 0))  # red
    pixels = read_pixels(saved(tmp_path, cmyk, "x.jpg", quality=95))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 6


def test_modes_that_have_no_colours_of_ours_are_refused_by_name(tmp_path):
    lab = Pillow.new("LAB", (4, 4))
    with pytest.raises(BadItem, match=r"x\.tif: has pixels in CIE LAB: save it as RGB"):
        read_pixels(saved(tmp_path, lab, "x.tif"))


@pytest.mark.parametrize("name", ["x.gif", "x.png", "x.webp", "x.tif"])
def test_of_several_frames_the_first_is_taken_and_that_is_said_once(tmp_path, name):
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 0, 200))]
    file = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    modality = Image(channels=3)
    item = modality.read(file, {})
    assert np.abs(item.data.astype(int) - (200, 0, 0)).max() <= 8
    still = modality.read(saved(tmp_path, frames[0], f"still-{name}"), {})
    with pytest.warns(UserWarning, match=rf"of 1 animated images the first frame is taken: {name}") as said:
        modality.fit([item, still])
    assert len(said) == 1


# Pictures that are none.


def test_a_file_that_unpacks_to_far_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_LARGEST", 10_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(10_000_000))
    (row,) = open_source(tmp_path / "bomb.zip", Image.extensions).rows()
    with pytest.raises(BadItem, match=r"bomb\.zip!zeros\.png: holds more than 10,000 bytes"):
        read_pixels(row.file)


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_specks_and_threads_are_refused_where_they_would_be_blown_up(tmp_path, resize):
    speck = saved(tmp_path, Pillow.new("RGB", (1, 1)), "speck.png")
    with pytest.raises(BadItem, match=r"speck\.png: is 1 x 1 pixels: it would be enlarged 32 times to be 32 x 32"):
        read_pixels(speck, 32, resize=resize)
    thread = saved(tmp_path, Pillow.new("RGB", (30_000, 2)), "thread.png")
    said = "enlarged 16 times" if resize != "pad" else "has a side of less than half a pixel"
    with pytest.raises(BadItem, match=rf"thread\.png: is 2 x 30000 pixels: .*{said}"):
        read_pixels(thread, 32, resize=resize)


def test_a_damaged_member_is_counted_and_named(tmp_path):
    for i in range(30):
        Pillow.fromarray(noise(16, 16, seed=i)).save(tmp_path / f"{i:02d}.png")
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path, ".")
    whole = bytearray((tmp_path / "a.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        place = archive.getinfo("07.png").header_offset + 200
    whole[place : place + 100] = bytes(100)
    (tmp_path / "b.zip").write_bytes(whole)
    modality = Image()
    items, bad = read_all(modality, open_source(tmp_path / "b.zip", modality.extensions).rows(), 0.05)
    assert len(items) == 29
    assert [error.path.endswith("b.zip!07.png") for error in bad] == [True]
    assert "cannot be read" in bad[0].why


# On file.


def test_of_most_formats_nothing_but_the_header_is_read_before_it_is_needed(tmp_path):
    picture = Pillow.fromarray(noise(400, 300))
    for name in ("x.jpg", "x.bmp", "x.tif", "x.ppm"):
        file = saved(tmp_path, picture, name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: 20_000 if name != "x.tif" else None])
        item = Image(keep="file", channels=3).read(file, {})
        assert item.data.shape == (400, 300, 3)
        if name != "x.tif":
            with pytest.raises(BadItem, match=rf"{name}: is damaged or cut short"):
                np.asarray(item.data)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"hello, I am a text", "is not an image: it begins")]
)
def test_what_is_no_picture_is_refused_by_its_header(tmp_path, content, said):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(BadItem, match=rf"x\.jpg: {said}"):
        Image(keep="file").read(file_at(tmp_path / "x.jpg"), {})
    with pytest.raises(BadItem, match=r"none\.jpg: cannot be read"):
        Image(keep="file").read(file_at(tmp_path / "none.jpg"), {})


def test_pictures_on_file_are_those_in_memory(tmp_path):
    y, x = np.mgrid[0:300, 0:400]
    smooth = np.stack([x / 2, y / 2, (x + y) / 3], -1).astype(np.uint8)
    for name in ("x.jpg", "x.png"):
        file = saved(tmp_path, Pillow.fromarray(smooth), name)
        for options in ({"size": 32}, {"size": 32, "alpha": "keep", "resize": "pad"}, {"size": 32, "buckets": 3}, {}):
            eager, lazy = (Image(**options, keep=keep).read(file, {"label": "a"}) for keep in ("memory", "file"))
            assert not isinstance(lazy.data, np.ndarray)
            assert lazy.data.shape == eager.data.shape
            assert np.array_equal(np.asarray(lazy.data), eager.data)
            assert (lazy.cond, lazy.key, lazy.meta) == (eager.cond, eager.key, eager.meta)


def test_a_model_is_fed_from_files_as_from_memory(tmp_path):
    for i in range(6):
        Pillow.fromarray(noise(20, 16, seed=i)).save(tmp_path / f"{i}.png")
    encoded = []
    for keep in ("memory", "file"):
        modality = Image(size=8, keep=keep, flip=True, shift=1)
        items, _ = read_all(modality, open_source(tmp_path, modality.extensions).rows())
        modality.fit(items)
        known = [modality.tasks()["inpaint"].pose(item, np.random.default_rng(i))[1] for i, item in enumerate(items)]
        varied = [
            modality.augment(item, np.random.default_rng(i)) for i, item in enumerate(pickle.loads(pickle.dumps(items)))
        ]
        encoded.append(modality.encode(varied, known, RNG))
        pasted = modality.paste(np.zeros((8, 8, 3), np.uint8), items[0], known[0])
        assert np.array_equal(pasted[known[0]], np.asarray(items[0].data)[known[0]])
    assert torch.equal(encoded[0].state["pixels"], encoded[1].state["pixels"])
    assert torch.equal(encoded[0].known.values["pixels"], encoded[1].known.values["pixels"])


def test_a_file_that_was_damaged_since_stops_the_run_by_name(tmp_path):
    file = saved(tmp_path, Pillow.fromarray(noise(64, 64)))
    item = Image(keep="file", channels=3).read(file, {})
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[:900])
    with pytest.raises(BadItem, match=r"x\.png: is damaged or cut short"):
        np.asarray(item.data)
