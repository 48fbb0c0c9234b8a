"""The modified discrete cosine transform: as many numbers as samples, orthonormal, with frames that overlap."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from .frames import Frames, channels_apart, channels_together, check_power, compressed, expanded, sine_window

Window = Literal["sine", "kbd"]


class MDCT(Frames):
    """A token is the h coefficients of a frame of 2 h samples that overlaps with its neighbours by half.

        X_k = sqrt(2 / h) sum_n w_n x_n cos(pi / h (n + 1/2 + h / 2) (k + 1/2)),    k = 0 .. h - 1

    with n = 0 half a token before the token's own samples. It is computed as rotations of the samples on both sides of each
    border between tokens, then the cosines over each token alone. Nothing is rotated at the two ends of a clip, so that N h
    samples become N h numbers by an orthonormal map, whose inverse is exact.

    Args:
        hop: h, even.
        power: p of sign(X) |X|^p, see `compressed`.
        window: `sine`, or `kbd` (Kaiser-Bessel derived, alpha 4: less leakage far from a partial, more beside it).

    Raises:
        ValueError: an odd hop, another window or power.

    Source: Princen and Bradley 1986, IEEE Trans. ASSP 34 (5); the window `kbd`: Fielder et al. 1996, AES 101.
    """

    exact: ClassVar[bool] = True

    def __init__(self, hop: int, power: float = 1.0, window: Window = "sine") -> None:
        super().__init__(hop)
        if hop % 2:
            raise ValueError(f"modality.frame={hop}: frames of the MDCT overlap by half, so it must be even")
        if window not in get_args(Window):
            raise ValueError(f"modality.window={window!r}; choose from {', '.join(get_args(Window))}")
        self.power, self.window = check_power(power), window

    @property
    def size(self) -> int:
        """H."""
        return self.hop

    @property
    def reach(self) -> int:
        """Half a hop."""
        return self.hop // 2

    @property
    def bands(self) -> Tensor:
        """Each coefficient is one."""
        return torch.arange(self.hop)

    def cut(self, x: Tensor, counts: Tensor) -> Tensor:
        """(B, C, N h) -> (B, N, C h)."""
        blocks = self._rotate(x.unflatten(-1, (-1, self.hop)), counts, 1.0)
        return compressed(channels_together(blocks @ _cosines(self.hop).to(x)), self.power)

    def join(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C h) -> (B, C, N h)."""
        blocks = channels_apart(expanded(tokens, self.power), self.hop) @ _cosines(self.hop).to(tokens).T
        return self._rotate(blocks, counts, -1.0).flatten(2)

    def _rotate(self, blocks: Tensor, counts: Tensor, sign: float) -> Tensor:
        """Rotate each pair of samples that mirror each other at a border, by the angle that the window gives; -1 undoes it."""
        half = self.hop // 2
        w = _window(self.window, self.hop).to(blocks)
        c, s = w[half:], sign * w[:half].flip(0)  # by the distance from the border
        before, after = blocks[:, :, :-1, half:].flip(-1), blocks[:, :, 1:, :half]
        inner = (torch.arange(1, blocks.shape[2]) < counts[:, None])[:, None, :, None]
        turned = blocks.clone()
        turned[:, :, :-1, half:] = torch.where(inner, c * before + s * after, before).flip(-1)
        turned[:, :, 1:, :half] = torch.where(inner, c * after - s * before, after)
        return turned


@lru_cache(maxsize=8)
def _cosines(size: int) -> Tensor:
    """(h, h), orthonormal: of each of a token's own samples in each coefficient, float64."""
    n = torch.arange(size, dtype=torch.float64) + 0.5
    return (2 / size) ** 0.5 * torch.cos(torch.pi / size * (n + size)[:, None] * n)


@lru_cache(maxsize=8)
def _window(name: Window, hop: int) -> Tensor:
    """The rising half of the window that spans a border: h values, of which w_n^2 + w_(h-1-n)^2 = 1."""
    if name == "sine":
        return sine_window(2 * hop)[:hop]
    kaiser = torch.kaiser_window(hop + 1, periodic=False, beta=4 * torch.pi, dtype=torch.float64)
    return (kaiser.cumsum(0)[:hop] / kaiser.sum()).sqrt()
