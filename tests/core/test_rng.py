"""Counted randomness: a pure function of its words, blind to batch and padding, and standard in distribution."""

import itertools
import math

import pytest
import torch
from ornstein.core import rng
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.state import Field

TOKEN = Field("x", "continuous", 3, Gaussian())
PAIR = Field("e", "continuous", 2, Gaussian(), axes="pair")
BOND = Field("b", "categorical", 4, Masked(), axes="pair")


def normals(f: Field, index, tokens: int, dtype=torch.float32, seed: int = 0):
    return rng.normal(rng.keys(seed, torch.as_tensor(index), "step", 3), f, tokens, dtype)


def ks(sample: torch.Tensor, cdf) -> float:
    """The Kolmogorov-Smirnov distance times sqrt(n); above 1.95 once in a thousand."""
    u = cdf(sample.double().flatten()).sort().values
    n = len(u)
    grid = torch.arange(n + 1, dtype=torch.float64) / n
    return float(torch.maximum(grid[1:] - u, u - grid[:-1]).max()) * math.sqrt(n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("field", [TOKEN, PAIR], ids=lambda f: f.axes)
def test_a_sample_does_not_see_its_batch(field, dtype):
    full = normals(field, range(37), 7, dtype)
    for size in (1, 2, 5, 16):
        for start in range(0, 37, size):
            part = torch.arange(start, min(start + size, 37))
            assert torch.equal(normals(field, part, 7, dtype), full[part])
    shuffled = torch.randperm(37, generator=torch.Generator().manual_seed(0))
    assert torch.equal(normals(field, shuffled, 7, dtype), full[shuffled])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_only_adds_entries(dtype):
    for tokens in (1, 2, 5, 8, 13):
        assert torch.equal(normals(TOKEN, range(3), tokens, dtype), normals(TOKEN, range(3), 17, dtype)[:, :tokens])
        wide = normals(PAIR, range(3), 17, dtype)[:, :tokens, :tokens]
        assert torch.equal(normals(PAIR, range(3), tokens, dtype), wide)
    keys = rng.keys(0, torch.arange(3))
    assert torch.equal(rng.uniform(keys, BOND, 5, 2), rng.uniform(keys, BOND, 9, 2)[:, :5, :5])


def test_pairs_are_symmetric_and_otherwise_different():
    noise = normals(PAIR, range(2), 6)
    assert torch.equal(noise, noise.transpose(1, 2))
    upper = noise[:, torch.triu(torch.ones(6, 6, dtype=torch.bool))]
    assert len(upper.flatten().unique()) == upper.numel()
    u = rng.uniform(rng.keys(1, torch.arange(2)), BOND, 6, 2)
    assert u.shape == (2, 6, 6, 2)
    assert torch.equal(u, u.transpose(1, 2))


def test_double_precision_is_the_same_noise():
    torch.testing.assert_close(
        normals(TOKEN, range(50), 9, torch.float64).float(), normals(TOKEN, range(50), 9), rtol=0, atol=1e-5
    )


def test_normals_are_standard():
    x = normals(TOKEN, range(10_000), 40, torch.float64)
    n = x.numel()
    assert abs(float(x.mean())) < 4 / math.sqrt(n)
    assert abs(float(x.var()) - 1) < 4 * math.sqrt(2 / n)
    assert abs(float((x**3).mean())) < 4 * math.sqrt(15 / n)
    assert abs(float((x**4).mean()) - 3) < 4 * math.sqrt(96 / n)
    assert ks(x[:2000], torch.special.ndtr) < 1.95
    assert ks(normals(TOKEN, range(500), 40), torch.special.ndtr) < 1.95
    assert float(x.abs().max()) > 4  # the tail is there


def test_uniforms_fill_the_half_open_interval():
    u = rng.unit(rng.keys(0, torch.arange(400)), 300, torch.float64)
    assert ks(u, lambda v: v) < 1.95
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        u = rng.unit(rng.keys(0, torch.arange(1000)), 1000, dtype)
        assert u.dtype == dtype
        assert float(u.min()) >= 0
        assert float(u.max()) < 1
        assert float(u.double().mean()) == pytest.approx(0.5, abs=0.005)


def test_neighbouring_words_are_independent():
    """Correlations between samples, seeds, steps, fields, tokens and channels, and of squares, vanish."""
    index = torch.arange(4000)
    base = rng.normal(rng.keys(0, index, "step", 3, "x"), TOKEN, 4, torch.float64)
    others = [
        rng.normal(rng.keys(seed, index, *words), TOKEN, 4, torch.float64)
        for seed, words in [(1, ("step", 3, "x")), (0, ("step", 4, "x")), (0, ("step", 3, "y")), (0, ("prior", 3, "x"))]
    ]
    others += [base.roll(1, 0), base.roll(1, 1), base.roll(1, 2)]
    for other in others:
        for power in (1, 2):
            a, b = (z**power - (z**power).mean() for z in (base, other))
            correlation = float((a * b).mean() / (a.std() * b.std()))
            assert abs(correlation) < 4.5 / math.sqrt(base.numel())


def test_keys_of_different_words_differ():
    """Order, type and number of words count; a seed is no word."""
    words = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), ("0",), ("a",), ("a", 0), ("a", "b"), ("b", "a"), ("ab",), (-1,)]
    found = {rng.key(seed, *w) for seed in (-1, 0, 1, 2, 7, 2**63, 2**64 - 2) for w in words}
    assert len(found) == 7 * len(words)
    assert all(0 <= k < 2**64 for k in found)


def test_seed_and_first_word_do_not_commute():
    for a, b in itertools.combinations(range(20), 2):
        assert rng.key(a, b) != rng.key(b, a)
    assert len({rng.key(a, a) for a in range(20)}) == 20


def test_keys_are_a_function_of_index_alone():
    index = torch.arange(1000)
    keys = rng.keys(5, index, "x")
    assert len(keys.unique()) == 1000
    assert torch.equal(rng.keys(5, index[7:9].int(), "x"), keys[7:9])
    assert torch.equal(index, torch.arange(1000))  # left alone
    before = keys.clone()
    rng.normal(keys, TOKEN, 3)
    assert torch.equal(keys, before)


def test_generators_are_apart_and_repeatable():
    draws = {
        w: rng.generator(3, *w).normal(size=4).tolist()
        for w in [("pose", 1), ("pose", 2), ("encode", 1), (1, 2), (2, 1)]
    }
    assert len({tuple(v) for v in draws.values()}) == len(draws)
    assert rng.generator(3, "pose", 1).normal(size=4).tolist() == draws["pose", 1]


def test_hash_is_splitmix64():
    """The stream of seed 0 of the published generator (Vigna's reference code prints these)."""
    published = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
    first = rng._hashes(torch.zeros(1, dtype=torch.int64), 3)[0].tolist()
    assert [h % 2**64 for h in first] == list(published)


@pytest.mark.gpu
def test_devices_agree():
    index = torch.arange(100)
    for f in (TOKEN, PAIR):
        here, there = (rng.normal(rng.keys(0, index.to(d), "a"), f, 20, torch.float64).cpu() for d in ("cpu", "cuda"))
        torch.testing.assert_close(here, there, rtol=0, atol=1e-12)
    assert torch.equal(rng.unit(rng.keys(0, index), 9), rng.unit(rng.keys(0, index.cuda()), 9).cpu())
