"""Images: what pixels become on their way from a file to tokens and back, and what is said of bad files."""

import io
import json
import pickle

import numpy as np
import pytest
import torch
from ornstein.core.conditioning.values import conditions
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import file_at, open_source, read_all, split
from ornstein.core.state import Condition
from ornstein.modalities.image import Image
from ornstein.modalities.image.data import read_pixels, to_channels
from PIL import Image as Pillow

RNG = np.random.default_rng(0)
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def fitted(items=None, **options):
    modality = Image(**options)
    modality.fit(items or [Item(noise(8, 8))])
    return modality


def saved(tmp_path, picture, name="x.png", **options):
    picture.save(tmp_path / name, **options)
    return file_at(tmp_path / name)


# Model space.


@pytest.mark.parametrize(
    ("height", "width", "channels", "patch"), [(8, 8, 1, 2), (6, 9, 3, 3), (4, 8, 3, 4), (5, 3, 1, 1)]
)
def test_every_level_survives_the_way_there_and_back(height, width, channels, patch):
    items = [Item(noise(height, width, channels, seed)) for seed in range(3)]
    modality = fitted(items, patch=patch)
    encoded = modality.encode(items, None, RNG)
    tokens = height * width // patch**2
    assert encoded.state["pixels"].shape == (3, tokens, modality.fields[0].channels) == (3, tokens, patch**2 * channels)
    assert encoded.layout.grid == (height // patch, width // patch)
    assert encoded.known is None
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    assert all(np.array_equal(a, item.data) for a, item in zip(back, items, strict=True))


def test_model_space_is_minus_one_to_one_and_decoding_clips():
    modality = fitted([Item(LEVELS)])
    encoded = modality.encode([Item(LEVELS)], None, RNG)
    x = encoded.state["pixels"]
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    (back,) = modality.decode({"pixels": x}, encoded.mask, encoded.aux)
    assert np.array_equal(back, LEVELS)
    (wide,) = modality.decode({"pixels": 3 * x}, encoded.mask, encoded.aux)
    assert wide.dtype == np.uint8
    assert np.array_equal(wide, np.clip(np.rint(3.0 * LEVELS - 255), 0, 255))


def test_a_token_is_one_patch():
    data = np.zeros((4, 6, 3), np.uint8)
    data[2:4, 4:6] = 255  # the last of 2 x 3 patches
    x = fitted([Item(data)]).encode([Item(data)], None, RNG).state["pixels"]
    assert (x[0] == 1).all(1).tolist() == [False] * 5 + [True]
    positions = fitted([Item(data)]).encode([Item(data)], None, RNG).layout.positions
    assert positions[0, -1].tolist() == [1, 2]


def test_non_finite_samples_are_refused():
    modality = fitted()
    encoded = modality.blank(2, {}, RNG)
    encoded.state["pixels"][1, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="1 of 2 samples hold NaN or infinity"):
        modality.decode(encoded.state, encoded.mask, encoded.aux)


def test_blank_images_have_the_size_that_is_asked_for():
    modality = fitted([Item(noise(8, 12))])
    for size, shape in ((None, (8, 12)), (16, (16, 16)), ((4, 10), (4, 10)), ([4, 10], (4, 10))):
        cond = {"label": Condition(torch.zeros(2), torch.ones(2, dtype=torch.bool))}
        encoded = modality.blank(2, cond, RNG, size)
        assert encoded.cond is cond
        images = modality.decode(encoded.state, encoded.mask, encoded.aux)
        assert [image.shape for image in images] == [(*shape, 3)] * 2
    with pytest.raises(ValueError, match="7 x 7 pixels has no whole patches of 2 x 2"):
        modality.blank(1, {}, RNG, 7)
    with pytest.raises(ValueError, match="0 x 8 pixels has no whole patches"):
        modality.blank(1, {}, RNG, (0, 8))
    with pytest.raises(ValueError, match="give a side, or a height and a width"):
        modality.blank(1, {}, RNG, (8, 8, 3))


# Known pixels.


def test_known_bits_of_a_partly_known_patch_are_those_of_its_pixels():
    item = Item(noise(4, 4))
    known = np.zeros((4, 4), bool)
    known[0, 1] = known[3, 2] = True
    modality = fitted([item])
    encoded = modality.encode([item, item], [known, None], RNG)
    bits, values = encoded.known.bits["pixels"], encoded.known.values["pixels"]
    expected = torch.zeros(4, 2, 2, 3, dtype=torch.bool)  # patch, row, column, channel
    expected[0, 0, 1] = expected[3, 1, 0] = True
    assert torch.equal(bits[0], expected.flatten(1))
    assert not bits[1].any()
    assert torch.equal(values[bits], encoded.state["pixels"][bits])
    assert (values[~bits] == 0).all()  # nothing of the unknown pixels is told
    whole = {field.name: field for field in modality.fields}
    assert not encoded.known.whole(whole, encoded.mask).any()


def test_a_patch_known_throughout_is_known_whole():
    item, known = Item(noise(4, 4)), np.zeros((4, 4), bool)
    known[:2, 2:] = True
    modality = fitted([item])
    encoded = modality.encode([item], [known], RNG)
    whole = encoded.known.whole({f.name: f for f in modality.fields}, encoded.mask)
    assert whole.tolist() == [[False, True, False, False]]


@pytest.mark.parametrize("shape", [(8, 8), (6, 16), (2, 2), (64, 48)])
@pytest.mark.parametrize(("task", "low", "high"), [("inpaint", 0.2, 0.95), ("outpaint", 0.04, 0.6)])
def test_poses_leave_something_given_and_something_to_do(shape, task, low, high):
    item = Item(noise(*shape))
    pose = Image().tasks()[task].pose
    shares = []
    for seed in range(200):
        same, known = pose(item, np.random.default_rng(seed))
        assert same is item
        assert known.shape == shape
        assert known.any()
        assert not known.all()
        shares.append(known.mean())
    if min(shape) >= 8:
        assert low <= min(shares)
        assert max(shares) <= high
        assert np.std(shares) > 0.08
    again = [pose(item, np.random.default_rng(5))[1] for _ in range(2)]
    assert np.array_equal(*again)


def test_holes_fall_everywhere():
    item = Item(noise(8, 8))
    for task in ("inpaint", "outpaint"):
        pose = Image().tasks()[task].pose
        known = np.mean([pose(item, np.random.default_rng(seed))[1] for seed in range(400)], axis=0)
        assert known.min() > 0.02
        assert known.max() < 0.98
        assert abs(known - known[::-1, ::-1]).max() < 0.15  # no corner is preferred


def test_given_pixels_are_exact_in_the_result():
    given, sample = Item(noise(6, 6, 1)), noise(6, 6, 3, seed=1)
    known = np.random.default_rng(2).random((6, 6)) < 0.5
    pasted = Image().paste(sample, given, known)
    assert pasted.dtype == np.uint8
    assert np.array_equal(pasted[known], np.repeat(given.data, 3, -1)[known])
    assert np.array_equal(pasted[~known], sample[~known])
    assert Image().paste(sample, given, None) is sample


def test_dark_pixels_of_a_mask_are_known(tmp_path):
    levels = np.where(np.arange(36).reshape(6, 6) < 12, 255, 0).astype(np.uint8)
    known = Image().read_known(saved(tmp_path, Pillow.fromarray(levels)), Item(noise(6, 6)))
    assert np.array_equal(known, levels == 0)
    with pytest.raises(BadItem, match="mask of 6 x 6 pixels for an image of 8 x 8"):
        Image().read_known(file_at(tmp_path / "x.png"), Item(noise(8, 8)))


# Files.


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


# What is learnt from data.


def labelled(*names, channels=3):
    return [
        Item(noise(4, 4, channels, i), {} if name is None else {"label": name}, f"{i}.png")
        for i, name in enumerate(names)
    ]


def test_class_names_are_sorted_numbers_by_value():
    assert fitted(labelled("10", "9", "2", "9")).conditions[0].names == ("2", "9", "10")
    assert fitted(labelled("dog", "10", "cat", 9)).conditions[0].names == ("9", "10", "cat", "dog")
    assert fitted(labelled("a"), labels=False).conditions == ()
    assert fitted(labelled(None)).conditions == ()


def test_labels_become_numbers_and_missing_ones_no_value():
    items = labelled("dog", None, "cat")
    modality = fitted(items)
    cond = modality.encode(items, None, RNG).cond["label"]
    assert cond.present.tolist() == [True, False, True]
    assert cond.value[cond.present].tolist() == [1, 0]
    asked = conditions(modality.conditions, {"label": [item.cond.get("label") for item in items]}, 3)["label"]
    assert torch.equal(asked.value[asked.present], cond.value[cond.present])
    with pytest.raises(
        ValueError, match=r"0\.png has label 'dgo', which is none of the 2 classes .*did you mean 'dog'"
    ):
        modality.encode(labelled("dgo"), None, RNG)


def test_a_label_column_of_numbers_means_names(tmp_path):
    for i in (1, 2, 3):
        Pillow.fromarray(noise(4, 4)).save(tmp_path / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,label\n1.png,1\n2.png,2\n3.png,3\n")  # class 1 is number 0
    modality = Image()
    items, _ = read_all(modality, open_source(tmp_path, modality.extensions).rows())
    modality.fit(items)
    assert modality.encode(items, None, RNG).cond["label"].value.tolist() == [0, 1, 2]
    asked = conditions(modality.conditions, {"label": [item.cond["label"] for item in items]}, 3)
    assert asked["label"].value.tolist() == [0, 1, 2]


def test_one_colour_image_makes_the_model_a_colour_model():
    grey, colour = labelled(None, channels=1), labelled(None, channels=3)
    assert fitted(grey).fields[0].channels == 4
    modality = fitted([*grey, *colour])
    encoded = modality.encode([*grey, *colour], None, RNG)
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    assert np.array_equal(back[0], np.repeat(grey[0].data, 3, -1))
    assert np.array_equal(back[1], colour[0].data)
    assert fitted(colour, channels=1).encode(colour, None, RNG).state["pixels"].shape == (1, 4, 4)


def test_sizes_are_asked_for_where_they_differ(tmp_path):
    items = [Item(noise(8, 8)), Item(noise(8, 8)), Item(noise(4, 6))]
    with pytest.raises(ValueError, match=r"3 training images have 2 sizes \(8 x 8, 4 x 6\): set modality\.size"):
        Image().fit(items)
    with pytest.raises(ValueError, match="a batch holds images of one size"):
        fitted(items[:2]).encode(items, None, RNG)
    with pytest.raises(ValueError, match="5 x 5 pixels has no whole patches of 2 x 2"):
        Image().fit([Item(noise(5, 5))])
    with pytest.raises(ValueError, match="no training image"):
        Image().fit([])
    with pytest.raises(ValueError, match=r"unknown before fit\(\)"):
        _ = Image().fields


@pytest.mark.parametrize("options", [{"patch": 0}, {"channels": 2}, {"shift": -1}, {"size": 9}, {"size": 0}])
def test_wrong_options_are_refused_at_once(options):
    with pytest.raises(ValueError, match=f"modality.{next(iter(options))}|no whole patches"):
        Image(**options)


def test_a_state_of_plain_json_is_all_that_decoding_needs(tmp_path):
    items = labelled("b", "a")
    modality = fitted(items, patch=4)
    tensors, plain = modality.state()
    other = Image(patch=4)
    other.load_state(tensors, json.loads(json.dumps(plain)))
    assert other.fields == modality.fields
    assert other.conditions == modality.conditions
    x, y = (m.encode(items, None, RNG) for m in (modality, other))
    assert torch.equal(x.state["pixels"], y.state["pixels"])
    assert other.blank(1, {}, RNG).layout.grid == (1, 1)
    assert pickle.loads(pickle.dumps(modality)).conditions == modality.conditions


def test_augmentation_moves_and_mirrors_but_invents_nothing():
    item = Item(np.arange(6 * 5, dtype=np.uint8).reshape(6, 5, 1), {"label": "a"}, "x")
    plain = Image().augment(item, np.random.default_rng(0))
    assert np.array_equal(plain.data, item.data)
    mirrored = [
        np.array_equal(Image(flip=True).augment(item, np.random.default_rng(s)).data, item.data[:, ::-1])
        for s in range(200)
    ]
    assert 70 < sum(mirrored) < 130
    seen = set()
    for seed in range(300):
        moved = Image(shift=1).augment(item, np.random.default_rng(seed))
        assert moved.data.shape == item.data.shape
        assert (moved.cond, moved.key) == (item.cond, item.key)
        seen.add(tuple(moved.data[2:4, 2].ravel() - item.data[2:4, 2].ravel().astype(int)))
    assert len(seen) == 9
    assert item.data[0, 0, 0] == 0  # the item itself is as it was


# Pictures.


def test_written_files_are_the_samples(tmp_path):
    for channels in (1, 3):
        images = [noise(8, 8, channels, i) for i in range(5)]
        folder = tmp_path / str(channels) / "out"
        paths = Image().write(images, folder)
        assert [path.name for path in paths] == ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png", "grid.png"]
        assert sorted(folder.iterdir()) == sorted(paths)
        for path, image in zip(paths[:-1], images, strict=True):
            assert np.array_equal(read_pixels(file_at(path)), image)
    assert Image().write([], tmp_path / "none") == []


def test_a_grid_shows_images_in_reading_order():
    images = [np.full((16, 16, 1), 40 * i, np.uint8) for i in range(5)]
    picture = Image().render(images)
    assert picture.shape == (2 * 34 + 2, 3 * 34 + 2)  # 2 rows of 3, enlarged to 32, gaps of 2
    centres = [picture[2 + 16 + 34 * row, 2 + 16 + 34 * column] for row in range(2) for column in range(3)]
    assert centres == [0, 40, 80, 120, 160, 255]
    assert Image().render([noise(100, 50)]).shape == (104, 54, 3)


# Real data.


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    modality = Image()
    name, source = next(iter(modality.datasets().items()))
    rows = source.rows()
    items, bad = read_all(modality, rows)
    assert (name, len(items), bad) == ("digits", 1797, [])
    assert np.array_equal(np.rint(np.stack([item.data for item in items])[..., 0] * (16 / 255)).reshape(-1, 64), levels)
    assert [item.cond["label"] for item in items] == [str(label) for label in labels]
    assert (items[0].key, items[-1].key) == ("digits#0", "digits#1796")
    modality.fit(items)
    told = {"classes": {"label": tuple(str(i) for i in range(10))}, "numbers": {}, "texts": {}}
    assert modality.state()[1] == {"size": [8, 8], "channels": 1, "told": told}
    assert modality.cost(items[0]) == 16
    assert source.fingerprint() == pickle.loads(pickle.dumps(source)).fingerprint()


def test_the_floor_takes_names_and_numbers():
    items = [Item(np.full((4, 4, 1), 10 * (i % 2), np.uint8), {"label": "ab"[i % 2]}) for i in range(8)]
    modality = fitted(items)
    drawn = modality.floor(items, [{"label": 1}, {"label": "a"}, {"label": 0}], np.random.default_rng(0))
    assert [int(image.mean()) for image in drawn] == [10, 0, 0]


def test_hands_of_signers_are_read_from_their_zip(shared_data):
    modality = Image(size=32)
    rows = open_source(shared_data / "images" / "sign_digits", modality.extensions).rows()
    parts = split(rows, 0, (0.8, 0.1, 0.1), "subject")
    persons = [{row.values["subject"] for row in part} for part in parts.values()]
    assert sum(map(len, persons)) == 184
    items, bad = read_all(modality, parts["test"], 0)
    modality.fit(items)
    assert bad == []
    assert {item.data.shape for item in items} == {(32, 32, 3)}
    assert modality.conditions[0].names == tuple(str(i) for i in range(10))


def test_tiles_of_every_mode_are_read(shared_data):
    modality = Image()
    source = open_source(shared_data / "images" / "dcss_tiles", modality.extensions, label_column="category")
    items, bad = read_all(modality, source.rows()[::10], 0)
    modality.fit(items)
    assert bad == []
    assert modality.state()[1]["size"] == [32, 32]
    assert "player" in modality.conditions[0].names
