"""Model space: pixels to patches and back, and which of them are given."""

import numpy as np
import pytest
import torch
from ornstein.core.conformance import small_dit
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import BadItem, Item
from ornstein.core.samplers import DDIM
from ornstein.core.sampling import sample
from ornstein.core.sources import file_at
from ornstein.core.state import Condition
from ornstein.modalities.image import Image
from PIL import Image as Pillow
from some_images import LEVELS, RNG, fitted, noise, saved

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


@pytest.mark.parametrize("alpha", ["white", "keep"])
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_given_pixels_are_exact_in_the_written_file_whatever_the_mask_cuts(tmp_path, patch, alpha):
    rgba = noise(8, 12, 4)
    rgba[:3, :5, 3] = 0
    file = saved(tmp_path, Pillow.fromarray(rgba), "given.png")
    hole = (np.random.default_rng(0).random((8, 12)) < 0.4).astype(np.uint8) * 255  # no patch is whole
    mask = saved(tmp_path, Pillow.fromarray(hole), "hole.png")
    modality = Image(patch=patch, alpha=alpha)
    item = modality.read(file, {})
    modality.fit([item])
    torch.manual_seed(0)
    denoiser = NeuralDenoiser(small_dit(modality.fields, (), 2), modality.fields, (), modality=modality)
    known = modality.read_known(mask, item)
    made = sample(denoiser, DDIM(steps=2), 2, task="inpaint", given=[item], known=[known])
    first, second, _ = modality.write(made, tmp_path / "out")
    expected = Pillow.open(tmp_path / "given.png")
    if alpha == "white":
        expected = Pillow.alpha_composite(Pillow.new("RGBA", expected.size, "white"), expected).convert("RGB")
    expected = np.array(expected)
    if alpha == "keep":
        expected[expected[..., 3] == 0] = 0
    one, two = (np.asarray(Pillow.open(path)) for path in (first, second))
    assert np.array_equal(one[hole == 0], expected[hole == 0])
    assert np.array_equal(two[hole == 0], expected[hole == 0])
    assert (one != two)[hole > 0].any()
