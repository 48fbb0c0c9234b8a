"""Pictures of any size come to the model's: what is cut, what is mixed, what is framed, and what carries no loss."""

import numpy as np
import pytest
from ornstein.core.conformance import check_modality
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import file_at
from ornstein.modalities.image import Image
from ornstein.modalities.image.fitting import Fit
from PIL import Image as Pillow
from some_images import RNG, fitted, noise, read_pixels, saved


def test_area_is_the_mean_over_what_a_pixel_stands_for(tmp_path):
    data = noise(24, 24)
    pixels = read_pixels(saved(tmp_path, Pillow.fromarray(data)), size=8, filter="area")
    means = data.reshape(8, 3, 8, 3, 3).mean((1, 3))
    assert np.abs(pixels - means).max() < 1  # rounded twice, along rows and along columns
    sharp = read_pixels(saved(tmp_path, Pillow.fromarray(data)), size=8, filter="lanczos")
    assert np.abs(sharp - means).max() > 5


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40)])
def test_crop_takes_the_middle_and_stretch_takes_all(tmp_path, height, width):
    data = np.zeros((height, width, 3), np.uint8)
    ends = data[:, :20] if width > height else data[:20]
    ends[:] = 255  # outside the middle square
    file = saved(tmp_path, Pillow.fromarray(data))
    assert (read_pixels(file, 10, 3, filter="area") == 0).all()
    stretched = read_pixels(file, 8, 3, filter="area", resize="stretch")
    expected = np.zeros((8, 8), np.uint8)
    if width > height:
        expected[:, :2] = 255
    else:
        expected[:2] = 255
    assert np.array_equal(stretched[..., 0], expected)


@pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20), (16, 41)])
def test_pad_shows_all_in_a_frame(tmp_path, height, width):
    file = saved(tmp_path, Pillow.new("RGB", (width, height), (10, 20, 30)))
    pixels = read_pixels(file, 16, resize="pad")
    inside = (pixels == (10, 20, 30)).all(-1)
    assert np.array_equal(~inside, Fit(((16, 16),), "pad").border(height, width))
    assert (pixels[~inside] == 255).all()
    long = round(16 * min(height, width) / max(height, width))
    assert inside.sum() == 16 * long
    edges = np.flatnonzero(inside.any(1 if height < width else 0))
    assert abs((15 - edges[-1]) - edges[0]) <= 1  # in the middle
    kept = read_pixels(file, 16, resize="pad", alpha="keep")
    assert (kept[~inside] == 0).all()
    assert (kept[inside] == (10, 20, 30, 255)).all()


def test_a_large_photograph_is_framed_as_if_it_was_decoded_whole(tmp_path):
    for height, width in ((1001, 300), (301, 1403)):
        jpeg = saved(tmp_path, Pillow.new("RGB", (width, height), (10, 20, 30)), "x.jpg")
        png = saved(tmp_path, Pillow.new("RGB", (width, height), (10, 20, 30)), "x.png")
        assert np.abs(read_pixels(jpeg, 16, resize="pad").astype(int) - read_pixels(png, 16, resize="pad")).max() <= 2


def test_a_frame_is_learnt_or_carries_no_loss(tmp_path):
    file = saved(tmp_path, Pillow.fromarray(noise(8, 16)))
    learnt = Image(size=16, patch=4, resize="pad")
    item = learnt.read(file, {})
    learnt.fit([item])
    assert learnt.encode([item], None, RNG).missing == {}
    free = Image(size=16, patch=4, resize="pad", hidden="ignore")
    item = free.read(file, {})
    free.fit([item])
    encoded = free.encode([item], None, RNG)
    missing = encoded.missing["pixels"].view(
        4, 4, 4, 4, 3
    )  # rows and columns of patches, rows and columns in them, channels
    assert missing[[0, 3]].all()
    assert not missing[[1, 2]].any()
    assert (encoded.state["pixels"][encoded.missing["pixels"]] == 0).all()


def test_hidden_colours_are_learnt_or_carry_no_loss():
    rgba = noise(4, 4, 4)
    rgba[:2] = 0
    rgba[2:, :, 3] = 200
    items = [Item(rgba), Item(noise(4, 4))]
    assert fitted(items, alpha="keep").encode(items, None, RNG).missing == {}
    modality = fitted(items, alpha="keep", hidden="ignore")
    encoded = modality.encode(items, None, RNG)
    missing = encoded.missing["pixels"].view(2, 2, 2, 2, 2, 4)
    assert missing[0, 0, ..., :3].all()
    assert not missing[0, 0, ..., 3].any()  # that they are hidden is learnt
    assert not missing[0, 1].any()
    assert not missing[1].any()  # opaque
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    assert np.array_equal(back[0], rgba)  # a colour that is not seen is 0, whatever the state says
    assert (back[1][..., 3] == 255).all()


def test_light_pixels_of_a_mask_carry_no_loss(tmp_path):
    saved(tmp_path, Pillow.fromarray(noise(8, 8)), "a.png")
    light = np.zeros((8, 8), np.uint8)
    light[:4, :4] = 255
    saved(tmp_path, Pillow.fromarray(light), "hole.png")
    modality = Image(mask="hole", shift=1)
    item = modality.read(file_at(tmp_path / "a.png"), {"hole": "hole.png"})
    modality.fit([item])
    encoded = modality.encode([item, modality.read(file_at(tmp_path / "a.png"), {})], None, RNG)
    assert (
        encoded.missing["pixels"].all(-1)[0].view(4, 4).tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    )
    assert not encoded.missing["pixels"][1].any()
    moved = [modality.augment(item, np.random.default_rng(seed)) for seed in range(50)]
    assert len({each.meta["missing"].tobytes() for each in moved}) > 1
    for each in moved:  # the mask moves with the picture: what it leaves is what was there before
        assert set(map(tuple, each.data[~each.meta["missing"]])) <= set(map(tuple, item.data[~item.meta["missing"]]))


def test_masks_of_another_size_or_elsewhere_are_refused(tmp_path):
    saved(tmp_path, Pillow.fromarray(noise(8, 8)), "a.png")
    saved(tmp_path, Pillow.new("L", (8, 6)), "hole.png")
    modality = Image(mask="hole")
    picture = file_at(tmp_path / "a.png")
    for cell, said in [
        ("hole.png", "hole.png: is a mask of 6 x 8 pixels for an image of 8 x 8"),
        ("none.png", "none.png: cannot be read"),
        ("../hole.png", "its hole is '../hole.png', which lies outside"),
        ("/hole.png", "its hole is '/hole.png', which lies outside"),
    ]:
        with pytest.raises(BadItem, match=said):
            modality.read(picture, {"hole": cell})


def test_a_given_mask_has_the_size_of_the_file_or_of_the_model(tmp_path):
    modality = Image(size=8)
    item = modality.read(saved(tmp_path, Pillow.fromarray(noise(32, 64))), {})
    levels = np.zeros((32, 64), np.uint8)
    levels[:, 32:] = 255  # the right half of the picture, and of its middle square
    known = modality.read_known(saved(tmp_path, Pillow.fromarray(levels), "m.png"), item)
    assert known.tolist() == [[True] * 4 + [False] * 4] * 8
    small = modality.read_known(saved(tmp_path, Pillow.fromarray(levels[:8, 28:36]), "m.png"), item)
    assert np.array_equal(known, small)
    with pytest.raises(BadItem, match="mask of 64 x 64 pixels for an image of 32 x 64"):
        modality.read_known(saved(tmp_path, Pillow.new("L", (64, 64)), "m.png"), item)


def test_a_frame_is_as_known_as_a_mask_says_of_the_picture(tmp_path):
    modality = Image(size=8, resize="pad")
    item = modality.read(saved(tmp_path, Pillow.fromarray(noise(16, 32))), {})
    known = modality.read_known(saved(tmp_path, Pillow.new("L", (32, 16), 255), "m.png"), item)
    assert known[[0, 1, 6, 7]].all()
    assert not known[2:6].any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resize": "cover", "size": 8}, "modality.resize='cover'; choose from crop, stretch, pad"),
        ({"filter": "bicubic"}, "modality.filter='bicubic'; choose from lanczos, area"),
        ({"alpha": "drop"}, "modality.alpha='drop'; choose from white, keep"),
        ({"hidden": "drop"}, "modality.hidden='drop'; choose from learn, ignore"),
        ({"keep": "disk"}, "modality.keep='disk'; choose from memory, file"),
        ({"alpha": "keep", "channels": 3}, "modality.channels=3: with modality.alpha=keep there are 4"),
        ({"buckets": 3}, "give it too"),
        ({"resize": "pad"}, "give it too"),
        ({"size": 8, "buckets": 0}, "modality.buckets=0"),
    ],
)
def test_words_that_are_no_choices_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Image(**options)


@pytest.mark.parametrize("options", [{"alpha": "keep", "hidden": "ignore"}, {"size": 12, "buckets": 3, "keep": "file"}])
def test_the_rules_of_modalities_are_kept(options):
    broken = {r.name: r.message for r in check_modality(Image(**options), items=8) if r.status == "failed"}
    assert broken == {}
