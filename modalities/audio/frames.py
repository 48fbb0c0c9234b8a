"""What every way of cutting samples into tokens can do: there, back, and which numbers of a token are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

QUIET = 1e-3  # of an orthonormal coefficient: about 80 dB below that of a full-scale sine


class Frames(ABC):
    """Samples (B, C, N h) <-> tokens (B, N, C D), token n standing at the samples n h to (n + 1) h.

    Clips of several lengths share a batch: `counts` (B,) says how many tokens are real; behind them are zeros, which change
    nothing.

    Args:
        hop: h, samples from one token to the next.

    Raises:
        ValueError: a hop below 1.
    """

    exact: ClassVar[bool]  # whether join(cut(x)) is x, but for rounding
    levels: ClassVar[bool] = False  # whether its numbers are levels, with a mean, and not amplitudes around 0

    def __init__(self, hop: int) -> None:
        if hop < 1:
            raise ValueError(f"modality.frame={hop}: at least 1 sample a token")
        self.hop = hop

    @property
    @abstractmethod
    def size(self) -> int:
        """D, the numbers of one channel in a token."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """Samples on either side of its own h that a token looks at."""

    @property
    @abstractmethod
    def bands(self) -> Tensor:
        """(D,) integers: numbers of one band share a scale."""

    @abstractmethod
    def cut(self, x: Tensor, counts: Tensor) -> Tensor:
        """(B, C, N h) -> (B, N, C D)."""

    @abstractmethod
    def join(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """(B, N, C D) -> (B, C, N h)."""

    def count(self, steps: int) -> int:
        """N of a clip of so many samples: the last token may be filled up with zeros."""
        return -(-steps // self.hop)

    def given(self, known: Tensor) -> Tensor:
        """Which numbers of one channel follow from the known samples: (B, N h) bool -> (B, N, D) bool.

        A token that sees any sample that is not known is not. Samples outside of a clip are zeros, and known.
        """
        seen = F.max_pool1d(
            F.pad((~known).float(), (self.reach, self.reach))[:, None], self.hop + 2 * self.reach, self.hop
        )
        return (seen[:, 0] == 0)[..., None].expand(-1, -1, self.size)


def channels_apart(tokens: Tensor, size: int) -> Tensor:
    """(B, N, C D) -> (B, C, N, D)."""
    return tokens.unflatten(-1, (-1, size)).transpose(1, 2)


def channels_together(x: Tensor) -> Tensor:
    """(B, C, N, D) -> (B, N, C D)."""
    return x.transpose(1, 2).flatten(2)


def compressed(x: Tensor, power: float) -> Tensor:
    """sign(x) ((|x| + d)^p - d^p), d = 1e-3: loud and soft alike, and a straight line through 0; p = 1 changes nothing.

    Without d rounding errors of what is nearly silent would be raised to the level of speech.
    """
    return x if power == 1 else x.sign() * ((x.abs() + QUIET) ** power - QUIET**power)


def expanded(y: Tensor, power: float) -> Tensor:
    """The inverse of `compressed`."""
    return y if power == 1 else y.sign() * ((y.abs() + QUIET**power) ** (1 / power) - QUIET)


def check_power(power: float) -> float:
    """The power itself.

    Raises:
        ValueError: not in (0, 1].
    """
    if not 0 < power <= 1:
        raise ValueError(f"modality.power={power}: above 0, at most 1 (1 leaves magnitudes as they are)")
    return power


def sine_window(length: int) -> Tensor:
    """sin(pi (n + 1/2) / L), float64: its square and that of its half shift add to 1 (Princen and Bradley 1986)."""
    return torch.sin(torch.pi * (torch.arange(length, dtype=torch.float64) + 0.5) / length)
