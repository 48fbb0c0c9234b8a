"""Embedders: presence, masks, garbage behind absent values, bytes of texts."""

import pytest
import torch
from ornstein.core.conditioning.embedders import EMBEDDERS, ByteEmbedder, ConditionEmbedder
from ornstein.core.conditioning.fourier import Fourier
from ornstein.core.conditioning.routes import Router
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import encode_bytes
from ornstein.core.state import Condition, Layout

PRESENT = torch.tensor([True, False, True])


@pytest.mark.parametrize(
    ("spec", "value", "garbage"),
    [
        (ConditionSpec("c", "class", 4), torch.tensor([1, 2, 3]), -9),
        (ConditionSpec("c", "scalar"), torch.randn(3), torch.nan),
        (ConditionSpec("c", "vector", 2), torch.randn(3, 2), torch.inf),
        (ConditionSpec("c", "tokens", 2, "global"), torch.randn(3, 4, 2), torch.nan),
    ],
    ids=lambda x: x.kind if isinstance(x, ConditionSpec) else "",
)
def test_absent_values_are_never_read(spec, value, garbage):
    embedder = ConditionEmbedder(spec, 8)
    value = value.clone()
    value[1] = garbage
    out = embedder.vector(Condition(value, PRESENT), 3)
    torch.testing.assert_close(out[1], embedder.null)
    assert (out[0] - embedder.null).abs().max() > 1e-3
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in embedder.parameters())
    torch.testing.assert_close(embedder.vector(None, 3), embedder.null.expand(3, -1))


def test_sequence_shows_its_null_token_only_when_empty():
    embedder = ConditionEmbedder(ConditionSpec("c", "tokens", 2, "cross"), 8)
    mask = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    tokens, visible = embedder.tokens(Condition(torch.randn(3, 3, 2), PRESENT, mask), 3)
    assert visible.tolist() == [[False, True, True, False], [True, False, False, False], [True, False, False, False]]
    torch.testing.assert_close(tokens[:, 0], embedder.null.expand(3, -1))
    alone, every = embedder.tokens(None, 3)
    assert every is None
    torch.testing.assert_close(alone, embedder.null.expand(3, 1, -1))


def test_pooled_sequence_ignores_padding():
    embedder = ConditionEmbedder(ConditionSpec("c", "tokens", 2, "global"), 8)
    value, present = torch.randn(1, 5, 2), torch.tensor([True])
    long = embedder.vector(Condition(value, present, torch.arange(5)[None] < 3), 1)
    torch.testing.assert_close(long, embedder.vector(Condition(value[:, :3], present), 1))


def test_dense_reads_real_tokens_of_present_samples():
    embedder = ConditionEmbedder(ConditionSpec("c", "dense", 2, "concat"), 8)
    value = torch.full((3, 4, 2), torch.nan)
    value[0, :2] = 1.0
    value[2] = 2.0
    real = torch.tensor([[True, True, False, False]] * 2 + [[True] * 4])
    out = embedder.dense(Condition(value, PRESENT), real)
    assert out.isfinite().all()
    torch.testing.assert_close(out[1], embedder.null.expand(4, -1))
    assert (out[0, 0] - out[2, 0]).abs().max() > 1e-3


def test_dense_is_read_in_its_scale():
    plain = ConditionEmbedder(ConditionSpec("c", "dense", 2, "concat"), 8)
    scaled = ConditionEmbedder(ConditionSpec("c", "dense", 2, "concat", offset=3.0, scale=0.5), 8)
    scaled.load_state_dict(plain.state_dict())
    value = torch.randn(3, 4, 2)
    torch.testing.assert_close(
        scaled.dense(Condition(3 + 0.5 * value, PRESENT), None), plain.dense(Condition(value, PRESENT), None)
    )


def test_order_of_tokens_matters():
    embedder = ConditionEmbedder(ConditionSpec("c", "tokens", 2, "cross"), 8)
    value = torch.randn(1, 3, 2)
    a, _ = embedder.tokens(Condition(value, torch.tensor([True])), 1)
    b, _ = embedder.tokens(Condition(value.flip(1), torch.tensor([True])), 1)
    assert (a[:, 1:] - b[:, 1:].flip(1)).abs().max() > 1e-3


def test_router_joins_contexts_of_one_route():
    specs = [ConditionSpec("a", "class", 3, "cross"), ConditionSpec("b", "tokens", 2, "cross")]
    router = Router(specs, 8)
    layout = Layout.of_sizes(torch.tensor([4, 4, 4]))
    cond = {"b": Condition(torch.randn(3, 5, 2), PRESENT)}
    routed = router(cond, layout)
    assert routed.globals is None
    assert routed.prepend is None
    assert routed.concat is None
    assert routed.cross.tokens.shape == (3, 1 + 1 + 5, 8)
    assert routed.cross.visible[:, 0].all()
    assert routed.cross.visible[:, 1].tolist() == [False, True, False]
    assert router({}, layout).cross.visible is None


def test_every_declared_kind_has_an_embedder():
    for kind, size, route in [("class", 3, "global"), ("scalar", 1, "global"), ("vector", 3, "global")]:
        ConditionEmbedder(ConditionSpec("c", kind, size, route), 8)
    assert set(EMBEDDERS) >= {"class", "scalar", "vector", "tokens", "dense"}


def test_fourier_features_have_unit_mean_square():
    features = Fourier(16, 0.1, 10.0)(torch.linspace(-300, 300, 20001, dtype=torch.float64))
    torch.testing.assert_close(features.square().mean(0), torch.ones(32, dtype=torch.float64), atol=0.05, rtol=0)
    torch.testing.assert_close(
        Fourier(3, 0.1, 10.0)(torch.tensor(0.7))[:3], 2**0.5 * torch.tensor([0.07, 0.7, 7.0]).cos()
    )
    with pytest.raises(ValueError, match="count"):
        Fourier(1, 0.1, 1.0)


def test_bytes_are_cut_at_characters():
    values, mask = encode_bytes(["ab", "", "a€uro", "čř"], 3)
    assert values[0].tolist() == [97, 98, 0]
    assert mask.sum(1).tolist() == [2, 0, 1, 2]
    assert bytes(values[3][mask[3]].tolist()).decode() == "č"
    with pytest.raises(ValueError, match="at least 1 byte"):
        encode_bytes(["a"], 0)


def test_byte_embedder_ignores_padding_and_reads_order():
    embedder = ByteEmbedder(8, 16)
    short, long = encode_bytes(["a cat"], 5), encode_bytes(["a cat"], 9)
    torch.testing.assert_close(embedder(*short), embedder(*long)[:, :5])
    assert (embedder(*short)[:, 2] - embedder(*encode_bytes(["a bat"], 5))[:, 3]).abs().max() > 1e-3
    near = embedder(*encode_bytes(["a cut"], 5))
    assert (embedder(*short)[:, 2] - near[:, 2]).abs().max() > 1e-4  # a byte sees its word


@pytest.mark.parametrize(
    ("kind", "size", "value"), [("scalar", 1, [-1500.0, -900.0]), ("vector", 2, [[1.0, 2.0], [3.0, 4.0]])]
)
def test_numbers_are_read_in_units_of_their_offset_and_scale(kind, size, value):
    """Energies of thousands and their z-scores are the same to the network."""
    value, present = torch.tensor(value), torch.tensor([True, True])
    raw = ConditionEmbedder(ConditionSpec("c", kind, size, offset=-1200.0, scale=250.0), 8)
    scored = ConditionEmbedder(ConditionSpec("c", kind, size), 8)
    scored.load_state_dict(raw.state_dict())
    ours = raw.vector(Condition(value, present), 2)
    torch.testing.assert_close(ours, scored.vector(Condition((value + 1200) / 250, present), 2))
    assert not torch.allclose(ours, scored.vector(Condition(value, present), 2))
