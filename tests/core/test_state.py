"""Fields, spaces, layouts and known masks: what each promises."""

import pytest
import torch
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.state import (
    CentreFree,
    Condition,
    Encoded,
    Field,
    Isotropic,
    Known,
    Layout,
    Space,
    expand_time,
    field_mask,
)

X = Field("x", "continuous", 3, Gaussian(), space=CentreFree())
A = Field("a", "categorical", 5, Masked())
E = Field("e", "continuous", 2, Gaussian(), axes="pair")
B = Field("b", "categorical", 4, Masked(), axes="pair")
FIELDS = {f.name: f for f in (X, A, E, B)}
MASK = Layout.of_sizes(torch.tensor([4, 2, 1]), 5).mask

each_space = pytest.mark.parametrize("space", [cls() for cls in Space.__subclasses__()], ids=lambda s: type(s).__name__)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@each_space
def test_projection_is_orthogonal_and_its_trace_the_degrees_of_freedom(space: Space):
    for row in MASK:
        eye = torch.eye(15, dtype=torch.float64).view(15, 5, 3)
        matrix = space.project(eye, row.expand(15, 5)).flatten(1)
        torch.testing.assert_close(matrix, matrix.T)
        torch.testing.assert_close(matrix @ matrix, matrix)
        assert float(matrix.trace()) == pytest.approx(float(space.dof(row[None], 3)))


@each_space
def test_padding_is_inert_whatever_it_holds(space: Space):
    x = noise(3, 5, 3)
    dirty = torch.where(MASK[..., None], x, torch.nan)
    torch.testing.assert_close(space.project(dirty, MASK), space.project(x, MASK), rtol=0, atol=0)
    assert (space.project(dirty, MASK)[~MASK] == 0).all()


def test_centre_free_has_its_mean_at_zero_over_real_tokens():
    x = CentreFree().project(noise(3, 5, 3) + 7, MASK)
    torch.testing.assert_close(x.sum(1), torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_given_scaffold_is_not_moved_and_other_samples_are():
    x, known = noise(3, 5, 3), torch.zeros(3, 5, 3, dtype=torch.bool)
    known[0, 1] = True
    placed = CentreFree().project(x, MASK, known)
    assert torch.equal(placed[0], torch.where(MASK[0, :, None], x[0], 0))
    torch.testing.assert_close(placed[1:], CentreFree().project(x, MASK)[1:])


def test_masks_of_fields():
    assert torch.equal(field_mask(X, MASK), MASK[..., None])
    assert torch.equal(field_mask(A, MASK), MASK)
    pairs = field_mask(B, MASK)
    assert pairs.shape == (3, 5, 5)
    assert pairs.sum((1, 2)).tolist() == [12, 2, 0]  # n (n - 1): the diagonal is no entry
    assert not pairs.diagonal(dim1=1, dim2=2).any()
    assert torch.equal(field_mask(E, MASK), pairs[..., None])


def test_a_pair_stands_at_the_larger_of_its_times():
    t = torch.tensor([[0.1, 0.5, 0.2, 0, 0]])
    assert torch.equal(expand_time(t, A), t)
    assert torch.equal(expand_time(t, X), t[..., None])
    pair = expand_time(t, B)
    assert torch.equal(pair, pair.transpose(1, 2))
    assert pair[0, 0].tolist() == pytest.approx([0.1, 0.5, 0.2, 0.1, 0.1])
    assert expand_time(t, E).shape == (1, 5, 5, 1)
    shapes = [tuple(expand_time(t[:, 0], f).shape) for f in (X, A, E, B)]
    assert shapes == [(1, 1, 1), (1, 1), (1, 1, 1, 1), (1, 1, 1)]


def known_of(x_bits: torch.Tensor, a_bits: torch.Tensor | None) -> Known:
    bits = {"x": x_bits} | ({} if a_bits is None else {"a": a_bits})
    return Known(bits, {"x": torch.zeros(x_bits.shape), "a": torch.zeros(x_bits.shape[:2], dtype=torch.int64)})


def test_a_token_is_known_whole_when_every_token_field_is():
    x_bits, a_bits = torch.zeros(3, 5, 3, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool)
    x_bits[:, 0], a_bits[:, 0] = True, True  # whole
    x_bits[:, 1] = True  # a is missing
    x_bits[:, 2, :2], a_bits[:, 2] = True, True  # one channel is missing
    x_bits[:, 4], a_bits[:, 4] = True, True  # padding
    expected = torch.tensor([True, False, False, False, False]).expand(3, 5)
    assert torch.equal(known_of(x_bits, a_bits).whole(FIELDS, MASK), expected)
    assert not known_of(x_bits, None).whole(FIELDS, MASK).any()
    given = known_of(x_bits, a_bits)
    assert not given.whole_entries(B, FIELDS, MASK).any()  # a pair that is not given is still to be made
    given.bits["b"] = torch.ones(3, 5, 5, dtype=torch.bool)
    assert given.whole_entries(B, FIELDS, MASK).sum((1, 2)).tolist() == [1, 1, 1]
    assert not known_of(x_bits, a_bits).whole({"b": B}, MASK).any()  # pairs alone make no token whole


def test_rows_of_a_batch_are_cut_everywhere():
    positions = noise(3, 5, 2)
    encoded = Encoded(
        {"x": noise(3, 5, 3), "a": torch.arange(15).view(3, 5)},
        Layout(MASK, positions, None, (False, True)),
        {"c": Condition(torch.arange(3), torch.tensor([True, False, True]), MASK)},
        known_of(MASK[..., None].expand(3, 5, 3), MASK),
        {"rate": 3, "scale": ["p", "q", "r"]},
    )
    part = encoded.rows(1, 3)
    assert part.batch == 2
    assert torch.equal(part.state["a"], encoded.state["a"][1:])
    assert torch.equal(part.layout.positions, positions[1:])
    assert part.layout.periodic == (False, True)
    assert part.cond["c"].value.tolist() == [1, 2]
    assert part.cond["c"].present.tolist() == [False, True]
    assert torch.equal(part.cond["c"].mask, MASK[1:])
    assert torch.equal(part.known.bits["a"], MASK[1:])
    assert part.aux == {"rate": 3, "scale": ["q", "r"]}
    moved = part.to("cpu", torch.float32)
    kinds = (moved.state["x"], moved.layout.positions, moved.known.values["x"])
    assert all(x.dtype == torch.float32 for x in kinds)
    assert moved.state["a"].dtype == torch.int64
    assert moved.cond["c"].value.dtype == torch.int64


def test_layouts():
    grid = Layout.of_grid(2, (2, 3))
    assert grid.tokens == 6
    assert grid.positions[1].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert Layout.of_sizes(torch.tensor([1, 3])).mask.tolist() == [[True, False, False], [True, True, True]]


def test_dropping_a_condition_leaves_the_others():
    c = Condition(torch.arange(3), torch.tensor([True, True, False]))
    assert c.dropped(torch.tensor([True, False, False])).present.tolist() == [False, True, False]
    assert c.present.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Field("x", "smooth", 1, Gaussian()), "continuous|categorical"),
        (lambda: Field("x", "continuous", 1, Gaussian(), axes="triple"), "token|pair"),
        (lambda: Field("x", "continuous", 0, Gaussian()), "at least 1"),
        (lambda: Field("x", "continuous", 1, Gaussian(), axes="pair", space=CentreFree()), "isotropic"),
        (lambda: Field("x", "continuous", 1, Masked()), "'x' is continuous.*Masked"),
        (lambda: Field("x", "categorical", 3, Gaussian()), "'x' is categorical.*Gaussian"),
    ],
)
def test_fields_that_make_no_sense_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_isotropic_keeps_everything_real():
    x = noise(3, 5, 3)
    assert torch.equal(Isotropic().project(x, MASK)[MASK], x[MASK])
