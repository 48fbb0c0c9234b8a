"""The basis of means: orthonormal, and a small or a grey image is a part of it; sums are met exactly."""

import numpy as np
import pytest
import torch
from ornstein.modalities.image.basis import Basis, blocks, unblocked, with_sums
from ornstein.modalities.image.parts import Grey, Means


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_it_is_orthonormal_and_inverted(patch, channels):
    basis = Basis.of(patch, channels)
    size = patch * patch * channels
    torch.testing.assert_close(basis.matrix @ basis.matrix.T, torch.eye(size, dtype=torch.float64))
    x = torch.randn(3, size)
    torch.testing.assert_close(basis.inverse(basis.forward(x)), x)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_means_over_squares_are_exactly_its_coarse_coefficients(side):
    """Two patches agree in their coefficients of `square` side or more where, and only where, their means agree."""
    basis, rng = Basis.of(8, 3), np.random.default_rng(0)
    x = rng.normal(size=(8, 8, 3))
    noise = rng.normal(size=(8, 8, 3))
    squares = blocks(noise, side)
    inside = unblocked(squares - squares.mean(-1, keepdims=True))  # changes no mean
    told = Means(side).bits(basis)
    before, same, other = (basis.forward(torch.from_numpy(v.reshape(-1))) for v in (x, x + inside, x + noise))
    torch.testing.assert_close(before[told], same[told])
    assert (before[told] - other[told]).abs().max() > 0.1
    assert (before[~told] - same[~told]).abs().max() > 0.1
    assert int(told.sum()) == (8 // side) ** 2 * 3


def test_grey_is_the_mean_of_the_colours():
    basis = Basis.of(2, 3)
    x = torch.randn(2, 2, 3, dtype=torch.float64)
    y = basis.forward(x.flatten())[Grey().bits(basis)]
    grey = x.mean(-1, keepdim=True).expand_as(x)
    torch.testing.assert_close(basis.forward(grey.flatten())[Grey().bits(basis)], y)
    assert basis.forward(grey.flatten())[~Grey().bits(basis)].abs().max() < 1e-12
    four = Basis.of(2, 4)
    assert int(Grey().bits(four).sum()) == 8  # grey and alpha of four pixels


def test_a_coefficient_is_whole_where_all_its_pixels_are_known():
    basis = Basis.of(4, 1)
    bits = torch.zeros(4, 4, dtype=torch.bool)
    bits[:2, :2] = True
    told = basis.whole(bits.flatten())
    assert int(told.sum()) == 3  # the three differences inside the corner, and no mean
    assert basis.whole(torch.ones(16, dtype=torch.bool)).all()
    assert not basis.whole(torch.zeros(16, dtype=torch.bool)).any()


@pytest.mark.parametrize("seed", range(5))
def test_sums_are_met_exactly_and_little_is_moved(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (50, 16)).astype(np.uint8)
    values[:10] = rng.choice([0, 255], (10, 16))  # at the ends, where some cannot move
    sums = rng.integers(0, 255 * 16 + 1, 50)
    sums[0], sums[1] = 0, 255 * 16
    sums[2] = values[2].sum(dtype=int)
    out = with_sums(values, sums)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out.sum(1, dtype=int), sums)
    np.testing.assert_array_equal(out[2], values[2])
    near = values[20:].astype(int).sum(1) + rng.integers(-3, 4, 30)
    moved = with_sums(values[20:], near.clip(0, 255 * 16)).astype(int) - values[20:]
    assert np.abs(moved).max() <= 1


def test_a_pasted_part_is_exact():
    rng = np.random.default_rng(0)
    sample, given = (rng.integers(0, 256, (8, 12, 3)).astype(np.uint8) for _ in range(2))
    out = Means(4).paste(sample, given)
    np.testing.assert_array_equal(blocks(out, 4).sum(-1, dtype=int), blocks(given, 4).sum(-1, dtype=int))
    out = Grey().paste(sample, given)
    np.testing.assert_array_equal(out.sum(-1, dtype=int), given.sum(-1, dtype=int))
    np.testing.assert_array_equal(unblocked(blocks(sample, 4)), sample)


def test_another_side_than_a_power_of_2_is_refused():
    with pytest.raises(ValueError, match=r"modality.patch=6: .*power of 2"):
        Basis.of(6, 3)
