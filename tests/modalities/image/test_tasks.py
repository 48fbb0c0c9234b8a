"""Tasks of images that give a smaller, a grey or a blurred picture: by the basis, kept exactly, or as a condition."""

import numpy as np
import pytest
import torch
from ornstein.core.conformance import check_modality
from ornstein.core.modality import Item
from ornstein.core.sources import open_source
from ornstein.modalities.image import Image
from ornstein.modalities.image.basis import blocks
from ornstein.modalities.image.enlarging import LOW
from ornstein.modalities.image.guides import GUIDE, blurred
from ornstein.modalities.image.parts import Grey, Means
from ornstein.modalities.image.reading import OPEN, OWN
from PIL import Image as PILImage

RNG = np.random.default_rng(0)


def picture(height=16, width=24, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def fitted(channels=3, **options):
    modality = Image(**options)
    modality.fit([Item(picture(channels=channels, seed=i), {"label": str(i % 2)}, str(i)) for i in range(4)])
    return modality


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_every_level_survives_the_basis(patch, channels):
    modality = fitted(channels, patch=patch, basis="means")
    items = [Item(picture(channels=channels, seed=i)) for i in range(3)]
    encoded = modality.encode(items, None, RNG)
    for item, made in zip(items, modality.decode(encoded.state, encoded.mask, encoded.aux), strict=True):
        np.testing.assert_array_equal(made, item.data)


def test_upscaling_keeps_the_means_exactly_and_knows_nothing_else():
    modality = fitted(patch=4, basis="means", factor=4)
    item, other = Item(picture()), Item(picture(seed=1))
    posed, known = modality.tasks()["upscale"].pose(item, RNG)
    assert known == Means(4)
    assert posed.cond[LOW].shape == (4, 6, 3)
    told = modality.encode([posed], [known], RNG).known
    assert int(told.bits["pixels"].sum()) == 4 * 6 * 3
    # a picture of the same means and another texture tells the model the same
    twin = Item(known.paste(other.data, item.data))
    again = modality.encode([modality.tasks()["upscale"].pose(twin, RNG)[0]], [known], RNG).known
    torch.testing.assert_close(again.values["pixels"], told.values["pixels"])
    made = modality.paste(other.data, posed, known)
    np.testing.assert_array_equal(blocks(made, 4).sum(-1, dtype=int), blocks(item.data, 4).sum(-1, dtype=int))


def test_an_open_small_picture_is_what_is_given_pixel_by_pixel():
    small = picture(4, 6)
    item = Item(picture(), {}, "small.png", {OPEN: True, OWN: small})
    posed, known = Image(patch=4, basis="means", channels=3).tasks()["upscale"].pose(item, RNG)
    np.testing.assert_array_equal(posed.cond[LOW], small)
    made = known.paste(picture(seed=1), posed.data)
    np.testing.assert_array_equal(blocks(made, 4).sum(-1, dtype=int), 16 * small.astype(int))


@pytest.mark.parametrize("size", [16, None])
def test_a_given_file_of_fewer_pixels_is_the_smaller_image(tmp_path, size):
    small = picture(4, 4)
    PILImage.fromarray(small).save(tmp_path / "small.png")
    modality = Image(size=size, patch=4, basis="means", factor=4)
    modality.fit([Item(picture(16, 16, seed=i)) for i in range(2)])
    (row,) = modality.rows(open_source(tmp_path, modality.extensions, "none").rows(), None)
    item = modality.read(row.file, row.values)
    assert item.data.shape == (16, 16, 3)
    posed, known = modality.tasks()["upscale"].pose(item, RNG)
    np.testing.assert_array_equal(posed.cond[LOW], small)
    made = modality.paste(picture(16, 16, seed=5), posed, known)
    np.testing.assert_array_equal(blocks(made, 4).sum(-1, dtype=int), 16 * small.astype(int))


def test_colourising_keeps_the_grey_exactly():
    modality = fitted(patch=2, basis="means")
    item, other = Item(picture()), Item(picture(seed=1))
    posed, known = modality.tasks()["colourise"].pose(item, RNG)
    assert known == Grey()
    assert float(modality.encode([posed], [known], RNG).known.bits["pixels"].float().mean()) == pytest.approx(1 / 3)
    made = modality.paste(other.data, posed, known)
    np.testing.assert_array_equal(made.sum(-1, dtype=int), item.data.sum(-1, dtype=int))


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("basis", ["pixels", "means"])
def test_given_pixels_are_exact_for_masks_that_cut_through_patches(patch, basis):
    modality = fitted(patch=patch, basis=basis)
    item, known = Item(picture()), np.random.default_rng(3).random((16, 24)) < 0.5
    encoded = modality.encode([item], [known], RNG)
    noise = {"pixels": torch.randn_like(encoded.state["pixels"])}
    (sample,) = modality.decode(noise, encoded.mask, encoded.aux)
    made = modality.paste(sample, item, known)
    np.testing.assert_array_equal(made[known], item.data[known])
    np.testing.assert_array_equal(made[~known], sample[~known])


@pytest.mark.parametrize(
    ("guide", "task"), [("low", "upscale_told"), ("grey", "colourise_told"), ("blurred", "deblur")]
)
def test_a_guide_is_told_and_nothing_of_it_is_given(guide, task):
    modality = fitted(guide=guide)
    assert [spec.name for spec in modality.conditions] == ["label", GUIDE]
    item = Item(picture(), {"label": "1"})
    posed, known = modality.tasks()[task].pose(item, RNG)
    assert known is None
    assert posed.cond[GUIDE].shape == item.data.shape
    assert posed.cond[GUIDE].dtype == np.uint8
    assert (posed.cond[GUIDE] != item.data).any()
    encoded = modality.encode([posed, item], None, RNG)
    assert encoded.cond[GUIDE].present.tolist() == [True, False]
    same = modality.encode([Item(posed.cond[GUIDE])], None, RNG).state["pixels"]
    torch.testing.assert_close(encoded.cond[GUIDE].value[:1], same)
    assert (encoded.cond[GUIDE].value[1] == 0).all()
    opened = Item(posed.cond[GUIDE], {}, "", {OPEN: True})
    if guide != "low":  # what is grey or blurred already is told as it is
        np.testing.assert_array_equal(modality.tasks()[task].pose(opened, RNG)[0].cond[GUIDE], posed.cond[GUIDE])


def test_a_blur_keeps_what_is_flat_and_the_mean():
    flat = np.full((8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(blurred(flat, 2.0), flat)
    x = picture(64, 64)
    assert abs(blurred(x, 1.0).mean() - x.mean()) < 1.0
    assert blurred(x, 2.0).std() < blurred(x, 1.0).std() < x.std()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"basis": "waves"}, "modality.basis='waves'"),
        ({"guide": "loud"}, "modality.guide='loud'"),
        ({"factor": 1}, "modality.factor=1"),
        ({"basis": "means", "patch": 3}, "modality.patch=3"),
    ],
)
def test_what_does_not_fit_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        Image(**options)


def test_a_factor_that_does_not_divide_the_image_is_named():
    with pytest.raises(ValueError, match=r"16 x 24 pixels are not whole squares of 5 x 5"):
        fitted(guide="low", factor=5).tasks()["upscale_told"].pose(Item(picture()), RNG)


@pytest.mark.parametrize("options", [{"patch": 4, "basis": "means"}, {"guide": "low", "factor": 2}])
def test_it_keeps_the_rules(options):
    broken = {r.name: r.message for r in check_modality(Image(**options), items=8) if r.status == "failed"}
    assert broken == {}
