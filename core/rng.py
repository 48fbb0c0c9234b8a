"""Counted randomness: every random value is a pure function of its words (seed, sample index, step, field, entry, ...).

Nothing is consumed, so sample k is the same for any batch size, device count, padding or resume. Values come from the
SplitMix64 finaliser over counted inputs (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") and,
for normals, from Box and Muller (1958). Entries are counted by unpadded coordinates: token n, channel c is entry n C + c; the
pair (i, j) is entry max(max + 1) / 2 + min, so that pairs are symmetric and padding only adds entries at the end.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from .state import Field

_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, None))
_BITS64 = (1 << 64) - 1


def key(seed: int, *words: int | str) -> int:
    """A 64-bit key, 0 <= key < 2^64, of a seed and its words; on the host."""
    h = _mix_int((seed + _GOLDEN) & _BITS64)
    for word in words:
        # the golden step keeps the order of words: without it (seed 1, word 2) would equal (seed 2, word 1)
        h = _mix_int(((h + _GOLDEN) & _BITS64) ^ _mix_int((_as_int(word) + _GOLDEN) & _BITS64))
    return h


def generator(seed: int, *words: int | str) -> np.random.Generator:
    """A NumPy generator of its own for (seed, words): what `augment`, `pose`, `encode` and `blank` draw from."""
    return np.random.Generator(np.random.Philox(key=key(seed, *words)))


def keys(seed: int, index: Tensor, *words: int | str) -> Tensor:
    """One int64 key for each sample index (B,), on the device of `index`."""
    base = _signed(key(seed, *words))
    return _mix_tensor(_mix_tensor(index.to(torch.int64) + _signed(_GOLDEN)) ^ base)


def normal(keys: Tensor, f: Field, tokens: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal noise of a continuous field, (B, N, C) or symmetric (B, N, N, C), for `keys` (B,)."""
    if f.axes == "token":
        return _normal(keys, tokens * f.channels, dtype).view(-1, tokens, f.channels)
    flat = _normal(keys, tokens * (tokens + 1) // 2 * f.channels, dtype)
    return flat.view(flat.shape[0], -1, f.channels)[:, _pairs(tokens, keys.device)]


def uniform(keys: Tensor, f: Field, tokens: int, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """`count` uniforms in [0, 1) for each entry of a categorical field: (B, N, count) or symmetric (B, N, N, count)."""
    if f.axes == "token":
        return unit(keys, tokens * count, dtype).view(-1, tokens, count)
    flat = unit(keys, tokens * (tokens + 1) // 2 * count, dtype)
    return flat.view(flat.shape[0], -1, count)[:, _pairs(tokens, keys.device)]


def unit(keys: Tensor, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, count) uniforms in [0, 1) with all the bits that the dtype holds there."""
    bits = 1 - round(math.log2(torch.finfo(dtype).eps))
    return _logical_shift(_hashes(keys, count), 64 - bits).to(dtype).mul_(2.0**-bits)


def _normal(keys: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(B, count) normals, two from each hash: its high half gives the radius, its low half the angle."""
    h = _hashes(keys, (count + 1) // 2)
    wide = dtype if dtype == torch.float64 else torch.float32
    radius = (h >> 32).bitwise_and_(0xFFFFFFFF).to(wide).add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
    angle = h.bitwise_and_(0xFFFFFFFF).to(wide).mul_(2 * math.pi * 2.0**-32)
    pair = torch.empty(*h.shape, 2, dtype=wide, device=h.device)
    torch.mul(radius, angle.cos(), out=pair[..., 0])
    torch.mul(radius, angle.sin_(), out=pair[..., 1])
    return pair.flatten(1)[:, :count].to(dtype)


def _hashes(keys: Tensor, count: int) -> Tensor:
    """(B, count) int64 hashes: counter j of key k is the SplitMix64 output j of the stream that starts at k."""
    counter = torch.arange(1, count + 1, device=keys.device, dtype=torch.int64).mul_(_signed(_GOLDEN))
    return _mix_tensor(keys[:, None] + counter)


def _mix_tensor(x: Tensor) -> Tensor:
    """The SplitMix64 finaliser; x, int64, is overwritten."""
    for shift, factor in _MIX:
        x.bitwise_xor_(_logical_shift(x, shift))
        if factor is not None:
            x.mul_(_signed(factor))
    return x


def _mix_int(x: int) -> int:
    for shift, factor in _MIX:
        x ^= x >> shift
        if factor is not None:
            x = (x * factor) & _BITS64
    return x


def _logical_shift(x: Tensor, shift: int) -> Tensor:
    """x >> shift with zeros moved in: torch's own shift of int64 keeps the sign."""
    return (x >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x


def _as_int(word: int | str) -> int:
    if isinstance(word, str):
        return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return int(word)


def _pairs(tokens: int, device: torch.device) -> Tensor:
    """(N, N) entry number of each pair, the same for (i, j) and (j, i)."""
    i = torch.arange(tokens, device=device)
    low, high = torch.minimum(i[:, None], i), torch.maximum(i[:, None], i)
    return high * (high + 1) // 2 + low
