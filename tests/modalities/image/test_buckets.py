"""Pictures of several aspect ratios in one model: which shapes there are, which one a picture takes, and mixed batches."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ornstein.core.backbones.dit import DiT
from ornstein.core.modality import Item
from ornstein.core.sources import open_source, read_all
from ornstein.modalities.image import Image
from ornstein.modalities.image.buckets import draw, nearest, shapes_of
from PIL import Image as Pillow
from some_images import RNG, fitted, noise


@given(st.integers(64, 512), st.sampled_from([1, 2, 4]), st.integers(1, 9))
def test_shapes_have_about_the_asked_number_of_pixels(size, patch, count):
    shapes = shapes_of(size, patch, count)
    assert len(set(shapes)) == count
    for height, width in shapes:
        assert height % patch == width % patch == 0
        assert abs(height * width / size**2 - 1) <= patch / min(height, width)
        assert max(height, width) / min(height, width) <= 2 * (1 + patch / min(height, width)) ** 2
    ratios = sorted(width / height for height, width in shapes)
    if count > 1:
        assert ratios[0] < 0.6
        assert ratios[-1] > 1.7


def test_one_shape_is_the_square_and_five_go_from_tall_to_wide():
    assert shapes_of(64, 4, 1) == ((64, 64),)
    assert shapes_of(64, 4, 5) == ((44, 92), (52, 80), (64, 64), (80, 52), (92, 44))


def test_the_nearest_shape_is_that_of_the_aspect_ratio():
    shapes = shapes_of(64, 4, 5)
    assert nearest(shapes, 480, 640) == (52, 80)
    assert nearest(shapes, 640, 480) == (80, 52)
    assert nearest(shapes, 100, 1000) == (44, 92)
    assert nearest(shapes, 500, 520) == (64, 64)


def test_too_many_shapes_for_so_few_pixels_are_refused():
    with pytest.raises(
        ValueError, match=r"modality\.buckets=9: around 16 x 16 pixels in patches of 4 there are only 3"
    ):
        Image(size=16, patch=4, buckets=9)


def test_shapes_are_drawn_as_often_as_they_were_seen_and_sample_by_sample():
    histogram = [(8, 4, 10), (6, 6, 30), (4, 8, 60)]
    drawn = draw(histogram, 20_000, np.random.default_rng(0))
    shares = [sum(shape == row[:2] for shape in drawn) / 20_000 for row in histogram]
    assert np.allclose(shares, (0.1, 0.3, 0.6), atol=0.02)
    assert draw(histogram, 5, np.random.default_rng(0)) == drawn[:5]
    assert draw([(8, 8, 1)], 3, RNG) == [(8, 8)] * 3


def some(folder):
    """A modality fitted on pictures of three aspect ratios, and its items."""
    for i in range(12):
        shape = ((40, 40), (30, 60), (64, 32))[i % 3]
        Pillow.fromarray(noise(*shape, seed=i)).save(folder / f"{i:02d}.png")
    modality = Image(size=16, patch=4, buckets=3)
    items, bad = read_all(modality, open_source(folder, modality.extensions).rows())
    modality.fit(items)
    assert bad == []
    return modality, items


def test_pictures_take_their_shapes_and_come_back_from_a_mixed_batch(tmp_path):
    modality, items = some(tmp_path)
    assert [item.data.shape[:2] for item in items[:3]] == [(16, 16), (12, 20), (20, 12)]
    known = [None] * 12
    known[1] = np.random.default_rng(0).random((12, 20)) < 0.5
    encoded = modality.encode(items, known, RNG)
    assert encoded.layout.grid is None
    assert encoded.mask.sum(1).tolist() == [16, 15, 15] * 4
    assert (encoded.state["pixels"][~encoded.mask] == 0).all()
    assert encoded.known.bits["pixels"][1].sum() == 3 * known[1].sum()
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    assert all(np.array_equal(a, item.data) for a, item in zip(back, items, strict=True))
    alone = modality.encode(items[1:2], None, RNG)
    assert alone.layout.grid == (3, 5)
    assert torch.equal(alone.layout.positions[0], encoded.layout.positions[1, :15])
    assert torch.equal(alone.state["pixels"][0], encoded.state["pixels"][1, :15])


def test_a_picture_is_to_the_network_the_same_alone_and_among_other_shapes(tmp_path):
    modality, items = some(tmp_path)
    torch.manual_seed(0)
    network = DiT(modality.fields, (), 2, width=32, depth=2, heads=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    outputs = []
    for part in (items[:3], items[1:2]):
        encoded = modality.encode(part, None, RNG)
        c_noise = torch.full((len(part),), 0.3)
        outputs.append(network(encoded.state, c_noise, encoded.layout, {})["pixels"])
    assert torch.allclose(outputs[0][1, :15], outputs[1][0], atol=1e-5)


def test_new_pictures_have_the_shapes_of_training_or_the_asked_one(tmp_path):
    modality, _ = some(tmp_path)
    other = Image(size=16, patch=4, buckets=3)
    other.load_state({}, json.loads(json.dumps(modality.state()[1])))
    for each in (modality, other):
        blank = each.blank(300, {}, np.random.default_rng(1))
        counts = [blank.aux["size"].count(shape) for shape in ((16, 16), (12, 20), (20, 12))]
        assert sum(counts) == 300
        assert min(counts) > 70
        assert blank.rows(0, 5).aux["size"] == each.blank(5, {}, np.random.default_rng(1)).aux["size"]
        images = each.decode(blank.state, blank.mask, blank.aux)
        assert [image.shape[:2] for image in images] == blank.aux["size"]
    assert modality.blank(2, {}, RNG, (8, 24)).layout.grid == (2, 6)


def test_grids_and_files_of_several_shapes_are_written(tmp_path):
    modality, items = some(tmp_path)
    paths = modality.write([item.data for item in items[:3]], tmp_path / "out")
    shapes = [Pillow.open(path).size[::-1] for path in paths[:-1]]
    assert shapes == [(16, 16), (12, 20), (20, 12)]


def test_without_buckets_a_batch_holds_one_size():
    modality = fitted([Item(noise(8, 8))])
    with pytest.raises(ValueError, match="a batch holds images of one size"):
        modality.encode([Item(noise(8, 8)), Item(noise(4, 8))], None, RNG)
