"""Tubelets: the order of tokens, exactness, sizes that do not divide, what is known, and clips of several lengths."""

import numpy as np
import pytest
import torch
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.encoder import FIELD, Tubelets

TUBELETS = Tubelets(2, 4, 4, 1)


def clip(*shape, seed=0, name=""):
    return Clip(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), 12.5, 3.0, name)


def test_tokens_go_by_time_first_then_by_rows_and_columns():
    frames = np.zeros((4, 8, 8, 1), np.uint8)
    frames[2, 4, 0] = 255  # the second tubelet in time, the second in height, the first in width
    encoded = TUBELETS.encode([Clip(frames, 1.0)], None)
    assert encoded.layout.grid == (2, 2, 2)
    lit = (encoded.state[FIELD][0] > 0).nonzero()
    assert lit.tolist() == [[6, 0]]
    assert encoded.layout.positions[0, 6].tolist() == [1, 1, 0]
    assert torch.equal(encoded.layout.positions[0, :, 0], torch.tensor([0.0] * 4 + [1.0] * 4))


def test_levels_are_from_minus_one_to_one():
    frames = np.stack([np.zeros((4, 4, 1)), np.full((4, 4, 1), 255)]).astype(np.uint8)
    x = TUBELETS.encode([Clip(frames, 1.0)], None).state[FIELD]
    assert x.unique().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("shape", [(8, 16, 8, 1), (7, 15, 9, 1), (1, 3, 5, 1)])
@pytest.mark.parametrize("sides", [(2, 4, 4), (1, 8, 8), (4, 2, 3)])
def test_every_level_comes_back_at_any_size(shape, sides):
    tubelets = Tubelets(*sides, 1)
    given = [clip(*shape, seed=i, name=str(i)) for i in range(2)]
    encoded = tubelets.encode(given, None)
    assert encoded.state[FIELD].shape[1:] == (int(np.prod(tubelets.grid(shape))), tubelets.size)
    for found, true in zip(tubelets.decode(encoded.state, encoded.aux), given, strict=True):
        assert np.array_equal(found.frames, true.frames)
        assert (found.fps, found.start, found.name) == (true.fps, true.start, true.name)


def test_clips_of_several_lengths_share_a_batch():
    given = [clip(8, 8, 8, 1), clip(3, 8, 8, 1, seed=1)]
    encoded = TUBELETS.encode(given, None)
    assert encoded.layout.grid is None
    assert encoded.mask.sum(1).tolist() == [16, 8]
    assert not encoded.state[FIELD][1, 8:].any()
    for found, true in zip(TUBELETS.decode(encoded.state, encoded.aux), given, strict=True):
        assert np.array_equal(found.frames, true.frames)


def test_known_pixels_keep_their_values_and_others_leak_nothing():
    given = clip(4, 8, 8, 1)
    known = np.zeros((4, 8, 8), bool)
    known[0] = True  # half of the first tubelets in time
    encoded = TUBELETS.encode([given, given], [known, None])
    bits, values = encoded.known.bits[FIELD], encoded.known.values[FIELD]
    assert bits[0, :4, :16].all()
    assert not bits[0, :4, 16:].any()
    assert not bits[0, 4:].any()
    assert not bits[1].any()
    assert torch.equal(values[0, :4, :16], encoded.state[FIELD][0, :4, :16])
    assert not values[~bits].any()
    whole = TUBELETS.encode([given], [np.ones((4, 8, 8), bool)])
    assert whole.known.bits[FIELD].all()


def test_pixels_that_fill_up_are_known_where_the_edge_is():
    given = clip(3, 6, 6, 1)
    encoded = TUBELETS.encode([given], [np.ones((3, 6, 6), bool)])
    assert encoded.known.bits[FIELD].all()


def test_levels_beyond_the_range_are_cut_and_numbers_that_are_none_are_refused():
    encoded = TUBELETS.encode([clip(2, 4, 4, 1)], None)
    state = torch.full_like(encoded.state[FIELD], 1.7)
    assert (TUBELETS.decode({FIELD: state}, encoded.aux)[0].frames == 255).all()
    assert (TUBELETS.decode({FIELD: -state}, encoded.aux)[0].frames == 0).all()
    state[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 of 1 samples hold NaN"):
        TUBELETS.decode({FIELD: state}, encoded.aux)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="each side is at least 1"):
        Tubelets(0, 4, 4, 1)
    with pytest.raises(ValueError, match="4 x 4 x 1, 8 x 8 x 1"):
        TUBELETS.encode([clip(2, 4, 4, 1), clip(2, 8, 8, 1)], None)
    with pytest.raises(ValueError, match="1 channels"):
        TUBELETS.encode([clip(2, 4, 4, 3)], None)
    with pytest.raises(ValueError, match="its mask"):
        TUBELETS.encode([clip(2, 4, 4, 1)], [np.ones((4, 4), bool)])


def test_room_has_the_asked_size_and_rate():
    blank = TUBELETS.blank(2, (6, 8, 12), [8.0, 25.0])
    assert blank.layout.grid == (3, 2, 3)
    made = TUBELETS.decode(blank.state, blank.aux)
    assert [each.shape for each in made] == [(6, 8, 12, 1)] * 2
    assert [each.fps for each in made] == [8.0, 25.0]
